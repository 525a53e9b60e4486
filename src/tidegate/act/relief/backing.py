"""A queue copied to a file while it is in use: a consistent cut, which writes nothing to the server."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tidegate import __version__
from tidegate.act.relief.acts import holder_of
from tidegate.backup.batch import Batch
from tidegate.backup.header import Header
from tidegate.backup.packing import Codec, Packed, pack
from tidegate.backup.writer import BackupWriter
from tidegate.broker.address import Address
from tidegate.broker.client import Broker, connect
from tidegate.broker.reads import info, server_time
from tidegate.broker.stream import stream_list
from tidegate.errors import Refused
from tidegate.facts.backups import BackedUp
from tidegate.facts.unknown import known
from tidegate.observe.census import depths_of, element_bytes
from tidegate.observe.peek import lists_of

Progress = Callable[[int, int], None]
COPY = "backup"
#: So many messages, or bytes of them, in one batch.
_BATCH, _BATCH_BYTES = 8000, 8 << 20
#: The newest message of a list has the position before this one: how many will have arrived when the stream begins
#: nobody knows, and each older one has the position before.
_NEWEST = 1 << 32
#: Backups are at least so many times smaller than the list in memory, or their messages are hardly compressible.
_SMALLER = 5
_AHEAD = 2


def back_up(
    address: Address,
    queue: str,
    path: Path,
    *,
    codec: Codec = Codec.ZLIB,
    timeout_s: float = 5.0,
    progress: Progress | None = None,
) -> BackedUp:
    """A copy of all that waits in the queue: what was there at the start and still is when its turn comes.

    Raises NothingFound for a queue that is not there, and Refused where an act of relief has the queue, or the file
    can't be written; whatever stops it, no half of a file is left. Costs one LRANGE per 1,000 to 4,000 messages.
    """
    began_s = time.monotonic()
    with connect(address, timeout_s) as broker:
        _must_be_whole(broker, queue)
        held = lists_of(broker, queue)
        lists = [(step, key) for step, key in broker.layout.lists(queue) if key in held]
        depths = depths_of(broker, [key for _, key in lists])
        weights = [element_bytes(broker, key, depth) for (_, key), depth in zip(lists, depths, strict=True)]
        header = _header(broker, queue, lists, depths)
        in_memory = sum(weight * depth for weight, depth in zip(weights, depths, strict=True))
        writer = BackupWriter.begin(path, header, int(in_memory / _SMALLER), codec)
        try:
            copy = _Copy(broker, queue, writer, sum(depths), progress)
            for (step, key), depth, weight in zip(lists, depths, weights, strict=True):
                copy.take(step, key, depth, weight)
            writer.seal(by_priority=copy.by_step)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            writer.close()
    return BackedUp(
        queue=queue,
        file=str(path),
        messages=writer.messages,
        bytes=writer.message_bytes,
        file_bytes=writer.size,
        by_priority=copy.by_step,
        elapsed_s=time.monotonic() - began_s,
    )


class _Copy:
    """The lists of a queue on their way to a file; compressed in a thread, while the next messages are read."""

    def __init__(
        self, broker: Broker, queue: str, writer: BackupWriter, expected: int, progress: Progress | None
    ) -> None:
        self._broker, self._queue, self._writer = broker, queue, writer
        self._expected, self._progress, self._copied = expected, progress, 0
        self.by_step: dict[int, int] = {}

    def take(self, step: int, key: str, depth: int, weight: float) -> None:
        """All of one list."""
        waiting: deque[Future[Packed]] = deque()
        with ThreadPoolExecutor(1) as packer:
            for batch in self._batches(step, key, depth, weight):
                waiting.append(packer.submit(pack, batch, self._writer.codec))
                if len(waiting) > _AHEAD:
                    self._write(waiting.popleft(), step)
            while waiting:
                self._write(waiting.popleft(), step)

    def _write(self, ready: Future[Packed], step: int) -> None:
        packed = ready.result()
        self._writer.append(packed)
        self._copied += packed.plan.count
        self.by_step[step] = self.by_step.get(step, 0) + packed.plan.count
        if self._progress is not None:
            self._progress(self._copied, max(self._copied, self._expected))

    def _batches(self, step: int, key: str, depth: int, weight: float) -> Iterator[Batch]:
        newest, moment_s = _NEWEST, server_time(self._broker)
        for newest_first in _portions(stream_list(self._broker, key, depth, weight)):
            oldest = newest - len(newest_first)
            yield Batch(
                queue=self._queue,
                step=step,
                positions=range(oldest, newest),
                elements=newest_first[::-1],
                moment_s=moment_s,
            )
            newest = oldest


def _portions(chunks: Iterator[Sequence[bytes]]) -> Iterator[list[bytes]]:
    portion: list[bytes] = []
    weight = 0
    for chunk in chunks:
        portion += chunk
        weight += sum(map(len, chunk))
        if len(portion) >= _BATCH or weight >= _BATCH_BYTES:
            yield portion
            portion, weight = [], 0
    if portion:
        yield portion


def _must_be_whole(broker: Broker, queue: str) -> None:
    holder = holder_of(broker, queue)
    if holder:
        raise Refused(
            f"{queue} is set aside by an act of relief, {holder}: copy it when that is over, "
            f"or if it was interrupted, after tidegate relief resume {holder}, or rollback"
        )


def _header(broker: Broker, queue: str, lists: Sequence[tuple[int, str]], depths: Sequence[int]) -> Header:
    return Header(
        created_s=server_time(broker),
        queue=queue,
        act=COPY,
        server=server_of(broker),
        url=broker.address.shown,
        prefix=broker.layout.prefix,
        newest_first=True,
        depths={str(step): depth for (step, _), depth in zip(lists, depths, strict=True)},
        written_by=__version__,
    )


def server_of(broker: Broker) -> str:
    """`valkey 9.1.2`; empty where the server does not say."""
    fields = info(broker)
    if not known(fields):
        return ""
    name = fields.get("server_name", "redis")
    return f"{name} {fields.get(f'{name}_version', '')}".strip()
