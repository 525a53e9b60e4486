"""Five acts: a queue that grows while the page looks fine, and the diagnosis; the plan, and the interval that ends it;
the old interval again, behind the gate; an interval that follows the workers while a host is lost; and a full server,
rescued.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from tidegate.demo.full import let_it_be_full
from tidegate.demo.hosts import let_it_follow
from tidegate.demo.narrator import Narrator, PlainNarrator, sparkline
from tidegate.demo.stage import ENTRY, QUEUE, Scene, Stage
from tidegate.errors import EXIT_FINE
from tidegate.facts.diagnosis import Diagnosis
from tidegate.facts.planned import Plan
from tidegate.facts.unknown import Maybe, known

PARENT = "screen.tasks.refresh_all_clusters"
CHILD = "screen.tasks.flush_cluster_status"
GROWS_S = 20.0
#: The third act lasts so much of the first.
HELD_SHARE = 0.7
LOOKS_PER_S = 4
FIRINGS_AFTER_REMEDY = 5
#: Without a diagnosis, or where it gives no number.
CAUTIOUS_FACTOR = 2.0
#: Shells report a process ended by signal N as 128 + N.
SIGNALLED = 128

ShowDiagnosis = Callable[[str], Diagnosis | None]
ShowPlan = Callable[[str], Plan | None]
ShowGate = Callable[[str], object]


class Ended(BaseException):
    """A signal asked the demo to end; like KeyboardInterrupt no handler of ordinary errors may catch it."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by signal {number}")
        self.number = number


def run_demo(
    show_diagnosis: ShowDiagnosis,
    show_plan: ShowPlan,
    show_gate: ShowGate | None = None,
    *,
    narrator: Narrator | None = None,
    keep: bool = False,
    port: int | None = None,
    seconds: float = GROWS_S,
    scene: Scene | None = None,
) -> int:
    """Play the story and return the exit code: 0, or 130 after Ctrl-C and 143 after SIGTERM.

    The queue grows for `seconds`; then `show_diagnosis` and `show_plan` are called with the broker's URL and return
    what they have shown, or None; `show_gate` is called in the third act, and without it there is none. `keep` leaves
    the fault running until Ctrl-C instead of mending it. The page is at `port` of 127.0.0.1, at a free one where it is
    None. Whatever ends the demo, no process and no directory is left.
    Raises `NoBinary` without a server program, `UsageError` without Django, `ProcessFailed` where a part won't start.
    """
    teller = narrator or PlainNarrator(sys.stderr)
    try:
        with _ending_by_signal():
            play(show_diagnosis, show_plan, show_gate, teller, scene or Scene(), keep=keep, port=port, seconds=seconds)
    except Ended as end:
        teller.say("Ended; nothing of the demo is left.")
        return SIGNALLED + end.number
    return EXIT_FINE


def play(
    show_diagnosis: ShowDiagnosis,
    show_plan: ShowPlan,
    show_gate: ShowGate | None,
    teller: Narrator,
    scene: Scene,
    *,
    keep: bool,
    port: int | None,
    seconds: float,
) -> None:
    """The acts themselves, without signal handling; arguments as `run_demo`."""
    _introduce(teller, scene)
    with Stage(scene, port) as stage:
        teller.say(f"The page is at {stage.page_url} and the broker at {stage.broker.url}")
        grown = _let_it_grow(teller, stage, seconds)
        diagnosis = show_diagnosis(stage.broker.url)
        _edge_from_outside(teller, scene, diagnosis)
        plan = show_plan(stage.broker.url)
        if keep:
            _keep(teller, stage)
        else:
            _mend(teller, stage, diagnosis, plan)
            if show_gate is not None:
                _let_it_clock_itself(teller, stage, HELD_SHARE * seconds, grown, show_gate)
                let_it_follow(teller, stage)
                let_it_be_full(teller, stage)
    teller.say("That was all of it; every process is ended and every file removed.")


def _introduce(teller: Narrator, scene: Scene) -> None:
    teller.say(
        f"A screen in an operations room shows {scene.clusters} clusters. Every {scene.interval_s:g} s Celery beat "
        "asks for a new status of each; one worker process measures them. Starting a private server, the Django "
        "project, the worker, beat and the page ..."
    )


def _let_it_grow(teller: Narrator, stage: Stage, seconds: float) -> list[int]:
    """The depths seen meanwhile."""
    depths = _watch(teller, stage, seconds)
    teller.say(
        f"After {seconds:.0f} s {depths[-1]} messages wait in the queue {QUEUE!r}. The page looks fine all the same: "
        "every status is measured when its task runs, so it is fresh, and nobody notices. Now ask Tidegate."
    )
    return depths


def _watch(teller: Narrator, stage: Stage, seconds: float) -> list[int]:
    """The depths seen over so many seconds, shown while they come in."""
    depths: list[int] = []
    started = time.monotonic()
    while (passed := time.monotonic() - started) < seconds or not depths:
        depths.append(stage.depth)
        teller.progress(f"{passed:4.0f} s  {depths[-1]:5d} messages wait  {sparkline(depths)}")
        time.sleep(1 / LOOKS_PER_S)
    return depths


def _edge_from_outside(teller: Narrator, scene: Scene, diagnosis: Diagnosis | None) -> None:
    edge_s, _ = _advice(scene, diagnosis)
    seen = "" if edge_s is None else f"Seen from outside, a round of refreshes is about {edge_s:.2f} s of work. "
    teller.say(
        f"{seen}More memory for Redis would only buy time. The project has one line for Tidegate, "
        "tidegate.install(app), so what a firing costs is measured as well. Now ask for the interval."
    )


def _mend(teller: Narrator, stage: Stage, diagnosis: Diagnosis | None, plan: Plan | None) -> None:
    """What the team of the story did: a longer interval, and away with refreshes that nobody waits for any more."""
    interval_s = explain(teller, stage.scene, diagnosis, plan)
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


def _let_it_clock_itself(teller: Narrator, stage: Stage, seconds: float, grown: list[int], show_gate: ShowGate) -> None:
    """The third act: the interval of the first one, with at most one firing that is not done beside the newest."""
    teller.say(
        f"And if it has to be every {stage.scene.interval_s:g} s? Beat goes back to the interval that was too short, with "
        'one setting more: tidegate_entries = {"refresh": {"overlap": "buffer_one", "scope": "firing"}}. The gate counts '
        "a refresh with all that it spawns, and while one runs and one waits it sends no third."
    )
    stage.start_beat(stage.scene.interval_s, overlap="buffer_one")
    depths = _watch(teller, stage, seconds)
    show_gate(stage.broker.url)
    teller.say(f"{_held(stage.scene, depths, seconds, grown)} {_fresh(stage)}")


def _held(scene: Scene, depths: list[int], seconds: float, grown: list[int]) -> str:
    most, without = max(depths), grown[min(len(depths), len(grown)) - 1]
    if most > 2 * scene.clusters:
        return f"As many as {most} messages waited, more than two refreshes bring: something else fills the queue."
    return (
        f"After {seconds:.0f} s of the same overload {depths[-1]} messages wait, and there were never more than {most}, "
        f"less than two refreshes bring; without the gate {without} waited by then, and it went on."
    )


def _fresh(stage: Stage) -> str:
    age_s = stage.oldest_status_s()
    seen = (
        "" if age_s is None else f": the oldest status on the page is {age_s:.1f} s old, about what a round takes them"
    )
    return f"The workers set the pace{seen}."


def explain(teller: Narrator, scene: Scene, diagnosis: Diagnosis | None, plan: Plan | None) -> float:
    """Say in two sentences which interval to take and why, and return it: the plan's, else the diagnosis's, else a guess."""
    edge_s, safe_s = _planned(plan)
    if safe_s is None:
        edge_s, safe_s = _advice(scene, diagnosis)
    if safe_s is None:
        safe_s = CAUTIOUS_FACTOR * scene.interval_s
        teller.say(f"No interval could be told, so beat gets twice the old one: {safe_s:g} s.")
        return safe_s
    edge = (
        ""
        if edge_s is None
        else f"A firing with all that it brings keeps the worker busy for {edge_s:.2f} s: below that the queue grows. "
    )
    teller.say(f"{edge}Safe is an interval of {safe_s:.2f} s: it leaves the worker some air for a bad moment.")
    return safe_s


def _planned(plan: Plan | None) -> tuple[float | None, float | None]:
    """The edge and the safe interval of the plan in seconds, each None where it has none."""
    entry = next((row for row in plan.entries if row.entry == ENTRY), None) if plan is not None else None
    if entry is None or not known(entry.min_safe_interval_s):
        return None, None
    return _number(entry.edge_interval_s), entry.min_safe_interval_s.estimate


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
