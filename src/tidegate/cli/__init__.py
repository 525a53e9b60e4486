"""The command line: renders what the lower layers say; no rule, no threshold, no Redis call."""
