"""Relief in one call each: what `tidegate purge`, `move`, `dedupe`, `relief`, `backup` and `rescue` do, for programs."""
