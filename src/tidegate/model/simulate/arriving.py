"""How much comes: messages a second by source and by task, children included."""

from math import inf

from tidegate.facts.scenario import Arrivals, Entry, Scenario
from tidegate.model.simulate.drawing import mean_s

#: Of a firing so many generations are followed: a checked scenario ends before.
_GENERATIONS = 1000


def sources_of(scenario: Scenario) -> tuple[Entry | Arrivals, ...]:
    """All that publishes of itself, entries first."""
    return (*scenario.entries, *scenario.arrivals)


def published_per_s(scenario: Scenario) -> dict[str, float]:
    """Messages a second of every task, children included, while the workers keep up; recorded moments as their mean."""
    rates = dict.fromkeys((task.name for task in scenario.tasks), 0.0)
    for spec in sources_of(scenario):
        rates[spec.task] += rate_of(spec, scenario.run.duration_s)
    born, children = dict(rates), {task.name: task.children for task in scenario.tasks}
    for _ in range(_GENERATIONS):
        following: dict[str, float] = {}
        for name, number in born.items():
            for child, each in children[name].items():
                following[child] = following.get(child, 0.0) + number * each
                rates[child] += number * each
        born = following
        if not born:
            break
    return rates


def rate_of(spec: Entry | Arrivals, duration_s: float) -> float:
    """Messages a second of one source, as its mean over the simulation."""
    if spec.gaps is not None:
        return 1 / mean_s(spec.gaps)
    if isinstance(spec, Entry):
        return spec.count / spec.every_s
    if spec.rate_per_s is not None:
        return spec.rate_per_s
    if spec.times_s:
        return sum(at <= duration_s for at in spec.times_s) / duration_s
    ends = [since for since, _ in spec.rates[1:]] + [inf]
    spans = [max(0.0, min(until, duration_s) - since) for (since, _), until in zip(spec.rates, ends, strict=True)]
    return sum(span * rate for span, (_, rate) in zip(spans, spec.rates, strict=True)) / duration_s


def becomes(scenario: Scenario) -> dict[str, dict[str, float]]:
    """How many messages by queue one waiting message of every task becomes in the end, itself among them."""
    tasks = {task.name: task for task in scenario.tasks}
    result = {}
    for name, task in tasks.items():
        total, born = {task.queue: 1.0}, {name: 1.0}
        for _ in range(_GENERATIONS):
            following: dict[str, float] = {}
            for parent, number in born.items():
                for child, each in tasks[parent].children.items():
                    following[child] = following.get(child, 0.0) + number * each
                    queue = tasks[child].queue
                    total[queue] = total.get(queue, 0.0) + number * each
            born = following
            if not born:
                break
        result[name] = total
    return result


def messages_of(scenario: Scenario) -> float:
    """How many messages the whole simulation publishes, if the workers keep up."""
    return sum(published_per_s(scenario).values()) * scenario.run.duration_s * scenario.run.runs
