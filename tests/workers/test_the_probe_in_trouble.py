"""What happens to the counts when pools are restarted, processes killed, and Redis goes away; the worker never minds."""

import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from probed import APP, eventually, measured, outcomes, runs_of, send, sender, wait_for

from tidegate.broker.address import parse_address
from tidegate.broker.client import connect
from tidegate.facts.unknown import known
from tidegate.observe.measured import read_measured

IN_MEMORY = "the probe keeps its counts in memory for now"
BACK = "the probe's counts are in Redis again"


def test_a_pool_that_is_restarted_or_grows_goes_on_counting(broker_url, celery_worker):
    worker = celery_worker(APP + "app.conf.worker_pool_restarts = True\n", broker_url, "-c", "1")
    send(broker_url, "nap", 5)
    eventually(lambda: runs_of(broker_url, "nap").run.count == 5)
    with sender(broker_url) as app:
        app.control.broadcast("pool_restart", reply=True, timeout=10, limit=1)
        send(broker_url, "nap", 5)
        eventually(lambda: runs_of(broker_url, "nap").run.count == 10)
        app.control.pool_grow(2, reply=True, timeout=10, limit=1)
    eventually(lambda: measured(broker_url).workers[0].slots == 3)
    send(broker_url, "nap", 40, (0.2,))
    wait_for(lambda: outcomes(broker_url), {"nap": Counter(success=50)})
    worker.stop()

    assert max(runs_of(broker_url, "nap").busy) == 3
    assert outcomes(broker_url) == {"nap": Counter(success=50)}


def test_processes_that_are_spawned_find_the_rings_too(broker_url, celery_worker):
    # Before Celery 5.7 there is no such setting, and they are forked.
    spawning = "app.conf.worker_pool_start_method = 'spawn'\n"
    worker = celery_worker(APP + spawning, broker_url, "-c", "2")
    send(broker_url, "spread", 2, (2,))
    wait_for(lambda: outcomes(broker_url), {"spread": Counter(success=2), "nap": Counter(success=8)})
    worker.stop()

    assert runs_of(broker_url, "spread").children == Counter(nap=6)


def test_a_worker_that_is_killed_is_gone_after_three_intervals_and_what_it_wrote_is_kept(broker_url, celery_worker):
    worker = celery_worker(APP, broker_url, "-c", "1")
    send(broker_url, "nap", 5)
    eventually(lambda: runs_of(broker_url, "nap").run.count == 5)
    assert not measured(broker_url).workers[0].gone
    worker.signal(signal.SIGKILL)
    eventually(lambda: measured(broker_url).workers[0].gone)

    assert runs_of(broker_url, "nap").run.count == 5


def test_a_run_that_ends_while_redis_is_away_is_written_when_it_is_back_and_said_once(private_broker, celery_worker):
    broker = private_broker(appendonly="yes", appendfsync="always")
    worker = celery_worker(APP, broker.url, "-c", "2")
    send(broker.url, "nap", 10)
    send(broker.url, "nap", 2, (3,))
    eventually(lambda: runs_of(broker.url, "nap").run.count == 10 and measured(broker.url).workers[0].busy_slots == 2)
    broker.kill()
    worker.wait_for_line(IN_MEMORY, 30)
    worker.wait_for_line("succeeded in 3.*\n(.*\n)*.*succeeded in 3", 30)
    broker.restart()
    worker.wait_for_line(BACK, 60)
    eventually(lambda: runs_of(broker.url, "nap").run.count >= 12)

    assert sum(IN_MEMORY in line for line in worker.last_lines(1000)) == 1


def test_a_full_redis_refuses_and_the_counts_wait(private_broker, celery_worker):
    broker = private_broker(maxmemory_policy="noeviction")
    worker = celery_worker(APP, broker.url, "-P", "threads", "-c", "1")
    send(broker.url, "nap", 10)
    send(broker.url, "nap", 1, (2,))
    eventually(lambda: runs_of(broker.url, "nap").run.count == 10 and measured(broker.url).workers[0].busy_slots == 1)
    broker.ask("CONFIG", "SET", "maxmemory", "1")
    worker.wait_for_line(f"{IN_MEMORY}: command not allowed when used memory", 30)
    broker.ask("CONFIG", "SET", "maxmemory", "0")
    worker.wait_for_line(BACK, 60)
    eventually(lambda: runs_of(broker.url, "nap").run.count == 11)


def test_a_redis_that_is_gone_does_not_hold_up_the_end_of_a_worker(private_broker, celery_worker):
    """Celery itself waits for its connection for some seconds; the probe adds two at most."""
    broker = private_broker()
    worker = celery_worker(APP, broker.url, "-c", "1")
    eventually(lambda: measured(broker.url).workers)
    broker.kill()
    worker.wait_for_line(IN_MEMORY, 30)
    worker.signal(signal.SIGTERM)

    assert worker.wait(20) is not None


@pytest.mark.parametrize(
    "pool",
    [
        pytest.param(["-P", "threads", "-c", "1"], marks=pytest.mark.proof, id="threads"),
        pytest.param(["-c", "2"], id="prefork"),
    ],
)
def test_the_commands_of_a_fold_are_the_same_however_many_tasks_run(pool, private_broker, celery_worker):
    idle, busy = private_broker(), private_broker()
    for broker in (idle, busy):
        celery_worker(APP, broker.url, *pool)
    send(busy.url, "nap", 1500, (0.0,))
    with ThreadPoolExecutor() as watchers:
        sent = dict(zip(("idle", "busy"), watchers.map(commands_of_a_fold, (idle.url, busy.url)), strict=True))
    assert runs_of(busy.url, "nap").run.count > 300

    assert sent["busy"] == sent["idle"]
    # TIME, the worker, one slice, the index, and of the one queue who has it and four lists.
    assert sum(sent["busy"].values()) == 13


def commands_of_a_fold(url: str) -> Counter[str]:
    """What the probe sends in one fold, the commonest of four: at a new minute there are three commands more."""
    turns: list[Counter[str]] = []
    with redis.Redis.from_url(url) as client, client.monitor() as monitor:
        while len(turns) <= 4:
            seen = monitor.next_command()
            command = seen["command"]
            name = command.partition(" ")[0]
            # Kombu's scripts ask for the time, too.
            if seen["client_type"] == "lua":
                continue
            if name == "TIME":
                turns.append(Counter())
            # Kombu asks for no lengths.
            if turns and (name in ("TIME", "LLEN", "EXISTS") or "tidegate:probe" in command):
                turns[-1][name] += 1
    return Counter(dict(Counter(tuple(sorted(turn.items())) for turn in turns[:-1]).most_common(1)[0][0]))


def test_every_key_of_the_probe_expires_and_stands_behind_the_prefix(broker_url, redis_client, celery_worker):
    prefix = 'app.conf.broker_transport_options = {"global_keyprefix": "shop:"}\n'
    celery_worker(APP + prefix, broker_url, "-c", "1")
    eventually(lambda: len(list(redis_client.scan_iter("shop:tidegate:probe:1:*"))) >= 3)
    keys = [key for key in redis_client.scan_iter("*") if b"tidegate" in key]
    with connect(parse_address(broker_url, {"global_keyprefix": "shop:"})) as broker:
        seen = read_measured(broker)

    assert all(key.startswith(b"shop:tidegate:probe:1:") for key in keys)
    assert all(redis_client.ttl(key) > 0 for key in keys)
    assert known(seen.bytes)
    assert len(seen.workers) == 1


def test_a_probe_that_is_off_writes_nothing_and_stamps_nothing(broker_url, redis_client, celery_worker):
    worker = celery_worker(APP + "app.conf.tidegate_probe = False\n", broker_url, "-c", "1")
    send(broker_url, "spread", 1, (1,))
    worker.wait_for_line("(nap.*succeeded(.*\n)*.*){3}", 30)
    worker.stop()

    assert list(redis_client.scan_iter("tidegate:*")) == []


def test_a_broker_that_is_no_redis_is_said_and_the_worker_works(celery_worker):
    worker = celery_worker(APP, "memory://", "-P", "solo")

    assert "the probe does not measure here" in "\n".join(worker.last_lines(100))


def test_the_step_alone_measures_as_well(broker_url, celery_worker):
    by_hand = "from tidegate.observe.probe.install import ProbeStep\napp.steps['worker'].add(ProbeStep)"
    worker = celery_worker(APP.replace("tidegate.install(app, gate=False)", by_hand), broker_url, "-c", "1")
    began = time.time()
    send(broker_url, "spread", 1, (1,))
    eventually(lambda: runs_of(broker_url, "nap").wait.count == 3)
    worker.stop()

    assert runs_of(broker_url, "nap").wait.quantile(1.0) < time.time() - began
