"""Relief in one call each: what `tidegate purge`, `move`, `dedupe`, `relief`, `backup` and `rescue` do, for programs."""

from tidegate.act.relief.rescuing import plan as plan_rescue
from tidegate.act.relief.rescuing import rescue

__all__ = ["plan_rescue", "rescue"]
