"""What the application says of itself (`-A`): its schedule against what the workers can do, and the usual suspects."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from tidegate.facts.diagnosis import Finding, Level, TaskReport
from tidegate.facts.message import Label
from tidegate.facts.seen import AppSeen, EntrySeen
from tidegate.facts.unknown import Unknown, known
from tidegate.model.case import Case
from tidegate.model.rules.saying import could_not_look, fine
from tidegate.units import duration, number

_NO_APP = Unknown("no application was named (-A)")


def debug(case: Case) -> Iterable[Finding]:
    """TG130: DEBUG=True makes the workers' memory grow; Redis's it does not."""
    on = case.app.debug if case.app else _NO_APP
    if not known(on):
        return [could_not_look("TG130", "DEBUG", {"debug": on})]
    if not on:
        return [fine("TG130", "DEBUG is off." if on is False else "The application does not use Django.")]
    return [
        Finding(
            rule="TG130",
            level=Level.WARNING,
            sentence="DEBUG is True: Django keeps every SQL query in the memory of its process, so workers grow. It is not "
            "what fills Redis.",
            evidence={"debug": True},
            remedy="DEBUG = False in production; look at the growth of the queues (TG101) for what fills Redis.",
        )
    ]


def without_expires(case: Case) -> Iterable[Finding]:
    """TG131: a periodic message nobody needs any more still waits for its turn unless it expires."""
    entries = _entries(case)
    if not known(entries):
        return [could_not_look("TG131", "the schedule", {"entries": entries})]
    ours = case.app is not None and case.app.ours is True
    # A scheduler of ours gives every message an `expires`, unless it is 0.
    lasting = [entry for entry in entries if (entry.expires_s == 0 if ours else not entry.expires)]
    if not lasting:
        return [fine("TG131", "Every periodic entry expires." if entries else "No periodic entries.")]
    names = ", ".join(entry.name for entry in lasting[:5]) + (", …" if len(lasting) > 5 else "")
    every = next((interval for interval in map(_interval_s, lasting) if interval), 60.0)
    return [
        Finding(
            rule="TG131",
            level=Level.WARNING,
            sentence=f"{len(lasting)} of {len(entries)} periodic entries never expire ({names}): when workers fall behind, "
            "every late run still waits for its turn.",
            evidence={"entries": [entry.name for entry in lasting]},
            remedy=f'"options": {{"expires": {number(every)}}} in the entry: a run that is due again need not run late.',
        )
    ]


def _entries(case: Case) -> Sequence[EntrySeen] | Unknown:
    return case.app.entries if case.app else _NO_APP


def _interval_s(entry: EntrySeen) -> float | None:
    mean = entry.mean_interval_s
    return entry.interval_s or (mean if known(mean) else None)


def under_the_edge(case: Case) -> Iterable[Finding]:
    """TG132: a periodic entry comes more often than the workers can take."""
    entries = _entries(case)
    if not known(entries):
        return [could_not_look("TG132", "the schedule", {"entries": entries})]
    # Where a task is queued twice, the row that knows its interval decides.
    rows = {task.name: task for task in sorted(case.tasks, key=lambda task: known(task.edge_interval_s))}
    judged = [(e, rows[e.task]) for e in entries if e.interval_s and e.task in rows]
    noticed = [finding for entry, task in judged if (finding := _interval(entry, task)) is not None]
    if noticed:
        return noticed
    unseen = [e for e in entries if e.interval_s and (e.task not in rows or not known(rows[e.task].edge_interval_s))]
    if unseen:
        return [could_not_look("TG132", "every safe interval", {entry.name: _why(entry, rows) for entry in unseen})]
    return [fine("TG132", "Every interval leaves the workers room.")]


def _why(entry: EntrySeen, rows: Mapping[str, TaskReport]) -> Unknown:
    edge = rows[entry.task].edge_interval_s if entry.task in rows else None
    return edge if isinstance(edge, Unknown) else Unknown("none of its messages was seen")


def _interval(entry: EntrySeen, task: TaskReport) -> Finding | None:
    edge, safe, every = task.edge_interval_s, task.min_safe_interval_s, entry.interval_s
    if not known(edge) or not known(safe) or every is None or every >= safe:
        return None
    below = "the edge" if every < edge else "what is safe"
    return Finding(
        rule="TG132",
        level=Level.CRITICAL if every < edge else Level.WARNING,
        sentence=f"{entry.name} sends {entry.task} every {duration(every)}, below {below}: {duration(edge)} is the edge, "
        f"{duration(safe)} is safe.",
        evidence={"entry": entry.name, "interval_s": every, "edge_interval_s": edge, "min_safe_interval_s": safe},
        remedy=f'"schedule": {number(safe)} in the entry {entry.name!r}, or more workers.',
    )


def two_beats(case: Case) -> Iterable[Finding]:
    """TG133: two beats send every entry twice."""
    tasks = _periodic_tasks(case.app)
    senders: dict[str, list[str]] = defaultdict(list)
    for flow in case.look.flows.values():
        for label in (sighting.label for sighting in flow.arrived):
            if isinstance(label, Label) and label.task and label.origin and _is_periodic(label, tasks):
                senders[label.task].append(label.origin)
    both = {task: set(origins) for task, origins in senders.items() if _interleaved(origins)}
    if not both:
        return [_one_beat(senders)]
    task, origins = next(iter(both.items()))
    return [
        Finding(
            rule="TG133",
            level=Level.CRITICAL,
            sentence=f"{len(origins)} beats send {task} ({', '.join(sorted(origins))}): every entry comes {len(origins)} times.",
            evidence={"task": task, "origins": sorted(origins)},
            remedy="Run one beat only: end all but one of these processes (the number in the name is the process id).",
        )
    ]


def _one_beat(senders: dict[str, list[str]]) -> Finding:
    if not senders:
        why = Unknown("no message from beat was seen in the window (a queue that is taken at once hides them)")
        return could_not_look("TG133", "how many beats run", {"origins": why})
    return fine("TG133", "One beat sends.")


def _periodic_tasks(app: AppSeen | None) -> set[str]:
    entries = app.entries if app else ()
    return {entry.task for entry in entries} if known(entries) else set()


def _is_periodic(label: Label, tasks: set[str]) -> bool:
    return not label.is_child and (label.from_beat or label.periodic_entry is not None or label.task in tasks)


def _interleaved(origins: Sequence[str]) -> bool:
    """True where two senders take turns; a beat that was restarted in the window makes one change and no more."""
    turns = [name for name, _ in groupby(origins)]
    return len(set(turns)) > 1 and len(turns) > 2
