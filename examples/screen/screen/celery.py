"""The Celery application, set up the way Django projects do it."""

import os

from celery import Celery

import tidegate

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "screen.settings")

app = Celery("screen")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["screen"])
# The one line that lets Tidegate measure what a firing costs (`tidegate plan` reads it), and guard what is published:
# what it bounds and holds back stands in the settings, `CELERY_TIDEGATE_…`.
tidegate.install(app)
