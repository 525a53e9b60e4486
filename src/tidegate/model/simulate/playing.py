"""Playing a scenario: batch after batch of simulated time, once or several times over."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import ceil

from tidegate.facts.scenario import RunSettings, Scenario
from tidegate.facts.simulated import Account
from tidegate.model.simulate.arriving import messages_of
from tidegate.model.simulate.building import build, started
from tidegate.model.simulate.cluster import Cluster
from tidegate.model.simulate.drawing import Streams
from tidegate.model.simulate.fifo import Fifo, HeldTooLong, serves
from tidegate.model.simulate.tally import BATCHES

#: More waiting messages than this are not simulated one by one: a message takes some 200 bytes of memory here.
MOST_WAITING = 5_000_000
#: So many messages are played between two looks at how many wait, and whether to go on.
_AT_ONCE = 100_000
#: Called now and then with the share done and the messages that wait; False ends the simulation there.
Progress = Callable[[float, int], bool]


@dataclass(slots=True)
class Play:
    """One run, played to `until_s`. `at_s` are the ends of its batches, the warm-up included; `full` says that it
    stopped because more messages waited than are simulated.
    """

    cluster: Cluster
    account: Account
    until_s: float = 0.0
    full: bool = False
    at_s: list[float] = field(default_factory=list)


def play(scenario: Scenario, streams: Streams, progress: Progress) -> Play:
    """One run. Its cost is some 1 to 10 µs a message."""
    if serves(scenario):
        try:
            return drive(scenario, Fifo(build(scenario, streams)), progress)
        except HeldTooLong:
            pass
    return drive(scenario, started(scenario, streams), progress)


def drive(scenario: Scenario, driver: Fifo | Cluster, progress: Progress) -> Play:
    """One run on the given path."""
    cluster = driver.cluster if isinstance(driver, Fifo) else driver
    played = Play(cluster, driver.account())
    parts = max(1, ceil(messages_of(scenario) / scenario.run.runs / BATCHES / _AT_ONCE))

    def told(now: float, waiting: int) -> bool:
        return progress(now / scenario.run.duration_s, waiting)

    for moment, measured in batches(scenario.run):
        goes_on = _advance(played, driver, moment, parts, told)
        fold(cluster, cluster.now, cluster.now - played.until_s, measured=measured)
        played.until_s = cluster.now
        played.at_s.append(cluster.now)
        if not goes_on:
            break
    played.account = driver.account()
    return played


def _advance(played: Play, driver: Fifo | Cluster, until_s: float, parts: int, progress: Progress) -> bool:
    """To the end of a batch in so many parts; False where it ended before."""
    since_s = played.until_s
    for part in range(1, parts + 1):
        driver.run_until(until_s if part == parts else since_s + (until_s - since_s) * part / parts)
        waiting = sum(line.depth.value for line in played.cluster.lines.values())
        played.full = waiting > MOST_WAITING
        if not progress(played.cluster.now, waiting) or played.full:
            return False
    return True


def batches(run: RunSettings) -> Iterator[tuple[float, bool]]:
    """The end of every batch, and whether it is measured; the warm-up ends with a batch."""
    length = (run.duration_s - run.warmup_s) / BATCHES
    before = max(1, round(run.warmup_s / length)) if run.warmup_s else 0
    yield from ((run.warmup_s * number / before, False) for number in range(1, before + 1))
    yield from ((run.warmup_s + length * number, True) for number in range(1, BATCHES))
    yield run.duration_s, True


def fold(cluster: Cluster, now: float, length_s: float, *, measured: bool) -> None:
    """The end of a batch, for everything that counts."""
    for kind in cluster.kinds.values():
        kind.fold(length_s, measured=measured)
    for line in cluster.lines.values():
        line.fold(now, measured=measured)
    for pool in cluster.pools:
        pool.fold(now, measured=measured)
    for source in cluster.sources:
        if source.freshness is not None:
            source.freshness.fold(now, measured=measured)
