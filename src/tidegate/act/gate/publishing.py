"""The way of every task message through `app.send_task`: what holds for it is decided before the transport sees it.

`delay`, `apply_async`, signatures, beat and retries all pass there. The wrapper is an attribute of the application, so
whatever others put into its class stays in between.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from celery._state import _task_stack, get_current_worker_task  # type: ignore[attr-defined]
from celery.utils import uuid

from tidegate import errors
from tidegate.act.claim import take_claim
from tidegate.act.gate import header
from tidegate.act.gate.after import settle
from tidegate.act.gate.failures import BrokerFull, BrokerSilent
from tidegate.act.gate.keys import NoKey
from tidegate.act.gate.openings import openings
from tidegate.act.gate.publication import Publication, begin, end
from tidegate.act.gate.rarely import Rarely
from tidegate.act.gate.settings import Policies, policies
from tidegate.act.gate.skipped import Skipped
from tidegate.act.gate.workflow import RETRY, UNLOCK, exempt, is_part
from tidegate.errors import QueueFull, TidegateError
from tidegate.facts.gate import HEADER, Guard
from tidegate.facts.overlap import Scope
from tidegate.observe.probe.install import entry_of_beat
from tidegate.observe.probe.run import name_of

log = logging.getLogger("tidegate.gate")

#: The options of `apply_async` that are ours.
OPTIONS = ("overlap", "payload", "scope", "overlap_key")

#: What Celery takes by position, too, behind the arguments of the task.
_BY_POSITION = (
    *("countdown", "eta", "task_id", "producer", "connection", "router", "result_cls", "expires", "publisher", "link"),
    *("link_error", "add_to_parent", "group_id", "group_index", "retries", "chord", "reply_to", "time_limit"),
    *("soft_time_limit", "root_id", "parent_id", "route_name", "shadow", "chain", "task_type", "replaced_task_nesting"),
)
#: Options that may say something to the gate: its own ones, and those of workflows, retries and schedules.
_SPEAKING = frozenset(OPTIONS) | {"headers", "retries", "chord", "root_id", "parent_id", "replaced_task_nesting"}
_NOTHING: Mapping[str, Any] = {}
_NO_GUARD = Guard()
_rarely = Rarely(log)


def wrap(app: Any) -> None:
    """Puts the gate before `app.send_task`; a second time changes nothing."""
    if not is_wrapped(app):
        app.send_task = _wrapped(app, app.__dict__.get("send_task"))


def unwrap(app: Any) -> None:
    """Takes it away again, if nobody has put something of his own before it since."""
    if not is_wrapped(app):
        return
    before = app.send_task.tidegate
    if before is None:
        del app.send_task
    else:
        app.send_task = before


def is_wrapped(app: Any) -> bool:
    """Whether the gate is what `app.send_task` calls first."""
    return hasattr(app.__dict__.get("send_task"), "tidegate")


def _wrapped(app: Any, before: Callable[..., Any] | None) -> Callable[..., Any]:
    def send_task(name: str, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any) -> Any:
        if rest:
            options.update(zip(_BY_POSITION, rest, strict=False))
        # Asked for every time, for others may replace the method of the class later.
        original = before if before is not None else app.__class__.send_task.__get__(app)
        publication = _prepared(app, name, args, kwargs, options)
        claim = take_claim()
        if claim is not None and publication is not None:
            publication = replace(publication, claim=claim)
        here = begin(publication)
        try:
            return _sent(app, original, name, args, kwargs, options)
        except Skipped as error:
            skipped = error
        except errors.BrokerSilent as error:
            raise BrokerSilent(*error.args) from error
        finally:
            end(here)
        if publication is not None and publication.given:
            settle(app, options["task_id"], f"not published, for {skipped.pending} is pending")
        return _result_of(app, skipped.pending, options)

    send_task.tidegate = before  # type: ignore[attr-defined]
    return send_task


def _sent(app: Any, original: Callable[..., Any], name: str, args: Any, kwargs: Any, options: dict[str, Any]) -> Any:
    """What stock's `send_task` gives; what the gate refuses costs no connection.

    Kombu's pool throws a connection away for any error that passes it: two new ones for every refusal, of a server that
    has enough to do.
    """
    if options.get("producer") or options.get("publisher") or options.get("connection"):
        return original(name, args, kwargs, **options)
    options.pop("producer", None)
    with app.producer_or_acquire() as producer:
        try:
            return original(name, args, kwargs, producer=producer, **options)
        except (Skipped, QueueFull, BrokerFull) as error:
            refused = error
    raise refused


def _prepared(app: Any, name: str, args: Any, kwargs: Any, options: dict[str, Any]) -> Publication | None:
    """What the transport has to know of this message; None where the gate is off. Takes our options out.

    Raises UsageError for what is wrong in settings or options; what else fails here is a reason to let it through.
    """
    speaks = not _SPEAKING.isdisjoint(options)
    said = {one: options.pop(one) for one in OPTIONS if one in options} if speaks else _NOTHING
    try:
        known = policies(app)
        if not known.on:
            return None
        task = running()
        if not speaks and task is None and _is_plain(known, name, options):
            return known.plain
        why = exempt(name, options, task)
        entry = entry_of(options, task)
        if task is None and not why and not said and known.rule_for(name, entry, options.get("task_type")) is None:
            _write(options, {})
            return Publication(timeout_s=known.timeout_s)
        return _Call(known, name, args, kwargs, options, said, entry, task, why).publication()
    except TidegateError:
        raise
    except Exception as error:  # noqa: BLE001  the gate is open where it does not work
        openings.note("python", f"{name}: {type(error).__name__}: {error}")
        return None


def _is_plain(known: Policies, name: str, options: dict[str, Any]) -> bool:
    """Whether nothing is to be known of a call outside of any run whose options say nothing: the common case."""
    return name != UNLOCK and not entry_of_beat() and known.rule_for(name, "", options.get("task_type")) is None


class _Call(NamedTuple):
    """One call of `send_task`: `said` are its options that are ours, `entry` sends it, `task` is what runs here."""

    policies: Policies
    name: str
    args: Any
    kwargs: Any
    options: dict[str, Any]
    said: Mapping[str, Any]
    entry: str
    task: Any
    why: str

    def publication(self) -> Publication:
        """What holds for it, written into its headers, too."""
        given = self.options.get("task_id") is not None
        guard = self.guard()
        _write(self.options, header.written(guard))
        return Publication(
            guard=None if guard is _NO_GUARD else guard,
            exempt=self.why,
            # A workflow waits for its server as long as it takes: a step that is given up is never sent again.
            timeout_s=None if self.why else self.policies.timeout_s,
            given=given,
        )

    def guard(self) -> Guard:
        """What must not be pending twice, and the firing that it begins or belongs to."""
        if self.why == RETRY:
            # As the try before said, whose mark this one takes over.
            return header.read(header.of(self.options.get("headers"))) or _NO_GUARD
        guard = self.replaced() if self.why else self.own()
        if guard is not _NO_GUARD and self.options.get("task_id") is None:
            self.options["task_id"] = uuid()
        if guard.scope is Scope.FIRING and not self.why:
            return replace(guard, firing=self.options["task_id"], entry=guard.key)
        family = firing_here(self.task) if not guard.firing else None
        return guard if family is None else replace(guard, firing=family[0], entry=family[1])

    def own(self) -> Guard:
        """By the settings and this call's options."""
        try:
            guard = self.policies.guard_for(
                self.name, self.entry, self.said, self.args, self.kwargs, self.options.get("task_type")
            )
        except NoKey as error:
            openings.note("key", error)
            return _NO_GUARD
        return _NO_GUARD if guard is None or is_part(self.options) else guard

    def replaced(self) -> Guard:
        """That of the present run, where this one goes on under its id (`Task.replace`)."""
        if self.task is None or self.options.get("task_id") != self.task.request.id:
            return _NO_GUARD
        return header.read(self.task.request.get(HEADER)) or _NO_GUARD


#: Celery's record of what runs, by thread: empty in a process that only publishes. None where it keeps it otherwise.
_runs = getattr(getattr(_task_stack, "_local", None), "__storage__", None)


def running() -> Any:
    """The task that a worker runs in this thread, None outside of one; asked of Celery only where anything runs at all."""
    return get_current_worker_task() if _runs or _runs is None else None


def entry_of(options: Mapping[str, Any], task: Any) -> str:
    """The entry of the schedule that sends this: beat says which, or its scheduler in a header. Not from a run."""
    if task is not None:
        return ""
    return entry_of_beat() or name_of(header.of(options.get("headers"), "periodic_task_name"))


def firing_here(task: Any) -> tuple[str, str] | None:
    """(firing, entry) of the run that publishes; a task that it runs in its own place belongs to it."""
    if task is None:
        return None
    request = task.request
    if request.is_eager:
        runs = (one.request for one in reversed(_task_stack.stack))
        request = next((one for one in runs if not one.called_directly and not one.is_eager), request)
    return header.firing_in(request.get(HEADER))


def _write(options: dict[str, Any], said: dict[str, str]) -> None:
    """Puts the header into the options; what somebody else wrote under its name goes."""
    headers = options.get("headers")
    if said:
        options["headers"] = {**(headers or {}), HEADER: said}
    elif headers and HEADER in headers:
        options["headers"] = {name: value for name, value in headers.items() if name != HEADER}


def _result_of(app: Any, pending: str, options: dict[str, Any]) -> Any:
    """What `send_task` would have returned for the run that stands in."""
    result = (options.get("result_cls") or app.AsyncResult)(pending)
    result.ignored = options.get("ignore_result")
    parent = running() if options.get("add_to_parent", True) else None
    if parent is not None:
        parent.add_trail(result)
    if not result.ignored:
        _stop_listening(app, options.get("task_id"))
    return result


def _stop_listening(app: Any, id_: str | None) -> None:
    """Nothing will come for the id that was not published; the Redis backend has subscribed to it."""
    try:
        consumer = getattr(app.backend, "result_consumer", None)
        if consumer is not None and id_:
            consumer.cancel_for(id_)
    except Exception as error:  # noqa: BLE001  the publish is done, whatever the backend says
        _rarely.say("backend", "a result can't be unsubscribed (%s: %s)", type(error).__name__, error)
