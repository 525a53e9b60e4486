"""How long a worker may sleep on the bells of its queues: what nobody rings for has to be found, too."""

from time import monotonic

#: Never shorter, or a worker would do nothing but look.
SHORTEST_S = 0.05
#: Of the time since the last message that nobody rang for: then it waits a tenth longer than it had to, at most.
SHARE = 0.1
#: Two commands (sleep, look) for two of stock's waits and a little, for the server ends a wait up to 0.1 s late: an idle
#: worker sends no more commands than a stock one.
STOCK_WAITS = 2.2


class Rest:
    """The sleeps of one channel.

    Producers without the gate, restores of stock workers and tools ring no bell. As long as their messages come, the
    sleeps are short; without them as long as `STOCK_WAITS` waits of stock.
    """

    def __init__(self) -> None:
        self._unrung_at = float("-inf")
        #: The last sleep was over by itself, and nothing was looked for since.
        self.slept_out = False

    def length_s(self, stock_wait_s: float) -> float:
        """How long the next sleep may be."""
        silence = monotonic() - self._unrung_at
        return min(STOCK_WAITS * (stock_wait_s or 1.0), max(SHORTEST_S, SHARE * silence))

    def over(self, *, rung: bool) -> None:
        """A sleep has ended: somebody rang, or its time was over."""
        self.slept_out = not rung

    def looked(self, *, found: bool) -> None:
        """The lists were looked at; a message found right after a whole sleep is one that nobody rang for."""
        if found and self.slept_out:
            self._unrung_at = monotonic()
        self.slept_out = False
