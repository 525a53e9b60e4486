"""Whether the parts of a scenario fit together; every refusal is one line that says what to change."""

from collections.abc import Iterable, Sequence

from tidegate.errors import UsageError
from tidegate.facts.scenario import Arrivals, Entry, RunSettings, Scenario, TaskLoad
from tidegate.model.simulate.arriving import messages_of
from tidegate.model.simulate.values import LONGEST_S, one_of, refuse
from tidegate.units import count, plural

_GENERATIONS, _MOST_RUNS = 1000, 1e7
#: Event by event that would take hours.
_MOST_MESSAGES = 2e9
_MOST_HOSTS = 50_000


def check(scenario: Scenario, name: str = "the scenario") -> None:
    """UsageError where its parts do not fit together; what nobody consumes is no error, it grows."""
    if not scenario.hosts and not scenario.tasks:
        raise UsageError(f"{name} is empty: it needs [[hosts]], [[tasks]], and [[entries]] or [[arrivals]]")
    for section in ("hosts", "tasks"):
        if not getattr(scenario, section):
            raise UsageError(f"{name} has no [[{section}]]")
    if not scenario.entries and not scenario.arrivals:
        raise UsageError(f"{name} has no [[entries]] and no [[arrivals]]: nothing would ever be published")
    for section in ("hosts", "tasks", "entries", "arrivals"):
        _unique(section, [item.name for item in getattr(scenario, section)])
    _names_exist(scenario)
    for entry in scenario.entries:
        _check_entry(entry)
    for arrivals in scenario.arrivals:
        _check_arrivals(arrivals)
    _check_run(scenario.run)
    _ends(scenario.tasks)
    if scenario.run.mode == "events":
        _can_be_followed(scenario, name)


def _check_run(run: RunSettings) -> None:
    if not 0 < run.duration_s <= LONGEST_S:
        raise refuse("[run]: duration", "more than 0 s and at most ten years", run.duration_s)
    if run.warmup_s >= run.duration_s:
        raise refuse("[run]: warmup", "less than the duration", run.warmup_s)


def _can_be_followed(scenario: Scenario, name: str) -> None:
    hosts, messages = sum(group.count for group in scenario.hosts), messages_of(scenario)
    if hosts > _MOST_HOSTS:
        raise UsageError(
            f"{name} has {count(hosts)} hosts, more than the {count(_MOST_HOSTS)} that can be followed one by one: "
            "use the fluid mode"
        )
    if messages > _MOST_MESSAGES:
        raise UsageError(
            f"{name} publishes {plural(messages, 'message')}, more than the {count(_MOST_MESSAGES)} that can be followed "
            "one by one: a shorter duration, or the fluid mode"
        )


def _unique(section: str, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"[[{section}]]: the name {name!r} stands there twice")


def _names_exist(scenario: Scenario) -> None:
    tasks = [task.name for task in scenario.tasks]
    uses = [(f"[[entries]] {entry.name}: the task", entry.task) for entry in scenario.entries]
    uses += [(f"[[arrivals]] {arrivals.name}: the task", arrivals.task) for arrivals in scenario.arrivals]
    uses += [(f"[[tasks]] {task.name}: the child", child) for task in scenario.tasks for child in task.children]
    _known(uses, tasks)
    groups = [group.name for group in scenario.hosts]
    _known([(f"[[events]] at {event.at_s:g}: the host", event.host) for event in scenario.events], groups)


def _known(uses: Iterable[tuple[str, str]], names: Sequence[str]) -> None:
    for what, name in uses:
        if name not in names:
            raise one_of(name, names, what)


def _check_entry(entry: Entry) -> None:
    where = f"[[entries]] {entry.name}"
    if (entry.every_s > 0) == (entry.gaps is not None):
        raise UsageError(f"{where}: every, or gaps in its place, must be given")
    if entry.jitter_s and (entry.gaps is not None or entry.jitter_s > entry.every_s):
        raise refuse(f"{where}: jitter", "at most the interval", entry.jitter_s)


def _check_arrivals(arrivals: Arrivals) -> None:
    where = f"[[arrivals]] {arrivals.name}"
    given = [arrivals.rate_per_s is not None, bool(arrivals.rates), arrivals.gaps is not None, bool(arrivals.times_s)]
    if sum(given) != 1:
        raise UsageError(f"{where}: one of rate, rates, gaps and times must be given")
    if list(arrivals.times_s) != sorted(arrivals.times_s):
        raise refuse(f"{where}: times", "moments in ascending order", arrivals.times_s)
    if arrivals.rates and not any(rate > 0 for _, rate in arrivals.rates):
        raise refuse(f"{where}: rates", "at least one rate above 0", arrivals.rates)


def _ends(tasks: Sequence[TaskLoad]) -> None:
    """A task whose children bring it back without end would fill any memory within a moment."""
    children = {task.name: task.children for task in tasks}
    for task in tasks:
        born, total = {task.name: 1.0}, 0.0
        for _ in range(_GENERATIONS):
            following: dict[str, float] = {}
            for name, number in born.items():
                for child, each in children[name].items():
                    following[child] = following.get(child, 0.0) + number * each
            born, total = following, total + sum(following.values())
            if total > _MOST_RUNS:
                raise UsageError(
                    f"[[tasks]] {task.name}: its children never end: more than {_MOST_RUNS:,.0f} come of one"
                )
            if sum(born.values()) < 1e-9:
                break
        else:
            raise UsageError(f"[[tasks]] {task.name}: its children publish it again without end")
