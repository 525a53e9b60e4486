"""Rescue: a full server brought back to life, with its newest messages on disk for a while."""
