"""WHAT REDIS HOLDS: key names, connections, bounded reads, and bytes to messages; the only layer that imports redis."""
