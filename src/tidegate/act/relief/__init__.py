"""Relief: what an operator does to a queue. Swap, filter, splice; journaled, and reversible."""
