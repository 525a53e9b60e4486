"""A due time is claimed in the script that pushes its message: let in once, by whoever leads, or not at all."""

import json
from contextlib import nullcontext

import kombu
import pytest
from celery.signals import before_task_publish

from act.gated import depth, gated, waiting
from act.test_beat_lease import turn
from tidegate.act.beat.leading import Leading
from tidegate.act.beat.standing import Verdict
from tidegate.act.claim import Claim, Terms, claiming
from tidegate.act.gate.skipped import Fenced
from tidegate.broker.address import parse_address
from tidegate.broker.orders import encode_ask
from tidegate.errors import QueueFull
from tidegate.facts.beat import Ask, BeatOutcome

SPACE = "tidegate:beat:1:shop:"
MINE = Terms("", "shop", "my-token")
WAYS = {"alone": False} | ({"batch": True} if hasattr(kombu.Producer, "batch") else {})
BOUNDED = {"tidegate_queues": {"celery": {"max_length": 100}}}


@pytest.fixture(params=list(WAYS))
def batch(request):
    return WAYS[request.param]


@pytest.fixture(params=["push", "admit"])
def settings(request):
    """The scripts for what nothing bounds, and for what is bounded."""
    return {} if request.param == "push" else BOUNDED


@pytest.fixture
def lead(redis_client):
    redis_client.set(SPACE + "lease", '{"token": "my-token"}', px=60_000)


def send(app, *claims, batch=False, task="plain", **options):
    """What beat does with due times; the errors that were raised."""
    raised = []
    many = batch and len(claims) > 0
    with app.producer_pool.acquire() as producer:
        try:
            with producer.batch() if many else nullcontext():
                for claim in claims:
                    try:
                        with claiming(claim):
                            app.send_task(task, producer=producer, **options)
                    except (Fenced, QueueFull) as error:
                        raised.append(error)
        except QueueFull as error:
            raised.append(error)
    return raised


def due(at, before="", entry="e", **more):
    return Claim(more.pop("terms", MINE), entry, at, before, **more)


def cursor(client, entry="e"):
    return client.hget(SPACE + "cursors", entry)


def counts(client):
    return {name.decode(): int(many) for name, many in client.hgetall(SPACE + "counts").items()}


def last(client, entry="e"):
    value = client.hget(SPACE + "last", entry)
    return None if value is None else value.decode().split("|")[0]


@pytest.mark.usefixtures("lead")
def test_a_due_time_is_let_in_counted_and_decided_on(batch, settings, broker_url, redis_client):
    with gated(broker_url, **settings) as app:
        first, second = due(10), due(20, "10")
        other = due(10, entry="f", label=BeatOutcome.JITTERED)
        assert send(app, first, second, other, batch=batch) == []
    assert [claim.outcome for claim in (first, second, other)] == ["sent", "sent", "jittered"]
    assert (cursor(redis_client), cursor(redis_client, "f")) == (b"20", b"10")
    assert counts(redis_client) == {"sent|e": 2, "jittered|f": 1}
    assert (last(redis_client), last(redis_client, "f")) == ("sent", "jittered")
    assert depth(redis_client) == 3


@pytest.mark.usefixtures("lead")
def test_the_same_due_time_once_more_is_done_already_and_pushed_no_second_time(
    batch, settings, broker_url, redis_client
):
    with gated(broker_url, **settings) as app:
        again = due(10)
        assert send(app, due(10), again, batch=batch) == []
    assert (again.outcome, again.why) == ("sent", "it was sent already")
    assert (depth(redis_client), counts(redis_client)) == (1, {"sent|e": 1})


@pytest.mark.usefixtures("lead")
@pytest.mark.parametrize("before", ["", "5"])
def test_where_another_due_time_was_decided_on_nothing_is_sent_and_nobody_knows_yet(
    batch, settings, broker_url, redis_client, before
):
    redis_client.hset(SPACE + "cursors", "e", "15")
    with gated(broker_url, **settings) as app:
        moved = due(10, before)
        raised = send(app, moved, batch=batch)
    assert len(raised) == (0 if batch else 1)
    assert (moved.outcome, moved.why) == (None, "another due time was decided on meanwhile")
    assert (cursor(redis_client), depth(redis_client), counts(redis_client)) == (b"15", 0, {})


@pytest.mark.parametrize("held", [None, '{"token": "another"}', ""])
def test_a_beat_that_leads_no_more_sends_nothing(batch, settings, broker_url, redis_client, held):
    if held is not None:
        redis_client.set(SPACE + "lease", held)
    with gated(broker_url, **settings) as app:
        late = due(10)
        send(app, late, batch=batch)
    assert (late.outcome, late.why) == ("standby", "another beat leads")
    assert (cursor(redis_client), depth(redis_client), counts(redis_client)) == (None, 0, {})


@pytest.mark.usefixtures("lead")
def test_a_run_that_was_asked_for_is_sent_once_and_moves_no_cursor(batch, settings, broker_url, redis_client):
    redis_client.hset(SPACE + "asks", "e", encode_ask(Ask(id="ask-1")))
    with gated(broker_url, **settings) as app:
        first, again, other = due(0, ask="ask-1"), due(0, ask="ask-1"), due(0, ask="ask-2")
        send(app, first, again, other, batch=batch)
    assert (first.outcome, first.why) == ("sent", "")
    assert {claim.why for claim in (again, other)} == {"the run was sent already"}
    assert not redis_client.exists(SPACE + "asks")
    assert (cursor(redis_client), depth(redis_client), counts(redis_client)) == (None, 1, {"sent|e": 1})


@pytest.mark.usefixtures("lead")
def test_an_ask_that_came_after_the_one_that_is_sent_stays(broker_url, redis_client):
    redis_client.hset(SPACE + "asks", "e", encode_ask(Ask(id="newer")))
    with gated(broker_url) as app:
        send(app, due(0, ask="older"))
    assert redis_client.hexists(SPACE + "asks", "e")


@pytest.mark.usefixtures("lead")
@pytest.mark.parametrize(
    ("rule", "outcome", "left"),
    [
        ({"overlap": "skip"}, "overlap_skipped", 1),
        ({"overlap": "buffer_one"}, "overlap_skipped", 1),
        ({"overlap": "buffer_one", "payload": "replace"}, "replaced", 1),
        ({"overlap": "allow_all"}, "sent", 2),
    ],
)
def test_what_an_overlap_decides_is_the_outcome(batch, broker_url, redis_client, rule, outcome, left):
    with gated(broker_url, tidegate_tasks={"plain": rule}) as app:
        second = due(20, "10")
        send(app, due(10), second, batch=batch)
    assert second.outcome == outcome
    assert (cursor(redis_client), depth(redis_client), last(redis_client)) == (b"20", left, outcome)
    assert sum(counts(redis_client).values()) == 2


@pytest.mark.usefixtures("lead")
def test_what_is_let_in_behind_one_that_runs_is_buffered(broker_url, redis_client, batch):
    with gated(broker_url, tidegate_tasks={"plain": {"overlap": "buffer_one"}}) as app:
        send(app, due(10), batch=batch)
        _runs(redis_client)
        second = due(20, "10")
        send(app, second, batch=batch)
    assert second.outcome == "buffered"
    assert counts(redis_client) == {"sent|e": 1, "buffered|e": 1}
    assert (depth(redis_client), cursor(redis_client)) == (1, b"20")


def _runs(client):
    """A worker has taken the only message and runs it, as both of them say."""
    client.rpop("celery")
    [(key, mark)] = client.hgetall("tidegate:gate:1:marks").items()
    mark = json.loads(mark)
    now_ms = int(client.time()[0] * 1000)
    client.hset(
        "tidegate:gate:1:marks", key, json.dumps({**mark, "state": "running", "who": "w1/1", "changed": now_ms})
    )
    said = {"as_of": now_ms + 2000, "sessions": ["1"], "running": [mark["tag"]]}
    client.set("tidegate:gate:1:worker:w1", json.dumps(said))


@pytest.mark.usefixtures("lead")
@pytest.mark.parametrize("overflow", ["reject-publish", "block"])
def test_a_full_queue_refuses_a_due_time_at_once_and_it_is_decided_on(batch, broker_url, redis_client, overflow):
    bound = {"max_length": 1, "overflow": overflow} | ({"block_s": 600} if overflow == "block" else {})
    with gated(broker_url, tidegate_queues={"celery": bound}) as app:
        second = due(20, "10")
        [error] = send(app, due(10), second, batch=batch)
    assert isinstance(error, QueueFull)
    assert second.outcome == "queue_full"
    assert (cursor(redis_client), depth(redis_client)) == (b"20", 1)
    assert counts(redis_client) == {"sent|e": 1, "queue_full|e": 1}
    assert redis_client.hget("tidegate:gate:1:counts", "queue_full|celery") == b"1"


@pytest.mark.usefixtures("lead")
def test_a_dead_letter_is_a_queue_that_was_full(batch, broker_url, redis_client):
    bound = {"max_length": 1, "overflow": "reject-publish-dlx", "dead_letter": "dead"}
    with gated(broker_url, tidegate_queues={"celery": bound}) as app:
        second = due(20, "10")
        send(app, due(10), second, batch=batch)
    assert (second.outcome, counts(redis_client)) == ("queue_full", {"sent|e": 1, "queue_full|e": 1})
    assert (depth(redis_client), depth(redis_client, "dead")) == (1, 1)


@pytest.mark.usefixtures("lead")
@pytest.mark.parametrize(("overflow", "outcome"), [("drop-head", "sent"), ("spill", "buffered")])
def test_what_makes_room_or_is_spilled_is_let_in(batch, broker_url, redis_client, overflow, outcome):
    with gated(broker_url, tidegate_queues={"celery": {"max_length": 1, "overflow": overflow}}) as app:
        second = due(20, "10")
        assert send(app, due(10), second, batch=batch) == []
    assert (second.outcome, last(redis_client), cursor(redis_client)) == (outcome, outcome, b"20")
    assert depth(redis_client) == 1


@pytest.mark.usefixtures("lead")
def test_at_the_memory_ceiling_a_due_time_is_refused(batch, broker_url, redis_client):
    with gated(broker_url, tidegate_gate_memory=1 << 20) as app:
        refused = due(10)
        send(app, refused, batch=batch)
    assert (refused.outcome, counts(redis_client)) == ("memory_full", {"memory_full|e": 1})
    assert (cursor(redis_client), depth(redis_client)) == (b"10", 0)


@pytest.mark.usefixtures("lead")
def test_what_a_handler_publishes_meanwhile_does_not_take_the_claim(settings, broker_url, redis_client):
    with gated(broker_url, **settings) as app:
        nested = []

        def publish_another(sender=None, **_):
            if not nested:
                nested.append(sender)
                app.send_task("another")

        before_task_publish.connect(publish_another)
        try:
            claim = due(10)
            send(app, claim)
        finally:
            before_task_publish.disconnect(publish_another)
    assert [headers["task"] for headers in waiting(redis_client)] == ["another", "plain"]
    assert (claim.outcome, counts(redis_client)) == ("sent", {"sent|e": 1})


@pytest.mark.usefixtures("lead")
@pytest.mark.parametrize("what", ["cursors", "counts", "last"])
def test_where_a_key_of_the_schedule_is_of_another_type_the_message_goes_out_once(
    batch, settings, broker_url, redis_client, what
):
    redis_client.rpush(SPACE + what, "x")
    with gated(broker_url, **settings) as app:
        claim = due(10)
        assert send(app, claim, batch=batch) == []
    assert (claim.outcome, depth(redis_client)) == ("sent", 1)


@pytest.mark.usefixtures("lead")
@pytest.mark.parametrize("before", ["", "5"])
def test_where_the_message_can_not_be_pushed_the_due_time_is_as_it_was(settings, broker_url, redis_client, before):
    if before:
        redis_client.hset(SPACE + "cursors", "e", before)
    redis_client.set("celery", "no list")
    with gated(broker_url, **settings) as app:
        claim = due(10, before)
        with pytest.raises(Exception, match="WRONGTYPE"):
            send(app, claim, declare=[])  # a declaration would look at the queue, and fail before the script
    assert claim.outcome is None
    assert (cursor(redis_client), counts(redis_client)) == (before.encode() or None, {})


@pytest.mark.usefixtures("lead")
def test_a_run_asked_for_that_can_not_be_pushed_is_still_asked_for(settings, broker_url, redis_client):
    redis_client.hset(SPACE + "asks", "e", encode_ask(Ask(id="ask-1")))
    redis_client.set("celery", "no list")
    with gated(broker_url, **settings) as app, pytest.raises(Exception, match="WRONGTYPE"):
        send(app, due(0, ask="ask-1"), declare=[])
    assert b"ask-1" in redis_client.hget(SPACE + "asks", "e")


def test_messages_without_a_claim_are_as_before(batch, settings, broker_url, redis_client):
    with gated(broker_url, **settings) as app:
        free = due(10, terms=None)
        assert send(app, None, free, batch=batch) == []
    assert (depth(redis_client), free.outcome) == (2, None)
    assert list(redis_client.scan_iter("tidegate:beat:*")) == []


@pytest.mark.usefixtures("lead")
def test_a_claim_lies_behind_the_key_prefix_and_its_server_may_forget_the_scripts(
    batch, settings, broker_url, redis_client
):
    redis_client.set("x:" + SPACE + "lease", "my-token")
    with gated(broker_url, broker_transport_options={"global_keyprefix": "x:"}, **settings) as app:
        redis_client.script_flush()
        claim = due(10, terms=Terms("x:", "shop", "my-token"))
        send(app, claim, batch=batch)
    assert claim.outcome == "sent"
    assert redis_client.hget("x:" + SPACE + "cursors", "e") == b"10"
    assert depth(redis_client, "x:celery") == 1
    assert cursor(redis_client) is None


@pytest.fixture
def leader(broker_url):
    standing = Leading(parse_address(broker_url), "shop", "beat@here")
    turn(standing)
    yield standing
    standing.close()


def test_without_the_gate_a_claim_comes_first_and_says_the_same(leader, redis_client):
    redis_client.hset(SPACE + "cursors", "moved", "15")
    redis_client.hset(SPACE + "asks", "asked", encode_ask(Ask(id="ask-1")))
    terms = leader.terms
    first, again = due(10, terms=terms), due(10, terms=terms)
    moved, asked = due(10, entry="moved", terms=terms), due(0, entry="asked", ask="ask-1", terms=terms)
    late = due(20, "10")
    leader.claim([first, again, moved, asked, late])
    assert [claim.outcome for claim in (first, again, moved, asked, late)] == ["sent", "sent", None, "sent", "standby"]
    assert again.why == "it was sent already"
    assert counts(redis_client) == {"sent|e": 1, "sent|asked": 1}
    assert cursor(redis_client) == b"10"
    assert not redis_client.hexists(SPACE + "asks", "asked")


def test_outcomes_without_a_message_are_written_where_nobody_was_faster(leader, redis_client):
    redis_client.hset(SPACE + "cursors", mapping={"a": "5", "b": "7"})
    assert leader.record(
        [
            Verdict("a", 10, "5", BeatOutcome.MISSED, many=3, why="nobody led"),
            Verdict("b", 10, "5", BeatOutcome.PAUSED),
            Verdict("c", 10, "", BeatOutcome.HELD_BACK),
            Verdict("d", 10, "*", BeatOutcome.FAILED),
        ]
    )
    assert [cursor(redis_client, entry) for entry in "abcd"] == [b"10", b"7", b"10", None]
    assert counts(redis_client) == {"missed_catchup_window|a": 3, "held_back|c": 1, "failed|d": 1}
    assert redis_client.hget(SPACE + "last", "a").endswith(b"|nobody led")


def test_many_outcomes_at_once_are_all_written(leader, redis_client):
    assert leader.record([Verdict(f"e{n}", 10, "", BeatOutcome.PAUSED) for n in range(1001)])
    assert redis_client.hlen(SPACE + "cursors") == 1001
    assert len(leader.cursors([f"e{n}" for n in range(5001)])) == 1001


def test_a_beat_that_leads_no_more_writes_no_outcome_and_stands_by(leader, redis_client):
    redis_client.set(SPACE + "lease", '{"token": "another"}')
    assert not leader.record([Verdict("a", 10, "", BeatOutcome.PAUSED)])
    assert leader.leads is False
    assert (cursor(redis_client, "a"), counts(redis_client)) == (None, {})
