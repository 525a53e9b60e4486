"""Stand-in until what follows an outcome is there."""

from typing import Any

from tidegate.facts.gate import Outcome


def tell(outcome: Outcome, queue: str, headers: dict[str, Any], why: str, app: Any) -> None:
    """Nobody listens yet."""
