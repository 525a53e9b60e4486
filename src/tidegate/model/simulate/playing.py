"""Playing a scenario: batch after batch of simulated time, once or several times over."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tidegate.facts.scenario import RunSettings, Scenario
from tidegate.facts.simulated import Account
from tidegate.model.simulate.building import build, started
from tidegate.model.simulate.cluster import Cluster
from tidegate.model.simulate.drawing import Streams
from tidegate.model.simulate.fifo import Fifo, HeldTooLong, serves
from tidegate.model.simulate.tally import BATCHES

#: More waiting messages than this are not simulated one by one: a message takes some 200 bytes of memory here.
MOST_WAITING = 5_000_000
#: Called after every batch with the share done and the messages that wait; False ends the simulation there.
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
    for moment, measured in batches(scenario.run):
        driver.run_until(moment)
        fold(cluster, moment, moment - played.until_s, measured=measured)
        played.until_s = moment
        played.at_s.append(moment)
        waiting = sum(line.depth.value for line in cluster.lines.values())
        played.full = waiting > MOST_WAITING
        if not progress(moment / scenario.run.duration_s, waiting) or played.full:
            break
    played.account = driver.account()
    return played


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
