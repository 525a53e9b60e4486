"""Small backups to try things with."""

from collections.abc import Sequence
from pathlib import Path

from hypothesis import HealthCheck, settings

from tidegate.backup.batch import Batch
from tidegate.backup.frame import DIGEST_BYTES, FILE_BYTES, HEAD_BYTES
from tidegate.backup.header import Header
from tidegate.backup.packing import Codec
from tidegate.backup.reader import BackupReader
from tidegate.backup.writer import BackupWriter

HEADER = Header(queue="celery", act="purge", id="a1", created_s=1_700_000_000.0, wanted="{}")
ON_TMP = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def batch(*elements: bytes, first: int = 0, step: int = 0, queue: str = "celery") -> Batch:
    return Batch(queue=queue, step=step, positions=range(first, first + len(elements)), elements=elements, moment_s=1.5)


def three() -> list[Batch]:
    return [batch(b"a" * 40, b"", b"\x00\xff", first=0), batch(b"b", first=3), batch(b"c" * 300, b"d", first=4)]


def written(path: Path, batches: Sequence[Batch], header: Header = HEADER, codec: Codec = Codec.ZLIB) -> Path:
    with BackupWriter.begin(path, header, codec=codec) as writer:
        for one in batches:
            writer.append(one)
        writer.seal(removed=sum(len(one.elements) for one in batches))
    return path


def read(path: Path, **how: bool) -> list[tuple[str, int, list[int], list[bytes]]]:
    with BackupReader.open(path, **how) as reader:
        return [plain(one) for one in reader.batches()]


def plain(one: Batch) -> tuple[str, int, list[int], list[bytes]]:
    return one.queue, one.step, list(one.positions), list(one.elements)


def frames(whole: bytes) -> list[tuple[int, int]]:
    """Where the frames of a file stand, by the lengths in their heads."""
    spans, at = [], FILE_BYTES
    while at < len(whole):
        stored = int.from_bytes(whole[at + 24 : at + 28], "little")
        spans.append((at, at + HEAD_BYTES + stored + DIGEST_BYTES))
        at = spans[-1][1]
    return spans
