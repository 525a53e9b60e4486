"""The file of a backup: what goes in comes out, and what is not as it was written is found."""

from pathlib import Path

import pytest
from backups import HEADER, ON_TMP, batch, frames, plain, read, three, written
from hypothesis import given
from hypothesis import strategies as st

from tidegate.backup.batch import Batch
from tidegate.backup.frame import FILE_BYTES, HEAD_BYTES
from tidegate.backup.header import Header
from tidegate.backup.packing import Codec, NotUnpacked, pack, unpack
from tidegate.backup.reader import BackupReader
from tidegate.backup.writer import BackupWriter
from tidegate.errors import Damaged, NotABackup, Refused

#: Some places in the suite, all of them in proof.
EVERY = pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.proof)])
batches = st.lists(
    st.builds(
        lambda queue, step, found: Batch(
            queue=queue, step=step, positions=sorted(found), elements=[found[at] for at in sorted(found)], moment_s=2.5
        ),
        st.text(max_size=8),
        st.integers(0, 9),
        st.dictionaries(st.integers(0, 5000), st.binary(max_size=60), min_size=1, max_size=6),
    ),
    max_size=5,
)


@ON_TMP
@given(batches=batches, codec=st.sampled_from(Codec))
def test_what_was_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, batches, codec) -> None:
    path = written(tmp_path_factory.mktemp("trip") / "a.tgb", batches, codec=codec)
    with BackupReader.open(path) as reader:
        assert [plain(one) for one in reader.batches()] == [plain(one) for one in batches]
        assert (reader.header, reader.sealed, reader.damage) == (HEADER, True, ())
        assert reader.trailer is not None
        assert reader.trailer.messages == reader.messages == sum(len(one.elements) for one in batches)
        assert reader.trailer.bytes == sum(len(element) for one in batches for element in one.elements)


@EVERY
def test_every_byte_that_is_altered_is_found_and_every_other_batch_salvaged(tmp_path: Path, every: int) -> None:
    whole, path = written(tmp_path / "whole", three()).read_bytes(), tmp_path / "altered"
    spans = frames(whole)
    for at in range(0, len(whole), every):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        with pytest.raises((Damaged, NotABackup)) as refused:
            BackupReader.open(path)
        hit = next((number for number, (start, end) in enumerate(spans) if start <= at < end), None)
        if isinstance(refused.value, Damaged):
            assert refused.value.file == str(path)
            assert refused.value.offset == (spans[hit][0] if hit is not None else 0)
            assert refused.value.batch == hit
        intact = [plain(one) for number, one in enumerate(three(), 1) if number != hit]
        assert read(path, salvage=True) == intact


@EVERY
def test_every_truncation_is_found_and_every_whole_batch_salvaged(tmp_path: Path, every: int) -> None:
    whole, path = written(tmp_path / "whole", three()).read_bytes(), tmp_path / "cut"
    spans = frames(whole)
    for length in range(0, len(whole), every):
        path.write_bytes(whole[:length])
        with pytest.raises((Damaged, NotABackup)):
            BackupReader.open(path)
        if length > spans[0][1]:
            intact = [plain(one) for one, (_, end) in zip(three(), spans[1:4], strict=True) if end <= length]
            assert read(path, salvage=True) == intact


@ON_TMP
@given(at=st.integers(0, 900), data=st.binary(min_size=1, max_size=40), gone=st.integers(0, 60))
def test_bytes_put_in_or_cut_out_anywhere_are_found(tmp_path_factory: pytest.TempPathFactory, at, data, gone) -> None:
    path = written(tmp_path_factory.mktemp("insert") / "a.tgb", three())
    whole = path.read_bytes()
    altered = whole[:at] + data + whole[at + gone :]
    if altered == whole:
        return
    path.write_bytes(altered)
    with pytest.raises((Damaged, NotABackup)):
        BackupReader.open(path)


def test_batches_left_out_or_swapped_are_found_though_each_is_whole(tmp_path: Path) -> None:
    whole, path = written(tmp_path / "whole", three()).read_bytes(), tmp_path / "altered"
    parts = [whole[start:end] for start, end in [(0, FILE_BYTES), *frames(whole)]]
    for order, why in (
        ([0, 1, 2, 4, 5], "batch 2 is missing"),
        ([0, 1, 2, 5], "batches 2 to 3 are missing"),
        ([0, 1, 2, 4, 3, 5], "batch 2 is missing"),
        ([0, 1, 2, 2, 3, 4, 5], "again"),
    ):
        path.write_bytes(b"".join(parts[number] for number in order))
        with pytest.raises(Damaged, match=why):
            BackupReader.open(path)


def test_a_whole_frame_inside_a_message_is_not_taken_for_one_of_the_file(tmp_path: Path) -> None:
    foreign = written(tmp_path / "foreign", three()).read_bytes()
    path = written(tmp_path / "a.tgb", [batch(foreign), batch(b"x", first=1)], codec=Codec.PLAIN)
    start = frames(path.read_bytes())[1][0]
    altered = bytearray(path.read_bytes())
    altered[start + HEAD_BYTES] ^= 1
    path.write_bytes(altered)
    assert read(path, salvage=True) == [plain(batch(b"x", first=1))]


def test_batches_are_given_oldest_first_list_by_list_however_the_file_runs(tmp_path: Path) -> None:
    newest_first = Header(queue="celery", act="backup", newest_first=True)
    runs = [batch(b"3", first=2), batch(b"1", b"2"), batch(b"b", first=1, step=3), batch(b"a", step=3)]
    path = written(tmp_path / "a.tgb", runs, newest_first)
    with BackupReader.open(path) as reader:
        assert [list(one.elements) for one in reader.batches_oldest_first()] == [[b"1", b"2"], [b"3"], [b"a"], [b"b"]]
        assert list(reader.lists) == [("celery", 0), ("celery", 3)]


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"", "it is empty"),
        (b"REDIS0011" + b"x" * 80, "RDB"),
        (b"\x1f\x8b" + b"x" * 80, "gzip"),
        (b'{"a": 1}', "JSON"),
        (b"hello world", "it begins with b'hello wo'"),
    ],
)
def test_a_file_that_is_no_backup_is_told_by_what_it_is(tmp_path: Path, start: bytes, what: str) -> None:
    (tmp_path / "a").write_bytes(start)
    for salvage in (False, True):
        with pytest.raises(NotABackup, match=what):
            BackupReader.open(tmp_path / "a", salvage=salvage)


def test_a_directory_a_missing_file_and_a_newer_format_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NotABackup, match="directory"):
        BackupReader.open(tmp_path)
    with pytest.raises(NotABackup, match="No such file"):
        BackupReader.open(tmp_path / "none")
    (tmp_path / "new").write_bytes(b"\x89TIDEGATE\r\n\x1a\x07\x00\x00\x00" + b"?" * 100)
    with pytest.raises(NotABackup, match="format 7; this version of Tidegate reads 1"):
        BackupReader.open(tmp_path / "new")


def test_a_file_of_a_writer_that_goes_on_can_be_read_when_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.tgb"
    with BackupWriter.begin(path, HEADER) as writer:
        writer.append(three()[0])
        with pytest.raises(Damaged, match="without its trailer"):
            BackupReader.open(path)
        with BackupReader.open(path, unsealed=True) as reader:
            assert (reader.sealed, [plain(one) for one in reader.batches()]) == (False, [plain(three()[0])])


def test_a_path_that_can_not_be_written_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    there = written(tmp_path / "there", three())
    before = there.read_bytes()
    for path, why in ((there, "there already"), (tmp_path / "no" / "a", "No such file")):
        with pytest.raises(Refused, match=why):
            BackupWriter.begin(path, HEADER)
    with pytest.raises(Refused, match="are free there"):
        BackupWriter.begin(tmp_path / "large", HEADER, expected_bytes=1 << 60)
    assert there.read_bytes() == before
    assert [left.name for left in tmp_path.iterdir()] == ["there"]


def test_a_batch_without_messages_is_passed_over_and_one_out_of_order_is_an_error(tmp_path: Path) -> None:
    with BackupWriter.begin(tmp_path / "a.tgb", HEADER) as writer:
        writer.append(batch())
        assert writer.messages == 0
    with pytest.raises(ValueError, match="ascend"):
        pack(Batch(queue="q", step=0, positions=[2, 1], elements=[b"a", b"b"]))


def test_a_payload_never_expands_beyond_what_its_head_says() -> None:
    packed = pack(batch(b"\x00" * 1_000_000))
    for codec in (Codec.ZLIB, Codec.PLAIN, 9):
        with pytest.raises(NotUnpacked):
            unpack(packed.payload, codec, 100)


def test_names_that_are_no_utf_8_stay_what_they_are(tmp_path: Path) -> None:
    name = b"queue-\xff-\xc3\xa9".decode("utf-8", "surrogateescape")
    path = tmp_path / "a.tgb"
    with BackupWriter.begin(path, Header(queue=name, newest_first=True)) as writer:
        writer.append(batch(b"new", b"newer", first=5, queue=name))
        writer.append(batch(b"a", b"b", first=3, queue=name))
    with BackupWriter.reopen(path, {(name, 0): 4}) as writer:
        writer.seal()
    with BackupReader.open(path) as reader:
        assert reader.header.queue == name
        assert [plain(one) for one in reader.batches()] == [
            plain(batch(b"new", b"newer", first=5, queue=name)),
            plain(batch(b"b", first=4, queue=name)),
        ]


def test_where_zstd_is_not_installed_that_is_said_and_no_file_is_damaged(tmp_path: Path, monkeypatch) -> None:
    path = written(tmp_path / "a.tgb", three(), codec=Codec.ZSTD)
    monkeypatch.setattr("tidegate.backup.packing.find_spec", lambda name: None)
    with pytest.raises(NotABackup, match="zstd is not installed"):
        BackupReader.open(path)
    with pytest.raises(Refused, match="zstd is not installed"):
        BackupWriter.begin(tmp_path / "b.tgb", HEADER, codec=Codec.ZSTD)
    assert not (tmp_path / "b.tgb").exists()
