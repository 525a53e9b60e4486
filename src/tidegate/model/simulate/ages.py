"""Age of information: how old the cached values are that runs write, as means over time (Kaul, Yates, Gruteser, 2012)."""

from dataclasses import dataclass, field

from tidegate.model.simulate.tally import Batches

Key = tuple[int, int]


@dataclass(slots=True)
class Ages:
    """The ages of several values, one a key. An age grows with time, and falls when newer data is written.

    From a to b the sum of all ages has the integral sum(a)·(b − a) + n·(b − a)²/2 − Σ fall·(b − t). A value counts
    from the first batch that begins with it.
    """

    stamps: dict[Key, float] = field(default_factory=dict)
    batches: Batches = field(default_factory=Batches)
    most_s: float = 0.0
    _fresh: set[Key] = field(default_factory=set)
    _since: float = 0.0
    _falls: float = 0.0
    _moment: float = 0.0

    def renew(self, now: float, key: Key, stamp: float) -> None:
        """A run wrote data of that moment; older data than is there changes nothing."""
        before = self.stamps.get(key)
        if before is None:
            self.stamps[key] = stamp
            self._fresh.add(key)
        elif stamp > before:
            self.stamps[key] = stamp
            if not self._fresh or key not in self._fresh:
                self._falls += stamp - before
                self._moment += (stamp - before) * now
                self.most_s = max(self.most_s, now - before)

    def fold(self, now: float, *, measured: bool) -> None:
        """The end of a batch. Costs one step a value."""
        counted = len(self.stamps) - len(self._fresh)
        length = now - self._since
        if measured and counted:
            # The ages at the beginning are those at the end, less the time, plus what they fell.
            at_end = sum(now - stamp for key, stamp in self.stamps.items() if key not in self._fresh)
            at_begin = at_end - counted * length + self._falls
            area = at_begin * length + counted * length**2 / 2 - (now * self._falls - self._moment)
            self.batches.add(area, counted * length)
        else:
            self.most_s = 0.0
        self._fresh.clear()
        self._since, self._falls, self._moment = now, 0.0, 0.0


@dataclass(slots=True)
class Freshness:
    """The ages of what an entry's runs write, for data read when the run began, and for data that the message carried."""

    read_at_run: Ages = field(default_factory=Ages)
    read_at_publish: Ages = field(default_factory=Ages)

    def renew(self, now: float, key: Key, started_at: float, captured_at: float) -> None:
        """A run ended that wrote the value under the key."""
        self.read_at_run.renew(now, key, started_at)
        self.read_at_publish.renew(now, key, captured_at)

    def fold(self, now: float, *, measured: bool) -> None:
        """The end of a batch."""
        self.read_at_run.fold(now, measured=measured)
        self.read_at_publish.fold(now, measured=measured)
