"""Which entry is to be looked at next: a heap, whose cost per entry taken is the logarithm of their number."""

from heapq import heapify, heappop, heappush

from tidegate.act.beat.kept import Kept

#: Beyond so many places that are no longer valid (and as many as valid ones) they are cleared away.
_MOST_OLD = 1000


class Agenda:
    """Times at which entries are to be looked at; an entry has one place at most, the one it was given last."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, Kept]] = []
        self._valid = 0

    def __len__(self) -> int:
        return self._valid

    def put(self, kept: Kept, at_us: int) -> None:
        """From now on it is looked at then, and at no other time."""
        self._valid += kept.place is None
        kept.place = at_us, kept
        heappush(self._heap, kept.place)
        if len(self._heap) > 2 * self._valid + _MOST_OLD:
            self._heap = [one for one in self._heap if one is one[1].place]
            heapify(self._heap)

    def drop(self, kept: Kept) -> None:
        """It is not looked at any more."""
        self._valid -= kept.place is not None
        kept.place = None

    def take(self, now_us: int, most: int) -> list[Kept]:
        """Those whose time has come, the earliest first; they have no place any more."""
        taken: list[Kept] = []
        while self._heap and self._heap[0][0] <= now_us and len(taken) < most:
            place = heappop(self._heap)
            if place is place[1].place:
                self.drop(place[1])
                taken.append(place[1])
        return taken

    def next_us(self) -> int | None:
        """The time of the earliest place; None where there is none."""
        while self._heap and self._heap[0] is not self._heap[0][1].place:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None
