"""Which messages belong to a workflow that is already under way: the gate never refuses, drops or skips these.

A workflow of which a part is missing never ends, and whoever waits for its result waits for ever. Celery itself says
what it sends on: a retry counts its tries, a member of a chord carries the chord, and a step, a callback or an errback is
given its root and its parent. What a task publishes of its own accord carries none of these, and is no exception.
"""

from collections.abc import Iterator
from typing import Any

RETRY, CHORD, WORKFLOW = "retry", "chord", "workflow"

UNLOCK = "celery.chord_unlock"
_DEEPEST = 20


def exempt(task: str, options: dict[str, Any], run: Any) -> str:
    """Why no bound holds for this message, empty where one does; 0.3 µs.

    `run` is the task that is running here, None outside of a worker.
    """
    if options.get("retries"):
        return RETRY
    if options.get("chord") is not None or task == UNLOCK:
        return CHORD
    if options.get("root_id") or options.get("parent_id") or options.get("replaced_task_nesting"):
        return WORKFLOW
    if run is not None and _is_body(options, run):
        return CHORD
    return ""


def is_part(options: dict[str, Any]) -> bool:
    """Whether the results of other messages depend on this one, so that no other run may stand in for it."""
    return bool(options.get("chain") or options.get("group_id"))


def _is_body(options: dict[str, Any], run: Any) -> bool:
    """Whether it is the body of the chord that the present run is a member of, or that it unlocks."""
    if run.name == UNLOCK:
        return True
    chord = run.request.chord
    if not chord or not isinstance(chord, dict):
        return False
    ids = {options.get("task_id"), options.get("group_id")} - {None}
    return bool(ids) and not ids.isdisjoint(_ids(chord, 0))


def _ids(signature: Any, depth: int) -> Iterator[str]:
    """The frozen ids of a signature and of all its parts; whatever it is, for it came in a message."""
    if not isinstance(signature, dict) or depth > _DEEPEST:
        return
    options, kwargs = signature.get("options"), signature.get("kwargs")
    if isinstance(options, dict) and isinstance(options.get("task_id"), str):
        yield options["task_id"]
    parts = kwargs.get("tasks") if isinstance(kwargs, dict) else None
    for part in parts if isinstance(parts, (list, tuple)) else ():
        yield from _ids(part, depth + 1)
