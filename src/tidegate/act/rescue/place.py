"""The directory of a rescue: the messages that are on disk, and which rescue they belong to."""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from tidegate.act.relief.acts import new_id
from tidegate.act.spill.store import Store
from tidegate.errors import Refused
from tidegate.facts.relief import Act
from tidegate.units import count, size

FILE = "rescue.sqlite"
_NOTE = "rescue"
#: What stays free on the disk beside what is expected to go there.
_SPARE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Noted:
    """Which rescue it is: the act's id, the queue, and where; `begun`: the server knew of it; `done`: all is back."""

    id: str
    queue: str
    server: str
    prefix: str
    begun: bool = False
    done: bool = False


class Place:
    """The directory, opened for one process; raises BadStore where another has it."""

    def __init__(self, directory: Path, store: Store, noted: Noted | None) -> None:
        self.directory, self.store, self.noted = directory, store, noted

    @classmethod
    def open(cls, directory: Path) -> "Place":
        """Makes the directory where there is none; raises Refused where it can't be written to."""
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            message = f"{directory} can't be made: {error.strerror}; name another --dir, with room on its disk"
            raise Refused(message) from error
        store = Store.open(directory / FILE)
        said = store.noted(_NOTE)
        return cls(directory, store, Noted(**json.loads(said)) if said else None)

    @property
    def going_on(self) -> Noted | None:
        """The rescue that was not brought to its end here."""
        return self.noted if self.noted is not None and not self.noted.done else None

    @property
    def mine(self) -> Noted:
        """The rescue of this directory."""
        if self.noted is None:
            raise Refused(f"no rescue has begun in {self.directory}")
        return self.noted

    def begin(self, queue: str, server: str, prefix: str) -> Noted:
        """The rescue that goes on here, or a new one. Raises Refused where the directory belongs to another one."""
        found = self.going_on
        if found is None:
            return self.write(Noted(new_id(Act.RESCUE), queue, server, prefix))
        if (found.queue, found.server, found.prefix) != (queue, server, prefix):
            message = (
                f"{self.directory} holds messages of the queue {found.queue!r} of {found.server}, expected {queue!r} of "
                f"{server}: finish that rescue first, or name another --dir"
            )
            raise Refused(message)
        return found

    def write(self, noted: Noted) -> Noted:
        """Notes which rescue it is; on disk when it returns."""
        self.store.note(_NOTE, json.dumps(asdict(noted)))
        self.noted = noted
        return noted

    def must_have_room(self, wanted: int) -> None:
        """Raises Refused where the disk can't take so many bytes; what is stored is smaller, being compressed."""
        free = shutil.disk_usage(self.directory).free
        if free < wanted + _SPARE_BYTES:
            message = (
                f"{self.directory} has {size(free)} free, and {size(wanted)} of messages may go there: make room, or name "
                "a --dir on another disk"
            )
            raise Refused(message)

    def close(self) -> None:
        """Gives the directory up; what it holds stays."""
        self.store.close()


def how_many(store: Store) -> str:
    """For messages to people: how much is in the file."""
    return f"{count(store.messages())} messages, {size(store.bytes_on_disk())}"
