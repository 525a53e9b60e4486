"""The store keeps every message in its order, whatever is done to it, and says in one line what it can't do."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tidegate.act.spill.store import Store
from tidegate.errors import BadStore, StoreFull

ELEMENTS = st.lists(st.binary(max_size=40), max_size=12)
LIST = "celery\x06\x163"


class StoreBesideAList(RuleBasedStateMachine):
    """Whatever is called in whatever order, the store and a plain list of (number, message) agree."""

    @initialize()
    def open_it(self) -> None:
        self.room = TemporaryDirectory()
        self.path = Path(self.room.name) / "spill.db"
        self.store = Store.open(self.path)
        self.first, self.held = 0, []  # type: tuple[int, list[bytes]]

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.room.cleanup()

    @property
    def after(self) -> int:
        return self.first + len(self.held)

    @rule(elements=ELEMENTS)
    def append(self, elements: list[bytes]) -> None:
        assert self.store.append(LIST, elements) == (self.after, self.after + len(elements))
        self.held += elements

    @rule(elements=ELEMENTS)
    def prepend(self, elements: list[bytes]) -> None:
        assert self.store.prepend(LIST, elements) == (self.first - len(elements), self.first)
        self.held[:0] = elements
        self.first -= len(elements)

    @rule(shift=st.integers(-3, 15))
    def forget_before(self, shift: int) -> None:
        number = min(max(self.first + shift, self.first), self.after)
        self.store.forget_before(LIST, self.first + shift)
        del self.held[: number - self.first]
        self.first = number

    @rule(shift=st.integers(-3, 15))
    def forget_from(self, shift: int) -> None:
        number = min(max(self.after - shift, self.first), self.after)
        self.store.forget_from(LIST, self.after - shift)
        del self.held[number - self.first :]

    @rule()
    def open_again(self) -> None:
        self.store.close()
        self.store = Store.open(self.path)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def read_from_anywhere(self, data: Any) -> None:
        at = data.draw(st.integers(0, len(self.held) - 1))
        most = data.draw(st.integers(1, 5))
        piece = self.store.oldest(LIST, most, since=self.first + at)
        assert piece is not None
        assert piece.first == self.first + at
        assert 1 <= len(piece.elements) <= most
        assert list(piece.elements) == self.held[at : at + len(piece.elements)]

    @invariant()
    def all_is_there(self) -> None:
        if not hasattr(self, "store"):
            return
        assert self.store.span(LIST) == (self.first, self.after)
        assert self.store.messages() == len(self.held)
        assert whole(self.store, LIST) == self.held


def whole(store: Store, name: str) -> list[bytes]:
    """Everything that the store has of a list, oldest first."""
    found: list[bytes] = []
    number, after = store.span(name)
    while number < after:
        piece = store.oldest(name, 1000, since=number)
        assert piece is not None
        found += piece.elements
        number = piece.after
    return found


TestStoreBesideAList = StoreBesideAList.TestCase
TestStoreBesideAList.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spill.db"


def test_lists_with_strange_names_are_kept_apart(path: Path) -> None:
    with_store = Store.open(path)
    for name in ("celery", "celery\x06\x163", "q\udcff", "Celery", "a'b"):
        with_store.append(name, [name.encode("utf-8", "surrogateescape")])
    assert {name: whole(with_store, name) for name in with_store.lists()} == {
        name: [name.encode("utf-8", "surrogateescape")]
        for name in ("celery", "celery\x06\x163", "q\udcff", "Celery", "a'b")
    }
    with_store.close()


def test_many_and_large_messages_come_back_in_their_order(path: Path) -> None:
    store = Store.open(path)
    elements = [b"%d" % number * 200 for number in range(3500)] + [os.urandom(3 << 20), b""]
    store.append("q", elements)
    assert whole(store, "q") == elements
    store.close()


def test_what_was_noted_is_there_after_opening_again(path: Path) -> None:
    store = Store.open(path)
    identity = store.id
    store.note("place", "a")
    store.note("place", "b")
    store.close()
    store = Store.open(path)
    assert (store.noted("place"), store.noted("nothing"), store.id) == ("b", None, identity)
    assert identity
    store.close()


def test_a_second_process_is_refused_while_one_has_the_file(path: Path) -> None:
    store = Store.open(path)
    store.append("q", [b"1"])
    code = "import sys; from tidegate.act.spill.store import Store; Store.open(sys.argv[1])"
    other = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert "is in use by another process" in other.stderr
    store.close()
    Store.open(path).close()


_APPENDS = """
import sys
from tidegate.act.spill.store import Store
store = Store.open(sys.argv[1])
while True:
    first, after = store.append("q", [b"%d" % n for n in range(*[store.span("q")[1] + d for d in (0, 7)])])
    print(after, flush=True)
"""


def test_what_was_appended_is_there_after_a_kill_and_nothing_in_part(path: Path) -> None:
    said = 0
    for lines in (1, 6, 17):
        writer = subprocess.Popen([sys.executable, "-c", _APPENDS, str(path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        for _ in range(lines):
            said = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        said = int((writer.stdout.read().split() or [said])[-1])
        writer.wait()
        writer.stdout.close()
        store = Store.open(path)
        after = store.span("q")[1]
        assert after in (said, said + 7)
        assert whole(store, "q") == [b"%d" % number for number in range(after)]
        store.close()


def test_a_store_at_its_bound_takes_no_more_and_keeps_what_it_has(path: Path) -> None:
    store = Store.open(path, most_bytes=300_000)
    taken: list[bytes] = []
    with pytest.raises(StoreFull, match="as much as it may, 300000 bytes"):
        while True:
            elements = [os.urandom(5000) for _ in range(4)]
            store.append("q", elements)
            taken += elements
    assert len(taken) >= 40
    assert whole(store, "q") == taken
    assert path.stat().st_size <= 300_000
    store.forget_before("q", 20)
    store.append("q", [b"room again"])
    assert whole(store, "q") == [*taken[20:], b"room again"]
    store.close()


def test_the_file_becomes_smaller_when_messages_go(path: Path) -> None:
    store = Store.open(path)
    store.append("q", [os.urandom(1000) for _ in range(2000)])
    store.forget_before("q", 2000)
    store.close()
    assert path.stat().st_size < 100_000


def test_a_full_disk_is_said_and_nothing_is_lost() -> None:
    # A device that is always full stands for a disk that fills: SQLite says the same of it.
    with TemporaryDirectory() as room:
        store = Store.open(Path(room) / "spill.db")
        store.append("q", [b"1"])
        store._sql.execute("PRAGMA max_page_count = 12")
        with pytest.raises(StoreFull, match="the disk is full"):
            store.append("q", [os.urandom(100_000)])
        assert whole(store, "q") == [b"1"]
        store.close()


def test_a_damaged_message_is_refused_with_its_place(path: Path) -> None:
    store = Store.open(path)
    store.append("q", [os.urandom(20_000)])
    store.append("q", [os.urandom(20_000), b"2"])
    store.close()
    with sqlite3.connect(path) as other:
        packed = bytearray(other.execute("SELECT packed FROM chunks WHERE first = 1").fetchone()[0])
        packed[9000] ^= 1
        other.execute("UPDATE chunks SET packed = ? WHERE first = 1", (bytes(packed),))
    other.close()
    store = Store.open(path)
    assert store.oldest("q", 5) is not None
    with pytest.raises(BadStore, match=r"damaged at message 1 of q: its checksum is another"):
        store.oldest("q", 5, since=1)
    store.close()


def test_a_file_that_is_no_store_is_left_as_it_is(path: Path) -> None:
    path.write_bytes(b"my precious notes " * 100)
    with pytest.raises(BadStore, match="no store of Tidegate"):
        Store.open(path)
    assert path.read_bytes() == b"my precious notes " * 100


def test_another_programs_database_is_left_as_it_is(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(BadStore, match="another program's"):
        Store.open(path)
    assert path.read_bytes() == before


def test_a_newer_store_is_refused(path: Path) -> None:
    Store.open(path).close()
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 7")
    other.close()
    with pytest.raises(BadStore, match="format 7, this Tidegate knows 1"):
        Store.open(path)


def test_a_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadStore, match="can't be used"):
        Store.open(tmp_path / "nowhere" / "spill.db")
