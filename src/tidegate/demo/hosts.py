"""The act in which a host is lost: the interval follows the workers, and nobody touches the schedule."""

import time
from collections.abc import Callable

from tidegate.broker.beat import key_of
from tidegate.broker.orders import decode_paced
from tidegate.demo.narrator import Narrator, sparkline
from tidegate.demo.stage import APPLICATION, ENTRY, Stage
from tidegate.facts.beat import Paced

_LOOKS_PER_S = 4
_SETTLES_S = 12.0
_STAYS_S = 4.0
_WIDER, _NARROWER = 1.3, 0.77


def let_it_follow(teller: Narrator, stage: Stage) -> None:
    """A second host comes, goes and comes back; each time the interval is told, and what waited."""
    teller.say(
        "The next act is about hosts. A second worker process starts, as a second host, and beat with the scheduler of "
        'Tidegate (-S tidegate) and {"every": "auto"}: the interval follows the workers that live.'
    )
    stage.start_second_host()
    stage.start_beat(2 * stage.scene.interval_s, follows=True)
    both = _watch(teller, stage, lambda one: one.basis == "plan" and one.why.startswith("2 hosts"), 2 * _SETTLES_S)
    _tell(teller, "With both hosts", both)
    stage.kill_second_host()
    teller.say("The second host is killed now, without a word (SIGKILL).")
    before_s = both[0].interval_s if both[0] else 0.0
    alone = _watch(teller, stage, lambda one: one.interval_s > before_s * _WIDER, _SETTLES_S)
    _tell(teller, "With one host", alone)
    stage.start_second_host()
    alone_s = alone[0].interval_s if alone[0] else float("inf")
    again = _watch(teller, stage, lambda one: one.interval_s < alone_s * _NARROWER, 2 * _SETTLES_S)
    _tell(teller, "With the second host back", again)


def present(stage: Stage) -> Paced | None:
    """The interval that the beat goes by now."""
    stored = stage.broker.ask("HGET", key_of("", APPLICATION, "paced"), ENTRY)
    return decode_paced(stored) if isinstance(stored, (bytes, str)) else None


def _watch(
    teller: Narrator, stage: Stage, is_so: Callable[[Paced], bool], seconds: float
) -> tuple[Paced | None, list[int]]:
    """The interval at the end and the depths on the way, for at most so many seconds, fewer where it has settled."""
    depths: list[int] = []
    began, until = time.monotonic(), time.monotonic() + seconds
    since, last_s = began, 0.0
    while time.monotonic() < until:
        paced = present(stage)
        depths.append(stage.depth)
        if paced is None or paced.interval_s != last_s or not is_so(paced):
            since, last_s = time.monotonic(), paced.interval_s if paced is not None else 0.0
        elif time.monotonic() - since > _STAYS_S:
            break
        shown = f"interval {paced.interval_s:.2f} s" if paced is not None else "interval …"
        passed = time.monotonic() - began
        teller.progress(f"{passed:4.0f} s  {depths[-1]:5d} messages wait  {sparkline(depths)}  {shown}")
        time.sleep(1 / _LOOKS_PER_S)
    return present(stage), depths


def _tell(teller: Narrator, when: str, watched: tuple[Paced | None, list[int]]) -> None:
    paced, depths = watched
    if paced is None:
        teller.say(f"{when} no interval was set: this machine is busy with other things.")
        return
    teller.say(
        f"{when} a refresh comes every {paced.interval_s:.2f} s ({paced.why}); "
        f"never more than {max(depths)} messages waited."
    )
