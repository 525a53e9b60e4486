"""A scenario in, the answer out: event by event, or as a fluid."""

from collections.abc import Callable

from tidegate.facts.scenario import Scenario
from tidegate.facts.simulated import Simulated
from tidegate.model.simulate.drawing import Streams
from tidegate.model.simulate.fluid.flow import flow
from tidegate.model.simulate.outcome import outcome
from tidegate.model.simulate.playing import Play, Progress, play


def go_on(done: float, waiting: int) -> bool:
    """To the end."""
    return True


def simulate(
    scenario: Scenario, streams: Callable[[int], Streams], version: str, progress: Progress = go_on
) -> Simulated:
    """What becomes of the scenario. `streams(n)` gives the chance of the n-th run, from 0.

    Event by event some 1 to 10 µs a message; as a fluid some milliseconds, whatever the number of hosts and messages.
    """
    if scenario.run.mode == "fluid":
        return flow(scenario, version)
    plays: list[Play] = []
    for number in range(scenario.run.runs):
        asked_to_stop = False

        def told(done: float, waiting: int, number: int = number) -> bool:
            nonlocal asked_to_stop
            asked_to_stop = not progress((number + done) / scenario.run.runs, waiting)
            return not asked_to_stop

        plays.append(play(scenario, streams(number), told))
        if asked_to_stop:
            break
    # A run that was broken off says less than the whole ones before it.
    whole = plays[:-1] if len(plays) > 1 and asked_to_stop else plays
    return outcome(scenario, whole, version)
