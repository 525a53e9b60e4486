"""Fetches whose answer never came: their messages are registered, and nobody has them.

The connection broke between the script and its answer. The consumer starts anew with another channel, so the note
outlives the channel, in this process: the moment that the fetch wrote into `unacked_index` finds its message again.
"""

from collections import defaultdict
from collections.abc import Hashable

_moments: defaultdict[Hashable, list[str]] = defaultdict(list)
#: More are not kept; what is dropped comes back when the visibility timeout is over.
MOST = 1000


def note(place: Hashable, moment: str) -> None:
    """A fetch at `place` (a broker and the keys there) may have taken a message that never arrived."""
    moments = _moments[place]
    moments.append(moment)
    del moments[:-MOST]


def noted(place: Hashable) -> list[str]:
    """The moments of such fetches."""
    return _moments.get(place) or []


def found(place: Hashable) -> None:
    """They were looked after."""
    _moments.pop(place, None)
