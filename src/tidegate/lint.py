"""Judge an application's schedule in one call: what `tidegate lint` does, for programs."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tidegate import __version__
from tidegate.broker.address import Address
from tidegate.broker.client import connect
from tidegate.document import iso
from tidegate.errors import CannotLook
from tidegate.facts.lint import GivenPool, Ignored, Lint, LintQuestion, RunTime
from tidegate.facts.measured import Measured
from tidegate.facts.seen import AppSeen, WorkerAnswer
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.model.lint.case import sent_entries
from tidegate.model.lint.given import given_measured, given_workers
from tidegate.model.lint.judgement import lint
from tidegate.observe.measured import read_measured

DEFAULT_SINCE_S = 3 * 3600.0

#: Where the messages of tasks go that no entry sends: their queues by name.
Places = Callable[[Iterable[str]], Mapping[str, Maybe[tuple[str, ...]]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to judge by. What is not given here is looked for at the broker.

    `slots` on each of `hosts` hosts stand for workers that consume everything; `pools` say more. `required` broker: where
    it can't be seen that is an error, and not just a reason.
    """

    run_times: Mapping[str, RunTime] | None = None
    pools: Sequence[GivenPool] = ()
    slots: int | None = None
    hosts: int = 1
    consumed: Sequence[str] = ()
    ask: Callable[[], tuple[WorkerAnswer, ...]] | None = None
    since_s: float | None = DEFAULT_SINCE_S
    target_utilisation: float = 0.8
    hosts_lost: int = 0
    ignored: tuple[Ignored, ...] = ()
    required: bool = False


def lint_app(app: AppSeen, address: Callable[[], Address], places: Places, options: Options, timeout_s: float) -> Lint:
    """What is wrong with the application's schedule, as far as it can be told; writes nothing.

    The broker is asked only for what the options do not say: one connection, and the reads of `read_measured`. Where it
    can't be reached what was to be read there is unknown, with the reason.
    """
    probe = _probe(address, options, timeout_s) if _needs_broker(options) else Unknown("it was not asked")
    measured = _measured(app, places, options, probe)
    question = LintQuestion(
        at=iso(time.time()),
        app=app,
        consumed=_consumed(options, probe),
        target_utilisation=options.target_utilisation,
        hosts_lost=options.hosts_lost,
        ignored=options.ignored,
        given=frozenset(options.run_times) if options.run_times is not None else None,
    )
    origin = "measured" if options.run_times is None else "given"
    return lint(question, measured, origin if known(measured) else measured, __version__)


def _needs_broker(options: Options) -> bool:
    workers = bool(options.pools) or options.slots is not None
    consumers = bool(options.pools or options.consumed or options.ask)
    return options.run_times is None or not workers or not consumers


def _probe(address: Callable[[], Address], options: Options, timeout_s: float) -> Maybe[Measured]:
    """What probes left at the broker; unknown where it can't be reached, or they left nothing."""
    try:
        with connect(address(), timeout_s) as broker:
            measured, shown = read_measured(broker, options.since_s), broker.address.shown
    except CannotLook as error:
        if options.required:
            raise
        return Unknown(f"the broker could not be asked: {error}")
    if not measured.slices and not measured.workers:
        return Unknown(f"no probe has left anything at {shown}: is tidegate.install(app) in the application?")
    return measured


def _measured(app: AppSeen, places: Places, options: Options, probe: Maybe[Measured]) -> Maybe[Measured]:
    """Run times and workers, each given or from the probe."""
    times = options.run_times
    pools = options.pools or _one_pool(app, places, options, probe)
    if times is None:
        if not known(probe):
            return Unknown(f"no run times are known: --run-times gives them ({probe.why})")
        if not any(slice_.runs for slice_ in probe.slices):
            return Unknown("no run times are known: --run-times gives them (the probe has counted no run in this time)")
        return replace(probe, workers=given_workers(pools)) if pools else probe
    if not pools and not known(probe):
        return Unknown(f"no workers are known: --slots or --pools gives them ({probe.why})")
    workers = pools or _seen_pools(probe)
    given = given_measured(times, workers, sent_entries(app), places(times))
    return given if pools or not known(probe) else replace(given, workers=probe.workers)


def _seen_pools(probe: Maybe[Measured]) -> tuple[GivenPool, ...]:
    """The workers that probes reported, a pool of its own each."""
    alive = [worker for worker in probe.workers if not worker.gone] if known(probe) else []
    return tuple(GivenPool(queues=worker.queues, slots=worker.slots, hosts=(worker.machine,)) for worker in alive)


def _one_pool(app: AppSeen, places: Places, options: Options, probe: Maybe[Measured]) -> tuple[GivenPool, ...]:
    """The workers that --slots speaks of: they consume what is said, or else everything."""
    if options.slots is None:
        return ()
    routed = [entry.queues for entry in sent_entries(app)] + list(places(options.run_times or {}).values())
    ran = [key.queue for slice_ in probe.slices for key in slice_.runs] if known(probe) else []
    every = [queue for queues in routed if known(queues) for queue in queues]
    queues = dict.fromkeys(options.consumed or [*app.queues, *every, *ran])
    hosts = tuple(f"host{number}" for number in range(1, options.hosts + 1))
    return (GivenPool(queues=tuple(queues), slots=options.slots, hosts=hosts),)


def _consumed(options: Options, probe: Maybe[Measured]) -> Maybe[tuple[str, ...]]:
    """The queues that workers consume: as given, as they answer, or as their probes say."""
    if options.consumed or options.pools:
        return tuple(dict.fromkeys([*options.consumed, *(queue for pool in options.pools for queue in pool.queues)]))
    if options.ask is not None:
        try:
            answers = options.ask()
        except Exception as error:  # noqa: BLE001  Celery's client for it raises what its transports do
            return Unknown(f"workers can't be asked ({type(error).__name__}: {error})")
        if not answers:
            return Unknown("no worker answered")
        return tuple(sorted({queue for answer in answers for queue in answer.queues}))
    if not known(probe):
        return Unknown(f"--consumed says which queues workers consume ({probe.why})")
    alive = [worker for worker in probe.workers if not worker.gone]
    if not alive:
        return Unknown("--consumed says which queues workers consume (no worker with a probe reports at present)")
    return tuple(sorted({queue for worker in alive for queue in worker.queues}))
