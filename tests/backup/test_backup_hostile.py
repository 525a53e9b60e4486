"""Files that somebody made to be odd: whatever stands in them, it ends in one of our errors or in messages."""

from contextlib import suppress

import pytest
from backups import ON_TMP
from hypothesis import given
from hypothesis import strategies as st

from tidegate.backup.frame import KINDS, Head, file_start, packed
from tidegate.backup.reader import BackupReader
from tidegate.backup.writer import BackupWriter
from tidegate.errors import Damaged, NotABackup, Refused

payloads = st.one_of(
    st.binary(max_size=80),
    st.sampled_from(
        [b"{}", b"[]", b"null", b'{"batches":1}', b"[" * 5000, b'[{"queue":"q","step":0,"done":1}]', b'"\\ud800"']
    ),
    st.builds(lambda head, rest: head + rest, st.just(b"\x00\x00\x01\x00\x01\x00\x00\x00"), st.binary(max_size=60)),
)
frames = st.builds(
    lambda kind, number, codec, plain, payload: (kind, number, codec, plain, payload),
    st.sampled_from(KINDS),
    st.integers(0, 4),
    st.integers(0, 4),
    st.integers(0, 1 << 20),
    payloads,
)


def whole(found):
    parts = [file_start()]
    for kind, number, codec, plain, payload in found:
        head = Head(nonce=b"12345678", kind=kind, codec=codec, number=number, stored=len(payload), plain=plain)
        parts.append(packed(head, payload)[0])
    return b"".join(parts)


@ON_TMP
@given(found=st.lists(frames, max_size=5), tail=st.binary(max_size=20))
def test_whole_frames_with_anything_inside(tmp_path_factory: pytest.TempPathFactory, found, tail) -> None:
    path = tmp_path_factory.mktemp("hostile") / "a.tgb"
    path.write_bytes(whole(found) + tail)
    for how in ({}, {"unsealed": True}, {"salvage": True}):
        try:
            with BackupReader.open(path, **how) as reader:
                assert reader.messages >= 0
                assert all(batch.elements for batch in reader.batches_oldest_first())
        except (Damaged, NotABackup):
            pass
    with suppress(Damaged, NotABackup, Refused):
        BackupWriter.reopen(path, {}).close()


@ON_TMP
@given(data=st.binary(max_size=300))
def test_any_bytes_behind_the_beginning_of_a_backup(tmp_path_factory: pytest.TempPathFactory, data) -> None:
    path = tmp_path_factory.mktemp("bytes") / "a.tgb"
    path.write_bytes(file_start() + data)
    with pytest.raises((Damaged, NotABackup)):
        BackupReader.open(path)
