"""Durations, rates, counts and sizes, to and from what people read; pure, imports nothing of ours."""

import math
import re

_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*")
_BYTE_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")
_SPANS = ((365 * 86400.0, "years"), (86400.0, "days"), (3600.0, "hours"), (60.0, "minutes"))


def parse_duration(text: str) -> float:
    """Seconds from `1.5`, `90s`, `1m30s`, `250ms`, `2h`, `7d`; raises ValueError for anything else."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = _sum_of_parts(text)
    if not math.isfinite(seconds) or seconds < 0:
        message = f"expected a duration such as 10, 90s or 1m30s, got {text!r}"
        raise ValueError(message)
    return seconds


def _sum_of_parts(text: str) -> float:
    parts = _DURATION_PART.findall(text)
    if not parts or _DURATION_PART.sub("", text):
        message = f"expected a duration such as 10, 90s or 1m30s, got {text!r}"
        raise ValueError(message)
    return sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts)


def parse_size(text: str) -> int:
    """Bytes from `8GB`, `512 MB`, `1000`; binary units as `size` writes them. Raises ValueError for anything else."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGTP]?B)?\s*", text, re.IGNORECASE)
    if found is None:
        message = f"expected a size such as 8GB or 512MB, got {text!r}"
        raise ValueError(message)
    return round(float(found[1]) * 1024.0 ** _BYTE_UNITS.index((found[2] or "B").upper()))


def duration(seconds: float) -> str:
    """A duration in the unit people would use: `0.12 s`, `4.2 minutes`, `11 days`."""
    if not math.isfinite(seconds):
        return "never"
    for size, name in _SPANS:
        if seconds >= 2 * size:
            return f"{significant(seconds / size, 2)} {name}"
    return f"{significant(seconds, 3)} s"


def rate(per_s: float) -> str:
    """A rate in messages: `12.3/s`, and per minute or hour where that reads better: `1.5/min`."""
    size = abs(per_s)
    if size >= 0.1 or size == 0:
        return f"{significant(per_s, 3)}/s"
    if size >= 0.1 / 60:
        return f"{significant(per_s * 60, 3)}/min"
    return f"{significant(per_s * 3600, 3)}/h"


def count(value: float) -> str:
    """A whole number with thousands separated: `2,017,633`."""
    return f"{round(value):,}"


def size(amount: float) -> str:
    """Bytes in the binary unit people would use: `1.9 GB` is 1.9 × 2^30 bytes."""
    value = float(amount)
    for unit in _BYTE_UNITS:
        # 1023.5 would be written as 1,024.
        if abs(value) < 1023.5 or unit == _BYTE_UNITS[-1]:
            break
        value /= 1024
    return f"{significant(value, 3)} {unit}"


def percent(share: float) -> str:
    """A share of one as a percentage; what is neither none nor all is never rounded to it."""
    if 0 < share < 0.01:
        return "<1 %"
    if 0.99 < share < 1:
        return ">99 %"
    return f"{share * 100:.0f} %"


def significant(value: float, digits: int) -> str:
    """The value with so many significant digits, whole numbers in full; no exponent, no trailing zeros."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "∞"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{round(value, decimals):,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def number(value: float) -> str:
    """Three significant digits as code wants them: `1200`, `0.075`."""
    return significant(value, 3).replace(",", "")


def plural(value: float, noun: str) -> str:
    """`1 message`, `2 messages`."""
    return f"{count(value)} {noun}" if round(value) == 1 else f"{count(value)} {noun}s"
