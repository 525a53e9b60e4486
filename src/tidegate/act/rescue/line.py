"""One list of a queue under rescue: its old part, what of it is on disk, what was published since, and the steps between.

In order of age: the list's old part < the disk < what stands above the old part's newest message, the marker.
"""

import time
from typing import Any

from tidegate.act.relief.acts import Acting
from tidegate.act.rescue.log import Log
from tidegate.broker import rescue as hand
from tidegate.broker.client import as_text
from tidegate.broker.scripts import Argument, Script
from tidegate.errors import Refused

#: Messages in one script; fewer where they are large.
MOST_MESSAGES = 1000
#: What the workers keep in front of them, however short the memory; of a short queue a quarter.
LEFT_TO_WORKERS = 200


class Gone(Exception):
    """The server does not know the act any more: it was emptied, or came back without what it held."""


class Fenced(Refused):
    """Somebody else has taken the act over."""


class Line:
    """The list with that key; `acting` is given before its first step.

    `marker` is None before anything was taken, and empty where nothing of the old part is left.
    """

    def __init__(self, list_key: str, queue: str, log: Log) -> None:
        self.list_key, self.queue, self.log = list_key, queue, log
        self.acting: Acting
        self.marker: bytes | None = None
        self.above = 0
        self.depth = 0
        self.mean_bytes, self.most_bytes = 1000.0, hand.MOST_BYTES
        self.taken = self.late = self.fed = 0
        self.worst_ms = 0.0

    @property
    def parked(self) -> int:
        """Messages on the disk."""
        return self.log.parked

    @property
    def old(self) -> int:
        """Messages of the old part, as of the last look."""
        return max(0, self.depth - self.above)

    @property
    def portion(self) -> int:
        """How many messages one script takes."""
        return max(1, min(MOST_MESSAGES, int(self.most_bytes / max(1.0, self.mean_bytes))))

    def look(self) -> None:
        """How deep the list is, and how much of it was published since; two commands."""
        marker = self.marker or b""
        above, self.depth = hand.above(self.acting.broker, self.list_key, marker, hand.MOST_ABOVE)
        if self.marker is None:
            above = 0
        self.above = self.depth if self.marker == b"" else above

    def reconcile(self, step: int, marker: bytes | None) -> int:
        """Forgets what the server has not done: how many steps. Raises Refused where the server is ahead of the disk."""
        self.marker = marker
        if step > self.log.step:
            message = (
                f"the server knows step {step} of {self.list_key}, this directory only {self.log.step}: another copy of "
                "it went on; use that one"
            )
            raise Refused(message)
        return self.log.undo_to(step)

    def begin_anew(self) -> int:
        """The server has forgotten the act: the step to count from. Raises Refused where it came back with what is on disk.

        Whether the last step was done is told by its messages.
        """
        piece = self.log.oldest(1)
        if piece is not None and self._holds(piece.elements[0]):
            message = (
                f"the server came back with an older state, in which messages of {self.list_key} that are on disk wait in "
                "the queue again: nothing is put back; where that is right, name an empty directory and delete this one"
            )
            raise Refused(message)
        fed = self.log.put_back_last(1)
        if fed and self.depth and not self._holds(fed[-1]):
            self.log.undo_to(self.log.step - 1)
        self.marker = b"" if self.depth == 0 or self.parked else None
        self.log.begin_anew(self.log.step)
        return self.log.step

    def take(self, most: int) -> int:
        """The newest of the old part go to the disk, `most` and what the list can spare: how many did."""
        left = min(LEFT_TO_WORKERS, (self.old + self.parked) // 4)
        read = self._read_old(min(most, self.portion, self.old - left))
        if not read:
            return 0
        back = self._same_as_put_back(read)
        if back:
            read = read[:back]
            self.log.will_take_back(back)
        else:
            self.log.will_take(read[::-1])
        if not self._left(read, "old"):
            return 0
        self.taken += len(read)
        return len(read)

    def move_late(self) -> int:
        """All that was published since goes to the disk, but for a few that come meanwhile: how many did."""
        if not self.marker:
            return 0
        self.log.will_come_late()
        oldest, newest, moved = b"", self.marker, 0
        while True:
            found = hand.read_beside(self.acting.broker, self.list_key, newest, "new", self.portion)
            if found is None or not found[1]:
                self.marker = self.marker if moved or found is not None else b""
                break
            self.log.add_late(found[1][::-1])
            oldest, newest, moved = oldest or found[1][-1], found[1][0], moved + len(found[1])
            if found[0] - len(found[1]) <= hand.MOST_ABOVE // 2:
                break
        if not moved or not self._cut(newest, oldest, moved, "new"):
            self.log.undo_to(self.log.step - 1)
            return 0
        self.late += moved
        return moved

    def feed(self, most: int) -> int:
        """The oldest on the disk go behind the old part: how many did. 0 where too many were published since."""
        piece = self.log.oldest(min(most, self.portion))
        if piece is None:
            return 0
        self.log.will_feed(len(piece.elements))
        try:
            answer = self._run(hand.FEED, self.queue, *self._step(), hand.MOST_ABOVE, *piece.elements)
        except hand.ServerFull:
            answer = ["full"]
        if answer[0] != "fed":
            self.log.undo_to(self.log.step - 1)
            return 0
        self.marker = piece.elements[-1]
        self.mean_bytes += 0.2 * (sum(map(len, piece.elements)) / len(piece.elements) - self.mean_bytes)
        self.fed += len(piece.elements)
        return len(piece.elements)

    def _read_old(self, count: int) -> list[bytes]:
        if count <= 0 or self.marker == b"":
            return []
        found = hand.read_beside(self.acting.broker, self.list_key, self.marker or b"", "old", count)
        if found is None:
            # Workers have come so far: all that is there was published since.
            self.marker = b""
            return []
        return found[1]

    def _same_as_put_back(self, newest_first: list[bytes]) -> int:
        """How many of them are on the disk still, since they were put back a moment ago."""
        kept = self.log.put_back_last(len(newest_first))
        same = 0
        for element, known in zip(newest_first, reversed(kept), strict=False):
            if element != known:
                break
            same += 1
        return same

    def _left(self, newest_first: list[bytes], side: str) -> bool:
        if self._cut(newest_first[0], newest_first[-1], len(newest_first), side):
            self.mean_bytes += 0.2 * (sum(map(len, newest_first)) / len(newest_first) - self.mean_bytes)
            return True
        self.log.undo_to(self.log.step - 1)
        return False

    def _cut(self, newest: bytes, oldest: bytes, many: int, side: str) -> bool:
        answer = self._run(hand.TAKE, *self._step(), many, newest, oldest, side, hand.MOST_ABOVE)
        if answer[0] != "taken":
            return False
        self.marker = answer[1]
        return True

    def _step(self) -> tuple[int, int]:
        return self.log.step - 1, self.log.step

    def _run(self, script: Script, *arguments: Argument) -> list[Any]:
        mine = self.acting
        began = time.monotonic()
        answer = hand.run(
            mine.broker, script, mine.broker.layout.prefix, mine.id, mine.token, self.list_key, *arguments
        )
        self.worst_ms = max(self.worst_ms, 1000 * (time.monotonic() - began))
        return self._mine(answer)

    def _mine(self, answer: list[Any]) -> list[Any]:
        if answer[0] == "gone":
            raise Gone
        if answer[0] == "fenced":
            message = f"somebody else goes on with this rescue now ({as_text(answer[1])}); nothing of it is lost"
            raise Fenced(message)
        if answer[0] == "moved":
            message = f"step {self.log.step} of {self.list_key} was expected, the server is at {as_text(answer[1])}"
            raise hand.Away(message)
        return answer

    def _holds(self, element: bytes) -> bool:
        return isinstance(self.acting.broker.one("LPOS", self.list_key, element), int)
