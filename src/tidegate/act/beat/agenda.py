"""Which entry is to be looked at next: a heap, whose cost per entry taken is the logarithm of their number."""

from heapq import heapify, heappop, heappush

from tidegate.act.beat.kept import Kept

#: Beyond so many places that are no longer valid (and as many as valid ones) they are cleared away.
_MOST_OLD = 1000


class Agenda:
    """Times at which entries are to be looked at; an entry has one place at most, the one it was given last."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Kept]] = []
        self._tickets = 0
        self._valid = 0

    def __len__(self) -> int:
        return self._valid

    def put(self, kept: Kept, at_us: int) -> None:
        """From now on it is looked at then, and at no other time; of two at one time the one put first comes first."""
        self._valid += not kept.ticket
        self._tickets += 1
        kept.ticket = self._tickets
        heappush(self._heap, (at_us, self._tickets, kept))
        if len(self._heap) > 2 * self._valid + _MOST_OLD:
            self._heap = [one for one in self._heap if one[1] == one[2].ticket]
            heapify(self._heap)

    def drop(self, kept: Kept) -> None:
        """It is not looked at any more."""
        self._valid -= bool(kept.ticket)
        kept.ticket = 0

    def clear(self) -> None:
        """Nothing is."""
        for _, _, kept in self._heap:
            kept.ticket = 0
        self._heap.clear()
        self._valid = 0

    def take(self, now_us: int, most: int) -> list[Kept]:
        """Those whose time has come, the earliest first; they have no place any more."""
        taken: list[Kept] = []
        while self._heap and self._heap[0][0] <= now_us and len(taken) < most:
            _, ticket, kept = heappop(self._heap)
            if ticket == kept.ticket:
                self.drop(kept)
                taken.append(kept)
        return taken

    def next_us(self) -> int | None:
        """The time of the earliest place; None where there is none."""
        while self._heap and self._heap[0][1] != self._heap[0][2].ticket:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None
