"""The first act: a queue that grows while the page looks fine, the diagnosis, and the interval that ends it."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from tidegate.demo.narrator import Narrator, PlainNarrator, sparkline
from tidegate.demo.stage import QUEUE, Scene, Stage
from tidegate.errors import EXIT_FINE
from tidegate.facts.diagnosis import Diagnosis
from tidegate.facts.unknown import Maybe, known

PARENT = "screen.tasks.refresh_all_clusters"
CHILD = "screen.tasks.flush_cluster_status"
GROWS_S = 20.0
LOOKS_PER_S = 4
FIRINGS_AFTER_REMEDY = 6
#: Without a diagnosis, or where it gives no number.
CAUTIOUS_FACTOR = 2.0
#: Shells report a process ended by signal N as 128 + N.
SIGNALLED = 128

ShowDiagnosis = Callable[[str], Diagnosis | None]


class Ended(BaseException):
    """A signal asked the demo to end; like KeyboardInterrupt no handler of ordinary errors may catch it."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by signal {number}")
        self.number = number


def run_demo(
    show_diagnosis: ShowDiagnosis,
    *,
    narrator: Narrator | None = None,
    keep: bool = False,
    port: int | None = None,
    seconds: float = GROWS_S,
    scene: Scene | None = None,
) -> int:
    """Play the story and return the exit code: 0, or 130 after Ctrl-C and 143 after SIGTERM.

    The queue grows for `seconds`; then `show_diagnosis` is called with the broker's URL and returns the diagnosis
    it has shown, or None. `keep` leaves the fault running until Ctrl-C instead of mending it. The page is at `port`
    of 127.0.0.1, at a free one where it is None. Whatever ends the demo, no process and no directory is left.
    Raises `NoBinary` without a server program, `UsageError` without Django, `ProcessFailed` where a part won't start.
    """
    teller = narrator or PlainNarrator(sys.stderr)
    try:
        with _ending_by_signal():
            play(show_diagnosis, teller, scene or Scene(), keep=keep, port=port, seconds=seconds)
    except Ended as end:
        teller.say("Ended; nothing of the demo is left.")
        return SIGNALLED + end.number
    return EXIT_FINE


def play(
    show_diagnosis: ShowDiagnosis,
    teller: Narrator,
    scene: Scene,
    *,
    keep: bool,
    port: int | None,
    seconds: float,
) -> None:
    """The act itself, without signal handling; arguments as `run_demo`."""
    _introduce(teller, scene)
    with Stage(scene, port) as stage:
        teller.say(f"The page is at {stage.page_url} and the broker at {stage.broker.url}")
        _let_it_grow(teller, stage, seconds)
        diagnosis = show_diagnosis(stage.broker.url)
        if keep:
            _keep(teller, stage)
        else:
            _mend(teller, stage, diagnosis)
    teller.say("That was all of it; every process is ended and every file removed.")


def _introduce(teller: Narrator, scene: Scene) -> None:
    teller.say(
        f"A screen in an operations room shows {scene.clusters} clusters. Every {scene.interval_s:g} s Celery beat "
        "asks for a new status of each; one worker process measures them. Starting a private server, the Django "
        "project, the worker, beat and the page ..."
    )


def _let_it_grow(teller: Narrator, stage: Stage, seconds: float) -> None:
    depths = _watch(teller, stage, seconds)
    teller.say(
        f"After {seconds:.0f} s {depths[-1]} messages wait in the queue {QUEUE!r}. The page looks fine all the same: "
        "every status is measured when its task runs, so it is fresh, and nobody notices. Now ask Tidegate."
    )


def _watch(teller: Narrator, stage: Stage, seconds: float) -> list[int]:
    """The depths seen over so many seconds, shown while they come in."""
    depths: list[int] = []
    started = time.monotonic()
    while (passed := time.monotonic() - started) < seconds or not depths:
        depths.append(stage.depth)
        teller.progress(f"{passed:4.0f} s  {depths[-1]:5d} messages wait  {sparkline(depths)}")
        time.sleep(1 / LOOKS_PER_S)
    return depths


def _mend(teller: Narrator, stage: Stage, diagnosis: Diagnosis | None) -> None:
    """What the team of the story did: a longer interval, and away with refreshes that nobody waits for any more."""
    interval_s = explain(teller, stage.scene, diagnosis)
    stage.start_beat(interval_s)
    dropped = stage.discard_backlog()
    teller.say(
        f"Beat now fires every {interval_s:.2f} s, and the {dropped} messages that waited are deleted: "
        "a refresh that comes late is worth nothing."
    )
    depths = _watch(teller, stage, FIRINGS_AFTER_REMEDY * interval_s)
    # The first firing is over by then; what rises and falls is the burst of each firing.
    settled = depths[len(depths) // 3 :]
    teller.say(
        f"The queue no longer grows: each firing puts {stage.scene.clusters} messages in, and they are gone before "
        f"the next one (between {min(settled)} and {max(settled)} waited)."
        if min(settled) == 0
        else f"Between {min(settled)} and {max(settled)} messages waited: this machine is busy with other things too."
    )


def explain(teller: Narrator, scene: Scene, diagnosis: Diagnosis | None) -> float:
    """Say what follows from the diagnosis, in two sentences, and return the interval to take."""
    edge_s, safe_s = _advice(scene, diagnosis)
    if safe_s is None:
        safe_s = CAUTIOUS_FACTOR * scene.interval_s
        teller.say(f"No interval could be read from the diagnosis, so beat gets twice the old one: {safe_s:g} s.")
        return safe_s
    edge = (
        ""
        if edge_s is None
        else (
            f"One round of refreshes is {edge_s:.2f} s of work for this worker, so at every interval below that the "
            "queue grows, and more memory for Redis only buys time. "
        )
    )
    teller.say(f"{edge}Safe is an interval of {safe_s:.2f} s: it leaves the worker some air for a bad moment.")
    return safe_s


def _advice(scene: Scene, diagnosis: Diagnosis | None) -> tuple[float | None, float | None]:
    """The edge and the safe interval between two firings in seconds, each None where the diagnosis has none.

    From outside a parent that never waits shows no capacity; its children do, and each firing sends one per cluster.
    """
    tasks = {task.name: task for task in diagnosis.tasks} if diagnosis is not None else {}
    for name, per_firing in ((PARENT, 1), (CHILD, scene.clusters)):
        if (task := tasks.get(name)) is not None and _number(task.min_safe_interval_s) is not None:
            return _times(per_firing, task.edge_interval_s), _times(per_firing, task.min_safe_interval_s)
    return None, None


def _times(per_firing: int, interval_s: Maybe[float]) -> float | None:
    seconds = _number(interval_s)
    return None if seconds is None else per_firing * seconds


def _number(value: Maybe[float]) -> float | None:
    return value if known(value) else None


def _keep(teller: Narrator, stage: Stage) -> None:
    teller.say("It all goes on, and so does the fault, until Ctrl-C:")
    teller.say(f"    the page    {stage.page_url}\n    the broker  {stage.broker.url}")
    teller.say(f"    tidegate doctor {stage.broker.url}")
    while True:
        _watch(teller, stage, 3600.0)


@contextmanager
def _ending_by_signal() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into `Ended`; the second one while things are put away is not listened to."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers; who plays it in another one ends it another way
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, _end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _frame: FrameType | None) -> None:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise Ended(number)
