"""What many runs of one kind add to their slice: collected in plain numbers, and put into sketches all at once."""

from tidegate.facts.measured import OUTCOMES, TICKS, Busy, Key, Runs, Tick

#: Up to so many busy slots are told apart one by one, more by steps of a sixteenth.
_EXACT_BUSY = 32


class Tally:
    """Runs of one key in one slice that are not in its `Runs` yet."""

    __slots__ = ("_busy", "_outcomes", "_runs_us", "_ticks", "gaps_us", "key", "limited", "runs", "waits_us")

    def __init__(self, key: Key, runs: Runs, limited: bool) -> None:
        self.key = key
        self.runs = runs
        #: The task has a rate limit.
        self.limited = limited
        self.waits_us: list[int] = []
        #: How long slots stood before these runs, although their messages were there.
        self.gaps_us: list[int] = []
        self._runs_us: list[int] = []
        self._outcomes: list[int] = []
        self._busy: dict[int, list[int]] = {}
        self._ticks: dict[int, list[int]] = {}

    def add(self, tick: int, busy: int, run_us: int, cpu_us: int, outcome: int) -> None:
        """One run that ended in that tick."""
        self._runs_us.append(run_us)
        self._outcomes.append(outcome)
        seen = self._busy.get(busy)
        if seen is None:
            self._busy[busy] = [1, run_us, cpu_us]
        else:
            seen[0] += 1
            seen[1] += run_us
            seen[2] += cpu_us
        ended = self._ticks.get(tick)
        if ended is None:
            self._ticks[tick] = [1, run_us]
        else:
            ended[0] += 1
            ended[1] += run_us

    @property
    def count(self) -> int:
        """How many runs."""
        return len(self._runs_us)

    @property
    def cpu_us(self) -> int:
        """The CPU time of all of them."""
        return sum(cpu_us for _, _, cpu_us in self._busy.values())

    def flush(self) -> None:
        """Puts everything into the `Runs`, but the gaps, which are the queue's."""
        runs = self.runs
        runs.run.add_us(self._runs_us)
        runs.wait.add_us(self.waits_us)
        for outcome in self._outcomes:
            runs.outcomes[OUTCOMES[outcome]] += 1
        for slots, (count, run_us, cpu_us) in self._busy.items():
            place = rounded_busy(slots)
            was = runs.busy.get(place, Busy(0, 0, 0))
            runs.busy[place] = Busy(was.runs + count, was.run_ns + run_us * 1000, was.cpu_ns + cpu_us * 1000)
        for tick, (count, run_us) in self._ticks.items():
            before = runs.ticks.get(tick, Tick(0, 0, 0))
            runs.ticks[tick] = Tick(before.runs + count, before.run_ns + run_us * 1000, before.firings)


def rounded_busy(slots: int) -> int:
    """The number of busy slots, exact up to 32, then by steps of a sixteenth: a thousand greenlets are 100 numbers."""
    if slots <= _EXACT_BUSY:
        return slots
    step = 1 << (slots.bit_length() - 5)
    return (slots + step // 2) // step * step


def note_firing(runs: Runs, tick: int) -> None:
    """Counts a firing that began in that tick."""
    runs.firings += 1
    was = runs.ticks.get(tick, Tick(0, 0, 0))
    runs.ticks[min(tick, TICKS - 1)] = Tick(was.runs, was.run_ns, was.firings + 1)
