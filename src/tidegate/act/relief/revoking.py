"""Results of removed messages: set to REVOKED, so that whoever waits for one hears of it and does not wait for ever."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from celery.app.task import Context

from tidegate.act.gate.after import has_results, revoke
from tidegate.act.gate.workflow import UNLOCK
from tidegate.broker.embedded import Embedded, embedded_in
from tidegate.facts.unknown import known

#: What became of each message: its result was set, it had one or wants none, it can't be read, the backend failed.
REVOKED, SETTLED, UNREADABLE, FAILED = "revoked", "settled", "unreadable", "failed"


def revoke_results(app: Any, elements: Iterable[bytes], why: str = "it was removed by an operator") -> Counter[str]:
    """Sets the results of these messages to REVOKED where they have none; counts what became of them. Three round trips each.

    As a worker does it for a revoked task: the steps that would have followed in its chain are revoked with it, and the
    chord that it is a member of hears of it, so that its body fails when all members have reported. Errbacks of the
    message itself are not called. Safe to do again.
    """
    counts: Counter[str] = Counter()
    if not has_results(app):
        return counts
    for element in elements:
        carried = embedded_in(element)
        counts[_settled(app, carried, why) if known(carried) else UNREADABLE] += 1
    return counts


def _settled(app: Any, carried: Embedded, why: str) -> str:
    reason = f"{carried.task}[{carried.id}]: {why}"
    try:
        if carried.task == UNLOCK:
            return _done(revoke(app, _body_of(carried), reason))
        if carried.ignores_result and carried.chord is None and not carried.chain:
            return SETTLED
        return _done(revoke(app, carried.id, reason, request=_request(carried), stored=not carried.ignores_result))
    except Exception:  # noqa: BLE001  whatever a backend may raise
        return FAILED


def _done(did: bool) -> str:
    return REVOKED if did else SETTLED


def _request(carried: Embedded) -> Context:
    """What Celery's backends ask of the message."""
    return Context(
        id=carried.id,
        task=carried.task,
        args=list(carried.args),
        kwargs=dict(carried.kwargs),
        group=carried.group,
        group_index=carried.group_index,
        chord=carried.chord,
        chain=list(carried.chain),
        errbacks=None,
    )


def _body_of(carried: Embedded) -> str:
    """The id of the chord's body, which nobody publishes when the task that waits for the chord's members is gone."""
    body = carried.kwargs.get("callback") or (carried.args[1] if len(carried.args) > 1 else None)
    options = body.get("options") if isinstance(body, Mapping) else None
    id_ = options.get("task_id") if isinstance(options, Mapping) else None
    return id_ if isinstance(id_, str) else carried.id
