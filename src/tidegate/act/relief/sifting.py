"""Which messages of a backup go back: not those that are in the queue already, and not expired ones where that is asked."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tidegate.broker.bodies import ODD
from tidegate.broker.client import Broker, Refusal, as_text
from tidegate.broker.envelope import epoch
from tidegate.broker.narrow import narrow_decoder
from tidegate.broker.outside import read as read_outside
from tidegate.broker.stream import stream_list
from tidegate.errors import CannotLook
from tidegate.facts.message import Undecodable
from tidegate.observe.census import depths_of, element_bytes

_SCANNED = 1000
Outsides = Callable[[bytes], Any]


@dataclass(frozen=True, slots=True)
class Sifted:
    """Of some messages those that go back, in their order; how many are there already, how many expired."""

    goes: list[bytes]
    there: int = 0
    expired: int = 0


class Sieve:
    """Tells messages that go back; `now_s` None passes expired ones, too."""

    def __init__(self, there: set[str], now_s: float | None) -> None:
        self._there, self._now_s = there, now_s
        self._read = _reader()

    def sift(self, elements: Sequence[bytes]) -> Sifted:
        """1 µs a message; what can't be read goes back as it is."""
        goes: list[bytes] = []
        there = expired = 0
        for element in elements:
            outside = self._read(element)
            if outside is None:
                goes.append(element)
            elif outside.properties.delivery_tag in self._there:
                there += 1
            elif self._is_expired(outside.headers.expires):
                expired += 1
            else:
                goes.append(element)
        return Sifted(goes, there, expired)

    def _is_expired(self, expires: str | float | None) -> bool:
        if self._now_s is None or expires is None:
            return False
        at_s = epoch(expires)
        return at_s is not None and at_s < self._now_s


def tags_in(broker: Broker, queue: str) -> set[str]:
    """The delivery tags of all that waits in the queue or is with a worker; 150 bytes of memory each.

    What workers hold is asked for before and after the lists, because messages go both ways between them.
    Costs one LRANGE per 1,000 to 4,000 messages, and a ZSCAN per 1,000 unacknowledged ones twice.
    """
    tags = set(_held(broker))
    keys = [key for _, key in broker.layout.lists(queue)]
    read = _reader()
    for key, depth in zip(keys, depths_of(broker, keys), strict=True):
        if depth:
            for chunk in stream_list(broker, key, depth, element_bytes(broker, key, depth)):
                outsides = map(read, chunk)
                tags.update(o.properties.delivery_tag for o in outsides if o is not None and o.properties.delivery_tag)
    tags.update(_held(broker))
    return tags


def _held(broker: Broker) -> Iterator[str]:
    key, cursor = broker.layout.unacked_index_key(), "0"
    while True:
        answer = broker.one("ZSCAN", key, cursor, "COUNT", _SCANNED)
        if isinstance(answer, Refusal):
            raise CannotLook(f"what workers hold can't be told, so that it would be put back twice: {answer.why}")
        cursor, pairs = as_text(answer[0]), answer[1]
        yield from map(as_text, pairs[::2])
        if cursor == "0":
            return


def _reader() -> Outsides:
    """A message's outside with its tag and expiry; None where it can't be read."""
    narrow = narrow_decoder(("expires",), ("delivery_tag",))

    def read(element: bytes) -> Any:
        try:
            return narrow(element)
        except ODD:
            # Also of a task whose body stays closed the outside says enough.
            outside = read_outside(element)
            return None if isinstance(outside, Undecodable) else outside

    return read
