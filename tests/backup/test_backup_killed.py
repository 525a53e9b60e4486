"""A writer that was killed, or whose disk is full: the file goes on where it was whole."""

import os
import resource
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from backups import HEADER, ON_TMP, batch, frames, plain, read, three, written
from hypothesis import given
from hypothesis import strategies as st

from tidegate.backup.batch import Batch
from tidegate.backup.header import Header
from tidegate.backup.reader import BackupReader
from tidegate.backup.writer import BackupWriter
from tidegate.errors import Damaged, Refused

LIST = ("celery", 0)
APPENDING = """
import sys
from pathlib import Path
from tidegate.backup.batch import Batch
from tidegate.backup.header import Header
from tidegate.backup.writer import BackupWriter

writer = BackupWriter.begin(Path(sys.argv[1]), Header(queue="celery"))
at = 0
while True:
    elements = [b"%d:" % number * 2000 for number in range(at, at + 50)]
    writer.append(Batch(queue="celery", step=0, positions=range(at, at + 50), elements=elements))
    at += 50
    print(at, flush=True)
"""


def test_a_writer_killed_while_it_appends_leaves_all_that_it_said_was_written(tmp_path: Path) -> None:
    for number in range(2):
        path = tmp_path / f"{number}.tgb"
        child = subprocess.Popen([sys.executable, "-c", APPENDING, str(path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        for _ in range(3 + number):
            said = child.stdout.readline()
        child.kill()
        said = ([said, *child.stdout.read().splitlines()])[-1]
        child.wait()
        child.stdout.close()
        done = int(said)
        with BackupWriter.reopen(path, {LIST: done}) as writer:
            assert writer.messages == done
            writer.append(batch(b"after", first=done))
            writer.seal()
        elements = [element for one in read(path) for element in one[3]]
        assert elements == [b"%d:" % number * 2000 for number in range(done)] + [b"after"]


@ON_TMP
@given(data=st.data())
def test_taken_up_anywhere_the_file_holds_what_was_done_and_nothing_else(tmp_path_factory, data) -> None:
    """Whatever the kill left of the file behind what was done, and however often that happens."""
    path = tmp_path_factory.mktemp("again") / "a.tgb"
    BackupWriter.begin(path, HEADER).close()
    kept: dict[int, bytes] = {}
    for _ in range(3):
        done = max(kept, default=-1) + 1
        with BackupWriter.reopen(path, {LIST: done}) as writer:
            assert writer.messages == len(kept)
            chosen = sorted(data.draw(st.sets(st.integers(done, done + 12), max_size=8)))
            parts = sorted({0, len(chosen), *data.draw(st.lists(st.integers(0, len(chosen)), max_size=2))})
            for start, end in pairwise(parts):
                own = chosen[start:end]
                elements = [os.urandom(3) for _ in own]
                writer.append(Batch(queue="celery", step=0, positions=own, elements=elements))
                kept.update(zip(own, elements, strict=True))
        done = data.draw(st.integers(done, done + 13))
        # What is not done may be on the disk or not: the last frames may be torn.
        torn = data.draw(st.binary(max_size=30))
        with path.open("ab") as file:
            file.write(torn)
        kept = {at: element for at, element in kept.items() if at < done}
        with BackupWriter.reopen(path, {LIST: done}) as writer:
            assert writer.messages == len(kept)
    with BackupWriter.reopen(path, {LIST: 10_000}) as writer:
        writer.seal()
    with BackupReader.open(path) as reader:
        read = {at: one for b in reader.batches() for at, one in zip(b.positions, b.elements, strict=True)}
        assert reader.trailer is not None and reader.trailer.messages == len(kept)
    assert read == kept


@pytest.mark.parametrize("done", range(7))
def test_what_was_written_and_not_done_is_dropped(tmp_path: Path, done: int) -> None:
    path = written(tmp_path / "a.tgb", three())
    with BackupWriter.reopen(path, {LIST: done}) as writer:
        assert writer.sealed is (done == 6)
        writer.seal()
    elements = [element for one in three() for element in one.elements]
    assert [element for one in read(path) for element in one[3]] == elements[:done]


def test_a_list_of_which_nothing_was_done_is_dropped_as_a_whole(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tgb", [*three(), batch(b"other", step=3)])
    with BackupWriter.reopen(path, {LIST: 6}) as writer:
        writer.seal()
    assert read(path) == [plain(one) for one in three()]


def test_a_file_that_runs_from_the_newest_drops_what_is_older_than_was_done(tmp_path: Path) -> None:
    runs = [batch(b"4", b"5", first=4), batch(b"2", b"3", first=2), batch(b"0", b"1")]
    path = written(tmp_path / "a.tgb", runs, Header(queue="celery", newest_first=True))
    with BackupWriter.reopen(path, {LIST: 3}) as writer:
        writer.seal()
    assert read(path) == [plain(batch(b"4", b"5", first=4)), plain(batch(b"3", first=3))]


def test_a_sealed_file_stays_as_it_is_and_sealing_again_changes_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tgb", three())
    before = path.read_bytes()
    with BackupWriter.reopen(path, {LIST: 6}) as writer:
        assert (writer.sealed, writer.messages) == (True, 6)
        writer.seal()
    assert path.read_bytes() == before


def test_damage_in_the_middle_is_never_taken_for_a_torn_end(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tgb", three())
    altered = bytearray(path.read_bytes())
    altered[frames(bytes(altered))[2][0] + 50] ^= 1
    path.write_bytes(altered)
    with pytest.raises(Damaged, match="batch 2"):
        BackupWriter.reopen(path, {LIST: 6})
    assert path.read_bytes() == altered


def test_two_processes_never_write_one_file(tmp_path: Path) -> None:
    with BackupWriter.begin(tmp_path / "a.tgb", HEADER), pytest.raises(Refused, match="another process"):
        BackupWriter.reopen(tmp_path / "a.tgb", {})


def test_a_full_disk_leaves_the_file_whole_up_to_the_batch_before(tmp_path: Path, full_disk) -> None:
    path = tmp_path / "a.tgb"
    with BackupWriter.begin(path, HEADER) as writer:
        writer.append(batch(b"a"))
        with full_disk(path.stat().st_size + 100), pytest.raises(Refused, match="the disk is full"):
            writer.append(batch(os.urandom(5000), first=1))
        writer.append(batch(b"b", first=1))
        writer.seal()
    assert read(path) == [plain(batch(b"a")), plain(batch(b"b", first=1))]


def test_a_disk_that_is_full_at_the_beginning_leaves_no_file(tmp_path: Path, full_disk) -> None:
    with full_disk(20), pytest.raises(Refused, match="the disk is full"):
        BackupWriter.begin(tmp_path / "a.tgb", HEADER)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def full_disk():
    """A disk on which no file grows beyond so many bytes: the write fails half done, as on a full one."""
    from contextlib import contextmanager

    @contextmanager
    def limited(most: int):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited
