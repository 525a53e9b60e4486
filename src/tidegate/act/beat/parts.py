"""The lease and the pacing: each of them where it is there."""

from functools import cache
from importlib import import_module
from typing import Any

from tidegate.act.beat.pacing import Pacer
from tidegate.act.beat.standing import Alone, Standing


def standing_of(app: Any) -> Standing:
    """Whether this beat leads, and what the beats of the application share."""
    made = _part("leading", "standing_of")
    return Alone() if made is None else made(app)


def pacer_of(app: Any) -> Pacer | None:
    """What paces the entries whose interval follows the workers."""
    made = _part("following", "pacer_of")
    return None if made is None else made(app)


@cache
def _part(module: str, name: str) -> Any:
    try:
        return getattr(import_module(f"tidegate.act.beat.{module}"), name)
    except ModuleNotFoundError:
        return None
