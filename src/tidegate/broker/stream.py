"""A whole list, streamed in chunks while others push to it and take from it.

The stream runs from the newest element to the oldest. Pushes at the head move everything towards higher indices, so a
chunk can begin with elements already seen but never skip one; each chunk therefore overlaps the last by one element,
and what stands before that element is dropped. What is taken at the tail before the stream gets there is not seen.
So every element that was there at the start and is still there when its turn comes is seen exactly once, and
nothing that was pushed after the start is.

A message that is put back at the tail meanwhile is seen at most in the place of one that was taken: the stream gives
no more elements than the list held when its first chunk was read. Elements that equal one another can't be told apart:
where such ones are pushed meanwhile, some may be counted twice (kombu gives every message a tag of its own).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tidegate.broker.client import Broker, Command, Refusal
from tidegate.broker.reads import unreadable


@dataclass(frozen=True, slots=True)
class Chunks:
    """How many elements to read at once: `least` where they are near, up to `most` where the server has to walk far.

    Never more than make about `weight_bytes`, but two at least, for one could not overlap and still move on.
    """

    least: int = 1000
    most: int = 4000
    weight_bytes: int = 4 << 20

    def length(self, start: int, depth: int, element_bytes: float) -> int:
        """How many elements to ask for at that index: as many as the walk there is worth, within the bounds."""
        distance = max(0, min(start, depth - start))
        fitting = min(self.most, int(self.weight_bytes / max(element_bytes, 1.0)))
        return max(2, min(fitting, max(self.least, distance // 100)))


CHUNKS = Chunks()


def stream_list(
    broker: Broker, key: str, depth: int, element_bytes: float, chunks: Chunks = CHUNKS
) -> Iterator[Sequence[bytes]]:
    """The list's elements in chunks, newest first; one LRANGE a chunk, the next one on its way while you work.

    Holds at most three chunks of about 4 MB. `depth` and `element_bytes` only shape the chunks.
    """
    last: bytes | None = None
    seen, at_most = 0, -1
    for answer in broker.stream(_requests(key, depth, element_bytes, chunks)):
        if isinstance(answer, Refusal):
            raise unreadable(broker, key, answer)
        if isinstance(answer, int):
            at_most = max(answer, seen)
            continue
        fresh = answer if last is None else _after(answer, last)
        fresh = fresh if at_most < 0 else fresh[: at_most - seen]
        if fresh:
            last, seen = fresh[-1], seen + len(fresh)
            yield fresh
        if not answer or seen == at_most:
            return


def _requests(key: str, depth: int, element_bytes: float, chunks: Chunks) -> Iterator[Command]:
    start = 0
    while True:
        count = chunks.length(start, depth, element_bytes)
        yield ("LRANGE", key, start, start + count - 1)
        if start == 0:
            # Asked for after the first chunk: asked before, pushes in between would cost the oldest elements.
            yield ("LLEN", key)
        start += count - 1


def _after(chunk: list[bytes], last: bytes) -> list[bytes]:
    """What follows the last element seen; nothing where it is not in the chunk, because all of that was seen before."""
    if chunk and chunk[0] == last:
        return chunk[1:]
    try:
        return chunk[chunk.index(last) + 1 :]
    except ValueError:
        return []
