"""How many messages have to stand ready so that workers never find nothing between two looks; pure."""

LEAST, MOST = 4, 1000


class Stock:
    """Three times what was taken lately between two looks; twice as much as before where all of it was taken.

    Kept small, because what stands ready is taken before anything newer.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = max(1, min(most, MOST))
        self.size = min(4 * LEAST, self._most)
        self._lately = float(LEAST)

    def learn(self, taken: int, left: int) -> None:
        """What was taken since the last look, and how many stood there afterwards."""
        self._lately = max(self._lately * 0.9, float(taken))
        needed = self.size * 2 if taken >= self.size and left else int(3 * self._lately) + 1
        self.size = max(min(LEAST, self._most), min(needed, self._most))
