"""Which messages an operator means."""
