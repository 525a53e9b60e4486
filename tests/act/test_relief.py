"""Purge, move and undo on a real server: what is meant goes, everything else stays in its order, and all can be taken back."""

import pytest
from relief_desk import FRESH, OLD, QUEUE, held, message, mixed, of, purge, push, tags, task_of

from tidegate.act.relief import filtering
from tidegate.act.relief.acts import rows_of
from tidegate.act.relief.engine import Order, carry_out, resume
from tidegate.act.relief.putting import rollback, undo
from tidegate.backup.reader import BackupReader
from tidegate.broker.address import parse_address
from tidegate.broker.client import connect
from tidegate.errors import NotAQueue, Refused, UsageError
from tidegate.facts.relief import Act, Filter, State


@pytest.fixture
def backup(tmp_path):
    return tmp_path / "queue.backup"


def acts(url):
    with connect(parse_address(url)) as broker:
        return rows_of(broker)


def in_backup(path, **more):
    with BackupReader.open(path, **more) as reader:
        return [element for batch in reader.batches() for element in batch.elements]


def hidden(client):
    return [key for kind in ("aside", "later", "back", "queue") for key in client.keys(f"tidegate:relief:1:{kind}:*")]


def test_what_is_meant_is_in_the_backup_and_the_rest_stays_in_its_order(broker_url, redis_client, backup):
    before = push(redis_client, mixed(5000))
    done = purge(broker_url, backup)
    assert held(redis_client) == of(before, FRESH)
    assert in_backup(backup) == of(before, OLD)
    assert (done.scanned, done.removed, done.kept) == (5000, len(of(before, OLD)), len(of(before, FRESH)))
    assert hidden(redis_client) == []
    [row] = acts(broker_url)
    assert (row.state, row.removed, row.kept) == (State.DONE, done.removed, done.kept)


def test_every_priority_of_the_queue_is_gone_through(broker_url, redis_client, backup):
    lists = [QUEUE, f"{QUEUE}\x06\x163", f"{QUEUE}\x06\x169"]
    before = {key: push(redis_client, mixed(60), key) for key in lists}
    assert purge(broker_url, backup).removed == 60
    assert {key: held(redis_client, key) for key in lists} == {key: of(one, FRESH) for key, one in before.items()}


def test_what_is_published_and_taken_meanwhile_keeps_its_order(broker_url, redis_client, backup, monkeypatch):
    before = push(redis_client, mixed(4000))
    published, taken = list(before), []
    steps = filtering.paced

    def busy(*call):
        published.extend(push(redis_client, [message(OLD, "new"), message(FRESH, "new")]))
        taken.extend(filter(None, [redis_client.rpop(QUEUE)]))
        return steps(*call)

    monkeypatch.setattr(filtering, "paced", busy)
    purge(broker_url, backup)
    assert len(taken) > 5
    gone = set(tags(in_backup(backup)))
    assert tags(taken + held(redis_client)) == [tag for tag in tags(published) if tag not in gone]
    assert in_backup(backup) == of(before, OLD)


def test_a_worker_finds_the_oldest_message_that_stays_as_soon_as_the_queue_is_set_aside(
    broker_url, redis_client, backup, monkeypatch
):
    before = push(redis_client, mixed(4000))
    firsts = []
    monkeypatch.setattr(
        filtering, "paced", lambda *call, real=filtering.paced: firsts.append(held(redis_client)[0]) or real(*call)
    )
    purge(broker_url, backup)
    assert firsts[0] == of(before, FRESH)[0]


def test_a_second_act_on_the_queue_is_refused_while_one_runs(broker_url, redis_client, backup, tmp_path, monkeypatch):
    push(redis_client, mixed(3000))
    said = []

    def second(*call, real=filtering.paced):
        if not said:
            with pytest.raises(Refused) as refused:
                purge(broker_url, tmp_path / "second")
            said.append(str(refused.value))
        return real(*call)

    monkeypatch.setattr(filtering, "paced", second)
    purge(broker_url, backup)
    [row] = acts(broker_url)
    assert row.id in said[0]
    assert not (tmp_path / "second").exists()


def test_what_was_moved_is_in_the_other_queue_in_order_and_says_so_inside(broker_url, redis_client):
    before = push(redis_client, mixed(2500))
    order = Order(queue=QUEUE, act=Act.MOVE, to="later", wanted=Filter(tasks=(OLD,)))
    done = carry_out(parse_address(broker_url), order)
    assert held(redis_client) == of(before, FRESH)
    assert held(redis_client, "later") == [one.replace(b'"celery"', b'"later"') for one in of(before, OLD)]
    assert done.removed == len(of(before, OLD))
    assert redis_client.smembers("_kombu.binding.later") == {b"later\x06\x16\x06\x16later"}


def test_an_undo_puts_what_was_removed_in_front_of_everything(broker_url, redis_client, backup):
    before = push(redis_client, mixed(3000))
    done = purge(broker_url, backup)
    newer = push(redis_client, [message(FRESH, "newer")])
    undo(parse_address(broker_url), done.id)
    assert held(redis_client) == of(before, OLD) + of(before, FRESH) + newer
    assert {row.id: row.state for row in acts(broker_url)}[done.id] is State.ROLLED_BACK
    with pytest.raises(Refused, match="only what is done can be undone"):
        undo(parse_address(broker_url), done.id)


class Stop(Exception):
    """Whatever ends an act from outside."""


def stopped_at(step, monkeypatch, error):
    real, calls = filtering.paced, []

    def paced(*call):
        calls.append(call)
        if len(calls) == step:
            raise error
        return real(*call)

    monkeypatch.setattr(filtering, "paced", paced)


@pytest.mark.parametrize("step", [1, 3, 6])
@pytest.mark.parametrize("error", [KeyboardInterrupt, Stop])
def test_whatever_stops_it_the_queue_is_whole_and_a_resume_goes_on(
    step, error, broker_url, redis_client, backup, monkeypatch
):
    before = push(redis_client, mixed(4000))
    with monkeypatch.context() as patch, pytest.raises(error):
        stopped_at(step, patch, error)
        purge(broker_url, backup)
    assert not redis_client.keys("tidegate:relief:1:aside:*")
    [row] = acts(broker_url)
    assert row.state is State.INTERRUPTED
    assert sorted(tags(held(redis_client) + in_backup_of_the_decided(backup, row))) == sorted(tags(before))
    done = resume(parse_address(broker_url), row.id)
    assert held(redis_client) == of(before, FRESH)
    assert in_backup(backup) == of(before, OLD)
    assert (done.removed, done.kept) == (len(of(before, OLD)), len(of(before, FRESH)))


def in_backup_of_the_decided(path, row):
    return in_backup(path, unsealed=True)[: row.removed]


def test_a_rollback_leaves_everything_as_it_was(broker_url, redis_client, backup, monkeypatch):
    before = push(redis_client, mixed(4000))
    with monkeypatch.context() as patch, pytest.raises(Stop):
        stopped_at(4, patch, Stop)
        purge(broker_url, backup)
    [row] = acts(broker_url)
    rollback(parse_address(broker_url), row.id)
    assert sorted(held(redis_client)) == sorted(before)
    assert of(held(redis_client), OLD) == of(before, OLD)
    assert of(held(redis_client), FRESH) == of(before, FRESH)
    assert hidden(redis_client) == []


def test_somebody_who_deletes_what_is_set_aside_is_noticed_and_the_rest_can_be_resumed(
    broker_url, redis_client, backup, monkeypatch
):
    push(redis_client, mixed(4000))
    real, calls = filtering.paced, []

    def meddled(*call):
        calls.append(call)
        if len(calls) == 2:
            redis_client.delete(f"tidegate:relief:1:aside:{QUEUE}")
        return real(*call)

    with monkeypatch.context() as patch, pytest.raises(Refused, match="somebody else changed"):
        patch.setattr(filtering, "paced", meddled)
        purge(broker_url, backup)
    [row] = acts(broker_url)
    done = resume(parse_address(broker_url), row.id)
    assert {task_of(one) for one in held(redis_client)} <= {FRESH}
    assert done.removed == len(in_backup(backup))
    assert hidden(redis_client) == []


@pytest.mark.parametrize("many", [500, 6000])
def test_a_queue_that_is_deleted_meanwhile_costs_only_what_was_in_it_and_is_said(
    many, broker_url, redis_client, backup, monkeypatch
):
    before, real, deleted = push(redis_client, mixed(many)), filtering.paced, []

    def meddled(*call):
        if not deleted and redis_client.llen(QUEUE) >= 1000:
            deleted.append(redis_client.delete(QUEUE))
        return real(*call)

    monkeypatch.setattr(filtering, "paced", meddled)
    done = purge(broker_url, backup)
    left = held(redis_client)
    assert left == of(before, FRESH)[-len(left) :]
    assert in_backup(backup) == of(before, OLD)
    assert any("somebody deleted or renamed it" in note for note in done.notes) is bool(deleted) is (many == 6000)


def test_an_emptied_server_is_said(broker_url, redis_client, backup, monkeypatch):
    push(redis_client, mixed(4000))
    with monkeypatch.context() as patch, pytest.raises(Refused, match="was the server emptied"):
        patch.setattr(filtering, "paced", lambda *call, real=filtering.paced: redis_client.flushdb() and real(*call))
        purge(broker_url, backup)


@pytest.mark.parametrize(
    "name",
    ["", "unacked", "unacked_index", "_kombu.binding.celery", "tidegate:relief:1:aside:celery", "celery\x06\x163"],
)
def test_no_message_is_moved_where_no_queue_can_be(name, broker_url, redis_client):
    before = push(redis_client, mixed(5))
    with pytest.raises(UsageError, match="is no name for a queue"):
        carry_out(parse_address(broker_url), Order(queue=QUEUE, act=Act.MOVE, to=name, wanted=Filter(tasks=("*",))))
    assert held(redis_client) == before
    assert redis_client.keys("tidegate:*") == []


def test_a_key_that_is_no_list_gets_nothing_and_nothing_is_touched(broker_url, redis_client):
    before = push(redis_client, mixed(5))
    redis_client.set("text", "x")
    with pytest.raises(NotAQueue, match="is no list, but a string"):
        carry_out(parse_address(broker_url), Order(queue=QUEUE, act=Act.MOVE, to="text", wanted=Filter(tasks=("*",))))
    assert held(redis_client) == before


def test_what_can_t_be_read_is_counted_wherever_it_stands(broker_url, redis_client, backup):
    push(redis_client, [b"odd", *mixed(2000), b"odd"])
    done = purge(broker_url, backup)
    assert (done.undecodable, done.scanned) == (2, 2002)


def test_an_empty_filter_and_the_queue_itself_are_refused_before_anything_is_touched(broker_url, redis_client, backup):
    push(redis_client, mixed(3))
    with pytest.raises(Refused, match="no filter was given"):
        carry_out(parse_address(broker_url), Order(queue=QUEUE, backup=backup))
    with pytest.raises(Refused, match="is the queue itself"):
        carry_out(parse_address(broker_url), Order(queue=QUEUE, to=QUEUE, wanted=Filter(tasks=("*",))))
    assert redis_client.keys("tidegate:*") == []
    assert not backup.exists()
