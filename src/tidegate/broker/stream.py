"""A whole list, streamed in chunks while others push to it and take from it.

The stream runs from the newest element to the oldest. Pushes at the head move everything towards higher indices, so a
chunk can begin with elements already seen but never skip one; each chunk therefore overlaps the last by one element,
and what stands before that element is dropped. What is taken at the tail before the stream gets there is not seen.
So every element that was there at the start and is still there when its turn comes is seen exactly once, and
nothing that was pushed after the start is.
"""

from collections.abc import Iterator, Sequence

from tidegate.broker.client import Broker, Command
from tidegate.errors import StoppedAnswering

#: Small chunks where elements are near; larger ones where the server has to walk far to reach them.
_LEAST, _MOST = 1000, 4000
_CHUNK_BYTES = 4 << 20


def stream_list(broker: Broker, key: str, depth: int, element_bytes: float) -> Iterator[Sequence[bytes]]:
    """The list's elements in chunks, newest first; one LRANGE a chunk, the next one on its way while you work.

    Holds at most three chunks of about 4 MB. `depth` and `element_bytes` only shape the chunks.
    """
    last: bytes | None = None
    for chunk in broker.stream(_requests(key, depth, element_bytes)):
        if not isinstance(chunk, list):
            message = f"the list {key!r} can't be read on: {chunk.why}"
            raise StoppedAnswering(message)
        fresh = chunk if last is None else _after(chunk, last)
        if fresh:
            last = fresh[-1]
            yield fresh
        if not chunk:
            return


def _requests(key: str, depth: int, element_bytes: float) -> Iterator[Command]:
    at_most = max(1, min(_MOST, int(_CHUNK_BYTES / max(element_bytes, 1.0))))
    start = 0
    while True:
        count = chunk_length(start, depth, at_most)
        yield ("LRANGE", key, start, start + count - 1)
        # One element of overlap; a chunk of one can't overlap and still move on.
        start += max(count - 1, 1)


def chunk_length(start: int, depth: int, at_most: int) -> int:
    """How many elements to ask for at that index: as many as the walk there is worth, within the bounds."""
    distance = max(0, min(start, depth - start))
    return max(2, min(at_most, max(_LEAST, distance // 100)))


def _after(chunk: list[bytes], last: bytes) -> list[bytes]:
    """What follows the last element seen; nothing where it is not in the chunk, because all of that was seen before."""
    if chunk and chunk[0] == last:
        return chunk[1:]
    try:
        return chunk[chunk.index(last) + 1 :]
    except ValueError:
        return []
