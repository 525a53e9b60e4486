"""What goes back to which list, with which proof, and what stays where it is."""

import json
import subprocess
import sys
import time

import pytest
from overlap_lua import Told

from faces.shell import call
from gatehouse import ids, list_of
from tidegate.act.relief import proving
from tidegate.act.relief.putting_back import put_back
from tidegate.broker.address import parse_address, with_options
from tidegate.broker.client import connect
from tidegate.broker.scripts import Script
from tidegate.broker.unacked import portions
from tidegate.errors import Refused
from tidegate.facts.unknown import known
from tidegate.observe.process import Process, machine, this_process
from tidegate.observe.unacked import see_held

FETCH = Script("door", "spill", "took", "fetch", "marks", "firings", "fetched")
NODE = "one@here"
AWAY = Process("elsewhere", 7, "1")


def a_gone_process():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return Process(machine(), child.pid, "1")


class Held:
    """A worker that took messages; every method writes what a real one and its gate would."""

    def __init__(self, client, prefix=""):
        self.client, self.prefix = client, prefix
        self.taken = [f"{prefix}unacked_index", f"{prefix}unacked"]

    def key(self, name):
        return f"{self.prefix}tidegate:gate:1:{name}"

    def worker(self, id_="w1", node=NODE, process=None):
        process = process or a_gone_process()
        said = {
            "at": time.time(),
            "node": node,
            "machine": process.machine,
            "pid": process.pid,
            "started": process.started,
        }
        self.client.hset(self.key("processes"), id_, json.dumps(said))

    def publish(self, *messages, step=0):
        for message in messages:
            self.client.lpush(list_of("celery", step, self.prefix), message.element)

    def take(self, many, worker="w1", step=0, at_s=1_790_000_000.0):
        """As the fetching script does it, a millisecond apart."""
        keys = [*self.taken, list_of("celery", step, self.prefix)]
        for number in range(many):
            holder = f"{worker}/1" if worker else ""
            FETCH.run(self.client, keys, [self.prefix, repr(at_s + number / 1000), holder, "", "0", "celery"])

    def waiting(self, step=0):
        return ids(self.client, list_of("celery", step, self.prefix))

    def count(self):
        return self.client.zcard(self.taken[0]), self.client.hlen(self.taken[1])


@pytest.fixture(params=["", "app:"])
def held(redis_client, request):
    return Held(redis_client, request.param)


@pytest.fixture
def broker(held, broker_url):
    with connect(with_options(parse_address(broker_url), {"global_keyprefix": held.prefix})) as broker:
        yield broker


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(proving, "LISTEN_S", 0.1)
    monkeypatch.setattr(proving, "SETTLED_S", 0)


def plain(*names):
    return [Told(id=name, key="", overlap="allow_all") for name in names]


def test_messages_go_back_to_the_end_that_is_consumed_in_their_order_and_marked_as_redelivered(held, broker):
    held.publish(*plain("a", "b", "c", "d"))
    held.worker()
    held.take(3)
    assert put_back(broker, NODE).found == 3
    assert (held.count(), held.waiting()) == ((3, 3), ["d"])

    done = put_back(broker, NODE, dry_run=False)
    assert (done.put_back, done.by_queue, done.gone) == (3, {"celery": 3}, 0)
    assert (held.count(), held.waiting()) == ((0, 0), ["a", "b", "c", "d"])
    oldest = json.loads(held.client.lindex(f"{held.prefix}celery", -1))
    assert oldest["headers"]["redelivered"] is oldest["properties"]["delivery_info"]["redelivered"] is True
    assert put_back(broker, NODE, dry_run=False).found == 0


def test_each_goes_back_to_the_priority_list_it_was_taken_from(held, broker):
    held.worker()
    for step in (9, 3, 0):
        held.publish(*plain(f"of-{step}"), step=step)
        held.take(1, step=step)
    put_back(broker, NODE, dry_run=False)
    assert [held.waiting(step) for step in (0, 3, 6, 9)] == [["of-0"], ["of-3"], [], ["of-9"]]


def test_what_somebody_else_has_taken_meanwhile_stays_with_him(held, broker):
    held.publish(*plain("a", "b"))
    held.worker()
    held.take(2)
    tag = held.client.zrange(held.taken[0], 0, 0)[0]
    held.client.zadd(held.taken[0], {tag: 1_790_000_999.0})
    assert put_back(broker, NODE, dry_run=False).put_back == 1
    assert (held.count(), held.waiting()) == ((1, 1), ["b"])


def test_a_guarded_message_takes_its_mark_again_and_is_dropped_beside_a_newer_run(held, broker):
    first, other = Told(key="k", id="first"), Told(key="other", id="other")
    held.publish(*plain("a"), first, *plain("b"), other)
    held.worker()
    held.take(4)
    newer = Told(key="k", id="newer")
    held.publish(newer)
    mark = {"tag": newer.tag, "id": "newer", "list": f"{held.prefix}celery", "at": 1, "state": "waiting", "changed": 1}
    held.client.hset(held.key("marks"), "k", json.dumps(mark))
    held.client.hset(held.key("bodies"), "k", newer.element)

    done = put_back(broker, NODE, dry_run=False)
    assert (done.put_back, done.superseded) == (3, 1)
    assert held.waiting() == ["a", "b", "other", "newer"]
    assert json.loads(held.client.hget(held.key("marks"), "other"))["state"] == "waiting"


def test_what_cant_be_read_stays_and_is_counted(held, broker):
    held.publish(*plain("a", "b"))
    held.worker()
    held.take(2)
    held.client.hset(held.taken[1], held.client.zrange(held.taken[0], 0, 0)[0], b"\xff no JSON")
    done = put_back(broker, NODE, dry_run=False)
    assert (done.put_back, done.unreadable, held.count()) == (1, 1, (1, 1))


@pytest.mark.parametrize(
    ("process", "heard", "why"),
    [
        (this_process(), False, "its process .* on this machine lives"),
        (AWAY, True, "it said within five seconds that it lives"),
    ],
)
def test_a_worker_that_lives_is_left_alone(held, broker, process, heard, why):
    held.publish(*plain("a"))
    held.worker(process=process)
    held.take(1)
    if heard:
        held.client.set(held.key("worker:w1"), "{}")
    with pytest.raises(Refused, match=why):
        put_back(broker, NODE, dry_run=False)
    done = put_back(broker, dry_run=False)
    assert (done.found, held.count()) == (0, (1, 1))
    assert done.notes == ("left alone, for workers not proved dead hold them: 1 message",)


def test_a_worker_of_another_machine_is_dead_when_it_stays_silent(held, broker):
    held.publish(*plain("a"))
    held.worker(process=AWAY)
    held.take(1)
    listened = []
    done = put_back(broker, NODE, dry_run=False, listening=listened.append)
    assert done.put_back == 1
    assert listened[-1] == 0.0
    assert "said nothing for 15 s" in done.workers[0].why


def test_a_worker_of_another_machine_that_speaks_meanwhile_is_left_alone(held, broker):
    held.publish(*plain("a"))
    held.worker(process=AWAY)
    held.take(1)
    with pytest.raises(Refused, match="it said meanwhile that it lives"):
        put_back(broker, NODE, dry_run=False, listening=lambda _: held.client.set(held.key("worker:w1"), "{}"))
    assert held.count() == (1, 1)


def test_silence_proves_nothing_when_the_server_has_just_started(held, broker, monkeypatch):
    monkeypatch.setattr(proving, "SETTLED_S", 1e9)
    held.publish(*plain("a", "b"))
    held.worker(process=AWAY)
    held.take(1)
    held.take(1, worker="", at_s=1_790_000_001.0)
    for node in (NODE, None):
        with pytest.raises(Refused, match="may not have come back yet"):
            put_back(broker, node, dry_run=False)
    assert held.count() == (2, 2)


def test_of_two_processes_of_one_name_what_the_dead_one_held_goes_back(held, broker):
    held.publish(*plain("a", "b"))
    held.worker("w1")
    held.worker("w2", process=this_process())
    held.take(1)
    held.take(1, worker="w2", at_s=1_790_000_001.0)
    assert put_back(broker, NODE, dry_run=False).put_back == 1
    assert held.waiting() == ["a"]


def test_every_held_message_is_met_once_however_many_were_taken_at_one_moment(held, broker):
    rows = {f"tag-{number:02}": 5.0 if number < 30 else float(number) for number in range(40)}
    held.client.zadd(held.taken[0], rows)
    met = [row.tag for portion in portions(broker, 7) for row in portion]
    assert sorted(met) == sorted(rows)
    assert len(met) == len(set(met))


def test_of_what_a_worker_took_the_newest_thousand_are_kept_for_a_day(held):
    held.publish(*plain(*map(str, range(1105))))
    held.take(1105)
    took = held.key("took:w1")
    assert held.client.llen(took) == 1005
    assert 86_000 < held.client.ttl(took) <= 86_400


def test_a_list_of_what_is_held_names_the_worker_where_it_is_known(held, broker):
    held.publish(*plain("a", "b"))
    held.worker()
    held.take(1)
    held.take(1, worker="", at_s=1_790_000_001.0)
    found = see_held(broker)
    assert [(row.id, row.queue) for row in found.messages] == [("a", "celery"), ("b", "celery")]
    assert (found.messages[0].worker, found.messages[0].alive) == (NODE, False)
    assert not known(found.messages[1].worker)
    assert see_held(broker, queue="mail").messages == ()


def test_the_command_lists_says_what_it_would_do_does_it_and_refuses(broker_url, redis_client):
    held = Held(redis_client)
    held.publish(*plain("a", "b"))
    held.worker()
    held.take(2)
    listed = call("unacked", "list", broker_url, "--json")
    assert [row["id"] for row in listed.parsed] == ["a", "b"]
    assert "2 held in all" in call("unacked", "list", broker_url).shown
    looked = call("unacked", "put-back", broker_url, "--worker", NODE)
    assert looked.code == 0
    assert "2 messages would go back; nothing was changed: --yes does it" in looked.said
    assert held.count() == (2, 2)
    done = call("unacked", "put-back", broker_url, "--all-dead", "--yes", "--json")
    assert (done.code, done.parsed["put_back"], held.waiting()) == (0, 2, ["a", "b"])
    held.worker(process=this_process())
    held.take(2)
    refused = call("unacked", "put-back", broker_url, "--worker", NODE, "--yes")
    assert (refused.code, held.count()) == (4, (2, 2))
    assert call("unacked", "put-back", broker_url, "--yes").code == 2
    assert call("unacked", "put-back", broker_url, "--worker", "nobody@here").code == 3
