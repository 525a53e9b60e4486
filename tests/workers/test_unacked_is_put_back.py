"""What a killed worker held goes back at once, and is executed once; what a living one holds stays with it."""

import signal

import pytest
from guarded import APP, eventually, guarded

from gatehouse import ids
from tidegate.act.relief import proving
from tidegate.broker.address import parse_address
from tidegate.errors import NothingFound, Refused
from tidegate.facts.unknown import known
from tidegate.returning import held_at, put_back_at

LOGGED = """
@app.task(name="logged", ignore_result=True, acks_late=True)
def logged(name):
    wait(name)
    with (HERE / "log").open("a") as log:
        log.write(f"{name} ")
"""
OPTIONS = ["-c", "1", "--without-mingle", "--without-gossip"]


@pytest.fixture
def site(broker_url, tmp_path):
    with guarded(broker_url, tmp_path) as site:
        yield site


@pytest.fixture
def worker(site, celery_worker):
    def start(node, source=LOGGED):
        return celery_worker(APP + source, site.url, *OPTIONS, "-n", node, environment=site.environment)

    yield start
    site.over()


def holding(site, worker):
    """A worker that runs `a` and holds `b` and `c`."""
    first = worker("one@here")
    for name in "abc":
        site.app.send_task("logged", args=(name,), task_id=f"id-{name}")
    site.started("a")
    eventually(lambda: site.client.zcard("unacked_index") == 3)
    return first


def test_what_a_killed_worker_held_is_put_back_in_its_order_and_executed_once(site, worker):
    first = holding(site, worker)
    first.signal(signal.SIGKILL)
    first.wait(10)
    # Newer than what is held, and behind it.
    site.app.send_task("logged", args=("d",), task_id="id-d")

    looked = put_back_at(parse_address(site.url), "one@here")
    assert (looked.found, looked.dry_run, site.client.zcard("unacked_index")) == (3, True, 3)
    done = put_back_at(parse_address(site.url), "one@here", yes=True)
    assert (done.put_back, done.by_queue) == (3, {"celery": 3})
    assert "process" in done.workers[0].why
    assert (site.client.zcard("unacked_index"), site.client.hlen("unacked")) == (0, 0)
    assert ids(site.client, "celery") == ["id-a", "id-b", "id-c", "id-d"]

    site.over()
    worker("two@here")
    eventually(lambda: (site.here / "log").exists() and (site.here / "log").read_text() == "a b c d ", 20)
    eventually(lambda: site.client.zcard("unacked_index") == 0)
    line = site.client.xrevrange("tidegate:journal", count=1)[0][1]
    assert (line["act"], line["what"], line["queue"]) == ("relief", "put-back 3", "celery")


def test_what_a_living_worker_holds_stays_with_it(site, worker):
    holding(site, worker)
    site.app.send_task("logged", args=("later",), countdown=600, task_id="id-later")
    eventually(lambda: site.client.zcard("unacked_index") == 4)
    address = parse_address(site.url)
    for node in ("one@here", None):
        if node is None:
            # Of what all hold it is recorded who it is: there is nothing to prove, and nothing to put back.
            assert put_back_at(address, node, yes=True).found == 0
        else:
            with pytest.raises(Refused, match=r"one@here is not proved dead: its process \d+ on this machine lives"):
                put_back_at(address, node, yes=True)
    with pytest.raises(NothingFound, match="did you mean 'one@here'"):
        put_back_at(address, "one@hare", yes=True)
    held = held_at(address)
    assert site.client.zcard("unacked_index") == held.total == 4
    assert [(row.id, row.worker, row.alive, row.deferred) for row in held.messages] == [
        ("id-a", "one@here", True, False),
        ("id-b", "one@here", True, False),
        ("id-c", "one@here", True, False),
        ("id-later", "one@here", True, True),
    ]


def test_what_a_stock_worker_took_is_put_back_only_when_nobody_is_connected(site, worker, monkeypatch):
    monkeypatch.setattr(proving, "LISTEN_S", 0.2)
    monkeypatch.setattr(proving, "SETTLED_S", 0)
    stock = LOGGED + "\nfrom tidegate.act.gate.install import uninstall_gate\nuninstall_gate()\n"
    first = worker("one@here", stock)
    site.app.send_task("logged", args=("a",), task_id="id-a")
    site.started("a")
    address = parse_address(site.url)
    eventually(lambda: site.client.zcard("unacked_index") == 1)
    assert [known(row.worker) for row in held_at(address).messages] == [False]
    first.signal(signal.SIGKILL)
    first.wait(10)
    with pytest.raises(
        Refused, match=r"it is not recorded who holds them, and \d+ clients? beside this one are connected"
    ):
        put_back_at(address, yes=True)
    assert site.client.zcard("unacked_index") == 1

    site.app.close()
    # Whoever else of this test process is connected goes as well.
    site.client.client_kill_filter(_type="normal", skipme=True)
    site.client.connection_pool.disconnect()
    done = put_back_at(address, yes=True)
    assert (done.put_back, done.workers[0].node) == (1, "")
    assert ids(site.client, "celery") == ["id-a"]
