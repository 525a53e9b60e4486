"""A full Redis, rescued: the newest messages go to disk until workers can start, and back, in order, as they drain.

Every step is on disk before the server does it, and counted by the server in the script that does it. So a kill at any
instant, of this process or of the server, leaves every message in exactly one place, and the same directory goes on.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tidegate.act.relief import acts
from tidegate.act.relief.acts import Acting
from tidegate.act.rescue.line import Gone, Line
from tidegate.act.rescue.place import Place
from tidegate.act.rescue.saying import Teller
from tidegate.broker import rescue as hand
from tidegate.broker.client import Broker, as_text
from tidegate.broker.scripts import Argument
from tidegate.errors import NoServer, Refused, StoppedAnswering
from tidegate.facts.relief import Act, State

#: How long a server that went away is waited for.
PATIENCE_S = 300.0
_AGAIN_S = 0.25
#: Between two looks while nothing can be done.
_PAUSE_S = 0.05
_SAYS_IT_LIVES_S = 3.0
_FORGETS_S = 2.0
#: What passes by itself, or after the act was taken up again.
_PASSING = (NoServer, StoppedAnswering, hand.Away, Gone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Bytes below the limit: below `short` messages go to disk until there are `enough`; above that they come back."""

    short: int
    enough: int


@dataclass(slots=True)
class Came:
    """How far a rescue is. `room_s`: when there was room, since it began; None until then."""

    room_s: float | None = None
    most_parked: int = 0
    done: bool = False


class Rescue:
    """One queue under rescue, from the first step to the last. `reach` opens a connection; the last one is `broker`."""

    broker: Broker

    def __init__(
        self, reach: Callable[[], Broker], place: Place, lines: Sequence[Line], marks: Marks, teller: Teller
    ) -> None:
        self._reach, self._place, self._lines, self._marks, self._teller = reach, place, lines, marks, teller
        self._acting: Acting
        self._began = self._good_at = time.monotonic()
        self._lives_at = self._forgot_at = 0.0
        self._connected: Broker | None = None
        self.came = Came()

    @property
    def parked(self) -> int:
        """Messages on disk."""
        return sum(line.parked for line in self._lines)

    @property
    def fed(self) -> int:
        """Messages that went back in this run."""
        return sum(line.fed for line in self._lines)

    @property
    def late(self) -> int:
        """Messages that were published meanwhile and went to the disk in this run."""
        return sum(line.late for line in self._lines)

    @property
    def worst_ms(self) -> float:
        """The longest that a step took, there and back."""
        return max((line.worst_ms for line in self._lines), default=0.0)

    def run(self, stop: Callable[[], bool]) -> Came:
        """Makes room and feeds back what was taken, until the disk is empty or `stop` says so.

        Raises Refused where another act has the queue, CannotLook where the server stays away for `PATIENCE_S`, and
        StoreFull; what is on disk stays in each case.
        """
        try:
            while not self.came.done and not stop():
                self._try()
        finally:
            self._hang_up()
        return self.came

    def _try(self) -> None:
        try:
            if self._connected is None:
                self._take_up()
            if not self.came.done and self._turn():
                self._acting.end(State.DONE)
                self.came.done = True
            if self.came.done:
                self._place.write(replace(self._place.mine, done=True))
            self._good_at = time.monotonic()
        except _PASSING as error:
            self._hang_up()
            if time.monotonic() - self._good_at > PATIENCE_S:
                raise
            self._teller.away(error)
            time.sleep(_AGAIN_S)

    def _hang_up(self) -> None:
        connected, self._connected = self._connected, None
        if connected is not None:
            connected.close()

    # Whose act it is

    def _take_up(self) -> None:
        """Fences what an earlier owner has on its way, and forgets what was not done."""
        broker, noted = self._reach(), self._place.mine
        self._connected = broker
        token = secrets.token_hex(8)
        self._hold(Acting(broker, noted.id, token))
        process = str(acts.owner_fields(token)["process"])
        lists = [line.list_key for line in self._lines]
        answer = hand.run(broker, hand.CLAIM, broker.layout.prefix, noted.id, token, process, *lists)
        if answer[0] == "busy":
            raise acts.busy(noted.queue, as_text(answer[1]))
        if answer[0] == "gone":
            self._begin(broker)
        elif as_text(answer[1]) == State.DONE.value:
            self._was_done()
        else:
            self._reconcile(answer[2:])

    def _reconcile(self, said: Sequence[bytes | None]) -> None:
        undone = 0
        for line, step, marker in zip(self._lines, said[::2], said[1::2], strict=True):
            undone += line.reconcile(int(step or 0), marker)
        self._teller.taken_up(self.parked, undone)

    def _was_done(self) -> None:
        """The end was written on the server and not here."""
        if self.parked:
            raise Refused(
                f"the act {self._place.mine.id} is over, and {self.parked} messages of it are on disk: look there"
            )
        self.came.done = True

    def _begin(self, broker: Broker) -> None:
        noted = self._place.mine
        if noted.begun:
            self._teller.forgotten(self.parked)
        for line in self._lines:
            line.look()
        fields: dict[str, Argument] = {"backup": str(self._place.directory), "wanted": "{}"}
        for line in self._lines:
            fields[f"step:{line.list_key}"] = line.begin_anew()
            if line.marker is not None:
                fields[f"marker:{line.list_key}"] = line.marker
        self._place.write(replace(noted, begun=True))
        self._hold(acts.begin_named(broker, Act.RESCUE, noted.queue, noted.id, hand.BEGIN, fields))

    def _hold(self, acting: Acting) -> None:
        self._acting = acting
        for line in self._lines:
            line.acting = acting

    # What is done

    def _turn(self) -> bool:
        """One look, and what follows from it; whether there is room and nothing is left on disk."""
        memory = self._look()
        wanted = self._marks.enough if self.came.room_s is None else self._marks.short
        if memory.free < wanted:
            if not self._starving(memory):
                self._make_room()
            return False
        if self.came.room_s is None:
            self.came.room_s = time.monotonic() - self._began
            self._teller.room(self.came.room_s, self.parked, memory.free)
        if not self.parked:
            return True
        if not sum(self._bring_back(line, memory) for line in self._lines):
            time.sleep(_PAUSE_S)
        return False

    def _starving(self, memory: hand.Memory) -> int:
        """Feeds a portion where workers have nothing left, however little room there is: how many messages moved."""
        return sum(
            line.feed(line.portion)
            for line in self._lines
            if line.parked and not line.depth and memory.free > line.portion * line.mean_bytes
        )

    def _look(self) -> hand.Memory:
        now = time.monotonic()
        for line in self._lines:
            line.look()
        if now - self._lives_at > _SAYS_IT_LIVES_S:
            self._lives_at = now
            self._acting.note()
        if now - self._forgot_at > _FORGETS_S:
            self._forgot_at = now
            for line in self._lines:
                line.log.forget_old(time.time())
        self.came.most_parked = max(self.came.most_parked, self.parked)
        memory = hand.memory_of(self._acting.broker.one("INFO", "memory"))
        self._teller.now(self._lines, memory)
        return memory

    def _make_room(self) -> None:
        """What was published since goes first where it is much, else the newest of the longest list."""
        moved = sum(line.move_late() for line in self._lines if line.parked and line.above > hand.MOST_ABOVE // 5)
        longest = max(self._lines, key=lambda line: line.old)
        if moved or longest.take(longest.portion):
            return
        self._teller.stuck(self._lines)
        # A portion goes back where nothing of the old part is left, so that what stands above it can be taken.
        for line in self._lines:
            if line.parked and line.depth and not line.old:
                line.feed(line.portion)
        time.sleep(_PAUSE_S)

    def _bring_back(self, line: Line, memory: hand.Memory) -> int:
        """Feeds a portion where there is room for it, or where workers have hardly anything left: how many messages moved."""
        if not line.parked:
            return 0
        if line.above > hand.MOST_ABOVE and (moved := line.move_late()):
            return moved
        need = line.portion * line.mean_bytes * 1.3
        if memory.free - need > self._marks.enough or (line.old < line.portion and memory.free > self._marks.short):
            return line.feed(line.portion)
        return 0
