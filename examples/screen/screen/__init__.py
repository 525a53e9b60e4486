"""A screen in the operations room: the status of every cluster, kept fresh by Celery."""

from screen.celery import app as celery_app

__all__ = ["celery_app"]
