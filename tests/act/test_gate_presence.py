"""A worker says that it lives, and which others do not; runs are told; and none of it ever hurts."""

import json
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from tidegate.act.gate import running
from tidegate.act.gate.openings import openings
from tidegate.act.gate.presence import EVERY_S, Presence
from tidegate.broker.address import parse_address
from tidegate.broker.line import Line
from tidegate.broker.scripts import Script
from tidegate.observe.probe.tracing import watch as record
from tidegate.observe.process import Process, is_alive, machine, this_process

GUARD = {"key": "k", "overlap": "skip"}
TIME = Script("words")


def a_process_that_has_ended() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def start(broker_url):
    """`start(node)`: a presence that has said for the first time that it lives."""
    begun = []

    def begin(node):
        presence = Presence(node, parse_address(broker_url), 3600.0)
        begun.append(presence)
        presence.start()
        return presence

    yield begin
    for presence in begun:
        presence.finish()


def eventually(is_so, within_s=10.0):
    until = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.01)


def other(client, node, worker, process):
    """A worker that said a moment ago that it lives."""
    said = {"as_of": 1, "machine": process.machine, "pid": process.pid, "started": process.started}
    client.set(f"tidegate:gate:1:worker:{worker}", json.dumps(said), px=5000)
    client.hset("tidegate:gate:1:nodes", node, worker)


def said_at(client, presence):
    return json.loads(client.get(f"tidegate:gate:1:worker:{presence.worker}"))["as_of"]


def lives(client, worker):
    return bool(client.exists(f"tidegate:gate:1:worker:{worker}"))


def test_a_worker_says_that_it_lives_until_it_ends(start, redis_client):
    presence = start("one@here")
    eventually(lambda: redis_client.hget("tidegate:gate:1:nodes", "one@here"))
    said = json.loads(redis_client.get(f"tidegate:gate:1:worker:{presence.worker}"))
    assert said["pid"] == os.getpid()
    assert 0 < redis_client.pttl(f"tidegate:gate:1:worker:{presence.worker}") <= 5000
    presence.finish()

    assert list(redis_client.scan_iter("tidegate:gate:1:worker:*")) == []
    assert not redis_client.exists("tidegate:gate:1:nodes")


def test_a_worker_that_starts_declares_dead_whose_process_is_gone_and_who_had_its_name(start, redis_client):
    me = this_process()
    other(redis_client, "gone@here", "gone", Process(machine(), a_process_that_has_ended(), "1"))
    other(redis_client, "reused@here", "reused", Process(me.machine, me.pid, "another start"))
    other(redis_client, "one@here", "before", Process("another machine", 1, "1"))
    other(redis_client, "there@there", "there", Process("another machine", 1, "1"))
    other(redis_client, "alive@here", "alive", me)
    redis_client.set("tidegate:gate:1:worker:odd", b"\x80no json", px=5000)
    redis_client.hset("tidegate:gate:1:nodes", "odd@here", "odd")
    presence = start("one@here")
    eventually(lambda: redis_client.hget("tidegate:gate:1:nodes", "one@here") == presence.worker.encode())

    assert [name for name in ("gone", "reused", "before") if lives(redis_client, name)] == []
    assert [name for name in ("there", "alive", "odd") if not lives(redis_client, name)] == []


def test_a_worker_that_lives_declares_dead_who_dies_beside_it(start, redis_client):
    one = start("one@here")
    eventually(lambda: redis_client.hexists("tidegate:gate:1:nodes", "one@here"))
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    other(redis_client, "two@here", "two", Process(machine(), process.pid, ""))
    # What it says expires too late to be what the test sees.
    redis_client.persist("tidegate:gate:1:worker:two")
    began_ms = said_at(redis_client, one)
    eventually(lambda: said_at(redis_client, one) > began_ms + 1000 * EVERY_S)
    assert lives(redis_client, "two")
    process.kill()
    process.wait()

    eventually(lambda: not lives(redis_client, "two"), 4 * EVERY_S)


def test_a_worker_whose_server_is_away_speaks_again_when_it_is_back(private_broker, caplog):
    broker = private_broker()
    presence = Presence("one@here", parse_address(broker.url), 3600.0)
    presence.start()
    eventually(lambda: broker.ask("EXISTS", f"tidegate:gate:1:worker:{presence.worker}"))
    broker.kill()
    eventually(lambda: "can't say that it lives" in caplog.text)
    broker.restart()
    eventually(lambda: broker.ask("EXISTS", f"tidegate:gate:1:worker:{presence.worker}"), 20)
    presence.finish()

    assert caplog.text.count("can't say that it lives") == 1


def test_names_of_workers_that_died_without_a_word_are_swept(start, redis_client):
    redis_client.hset("tidegate:gate:1:nodes", "old@there", "dead")
    start("one@here")

    eventually(lambda: redis_client.hkeys("tidegate:gate:1:nodes") == [b"one@here"])


def test_what_the_gate_let_pass_in_a_worker_is_counted(start, redis_client):
    openings.take()
    openings.note("hold", "for a test")
    start("one@here")

    eventually(lambda: redis_client.hget("tidegate:gate:1:counts", "open|hold") == b"1")


def test_zombies_and_processes_that_have_ended_are_not_alive():
    process = subprocess.Popen([sys.executable, "-c", ""])
    eventually(lambda: not is_alive(process.pid))
    process.wait()

    assert not is_alive(process.pid)
    assert is_alive(os.getpid())
    assert is_alive(140_234_567_890_123), "what gevent calls the process of a greenlet"
    assert not this_process().is_gone()


def test_a_line_to_a_server_that_is_away_costs_no_time_until_it_is_tried_again(private_broker):
    broker = private_broker()
    line = Line(parse_address(broker.url), timeout_s=0.5)
    assert line.run(TIME, [], []) == ""
    broker.kill()
    assert line.run(TIME, [], []) != ""
    before = time.perf_counter()
    assert all("a moment ago" in line.run(TIME, [], []) for _ in range(100))
    assert time.perf_counter() - before < 0.1
    line.close()


def test_a_forked_process_has_a_line_of_its_own(broker_url):
    line = Line(parse_address(broker_url))
    assert line.run(TIME, [], []) == ""
    child = os.fork()
    if child == 0:
        os._exit(0 if line.run(TIME, [], []) == "" else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert line.run(TIME, [], []) == ""
    line.close()


class Told:
    """A teller that remembers; with `broken` it fails."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def tell(self, what, guard, request):
        self.said.append(what)


def task(acks_late=False, trace=None):
    return SimpleNamespace(name="t", acks_late=acks_late, __trace__=trace or (lambda *_: ("done", None, 0.1, "")))


CASES = [
    (GUARD, False, ["ended"]),
    (GUARD, True, []),
    ({"key": "k", "overlap": "buffer_one"}, False, []),
    ({"key": "k", "overlap": "buffer_one"}, True, ["started"]),
    ({"firing": "f", "entry": "e"}, False, ["ended"]),
    ({"firing": "f", "entry": "e"}, True, []),
    ({"key": "k"}, False, []),
    (None, False, []),
    ("text", False, []),
    ({"key": 7}, True, []),
]


@pytest.mark.parametrize(("header", "late", "said"), CASES)
def test_a_run_is_told_where_nothing_else_tells_its_start_or_end(header, late, said):
    told, one = Told(), task(late)
    assert running.watch({"t": one}, told) == 1
    request = {"id": "i", "properties": {"delivery_tag": "x"}} | ({"tidegate": header} if header is not None else {})

    assert one.__trace__("i", (), {}, request) == ("done", None, 0.1, "")
    assert one.__trace__("i", (), {}) == ("done", None, 0.1, "")
    assert told.said == said


def test_a_run_that_fails_has_ended_too():
    def trace(*_):
        raise SystemExit

    told, one = Told(), task(trace=trace)
    running.watch({"t": one}, told)
    with pytest.raises(SystemExit):
        one.__trace__("i", (), {}, {"tidegate": GUARD, "id": "i", "properties": {"delivery_tag": "x"}})

    assert told.said == ["ended"]


def test_the_probe_and_the_gate_each_stand_around_a_run_once_however_often_they_are_installed():
    told, one = Told(), task()
    recorder = SimpleNamespace(begin=lambda *_: told.said.append("begin"), end=lambda *_: told.said.append("end"))
    for _ in range(3):
        running.watch({"t": one}, told)
        record({"t": one}, recorder)
    one.__trace__("i", (), {}, {"tidegate": GUARD, "id": "i", "properties": {"delivery_tag": "x"}})

    assert sorted(told.said) == ["begin", "end", "ended"]


def test_a_teller_without_a_server_says_so_once_and_never_raises(caplog):
    openings.take()
    teller = running.Teller(parse_address("redis://127.0.0.1:1/0"))
    one = task()
    running.watch({"t": one}, teller)
    for request in ({"id": "i", "properties": {"delivery_tag": "x"}}, {"id": "i"}, {"properties": None}):
        assert one.__trace__("i", (), {}, {"tidegate": GUARD, **request})[0] == "done"

    assert openings.take() == {"told": 3}
