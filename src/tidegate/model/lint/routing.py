"""Where messages of entries go: to a queue that somebody consumes, to a task that exists."""

import difflib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from tidegate.facts.diagnosis import Finding, Level
from tidegate.facts.seen import EntrySeen
from tidegate.facts.unknown import Unknown, known
from tidegate.model.lint.case import LintCase
from tidegate.model.lint.saying import blind, concluded, named, they
from tidegate.model.rules.saying import could_not_look, quoted, shell

#: How alike two names are where one may be meant for the other: short ones, and ones with a common beginning.
_LIKE_QUEUE, _LIKE_TASK = 0.75, 0.85
#: Looking for a similar name costs a comparison with every task.
_MOST_HINTS = 20


def unconsumed(case: LintCase) -> Iterable[Finding]:
    """TG206: an entry's messages go to a queue that no worker consumes, so they only pile up."""
    consumed = case.question.consumed
    if not known(consumed):
        return [could_not_look("TG206", "which queues are consumed", {"consumed": consumed})]
    judged = _sendable(case, "TG206")
    elsewhere = {queue: rows for queue, rows in _by_queue(judged).items() if queue not in consumed}
    noticed = [_unconsumed(queue, rows, consumed) for queue, rows in elsewhere.items()]
    noticed += [_nowhere(rows) for rows in [[e for e in judged if e.queues == ()]] if rows]
    unseen = blind("TG206", "where every message goes", _unrouted(judged))
    if noticed or unseen:
        return [*noticed, *unseen]
    return concluded("TG206", case, [], "Every entry goes to a queue that is consumed.")


def _sendable(case: LintCase, rule: str) -> Sequence[EntrySeen]:
    return [entry for entry in case.judged(rule) if entry.task]


def _unrouted(judged: Iterable[EntrySeen]) -> dict[str, Unknown]:
    return {entry.name: entry.queues for entry in judged if isinstance(entry.queues, Unknown)}


def _by_queue(judged: Iterable[EntrySeen]) -> Mapping[str, Sequence[EntrySeen]]:
    found: dict[str, list[EntrySeen]] = defaultdict(list)
    for entry in judged:
        for queue in entry.queues if known(entry.queues) else ():
            found[queue].append(entry)
    return found


def _unconsumed(queue: str, rows: Sequence[EntrySeen], consumed: Sequence[str]) -> Finding:
    close = difflib.get_close_matches(queue, consumed, 1, _LIKE_QUEUE)
    meant = f" (perhaps {close[0]} is meant)" if close else ""
    return Finding(
        rule="TG206",
        level=Level.CRITICAL,
        sentence=f"Nobody consumes {queue}, where {they(rows, 'goes', 'go')} ({named(rows)}): the messages pile up{meant}.",
        evidence={"queue": queue, "entries": [entry.name for entry in rows], "consumed": list(consumed)},
        remedy=f"celery -A … worker -Q {shell(queue)}, or another queue for these entries.",
    )


def _nowhere(rows: Sequence[EntrySeen]) -> Finding:
    return Finding(
        rule="TG206",
        level=Level.CRITICAL,
        sentence=f"No queue is bound where {they(rows, 'goes', 'go')} ({named(rows)}): the messages are lost.",
        evidence={"entries": [entry.name for entry in rows]},
        remedy="Give the entry a queue instead of an exchange and a routing key.",
    )


def undeclared(case: LintCase) -> Iterable[Finding]:
    """TG207: an entry's queue is declared nowhere, so a worker without -Q does not consume it."""
    app, judged = case.app, _sendable(case, "TG207")
    strange = {queue: rows for queue, rows in _by_queue(judged).items() if queue not in app.queues}
    if app.creates_queues and known(case.question.consumed):
        # It is known who consumes what, so TG206 has said the rest.
        strange = {}
    noticed = [_undeclared(case, queue, rows) for queue, rows in strange.items()]
    unseen = blind("TG207", "where every message goes", _unrouted(judged))
    if noticed or unseen:
        return [*noticed, *unseen]
    return concluded("TG207", case, [], "Every entry goes to a queue that is declared, or known to be consumed.")


def _undeclared(case: LintCase, queue: str, rows: Sequence[EntrySeen]) -> Finding:
    app = case.app
    declared = ", ".join(app.queues[:5]) + (", …" if len(app.queues) > 5 else "")
    close = difflib.get_close_matches(queue, app.queues, 1, _LIKE_QUEUE)
    meant = f" (perhaps {close[0]} is meant)" if close else ""
    if app.creates_queues:
        so = f"a worker without -Q takes from {declared} only"
    else:
        so = "and task_create_missing_queues is off: beat can't send them"
    return Finding(
        rule="TG207",
        level=Level.WARNING if app.creates_queues else Level.CRITICAL,
        sentence=f"task_queues does not declare {queue}, where {they(rows, 'goes', 'go')} ({named(rows)}): {so}{meant}.",
        evidence={"queue": queue, "entries": [entry.name for entry in rows], "declared": list(app.queues)},
        remedy=f"Queue({quoted(queue)}) in task_queues; or, where a worker has it in -Q: tidegate lint --consumed {shell(queue)}",
    )


def missing_tasks(case: LintCase) -> Iterable[Finding]:
    """TG208: an entry's task does not exist in the application: workers throw its messages away."""
    judged = _sendable(case, "TG208")
    missing: dict[str, list[EntrySeen]] = defaultdict(list)
    for entry in judged:
        if entry.registered is False:
            missing[entry.task].append(entry)
    noticed = [
        _missing(case, task, rows, hint=place < _MOST_HINTS) for place, (task, rows) in enumerate(missing.items())
    ]
    unseen = {entry.name: entry.registered for entry in judged if isinstance(entry.registered, Unknown)}
    if noticed or unseen:
        return [*noticed, *blind("TG208", "whether every task exists", unseen)]
    return concluded("TG208", case, [], "Every entry's task exists.")


def _missing(case: LintCase, task: str, rows: Sequence[EntrySeen], *, hint: bool) -> Finding:
    names = case.app.tasks if hint and known(case.app.tasks) else ()
    close = difflib.get_close_matches(task, names, 1, _LIKE_TASK)
    meant = f" (perhaps {close[0]} is meant)" if close else ""
    return Finding(
        rule="TG208",
        level=Level.CRITICAL,
        sentence=f"The application has no task {task}, which {they(rows, 'sends', 'send')} ({named(rows)}): workers throw the "
        f"messages away{meant}.",
        evidence={"task": task, "entries": [entry.name for entry in rows]},
        remedy=f'"task": {quoted(close[0])} in the entry {quoted(rows[0].name)}'
        if close
        else "The name as a worker lists it at its start; its module has to be in `imports` or `include`, or autodiscovered.",
    )
