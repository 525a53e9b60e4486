"""What becomes of a due time: through the gate, by a result backend, in doubt, refused, and what the message carries."""

import json
from datetime import datetime

import pytest
from beat_desk import desk, every
from gated import depth, waiting

import tidegate
from tidegate.act.claim import Terms
from tidegate.facts.beat import BeatOutcome, EntryPolicy
from tidegate.facts.overlap import Overlap
from tidegate.model.beat.due import SECOND_US

TERMS = Terms("", "desk", "mine")


def guarded(overlap=Overlap.SKIP, **more):
    return {"a": EntryPolicy(spread=False, overlap=overlap, **more)}


def test_what_is_due_at_one_time_goes_out_with_its_arguments_and_options(broker_url, redis_client):
    schedule = {f"e{number}": every(10, args=(number,), options={"queue": "mine"}) for number in range(250)}
    with desk(broker_url, schedule) as beat:
        beat.run(11)
        assert depth(redis_client, "mine") == 250
        assert sorted(
            json.loads(one["argsrepr"].replace("(", "[").replace(",)", "]"))[0] for one in waiting(redis_client, "mine")
        ) == list(range(250))
        assert beat.tally.counts == {BeatOutcome.SENT: 250}


def test_the_run_state_is_kept_as_celery_does_with_the_due_time(broker_url):
    with desk(broker_url, {"a": every(10)}) as beat:
        beat.run(31)
        entry = beat.schedule["a"]
        assert entry.total_run_count == 3
        assert entry.last_run_at.timestamp() == pytest.approx(beat.dues("a")[-1])


@pytest.mark.parametrize(
    ("seconds", "policy", "options", "expected"),
    [
        (30, EntryPolicy(spread=False), {}, 30),
        (0.2, EntryPolicy(spread=False), {}, 1),
        (30, EntryPolicy(spread=False, expires_s=7.0), {}, 7),
        (30, EntryPolicy(spread=False, expires_s=0), {}, None),
        (30, EntryPolicy(spread=False), {"expires": 12}, 12),
        (30, EntryPolicy(spread=False, overlap=Overlap.SKIP), {}, 30),
    ],
)
def test_a_message_expires_after_its_interval_unless_it_is_said_otherwise(
    broker_url, redis_client, seconds, policy, options, expected
):
    with desk(broker_url, {"a": every(seconds, options=options)}, policies={"a": policy}) as beat:
        before_s = beat.app.now()
        beat.run(seconds + 0.05)
        (header, *_) = waiting(redis_client)
        if expected is None:
            assert header["expires"] is None
        else:
            assert (datetime.fromisoformat(header["expires"]) - before_s).total_seconds() == pytest.approx(
                expected, abs=5
            )


def test_where_the_gate_bounds_what_waits_a_message_does_not_expire_by_itself(broker_url, redis_client):
    with desk(broker_url, {"a": every(30)}, policies=guarded()) as beat:
        tidegate.install(beat.app)
        beat.run(31)
        assert waiting(redis_client)[0]["expires"] is None


@pytest.mark.parametrize(
    ("overlap", "payload", "outcome"),
    [
        (Overlap.SKIP, "keep", BeatOutcome.OVERLAP_SKIPPED),
        (Overlap.BUFFER_ONE, "keep", BeatOutcome.OVERLAP_SKIPPED),
        (Overlap.BUFFER_ONE, "replace", BeatOutcome.REPLACED),
    ],
)
@pytest.mark.parametrize("many", [1, 20])
def test_the_gate_holds_the_overlap_of_an_entry(broker_url, redis_client, overlap, payload, outcome, many):
    names = [f"e{number}" for number in range(many)]
    policies = {name: EntryPolicy(spread=False, overlap=overlap) for name in names}
    options = {"overlap": overlap.value, "payload": payload}
    schedule = {name: every(10, args=(name,), options=options) for name in names}
    with desk(broker_url, schedule, policies=policies) as beat:
        tidegate.install(beat.app)
        beat.run(31)
        assert depth(redis_client) == many
        assert beat.outcomes("e0") == [BeatOutcome.SENT, outcome, outcome]
        assert beat.tally.counts == {BeatOutcome.SENT: many, outcome: 2 * many}


@pytest.mark.parametrize("many", [1, 20])
def test_a_queue_at_its_bound_refuses_and_the_others_are_sent(broker_url, redis_client, many, caplog):
    schedule = {f"e{number}": every(10, options={"queue": "small"}) for number in range(many)}
    schedule["free"] = every(10)
    settings = {"tidegate_queues": {"small": {"max_length": 1}}}
    with desk(broker_url, schedule, settings=settings) as beat:
        tidegate.install(beat.app)
        beat.run(31)
        assert depth(redis_client, "small") == 1
        assert depth(redis_client) == 3
        assert beat.tally.counts == {BeatOutcome.SENT: 4, BeatOutcome.QUEUE_FULL: 3 * many - 1}
    said = [one for one in caplog.records if one.name == "tidegate.beat"]
    assert len([one for one in said if "full" in one.getMessage().lower()]) == 1
    assert not any(one.exc_info for one in said)


def test_an_entry_that_can_not_be_published_fails_alone(broker_url, redis_client, caplog):
    schedule = {"bad": every(10, args=(object(),)), "good": every(10)}
    with desk(broker_url, schedule) as beat:
        beat.run(31)
        assert beat.outcomes("bad") == [BeatOutcome.FAILED] * 3
        assert beat.outcomes("good") == [BeatOutcome.SENT] * 3
    said = [one.getMessage() for one in caplog.records if one.name == "tidegate.beat" and "JSON" in one.getMessage()]
    assert len(said) == 1 and said[0].startswith("bad was not sent")


def test_without_the_gate_a_run_without_a_result_holds_the_next_one_back(backend_url, redis_client):
    with desk(backend_url, {"a": every(10)}, policies=guarded(), backend=backend_url) as beat:
        beat.run(31)
        assert beat.outcomes("a") == [BeatOutcome.SENT, BeatOutcome.OVERLAP_SKIPPED, BeatOutcome.OVERLAP_SKIPPED]
        done = {"status": "SUCCESS", "result": None, "task_id": waiting(redis_client)[0]["id"]}
        redis_client.set(f"celery-task-meta-{done['task_id']}", json.dumps(done))
        beat.run(10)
        assert beat.outcomes("a")[3:] == [BeatOutcome.SENT]


def test_a_run_of_which_nothing_is_heard_for_an_hour_is_given_up(backend_url):
    with desk(backend_url, {"a": every(600)}, policies=guarded(), backend=backend_url) as beat:
        beat.run(660)
        beat.run(600 * 11)
        assert beat.outcomes("a").count(BeatOutcome.SENT) == 2


def test_without_gate_and_backend_an_overlap_is_not_held_and_that_is_said_once(broker_url, caplog):
    with desk(broker_url, {"a": every(10)}, policies=guarded()) as beat:
        beat.run(31)
        assert beat.outcomes("a") == [BeatOutcome.SENT] * 3
        assert beat.why_not_held("a") == "the gate is off and there is no result backend"
    said = [one.getMessage() for one in caplog.records if "is not held" in one.getMessage()]
    assert said == ["the overlap skip of a is not held: the gate is off and there is no result backend"]


class Fence:
    """Answers claims as a server would, as the test says."""

    def __init__(self, beat, *answers):
        self.beat, self.answers, self.seen = beat, list(answers), []
        beat.stand.terms = TERMS
        beat.dry = True

        def answered(claims):
            for claim in claims:
                self.seen.append((claim.before, claim.due_us))
                moves, claim.outcome = self.answers.pop(0) if self.answers else (True, BeatOutcome.SENT)
                if moves:
                    beat.stand.held[claim.entry] = str(claim.due_us)

        beat.stand.claim = answered


def test_a_claim_names_the_cursor_that_it_expects(broker_url):
    with desk(broker_url, {"a": every(10)}) as beat:
        fence = Fence(beat)
        beat.run(31)
        assert fence.seen[0][0] == ""
        assert [before for before, _ in fence.seen[1:]] == [str(due_us) for _, due_us in fence.seen[:-1]]
        assert fence.seen[2][1] - fence.seen[0][1] == 20 * SECOND_US


def test_an_answer_that_got_lost_is_no_second_message_where_the_cursor_moved(broker_url):
    with desk(broker_url, {"a": every(10)}) as beat:
        fence = Fence(beat, (True, None))
        beat.run(15)
        assert len(fence.seen) == 1
        assert beat.outcomes("a") == [BeatOutcome.SENT]


def test_a_message_that_got_lost_is_sent_again(broker_url):
    with desk(broker_url, {"a": every(10)}) as beat:
        fence = Fence(beat, (False, None))
        beat.run(15)
        assert len(fence.seen) == 2 and fence.seen[0] == fence.seen[1]
        assert beat.outcomes("a") == [BeatOutcome.SENT]


def test_what_stays_in_doubt_has_failed_and_the_next_due_time_comes(broker_url):
    with desk(broker_url, {"a": every(10)}) as beat:
        Fence(beat, *[(False, None)] * 4)
        beat.run(25)
        assert beat.outcomes("a") == [BeatOutcome.FAILED, BeatOutcome.SENT]


def test_a_refused_claim_makes_this_beat_stand_by(broker_url):
    with desk(broker_url, {"a": every(10)}) as beat:
        Fence(beat, (False, BeatOutcome.STANDBY))
        beat.run(25)
        assert len(beat.stand.was_lost) == 1
        assert beat.tick() == 0.5
        assert beat.outcomes("a") == [BeatOutcome.STANDBY]


def test_outcomes_without_a_message_are_written_before_the_message_that_follows_them(broker_url):
    with desk(broker_url, {"a": every(10)}) as beat:
        fence = Fence(beat)
        beat.run(11)
        beat.stand.at_s += 35
        beat.run(1)
        (missed,) = beat.stand.verdicts
        assert (missed.outcome, missed.many) == (BeatOutcome.MISSED, 2)
        assert fence.seen[1][0] == str(missed.due_us)


def test_while_outcomes_can_not_be_written_nothing_is_decided(broker_url):
    with desk(broker_url, {"a": every(10)}) as beat:
        fence = Fence(beat)
        beat.run(11)
        beat.stand.at_s += 35
        beat.stand.answers = False
        beat.run(3)
        assert len(fence.seen) == 1
        beat.stand.answers = True
        beat.run(1)
        assert len(fence.seen) == 2
