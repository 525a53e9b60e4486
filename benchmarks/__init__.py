"""What Tidegate's measuring parts cost, as ratios to named baselines measured in the same run: `python -m benchmarks`."""
