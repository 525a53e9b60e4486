"""Where messages come from: periodic entries, and arrivals of every kind."""

from collections import Counter
from collections.abc import Iterator
from math import inf

from tidegate.facts.overlap import Overlap, Payload, Scope
from tidegate.facts.scenario import Arrivals, Entry
from tidegate.model.simulate.ages import Freshness
from tidegate.model.simulate.drawing import Streams, changing_poisson, draws, periodic, poisson, renewal
from tidegate.model.simulate.messages import Kind, Mark


class Source:
    """One entry or stream of arrivals, and what was counted of it. `freshness` is followed for entries only."""

    def __init__(self, number: int, spec: Entry | Arrivals, kind: Kind, step: int, times: Iterator[float]) -> None:
        self.number, self.spec, self.kind, self.step, self.times = number, spec, kind, step, times
        expires_s = spec.expires_s if spec.expires_s is not None else kind.load.expires_s
        self.expires_s = inf if expires_s is None else expires_s
        self.fired = self.published = 0
        self.skipped: Counter[str] = Counter()
        self.count, self.overlap, self.payload, self.scope = 1, Overlap.ALLOW_ALL, Payload.KEEP, Scope.MESSAGE
        self.freshness: Freshness | None = None
        if isinstance(spec, Entry):
            self.count, self.overlap, self.payload, self.scope = spec.count, spec.overlap, spec.payload, spec.scope
            self.freshness = Freshness()
        #: One for each of the entries that fire together; None where nothing needs to be known.
        self.marks = None if self.overlap is Overlap.ALLOW_ALL else [Mark() for _ in range(self.count)]


def moments(spec: Entry | Arrivals, streams: Streams) -> Iterator[float]:
    """When it fires, ascending, endless unless recorded moments end; from the stream `arrivals/NAME`."""
    uniforms = streams(f"arrivals/{spec.name}")
    if isinstance(spec, Entry):
        if spec.gaps is not None:
            return renewal(draws(spec.gaps, uniforms), spec.phase_s)
        return periodic(spec.every_s, spec.phase_s, spec.jitter_s, uniforms)
    if spec.gaps is not None:
        return renewal(draws(spec.gaps, uniforms))
    if spec.rate_per_s is not None:
        return poisson(spec.rate_per_s, uniforms)
    return changing_poisson(spec.rates, uniforms) if spec.rates else iter(spec.times_s)
