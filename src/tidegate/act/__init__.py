"""What we do: the gate, and later the scheduler and relief."""
