"""What a spill keeper does: what waits on its disk, and what went there and came back."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSeen:
    """One list of a queue. `parked` and `fed` are counted since the keeper began."""

    list: str
    on_disk: int
    parked: int
    fed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperSeen:
    """`acts` is False while another keeper does. `most_bytes` is None where the file may grow without end."""

    acts: bool
    directory: str
    messages: int
    bytes_on_disk: int
    most_bytes: int | None
    lists: tuple[KeptSeen, ...] = ()
