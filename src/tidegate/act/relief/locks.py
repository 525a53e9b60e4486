"""The names of the locks that celery-singleton and celery-once keep for a message, as those packages make them.

celery-singleton 0.3: `SINGLETONLOCK_` and the MD5 of name, args and kwargs; the lock holds the id of the task.
celery-once 3.0: `qo_<task>_<parameter>-<value>_…`, sorted by parameter; the lock holds a token of its own.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence

SINGLETON, ONCE = "celery-singleton", "celery-once"
SINGLETON_PREFIX = "SINGLETONLOCK_"


def singleton_key(task: str, args: Sequence[object], kwargs: Mapping[str, object]) -> str:
    """The lock of a task that is unique by all its arguments, and has neither a prefix nor an encoder of its own."""
    call = task + json.dumps(list(args), sort_keys=True) + json.dumps(dict(kwargs), sort_keys=True)
    return SINGLETON_PREFIX + hashlib.md5(call.encode(), usedforsecurity=False).hexdigest()


def once_key(task: str, kwargs: Mapping[str, object]) -> str:
    """The lock of a task that was called by keyword alone, and is unique by all that was given."""
    return "_".join(["qo", task, *(f"{name}-{_flat(value)}" for name, value in sorted(kwargs.items()))])


def _flat(value: object) -> object:
    """Objects become text, at every depth, with their names in order; everything else stays what it is."""
    if isinstance(value, dict):
        pairs = sorted(value.items())
        return "{" + ", ".join(f"{_flat(name)!r}: {_flat(inner)!r}" for name, inner in pairs) + "}"
    return [_flat(inner) for inner in value] if isinstance(value, list) else value
