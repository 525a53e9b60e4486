"""WHAT IT MEANS: pure functions from facts to facts; no I/O, no clock, no broker."""
