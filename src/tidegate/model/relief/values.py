"""Whether two decoded values are the same; pure."""

from collections.abc import Mapping, Sequence


def same(left: object, right: object) -> bool:
    """Equal as JSON: 1 is 1.0 and no true, a list is a tuple."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, str) or isinstance(right, str):
        return left == right
    if isinstance(left, Mapping):
        return isinstance(right, Mapping) and left.keys() == right.keys() and holds(left, right)
    if isinstance(left, Sequence):
        return isinstance(right, Sequence) and len(left) == len(right) and all(map(same, left, right))
    return left == right


def holds(whole: Mapping[str, object], part: Mapping[str, object]) -> bool:
    """Whether everything in `part` stands in `whole` with the same value."""
    return all(name in whole and same(whole[name], value) for name, value in part.items())
