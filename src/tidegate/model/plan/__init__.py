"""Which interval is safe: from what the probe measured to what the workers can take."""
