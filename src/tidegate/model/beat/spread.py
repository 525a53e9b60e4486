"""How due times are spread: entries of one interval over that interval, and each due time over its jitter."""

from collections.abc import Iterable
from hashlib import blake2b

#: Entries of long intervals are spread over this much at most.
WIDEST_US = 60_000_000
_GOLDEN = 0.6180339887498949
_WHOLE = float(1 << 64)


def phases(names: Iterable[str], interval_us: int) -> dict[str, int]:
    """For entries of one interval: how far each one's due times stand behind the start, the same for the same names.

    However many there are, each stretch of the width gets its share of them (multiples of the golden ratio).
    """
    width_us = min(interval_us, WIDEST_US)
    return {name: int(number * _GOLDEN % 1.0 * width_us) for number, name in enumerate(sorted(names))}


def jitter(entry: str, due_us: int, most_us: int, interval_us: int) -> int:
    """How much later this due time is sent: the same on every machine, and always before the next one comes due."""
    most_us = min(most_us, interval_us - 1) if interval_us else most_us
    if most_us <= 0:
        return 0
    digest = blake2b(f"{entry}|{due_us}".encode(errors="surrogatepass"), digest_size=8).digest()
    return int(int.from_bytes(digest, "big") / _WHOLE * (most_us + 1))
