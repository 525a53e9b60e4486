"""What a consumer holds: a guarded message says by whom it is held, and its mark goes with its acknowledgement.

Messages without a guard are stock's, command by command, and so is every message where our part fails.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from celery import current_app
from kombu.transport import virtual
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps

from tidegate.act.gate import stock
from tidegate.act.gate.after import tell
from tidegate.act.gate.hands import hands
from tidegate.act.gate.header import read
from tidegate.act.gate.openings import openings
from tidegate.broker.scripts import Script
from tidegate.facts.gate import HEADER, Guard, Outcome

if TYPE_CHECKING:
    from typing import Any as QoS
else:
    from kombu.transport.redis import QoS

_HANDS = ("marks", "firings", "hands")
HOLD = Script(*_HANDS, "hold")
RELEASE = Script(*_HANDS, "release")
RESTORE = Script("words", *_HANDS, "restore")

_HELD = "messages are held and acknowledged plainly"
_RESTORED = "messages are restored plainly"
_UNMARKED = "some marks are only right again in a moment"


class Returned(Exception):
    """A guarded message is about to go back into its queue; ends stock's transaction before it changes anything."""

    def __init__(self, payload: Any, exchange: str, routing_key: str) -> None:
        super().__init__(routing_key)
        self.payload, self.exchange, self.routing_key = payload, exchange, routing_key


class GateQoS(QoS):  # type: ignore[misc]
    """Stock's, with one script in place of its transaction where a message is guarded."""

    _session = ""

    @property
    def holder(self) -> str:
        """Who holds what is taken here: `<worker>/<session>`, empty outside of a worker with the gate."""
        worker = hands.worker
        if not worker:
            return ""
        if not self._session.startswith(f"{worker}/"):
            self._session = hands.session(self)
        return self._session

    def append(self, message: Any, delivery_tag: str) -> None:
        """Registers what was taken; what the fetching script has registered already is only remembered."""
        fetched = getattr(self.channel, "fetched", "") == delivery_tag
        if fetched or self._hold(message, delivery_tag):
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Acknowledges: one EVALSHA where it is guarded."""
        if self._release(delivery_tag):
            virtual.QoS.ack(self, delivery_tag)
        else:
            super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Rejects; with `requeue` it goes back by `restore_by_tag`, as in stock."""
        if not requeue and self._release(delivery_tag):
            virtual.QoS.ack(self, delivery_tag)
        else:
            super().reject(delivery_tag, requeue=requeue)

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        """Puts a message back into its queue, if it is still registered."""
        try:
            super().restore_by_tag(tag, client, leftmost)
        except Returned as returned:
            self.channel.restore_guarded(bytes_to_str(tag), returned, leftmost, client)
        self.channel.ring_for_restored()

    def restore_plainly(self, tag: str, client: Any, leftmost: bool) -> None:
        """As stock does it."""
        super().restore_by_tag(tag, client, leftmost)

    def _hold(self, message: Any, tag: str) -> bool:
        guard, who = guard_of(message), self.holder
        if guard is None or not who:
            return False
        delivery = message.delivery_info

        def arguments() -> list[Any]:
            entry = dumps([message._raw, delivery["exchange"], delivery["routing_key"]])
            return [tag, repr(time.time()), entry, who, *said(guard, message.headers)]

        return self._done("hold", HOLD, arguments)

    def _release(self, tag: str) -> bool:
        message = self._delivered.get(tag)
        guard = guard_of(message) if message is not None else None
        if guard is None:
            return False

        def arguments() -> list[Any]:
            how = "runs" if hands.begins(message.headers.get("id"), tag) else "done"
            return [tag, self.holder, how, *said(guard, message.headers)]

        return self._done("acknowledge", RELEASE, arguments)

    def _done(self, what: str, script: Script, arguments: Callable[[], list[Any]]) -> bool:
        """Whether the script did it; raises what stock raises where the server can't be reached."""
        prefix = self.channel.global_keyprefix
        keys = [prefix + self.unacked_index_key, prefix + self.unacked_key]
        try:
            with self.channel.conn_or_acquire() as client:
                why = script.run(client, keys, [prefix, *arguments()])
        except self.channel.connection_errors:
            raise
        except Exception as error:  # noqa: BLE001  a message is never held up by its mark
            openings.note(what, error, _HELD)
            return False
        if why:
            openings.note("mark", bytes_to_str(why), _UNMARKED)
        return True


class Restoring(stock.Channel):  # type: ignore[misc]
    """The side of the channel that puts messages back: those of dead workers, and what a worker that ends holds."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: Tags of messages that go back as stock does it, because the script failed.
        self._plainly: set[str] = set()
        super().__init__(*args, **kwargs)

    def _do_restore_message(
        self, payload: Any, exchange: str, routing_key: str, pipe: Any, leftmost: bool = False
    ) -> None:
        if guard_in(payload) is not None and payload["properties"]["delivery_tag"] not in self._plainly:
            raise Returned(payload, exchange, routing_key)
        super()._do_restore_message(payload, exchange, routing_key, pipe, leftmost)

    def _restore(self, message: Any, leftmost: bool = False) -> None:
        try:
            super()._restore(message, leftmost)
        except Returned as returned:
            self.restore_guarded(message.delivery_tag, returned, leftmost, None)

    def restore_guarded(self, tag: str, returned: Returned, leftmost: bool, client: Any) -> None:
        """Puts a guarded message back, or drops it where a newer run of its key is pending."""
        try:
            with self.conn_or_acquire(client) as client:
                answer = self._returned_by_script(tag, returned, leftmost, client)
        except self.connection_errors:
            raise
        except Exception as error:  # noqa: BLE001  a message is never lost for its mark
            openings.note("restore", error, _RESTORED)
            self._restore_plainly(tag, leftmost, client)
            return
        if answer[0] == Outcome.SUPERSEDED:
            _tell_superseded(self, returned, answer[1])
        elif len(answer) > 2:
            openings.note("mark", answer[2], _UNMARKED)

    def _returned_by_script(self, tag: str, returned: Returned, leftmost: bool, client: Any) -> list[str]:
        payload, prefix = returned.payload, self.global_keyprefix
        payload["headers"]["redelivered"] = payload["properties"]["delivery_info"]["redelivered"] = True
        priority = self._get_message_priority(payload, reverse=False)
        queues = list(self._lookup(returned.exchange, returned.routing_key))
        keys = [self.unacked_index_key, self.unacked_key, *(self._q_for_pri(queue, priority) for queue in queues)]
        headers = payload["headers"]
        arguments = [
            prefix,
            tag,
            dumps(payload),
            "newest" if leftmost else "oldest",
            queues[0] if queues else "",
            int(self.visibility_timeout * 1000),
            str(headers.get("task"))[:300],
            *said(guard_in(payload), headers),
        ]
        return [bytes_to_str(part) for part in RESTORE.run(client, [prefix + key for key in keys], arguments)]

    def _restore_plainly(self, tag: str, leftmost: bool, client: Any) -> None:
        self._plainly.add(tag)
        try:
            self.qos.restore_plainly(tag, client, leftmost)
        finally:
            self._plainly.discard(tag)


def guard_of(message: Any) -> Guard | None:
    """The guard that the header of a message says; None where it says none. 0.1 µs without one."""
    headers = message.headers
    value = headers.get(HEADER) if headers else None
    if value is None or type(headers.get("id")) is not str:
        return None
    return read(value)


def guard_in(payload: Any) -> Guard | None:
    """The same of a message as it lies in `unacked`, whatever it is."""
    try:
        headers, properties = payload["headers"], payload["properties"]
        if HEADER not in headers or type(headers["id"]) is not str or type(properties["delivery_info"]) is not dict:
            return None
        return read(headers[HEADER]) if type(properties["delivery_tag"]) is str else None
    except (KeyError, TypeError):
        return None


def said(guard: Any, headers: Any) -> list[Any]:
    """What the scripts want to know of a guarded message: see `guard_from` in hands.lua."""
    retries = headers.get("retries")
    return [
        guard.key,
        guard.overlap.value,
        guard.scope.value,
        guard.firing,
        guard.entry,
        headers["id"],
        retries if type(retries) is int else 0,
    ]


def _tell_superseded(channel: Any, returned: Returned, newer: str) -> None:
    tell(Outcome.SUPERSEDED, returned.routing_key, returned.payload["headers"], newer, hands.app or current_app)
