"""The interval that follows the workers: what it aims at, and how it gets there; pure."""
