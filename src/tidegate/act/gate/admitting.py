"""The publishing side of the channel: every task message goes through one script, which decides and pushes.

What is not a task, and goes to a queue that nobody spoke of (replies, events, remote control), takes Kombu's own way.
Whatever fails here opens the gate: the message is published as stock Kombu does. Only where the server may have taken
it already (a lost connection) nothing is tried a second time, and the error is stock's.
"""

import random
import time
from typing import Any

from tidegate.act.gate import letters, stock, telling
from tidegate.act.gate.known import Policies, known
from tidegate.act.gate.letters import Letter, Lists
from tidegate.act.gate.openings import openings
from tidegate.act.gate.publication import current
from tidegate.act.gate.skipped import Skipped
from tidegate.act.gate.writing import new_tag, text_of
from tidegate.broker.keys import is_internal
from tidegate.broker.scripts import add_counts, is_forbidden, is_out_of_memory
from tidegate.facts.gate import Bound, Outcome, Overflow

#: After a server refused our scripts for good: so long messages take Kombu's own way, then it is asked again.
SHUT_OUT_S = 60.0
#: Queues come and go: when so many lists are known, all are forgotten.
MOST_LISTS = 1000
#: The pauses of a publisher that waits for room, in seconds: the first, and the longest. Half of each is by chance.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 0.5


class Admitting(stock.Channel):  # type: ignore[misc]
    """Mixin: `_put` and the batch go through the gate."""

    _ours: tuple[int, tuple[Any, Policies] | None] = (-1, None)
    _shut_out_until = float("-inf")
    _cached_client: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
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

        ours = self._policies()
        return (
            GateBatch(self, max_size, ours[1].timeout_s) if ours is not None else super().create_publish_batch(max_size)
        )

    def _queue_bind(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super()._queue_bind(*args, **kwargs)
        except self.ResponseError as error:
            # A worker that declares its queues gets stock's error, and goes on as it does.
            if current() is not None and is_out_of_memory(error):
                raise letters.broker_full(args[-1] if args else "?") from error
            raise

    # What is told to the script

    def _letter(self, queue: str, message: dict[str, Any]) -> Letter | None:
        """The message as the script gets it; None where it takes stock's way."""
        if is_internal(queue) or time.monotonic() < self._shut_out_until:
            return None
        try:
            ours = self._policies()
            return None if ours is None else self._addressed(queue, message, *ours)
        except Exception as error:  # noqa: BLE001
            openings.note("python", repr(error))
            return None

    def _policies(self) -> tuple[Any, Policies] | None:
        if self._ours[0] != known.edition:
            self._ours = (known.edition, known.of(self.connection.client))
        return self._ours[1]

    def _addressed(self, queue: str, message: dict[str, Any], app: Any, policies: Policies) -> Letter:
        publication = current()
        is_task = publication is not None or "task" in (message.get("headers") or {})
        bound = policies.bound_of(queue) if is_task or policies.is_named(queue) else None
        if (
            bound is not None
            and bound.overflow is Overflow.DROP_HEAD
            and publication is not None
            and publication.exempt
        ):
            message = letters.kept(message, publication.exempt)
        ceiling = letters.ceiling_of(policies) if is_task else ""
        lists = self._lists(queue, message)
        letter = Letter(
            app, queue, message, text_of(message), self.global_keyprefix, lists, bound, ceiling, publication
        )
        if bound is not None and bound.dead_letter:
            self._address_dead_letters(letter, bound.dead_letter, policies)
        return letter

    def _lists(self, queue: str, message: dict[str, Any]) -> Lists:
        step = self.priority(self._get_message_priority(message, reverse=False))
        # Channels of Kombu before 5.7 know of no queues that expire.
        expires_ms = getattr(self, "_expires", {}).get(queue) or 0
        known = self._known_lists.get((queue, step))
        if known is None or known.expires_ms != expires_ms:
            known = self._new_lists(queue, step, expires_ms)
        return known

    def _new_lists(self, queue: str, step: int, expires_ms: int) -> Lists:
        steps = [step, *(each for each in self.priority_steps if each != step)]
        keys = [self.global_keyprefix + self._q_for_pri(queue, each) for each in steps]
        if len(self._known_lists) >= MOST_LISTS:
            self._known_lists.clear()
        lists = Lists(keys[0], list(self.priority_steps).index(step) + 1, keys, expires_ms)
        self._known_lists[queue, step] = lists
        return lists

    def _address_dead_letters(self, letter: Letter, queue: str, policies: Policies) -> None:
        own: Bound | None = policies.bound_of(queue)
        letter.dead_letter_list = self.global_keyprefix + queue
        if own is not None and own.max_length:
            letter.dead_letters = own.max_length

    # What it answers

    def _ask(self, letter: Letter, overflow: Overflow | None = None) -> Any:
        """The script's answer, or the error of the server."""
        client = self._publishing_client()
        try:
            return letter.script.run(client, letter.keys(), letter.arguments(overflow))
        except self.ResponseError as error:
            return error

    def settle(self, letter: Letter, answer: Any) -> None:
        """Makes of an answer what it means.

        Raises QueueFull for a message that was refused, Skipped for one that another run stands in for, BrokerFull
        where the server's memory is used up, and what stock raises where the script failed and stock fails as well.
        """
        if isinstance(answer, Exception):
            return self._open_gate(letter, answer)
        if openings.waiting:
            self._offer_openings()
        outcome = letter.outcome_of(answer)
        if letter.blocks and outcome in letters.REFUSED:
            answer = self._answer_in_time(letter)
            if isinstance(answer, Exception):
                return self._open_gate(letter, answer)
            outcome = letter.outcome_of(answer)
        return self._carry_out(letter, answer, outcome)

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
        openings.note("forbidden" if is_forbidden(error) else "script", repr(error))
        try:
            super()._put(letter.queue, letter.message)
        except self.ResponseError as plain:
            if is_out_of_memory(plain):
                raise letters.broker_full(letter.queue) from plain
            raise
        if letter.publication is not None:
            letter.publication.outcome = Outcome.ADMITTED

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
