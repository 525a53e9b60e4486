"""The publishing side of the channel: every task message goes through one script, which decides and pushes.

What is not a task, and goes to a queue that nobody spoke of (replies, events, remote control), takes Kombu's own way.
Whatever fails here opens the gate: the message is published as stock Kombu does. Only where the server may have taken
it already (a lost connection) nothing is tried a second time, and the error is stock's.
"""

import random
import time
from typing import Any

from tidegate.act.claim import Claim
from tidegate.act.gate import letters, stock, telling
from tidegate.act.gate.known import Policies, known
from tidegate.act.gate.letters import Letter, Lists, Terms
from tidegate.act.gate.openings import openings
from tidegate.act.gate.publication import current
from tidegate.act.gate.skipped import Fenced, Skipped
from tidegate.act.gate.writing import new_tag, text_of
from tidegate.broker.keys import is_internal
from tidegate.broker.scripts import ADMIT, CLAIM, MANY, add_counts, is_forbidden, is_out_of_memory
from tidegate.facts.gate import Bound, Outcome, Overflow

#: After a server refused our scripts for good: so long messages take Kombu's own way, then it is asked again.
SHUT_OUT_S = 60.0
#: After a queue without room: so long its messages are decided on one by one.
TIGHT_S = 1.0
LET_IN = (Outcome.ADMITTED.value.encode(),)
#: Queues come and go: when so many are known, all are forgotten.
MOST_QUEUES = 1000
#: The pauses of a publisher that waits for room, in seconds: the first, and the longest. Half of each is by chance.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 0.5


class Admitting(stock.Channel):  # type: ignore[misc]
    """Mixin: `_put` and the batch go through the gate."""

    _ours: tuple[int, tuple[Any, Policies] | None] = (-1, None)
    _shut_out_until = float("-inf")
    _cached_client: Any = None

    _expires: dict[str, int] = {}  # noqa: RUF012  newer channels have their own

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._terms: dict[tuple[str, bool], Terms] = {}
        self._known_lists: dict[tuple[str, int], Lists] = {}
        super().__init__(*args, **kwargs)

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> Any:
        letter = self._letter(queue, message)
        if letter is None:
            return super()._put(queue, message, **kwargs)
        batch = kwargs.get("_publish_batch")
        if batch is not None:
            return batch.add_letter(letter)
        return self.settle(letter, self._ask(letter))

    def _next_delivery_tag(self) -> str:
        return new_tag()

    def create_publish_batch(self, max_size: int) -> Any:
        """Kombu 5.7: the commands of many messages in one go."""
        from tidegate.act.gate.batch import GateBatch

        try:
            ours = self._policies()
        except Exception as error:  # noqa: BLE001
            openings.note("python", error)
            ours = None
        if ours is None:
            return super().create_publish_batch(max_size)
        return GateBatch(self, max_size, ours[1].timeout_s)

    # What is told to the script

    def _letter(self, queue: str, message: dict[str, Any]) -> Letter | None:
        """The message as the script gets it; None where it takes stock's way."""
        if is_internal(queue) or time.monotonic() < self._shut_out_until:
            return None
        try:
            ours = self._policies()
            return None if ours is None else self._addressed(queue, message, *ours)
        except Exception as error:  # noqa: BLE001
            openings.note("python", error)
            return None

    def _policies(self) -> tuple[Any, Policies] | None:
        if self._ours[0] != known.edition:
            self._ours = (known.edition, known.of(self.connection.client))
            self._terms.clear()
        return self._ours[1]

    def _addressed(self, queue: str, message: dict[str, Any], app: Any, policies: Policies) -> Letter:
        publication = current()
        is_task = publication is not None or "task" in (message.get("headers") or {})
        bound = policies.bound_of(queue) if is_task or policies.is_named(queue) else None
        terms = self._terms.get((queue, is_task))
        if terms is None or terms.bound is not bound:
            terms = self._new_terms(queue, is_task, bound, app, policies)
        if publication is not None and publication.exempt and terms.drops:
            message = letters.kept(message, publication.exempt)
        return Letter(terms, self._lists(queue, message), text_of(message), publication, message)

    def _new_terms(self, queue: str, is_task: bool, bound: Bound | None, app: Any, policies: Policies) -> Terms:
        terms = Terms(app, queue, self.global_keyprefix, bound, letters.ceiling_of(policies) if is_task else "")
        if bound is not None and bound.dead_letter:
            own = policies.bound_of(bound.dead_letter)
            terms.dead_letter_list = self.global_keyprefix + bound.dead_letter
            terms.dead_letters = own.max_length if own is not None and own.max_length else terms.dead_letters
        if self.ack_emulation:
            terms.unacked_index = self.global_keyprefix + self.unacked_index_key
            terms.visibility_ms = int(self.visibility_timeout * 1000)
        if len(self._terms) >= MOST_QUEUES:
            self._terms.clear()
        self._terms[queue, is_task] = terms
        return terms

    def _lists(self, queue: str, message: dict[str, Any]) -> Lists:
        priority = message["properties"].get("priority")
        lists = self._known_lists.get((queue, priority)) if type(priority) is int else None
        # Channels of Kombu before 5.7 know of no queues that expire.
        expires_ms = (self._expires.get(queue) or 0) if self._expires else 0
        if lists is None or lists.expires_ms != expires_ms:
            lists = self._new_lists(queue, message, expires_ms)
            if len(self._known_lists) >= MOST_QUEUES:
                self._known_lists.clear()
            if type(priority) is int:
                self._known_lists[queue, priority] = lists
        return lists

    def _new_lists(self, queue: str, message: dict[str, Any], expires_ms: int) -> Lists:
        step = self.priority(self._get_message_priority(message, reverse=False))
        steps = [step, *(each for each in self.priority_steps if each != step)]
        keys = [self.global_keyprefix + self._q_for_pri(queue, each) for each in steps]
        return Lists(keys[0], list(self.priority_steps).index(step) + 1, keys, expires_ms)

    # What it answers

    def _ask(self, letter: Letter, overflow: Overflow | None = None) -> Any:
        """The script's answer, or the error of the server."""
        client = self._publishing_client()
        try:
            if letter.script is ADMIT and self._is_let_in(letter, client):
                return LET_IN
            return letter.way.run(client, letter.keys(), letter.arguments(overflow))
        except self.ResponseError as error:
            return error

    def _is_let_in(self, letter: Letter, client: Any) -> bool:
        """Whether the script for many, which is told and does less, let it in; for a second it is not asked again where
        it did not, so that a full queue costs one command for each message, too."""
        terms, company = letter.terms, letter.company()
        if company is None or time.monotonic() < terms.tight_until:
            return False
        if MANY.run(client, letter.lists.keys, letter.arguments_of_many(company)):
            return True
        terms.tight_until = time.monotonic() + TIGHT_S
        return False

    def settle(self, letter: Letter, answer: Any) -> None:
        """Makes of an answer what it means.

        Raises QueueFull for a message that was refused, Skipped for one that another run stands in for, BrokerFull
        where the server's memory is used up, and what stock raises where the script failed and stock fails as well.
        """
        if isinstance(answer, Exception):
            return self._open_gate(letter, answer)
        if openings.waiting:
            self._offer_openings()
        if letter.claim is not None and self._is_fenced(letter.claim, answer):
            return None
        outcome = letter.outcome_of(answer)
        if letter.blocks and outcome in letters.REFUSED:
            answer = self._answer_in_time(letter)
            if isinstance(answer, Exception):
                return self._open_gate(letter, answer)
            outcome = letter.outcome_of(answer)
        return self._carry_out(letter, answer, outcome)

    def _is_fenced(self, claim: Claim, answer: Any) -> bool:
        """Whether the message was published already; raises Fenced where it was not, and is not to be."""
        why = claim.take(answer)
        if why and claim.outcome is not claim.label:
            raise Fenced(why)
        return bool(why)

    def _note_claim(self, claim: Claim) -> None:
        """Its message went out plainly: the cursor says so, if the server takes that."""
        claim.outcome = claim.label
        try:
            CLAIM.run(self._publishing_client(), (), claim.arguments())
        except Exception as error:  # noqa: BLE001  the message is out
            openings.note("claim", error, "a due time of beat was sent, and its cursor does not say so")

    def _carry_out(self, letter: Letter, answer: Any, outcome: Outcome) -> None:
        if letter.publication is not None:
            letter.publication.outcome = outcome
        if why := letter.opened_by(answer):
            openings.note(why.partition(":")[0], why)
        for payload in letter.dropped_by(answer):
            telling.of_dropped(letter, payload)
        if outcome is Outcome.ADMITTED:
            return
        telling.of_message(letter, outcome)
        if outcome in letters.REFUSED:
            raise letters.refusal(answer, letter)
        if outcome is not Outcome.SPILLED:
            pending = letters.pending_of(answer)
            if letter.publication is not None:
                letter.publication.pending = pending
            raise Skipped(pending)

    def _open_gate(self, letter: Letter, error: Exception) -> None:
        """The script failed, and so has pushed nothing: stock pushes."""
        if is_out_of_memory(error):
            raise letters.broker_full(letter.queue) from error
        if is_forbidden(error):
            self._shut_out_until = time.monotonic() + SHUT_OUT_S
        openings.note("forbidden" if is_forbidden(error) else "script", error)
        try:
            super()._put(letter.queue, letter.read())
        except self.ResponseError as plain:
            if is_out_of_memory(plain):
                raise letters.broker_full(letter.queue) from plain
            raise
        if letter.publication is not None:
            letter.publication.outcome = Outcome.ADMITTED
        if letter.claim is not None:
            self._note_claim(letter.claim)

    def _answer_in_time(self, letter: Letter) -> Any:
        """Asks again until there is room or the time is over; the last try is an ordinary one, which is counted."""
        until, pause_s = time.monotonic() + letter.block_s, FIRST_PAUSE_S
        while (left_s := until - time.monotonic()) > 0:
            time.sleep(min(pause_s * random.uniform(0.5, 1.0), left_s))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            answer = self._ask(letter)
            if isinstance(answer, Exception) or letter.outcome_of(answer) not in letters.REFUSED:
                return answer
        return self._ask(letter, Overflow.REJECT_PUBLISH)

    def _offer_openings(self) -> None:
        taken = openings.take()
        if not add_counts(
            self._publishing_client(), self.global_keyprefix, {f"open|{why}": n for why, n in taken.items()}
        ):
            openings.give_back(taken)

    def _publishing_client(self) -> Any:
        """One client for all publishes of this channel; stock makes one for each."""
        client = self._cached_client
        if client is None or client.connection_pool is not self._pool:
            client = self._cached_client = self._create_client()
        return client
