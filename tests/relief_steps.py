"""An act that meets something at a step of its own choosing: every command and every write of a file is one."""

import signal
from pathlib import Path

import redis

from relief_books import HIDDEN, OVER, Books, out_of_order
from relief_under_fire import Child, Happening, acts, carry_out, end_it, fill
from tidegate.demo.broker import PrivateBroker
from tidegate.facts.relief import Act, Relief, State

DEPTH = 120
NOTHING = Happening(0)
#: At this step some are decided on and others not.
MIDDLE = 130


class Site:
    """A short queue and its books; whatever was there is gone."""

    def __init__(self, broker: PrivateBroker, place: Path) -> None:
        self.broker, self.file = broker, place / "backup"
        self.file.unlink(missing_ok=True)
        self.client = redis.Redis(unix_socket_path=str(broker.socket_path))
        self.client.flushall()
        self.books = Books(self.client)
        fill(self.client, 1, DEPTH)
        self.books.published |= set(range(1, DEPTH + 1))
        self.before = self.books.waiting()

    def begun(self, kind: str, what: Happening) -> Child:
        """The act, in which that happens, at work."""
        return Child.in_steps(self.broker.socket_path, what, carry_out, kind, self.broker.url, self.file)

    def act(self, kind: str, what: Happening = NOTHING) -> Child:
        """The same, over."""
        return self.begun(kind, what).wait()

    def end(self, way: str, id_: str, what: Happening = NOTHING) -> Child:
        """The end of an interrupted act, over."""
        return Child.in_steps(self.broker.socket_path, what, end_it, way, self.broker.url, id_).wait()

    def ended(self, way: str) -> list[str]:
        """What is wrong after an act that is not over was ended, where there is one."""
        row = self.row
        said = self.end(way, row.id).said if row is not None and row.state not in OVER else ""
        return [*([said or "its end said nothing"] if said != "" else []), *self.wrong()]

    def set_aside(self) -> int:
        """How many messages are not where workers find them."""
        return sum(self.client.llen(HIDDEN.format(kind)) for kind in ("aside", "later", "back"))

    @property
    def row(self) -> Relief | None:
        """The act that was begun."""
        return next(iter(acts(self.broker.url)), None)

    def wrong(self) -> list[str]:
        """What is not as it has to be, when all is over."""
        row, after, taken = self.row, self.books.waiting(), self.books.settle()
        if row is not None and row.state is State.DONE and not row.to:
            self.books.file(self.file)
        said = self.books.wrong()
        if row is None or (row.state is State.DONE and row.act is not Act.DEDUPE):
            said += out_of_order(taken, after, self.before)
        if row is not None and row.state not in OVER:
            said.append(f"it is {row.state.value}")
        return said


def killed(site: Site, kind: str, way: str, step: int) -> tuple[bool, list[str]]:
    """Whether the act was at work still at that step; and what is wrong after it was killed there and ended."""
    child = site.act(kind, Happening(step, signal.SIGKILL))
    was_killed = child.process.exitcode == -signal.SIGKILL
    return was_killed, site.ended(way)


def every_step(
    kind: str, way: str, broker: PrivateBroker, place: Path, first: int = 1, by: int = 1
) -> tuple[int, list[str]]:
    """(steps at which it was killed, what was wrong afterwards)."""
    step, tried, wrong = first, 0, []
    while True:
        was_killed, said = killed(Site(broker, place), kind, way, step)
        wrong += [f"{kind} killed at step {step}, then {way}: {one}" for one in said]
        if not was_killed:
            return tried, wrong
        step, tried = step + by, tried + 1


def every_step_of_its_end(
    kind: str, way: str, broker: PrivateBroker, place: Path, first: int = 1, by: int = 1
) -> tuple[int, list[str]]:
    """The same where an act that was killed in the middle is killed again as it goes on, or back."""
    step, tried, wrong = first, 0, []
    while True:
        site = Site(broker, place)
        site.act(kind, Happening(MIDDLE, signal.SIGKILL))
        child = site.end(way, site.row.id, Happening(step, signal.SIGKILL)) if site.row is not None else None
        said = site.ended(way)
        wrong += [f"{kind} killed at step {MIDDLE}, its {way} at step {step}: {one}" for one in said]
        if child is None or child.process.exitcode != -signal.SIGKILL:
            return tried, wrong
        step, tried = step + by, tried + 1
