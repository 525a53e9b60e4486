"""What happens to the counts when processes are killed, pools are restarted, and Redis goes away; the worker never minds."""

import signal
import time
from collections import Counter

import pytest
import redis
from probed import PROJECT, measured, outcomes, runs_of, send, sender, the_worker, wait_for

from tidegate.broker.address import parse_address
from tidegate.facts.unknown import known


@pytest.mark.parametrize(("task", "took_s"), [("dies", 0.0), ("hard", 1.0)])
def test_a_run_whose_process_is_killed_is_lost_and_those_before_it_are_kept(task, took_s, broker_url, celery_worker):
    worker = celery_worker(PROJECT, broker_url, "-c", "1")
    send(broker_url, "quick", 20)
    send(broker_url, task)
    send(broker_url, "quick", 20)
    wait_for(lambda: outcomes(broker_url).get("quick", {}).get("success") == 40)
    worker.stop()
    runs = runs_of(broker_url, task)

    assert runs.outcomes == {"lost": 1}
    assert took_s <= runs.run.quantile(0.5) < took_s + 10
    assert the_worker(broker_url).busy_slots == 0


def test_a_soft_time_limit_is_a_failure(broker_url, celery_worker):
    celery_worker(PROJECT, broker_url, "-c", "1")
    send(broker_url, "soft")
    send(broker_url, "quick")
    wait_for(lambda: runs_of(broker_url, "quick").run.count == 1)

    assert runs_of(broker_url, "soft").outcomes == {"failure": 1}


def test_processes_that_are_replaced_after_every_task_lose_nothing(broker_url, celery_worker):
    worker = celery_worker(PROJECT, broker_url, "-c", "2", "--max-tasks-per-child", "1")
    send(broker_url, "parent", 6)
    wait_for(lambda: outcomes(broker_url).get("quick", {}).get("success") == 18)
    worker.stop()

    assert outcomes(broker_url) == {"parent": {"success": 6}, "quick": {"success": 18}}


def test_a_pool_that_is_restarted_or_grows_goes_on_counting(broker_url, celery_worker):
    worker = celery_worker(PROJECT + "app.conf.worker_pool_restarts = True\n", broker_url, "-c", "1")
    send(broker_url, "quick", 5)
    wait_for(lambda: runs_of(broker_url, "quick").run.count == 5)
    with sender(broker_url) as app:
        app.control.broadcast("pool_restart", reply=True, timeout=10, limit=1)
        send(broker_url, "quick", 5)
        wait_for(lambda: runs_of(broker_url, "quick").run.count == 10)
        app.control.pool_grow(2, reply=True, timeout=10, limit=1)
    wait_for(lambda: the_worker(broker_url).slots == 3)
    send(broker_url, "sleep", 40, args=(0.2,))
    wait_for(lambda: runs_of(broker_url, "sleep").run.count == 40)
    worker.stop()

    assert max(runs_of(broker_url, "sleep").busy) == 3
    assert outcomes(broker_url) == {"quick": {"success": 10}, "sleep": {"success": 40}}


def test_processes_that_are_spawned_find_the_rings_too(broker_url, celery_worker):
    # Before Celery 5.7 there is no such setting, and they are forked.
    spawning = "app.conf.worker_pool_start_method = 'spawn'\n"
    worker = celery_worker(PROJECT + spawning, broker_url, "-c", "2")
    send(broker_url, "parent", 2)
    wait_for(lambda: runs_of(broker_url, "quick").run.count == 6, 60)
    worker.stop()

    assert runs_of(broker_url, "parent").children == {"quick": 6}


def test_a_worker_that_is_killed_is_gone_after_three_intervals_and_what_it_wrote_is_kept(broker_url, celery_worker):
    worker = celery_worker(PROJECT, broker_url, "-c", "1")
    send(broker_url, "quick", 5)
    wait_for(lambda: runs_of(broker_url, "quick").run.count == 5)
    assert not the_worker(broker_url).gone
    worker.signal(signal.SIGKILL)
    wait_for(lambda: the_worker(broker_url).gone)

    assert runs_of(broker_url, "quick").run.count == 5


def test_counting_goes_on_while_redis_is_away_and_is_written_when_it_is_back(private_broker, celery_worker):
    broker = private_broker(appendonly="yes", appendfsync="always")
    worker = celery_worker(PROJECT, broker.url, "-c", "2")
    send(broker.url, "quick", 10)
    wait_for(lambda: runs_of(broker.url, "quick").run.count == 10)
    send(broker.url, "sleep", 2, args=(3,))
    wait_for(lambda: the_worker(broker.url).busy_slots == 2)
    broker.kill()
    worker.wait_for_line("the probe keeps its counts in memory for now", 30)
    # These end while there is nobody to tell.
    time.sleep(3)
    broker.restart()
    worker.wait_for_line("the probe's counts are in Redis again", 60)
    wait_for(lambda: runs_of(broker.url, "sleep").run.count >= 2)

    assert runs_of(broker.url, "quick").run.count == 10
    said = [line for line in worker.last_lines(1000) if "keeps its counts" in line]
    assert len(said) == 1


def test_a_full_redis_refuses_and_the_counts_wait(private_broker, celery_worker):
    broker = private_broker(maxmemory_policy="noeviction")
    worker = celery_worker(PROJECT, broker.url, "-P", "threads", "-c", "1")
    send(broker.url, "quick", 10)
    wait_for(lambda: runs_of(broker.url, "quick").run.count == 10)
    send(broker.url, "sleep", args=(2,))
    wait_for(lambda: the_worker(broker.url).busy_slots == 1)
    broker.ask("CONFIG", "SET", "maxmemory", "1")
    worker.wait_for_line("the probe keeps its counts in memory for now: command not allowed when used memory", 30)
    broker.ask("CONFIG", "SET", "maxmemory", "0")
    worker.wait_for_line("the probe's counts are in Redis again", 60)
    wait_for(lambda: runs_of(broker.url, "sleep").run.count == 1)

    assert runs_of(broker.url, "quick").run.count == 10


def test_a_redis_that_is_gone_does_not_hold_up_the_end_of_a_worker(private_broker, celery_worker):
    broker = private_broker()
    worker = celery_worker(PROJECT, broker.url, "-c", "1")
    wait_for(lambda: len(measured(broker.url).workers) == 1)
    broker.kill()
    worker.wait_for_line("the probe keeps its counts in memory for now", 30)
    began = time.monotonic()
    worker.signal(signal.SIGTERM)

    assert worker.wait(30) is not None
    assert time.monotonic() - began < 25


@pytest.mark.parametrize("pool", [["-P", "threads", "-c", "1"], ["-c", "2"]], ids=["threads", "prefork"])
def test_what_the_probe_sends_does_not_depend_on_how_many_tasks_run(pool, private_broker, celery_worker):
    sent = {}
    for pace in ("idle", "busy"):
        broker = private_broker()
        worker = celery_worker(PROJECT, broker.url, *pool)
        if pace == "busy":
            send(broker.url, "quick", 1500)
        sent[pace] = commands_of_a_fold(broker.url)
        if pace == "busy":
            assert runs_of(broker.url, "quick").run.count > 300
        worker.stop()

    assert sent["busy"] == sent["idle"]
    # TIME, the worker, one slice, the index, and four lists of the one queue.
    assert sum(sent["busy"].values()) == 12


def commands_of_a_fold(url: str) -> Counter[str]:
    """What the probe sends in one fold, the commonest of four: at a new minute there are three commands more."""
    turns: list[Counter[str]] = []
    with redis.Redis.from_url(url) as client, client.monitor() as monitor:
        while len(turns) <= 4:
            command = monitor.next_command()["command"]
            name = command.partition(" ")[0]
            if name == "TIME":
                turns.append(Counter())
            # Kombu asks for no lengths.
            if turns and (name in ("TIME", "LLEN") or "tidegate:probe" in command):
                turns[-1][name] += 1
    return Counter(dict(Counter(tuple(sorted(turn.items())) for turn in turns[:-1]).most_common(1)[0][0]))


def test_every_key_of_the_probe_expires_and_stands_behind_the_prefix(broker_url, redis_client, celery_worker):
    project = PROJECT + 'app.conf.broker_transport_options = {"global_keyprefix": "shop:"}\n'
    celery_worker(project, broker_url, "-c", "1")
    wait_for(lambda: len(list(redis_client.scan_iter("shop:tidegate:probe:1:*"))) >= 3)
    keys = [key for key in redis_client.scan_iter("*") if b"tidegate" in key]

    assert all(key.startswith(b"shop:tidegate:probe:1:") for key in keys)
    wait_for(lambda: all(redis_client.ttl(key) > 0 for key in keys))
    address = parse_address(broker_url, {"global_keyprefix": "shop:"})
    assert address.layout.prefix == "shop:"
    assert known(measured(broker_url).bytes)


def test_a_probe_that_is_off_writes_nothing_and_stamps_nothing(broker_url, redis_client, celery_worker):
    worker = celery_worker(PROJECT + "app.conf.tidegate_probe = False\n", broker_url, "-c", "1")
    send(broker_url, "parent")
    wait_for(lambda: redis_client.llen("celery") == 0)
    worker.stop()

    assert list(redis_client.scan_iter("tidegate:*")) == []
    assert "ready" in "\n".join(worker.last_lines(100))


def test_a_wrong_setting_that_was_made_after_installing_stops_the_worker_with_a_sentence(broker_url, celery_worker):
    project = PROJECT + "app.conf.tidegate_probe_evry_s = 5\n"
    worker = celery_worker(project, broker_url, "-c", "1", ready=False)

    assert worker.wait(60) not in (None, 0)
    assert "did you mean 'tidegate_probe_every_s'?" in "\n".join(worker.last_lines(50))


def test_a_broker_that_is_no_redis_is_said_and_the_worker_works(celery_worker):
    worker = celery_worker(PROJECT, "memory://", "-P", "solo")

    assert "the probe does not measure here" in "\n".join(worker.last_lines(100))


def test_the_step_alone_measures_as_well(broker_url, celery_worker):
    by_hand = "from tidegate.observe.probe.install import ProbeStep\napp.steps['worker'].add(ProbeStep)"
    worker = celery_worker(PROJECT.replace("tidegate.install(app)", by_hand), broker_url, "-c", "1")
    send(broker_url, "parent")
    wait_for(lambda: runs_of(broker_url, "quick").run.count == 3)
    worker.stop()

    assert runs_of(broker_url, "quick").wait.count == 3
