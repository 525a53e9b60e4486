"""How a worker takes messages: out of the list and into `unacked` in one step; while there are none, it sleeps.

Stock Kombu takes a message with BRPOP and registers it in a second round trip: a worker that is killed in between
loses it. Here a script does both (`fetch.lua`), and the waiting is done on the bells of the queues (`door.lua`),
from which nothing can be lost.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from queue import Empty
from time import monotonic, time
from typing import Any

from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads

from tidegate.act.gate import lost, stock
from tidegate.act.gate.openings import openings
from tidegate.act.gate.rest import Rest
from tidegate.broker.keys import GATE
from tidegate.broker.scripts import RING, Script

FETCH = Script("door", "spill", "took", "fetch", "marks", "firings", "fetched")
BELL = f"{GATE}bell:"
LOST = Script("lost")
#: After an error of the script: so long stock Kombu takes the messages, then the script is tried again; twice as long
#: after every further one.
STAND_BACK_S = 30.0
STAND_BACK_AT_MOST_S = 600.0
#: What the server says to whoever sleeps when it becomes a replica: nothing is wrong with the script.
UNBLOCKED = "UNBLOCKED"

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Flight:
    """A command whose answer is awaited: a fetch, or (without `keys`) a sleep on the bells."""

    queues: Sequence[str]
    keys: Sequence[str] = ()
    arguments: Sequence[str] = ()


class Fetching(stock.Channel):  # type: ignore[misc]
    """The consuming side of the channel; everything else is stock's, and so is this where a consumer does not acknowledge."""

    _in_poll: Any = False
    #: The tag of the message under delivery, registered already: `QoS.append` need not.
    fetched: str | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._flight: Flight | None = None
        self._found_nothing = False
        self._rest = Rest()
        self._without_ack: set[str] = set()
        self._stock_until = float("-inf")
        self._stand_back_s = STAND_BACK_S
        self._restored: set[tuple[str, str]] = set()
        super().__init__(*args, **kwargs)

    # What Kombu's poller calls

    def _brpop_start(self, *args: Any, **kwargs: Any) -> None:
        if args or kwargs or not (self._may_fetch() and self._fly()):
            self._flight = None
            super()._brpop_start(*args, **kwargs)

    def _brpop_read(self, **options: Any) -> Any:
        flight, self._flight = self._flight, None
        if flight is None:
            return super()._brpop_read(**options)
        answer = self._answer(flight)
        return self._deliver_fetched(flight, answer) if flight.keys else self._get_up(answer)

    def _poll_error(self, type: str, **options: Any) -> None:
        if type == "BRPOP" and self._flight is not None:
            self._brpop_read()
        else:
            super()._poll_error(type, **options)

    def _on_connection_disconnect(self, connection: Any) -> None:
        if self._in_poll is connection and self._flight is not None:
            self._note_lost(self._flight)
            self._flight, self._found_nothing = None, False
        super()._on_connection_disconnect(connection)

    # What consumers call

    def basic_consume(self, queue: str, *args: Any, **kwargs: Any) -> Any:
        """Stock's; a consumer that does not acknowledge would leave in `unacked` what the script writes there."""
        if kwargs.get("no_ack", args[0] if args else False):
            self._without_ack.add(queue)
        else:
            self._without_ack.discard(queue)
        return super().basic_consume(queue, *args, **kwargs)

    def _basic_cancel(self, consumer_tag: str) -> Any:
        queue = self._tag_to_queue.get(consumer_tag)
        answer = super()._basic_cancel(consumer_tag)
        if queue not in self._active_queues:
            self._without_ack.discard(queue)
        return answer

    def close(self) -> None:
        """Stock's, which waits for a fetch under way; a sleep is broken off, and who else sleeps there is woken."""
        if self._in_poll and self._flight is not None and not self._flight.keys:
            queues = self._flight.queues
            self.client.connection.disconnect()
            self._in_poll = None
            self._pass_on(*queues)
        super().close()

    def _do_restore_message(self, payload: Any, exchange: str, routing_key: str, *args: Any, **kwargs: Any) -> None:
        self._restored.add((exchange, routing_key))
        super()._do_restore_message(payload, exchange, routing_key, *args, **kwargs)

    def ring_for_restored(self) -> None:
        """Wakes who sleeps for the queues that messages went back to; to be called when they are there."""
        while self._restored:
            exchange, routing_key = self._restored.pop()
            self._pass_on(*self._lookup(exchange, routing_key))

    # How it is done

    def _fly(self) -> bool:
        """Sends what is next; False where that failed before anything was sent, and stock has to."""
        try:
            if lost.noted(self._place):
                self._put_back_lost()
            if queues := self._queues_in_turn():
                self._flight = self._send_sleep(queues) if self._found_nothing else self._send_fetch(queues)
        except self.connection_errors:
            raise
        except Exception as error:  # noqa: BLE001  whatever it was, messages are taken
            self._stand_back(error)
            return False
        return True

    def _may_fetch(self) -> bool:
        return (
            self.ack_emulation
            and not self._without_ack
            and monotonic() >= self._stock_until
            and self._belongs_to_gate()
        )

    def _belongs_to_gate(self) -> bool:
        try:
            return self._policies() is not None
        except Exception as error:  # noqa: BLE001  told where the settings are used
            _log.debug("no policies: %r", error)
            return False

    def _queues_in_turn(self) -> list[str]:
        return list(self._queue_cycle.consume(len(self.active_queues)))

    def _sent(self) -> None:
        self._in_poll = self.client.connection
        self._brpop_sent_at = monotonic()

    def _send_sleep(self, queues: list[str]) -> Flight:
        self._sent()
        bells = (f"{self.global_keyprefix}{BELL}{queue}" for queue in queues)
        length_s = self._rest.length_s(getattr(self, "brpop_timeout", 1))
        self.client.connection.send_command("BLPOP", *bells, round(length_s, 3))
        return Flight(queues)

    def _send_fetch(self, queues: list[str], rung: str = "") -> Flight:
        prefix = self.global_keyprefix
        lists = (prefix + self._q_for_pri(queue, step) for step in self.priority_steps for queue in queues)
        keys = [prefix + self.unacked_index_key, prefix + self.unacked_key, *lists]
        flight = Flight(
            queues, keys, [prefix, repr(time()), self.qos.holder, rung, "1" if self._rest.slept_out else "", *queues]
        )
        self._sent()
        try:
            FETCH.send(self.client, flight.keys, flight.arguments)
        except self.connection_errors:
            self._note_lost(flight)
            raise
        return flight

    def _answer(self, flight: Flight) -> Any:
        """What the server says to it; raises Empty where the script fails, and what stock raises without connection."""
        try:
            if flight.keys:
                return FETCH.read(self.client, flight.keys, flight.arguments)
            return self.client.parse_response(self.client.connection, "BLPOP")
        except self.connection_errors:
            self._note_lost(flight)
            self._found_nothing = False
            self.client.connection.disconnect()
            raise
        except self.ResponseError as error:
            self._found_nothing = False
            if not str(error).startswith(UNBLOCKED):
                self._stand_back(error)
            raise Empty from error
        except Exception as error:
            self._note_lost(flight)
            self._stand_back(error)
            self.client.connection.disconnect()  # nobody knows how much of the answer was read
            raise Empty from error
        finally:
            self._in_poll = None
            if reauthenticate := getattr(self, "_flush_brpop_reauth", None):
                reauthenticate()

    def _get_up(self, bell: Any) -> Any:
        """The sleep is over; where somebody rang, the fetch is made at once."""
        self._found_nothing = False
        self._rest.over(rung=bool(bell))
        if not bell:
            raise Empty
        rung = bytes_to_str(bell[0])[len(self.global_keyprefix) + len(BELL) :]
        queues = self._queues_in_turn()
        if not queues or not self.qos.can_consume():
            self._pass_on(rung)
            raise Empty
        try:
            flight = self._send_fetch(queues, rung)
        except self.connection_errors:
            raise
        except Exception as error:
            self._stand_back(error)
            raise Empty from error
        return self._deliver_fetched(flight, self._answer(flight))

    def _deliver_fetched(self, flight: Flight, answer: Any) -> bool:
        self._rest.looked(found=bool(answer))
        self._stand_back_s = STAND_BACK_S
        if not answer:
            self._found_nothing = True
            raise Empty
        number, raw, tag = answer
        queue = flight.queues[(number - 1) % len(flight.queues)]
        self._queue_cycle.rotate(queue)
        self._deliver_registered(self.connection, raw, bytes_to_str(tag), queue)
        return True

    def _deliver_registered(self, transport: Any, raw: bytes, tag: str, queue: str) -> None:
        """As stock delivers; a message that nobody took into his keeping afterwards is not left in `unacked`."""
        try:
            message = loads(bytes_to_str(raw))
        except Exception:
            self._unregister(tag)
            raise
        if tag and _tag_of(message) != tag:
            self._unregister(tag)
            tag = ""
        self.fetched = tag or None
        try:
            transport._deliver(message, queue)
        finally:
            self.fetched = None
        if tag and not any(tag in (channel.qos._delivered or ()) for channel in (self, *transport.channels)):
            self._unregister(tag)

    def _unregister(self, tag: str) -> None:
        if tag:
            with self.conn_or_acquire() as client:
                client.pipeline().zrem(self.unacked_index_key, tag).hdel(self.unacked_key, tag).execute()

    def _pass_on(self, *queues: str) -> None:
        """Ring for other sleepers: there is something, or may be, that this one does not take."""
        try:
            with self.conn_or_acquire() as client:
                for queue in queues:
                    RING.run(client, (), (self.global_keyprefix, queue))
        except (*self.connection_errors, self.ResponseError):
            _log.debug("could not ring for another worker", exc_info=True)

    def _stand_back(self, error: Exception) -> None:
        wait_s = self._stand_back_s
        self._stock_until = monotonic() + wait_s
        self._stand_back_s = min(2 * wait_s, STAND_BACK_AT_MOST_S)
        openings.note("fetch", error, f"for {wait_s:g} s messages are taken plainly")

    @cached_property
    def _place(self) -> tuple[str, ...]:
        return (self.connection.client.as_uri(), self.global_keyprefix, self.unacked_index_key)

    def _note_lost(self, flight: Flight) -> None:
        if flight.keys:
            lost.note(self._place, flight.arguments[1])

    def _put_back_lost(self) -> None:
        """What was fetched on a connection that broke before the answer came goes back into its queue."""
        with self.conn_or_acquire() as client:
            index = self.global_keyprefix + self.unacked_index_key
            for tag in LOST.run(client, [index], lost.noted(self._place)):
                self.qos.restore_by_tag(bytes_to_str(tag), client)
        lost.found(self._place)


def _tag_of(message: Any) -> Any:
    try:
        return message["properties"]["delivery_tag"]
    except (KeyError, TypeError):
        return None
