"""Numbered rules: pure functions from a `Case` to findings, one function a rule, its page in docs/rules."""
