"""The admitting script against a model of the queue, over long random histories."""

import json

import redis
from bound_model import STEPS, ModelQueue, Sent
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import gatehouse
from tidegate.act.gate import letters
from tidegate.act.gate.letters import Letter, Lists, Terms
from tidegate.act.gate.publication import Publication
from tidegate.broker.scripts import ADMIT
from tidegate.demo.broker import PrivateBroker
from tidegate.facts.gate import Bound, Outcome, Overflow

PREFIX = "p:"


def message_of(sent: Sent) -> dict:
    headers = {"task": "t", "id": sent.name, "retries": int(sent.kept), "group": None}
    body = json.dumps([[], {}, gatehouse.PLAIN])
    message = {"body": body, "content-type": "application/json", "headers": headers}
    message["properties"] = {"delivery_tag": sent.name, "priority": sent.step}
    return letters.kept(message, "chord") if sent.exempt else message


class Histories(RuleBasedStateMachine):
    """One server for all histories, an empty database for each."""

    broker: PrivateBroker
    client: redis.Redis

    @initialize(
        overflow=st.sampled_from([overflow for overflow in Overflow if overflow is not Overflow.BLOCK]),
        max_length=st.sampled_from([1, 2, 6, None, None]),
    )
    def start(self, overflow, max_length):
        self.client.flushall()
        self.model = ModelQueue(Bound(max_length=max_length, overflow=overflow, dead_letter="dead"))
        self.names = iter(range(10_000))

    @rule(
        step=st.sampled_from(STEPS),
        exempt=st.sampled_from([False, False, False, True]),
        kept=st.sampled_from([False, False, True]),
        many=st.sampled_from([1, 1, 1, 15, 60]),
    )
    def publish(self, step, exempt, kept, many):
        for _ in range(many):
            sent = Sent(str(next(self.names)), step, exempt, kept)
            outcome, dropped = self.model.publish(sent)
            assert self._publish(sent) == (outcome, [message.name for message in dropped])

    @rule()
    def take(self):
        expected = self.model.take()
        keys = [gatehouse.list_of("q", step, PREFIX) for step in STEPS]
        got = next((raw for key in keys if (raw := self.client.rpop(key))), None)
        assert (expected.name if expected else None) == (json.loads(got)["headers"]["id"] if got else None)

    @rule(max_length=st.sampled_from([1, 2, 5, 30, 60]))
    def change_the_bound(self, max_length):
        bound = self.model.bound
        self.model.bound = Bound(max_length=max_length, overflow=bound.overflow, dead_letter="dead")

    @precondition(lambda self: hasattr(self, "model"))
    @invariant()
    def the_lists_are_the_models(self):
        names = {step: [message.name for message in messages] for step, messages in self.model.lists.items()}
        sides = {step: [message.name for message in messages] for step, messages in self.model.side.items()}
        for step in STEPS:
            assert gatehouse.ids(self.client, gatehouse.list_of("q", step, PREFIX)) == names[step]
            side = f"{PREFIX}tidegate:gate:1:spill:{gatehouse.list_of('q', step)}"
            assert gatehouse.ids(self.client, side) == sides[step]
        assert gatehouse.ids(self.client, f"{PREFIX}dead") == [message.name for message in self.model.dead]
        counts = self.client.hgetall(f"{PREFIX}tidegate:gate:1:counts")
        assert {name: int(many) for name, many in counts.items()} == self.model.counts

    def _publish(self, sent: Sent) -> tuple[Outcome, list[str]]:
        steps = [sent.step, *(step for step in STEPS if step != sent.step)]
        keys = [gatehouse.list_of("q", step, PREFIX) for step in steps]
        letter = Letter(
            Terms(None, "q", PREFIX, self.model.bound, ceiling="", dead_letter_list=f"{PREFIX}dead"),
            Lists(keys[0], STEPS.index(sent.step) + 1, keys),
            json.dumps(message_of(sent)),
            Publication(exempt="chord" if sent.exempt else ""),
        )
        answer = ADMIT.run(self.client, letter.keys(), letter.arguments())
        assert not letter.opened_by(answer), answer
        dropped = [json.loads(payload)["headers"]["id"] for payload in letter.dropped_by(answer)]
        return letter.outcome_of(answer), dropped


def test_the_script_does_what_the_model_says(valkey):
    class Here(Histories):
        broker = valkey
        client = redis.Redis.from_url(valkey.url, decode_responses=True)

    from hypothesis.stateful import run_state_machine_as_test

    try:
        run_state_machine_as_test(Here, settings=settings(max_examples=60, stateful_step_count=20, deadline=None))
    finally:
        Here.client.close()
