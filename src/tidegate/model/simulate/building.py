"""From a scenario to a cluster that is ready to run."""

from bisect import bisect_right

from tidegate.facts.scenario import HostEvent, Scenario, TaskLoad
from tidegate.model.simulate.arriving import sources_of
from tidegate.model.simulate.cluster import Cluster
from tidegate.model.simulate.drawing import Streams, draws
from tidegate.model.simulate.hosts import Host, Pool
from tidegate.model.simulate.lines import Line
from tidegate.model.simulate.loss import come_back, kill
from tidegate.model.simulate.messages import Kind
from tidegate.model.simulate.sources import Source, moments


def build(scenario: Scenario, streams: Streams) -> Cluster:
    """Everything in place at moment 0, and nothing happening yet.

    Run times come from the streams `run/TASK`, chances from `chance/TASK`.
    """
    steps = steps_of(scenario)
    lines = {name: Line(name, len(steps)) for name in queues_of(scenario)}
    kinds = {
        task.name: _kind(number, task, lines[task.queue], steps, streams) for number, task in enumerate(scenario.tasks)
    }
    for task in scenario.tasks:
        kinds[task.name].children = [(kinds[name], int(n), n - int(n)) for name, n in task.children.items() if n > 0]
    sources = []
    for number, spec in enumerate(sources_of(scenario)):
        kind = kinds[spec.task]
        step = kind.step if spec.priority is None else place_of_priority(spec.priority, steps)
        sources.append(Source(number, spec, kind, step, moments(spec, streams)))
    hosts, pools = _hosts(scenario, lines)
    cluster = Cluster(lines, kinds, sources, hosts, pools)
    cluster.visibility_timeout_s = scenario.broker.visibility_timeout_s
    return cluster


def started(scenario: Scenario, streams: Streams) -> Cluster:
    """The same, with its hosts up, its sources coming due, and everything that will happen to hosts noted."""
    cluster = build(scenario, streams)
    cluster.start(scenario.broker.restore_every_s)
    for event in scenario.events:
        cluster.at(event.at_s, lambda now, event: _happens(cluster, now, event), event)
    return cluster


def queues_of(scenario: Scenario) -> tuple[str, ...]:
    """Every queue that a task goes to or a host consumes, in the order of the scenario."""
    consumed = [queue for group in scenario.hosts for queue in group.queues]
    return tuple(dict.fromkeys([*(task.queue for task in scenario.tasks), *consumed]))


def _happens(cluster: Cluster, now: float, event: HostEvent) -> None:
    act = kill if event.kind == "kill" else come_back
    act(cluster, now, event.host, event.count)


def _kind(number: int, task: TaskLoad, line: Line, steps: list[int], streams: Streams) -> Kind:
    draw, chance = draws(task.run, streams(f"run/{task.name}")), streams(f"chance/{task.name}")
    return Kind(number, task, line, place_of_priority(task.priority, steps), draw, chance)


def steps_of(scenario: Scenario) -> list[int]:
    """The priority steps that are used at all, so that a queue has no more lists than it needs."""
    all_steps = sorted(scenario.broker.priority_steps)
    priorities = {task.priority for task in scenario.tasks}
    priorities |= {spec.priority for spec in sources_of(scenario) if spec.priority is not None}
    return sorted({all_steps[place_of_priority(priority, all_steps)] for priority in priorities})


def place_of_priority(priority: int, steps: list[int]) -> int:
    """As Kombu: the highest step that is not above the priority."""
    return max(0, bisect_right(steps, priority) - 1)


def _hosts(scenario: Scenario, lines: dict[str, Line]) -> tuple[list[Host], list[Pool]]:
    hosts: list[Host] = []
    pools: dict[frozenset[str], Pool] = {}
    for group in scenario.hosts:
        pool = pools.setdefault(frozenset(group.queues), Pool(group.queues))
        for _ in range(group.count):
            host = Host(group, tuple(lines[queue] for queue in group.queues), pool)
            hosts.append(host)
            pool.hosts.append(host)
    return hosts, list(pools.values())
