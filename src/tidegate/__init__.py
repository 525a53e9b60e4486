"""Tidegate: sees, explains and prevents Celery backlogs on Redis and Valkey."""

__version__ = "0.1.0"
