"""Frozen data that crosses layers: what was seen (`seen`), what it means (`diagnosis`), and `Unknown`."""
