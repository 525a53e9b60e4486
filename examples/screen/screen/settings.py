"""Settings of the screen project; what a run may want to change comes from the environment.

SCREEN_BROKER_URL   the Redis or Valkey server          redis://localhost:6379/0
SCREEN_CACHE_URL    where the statuses are cached       the same server, the next database
SCREEN_INTERVAL_S   seconds between two refreshes       1.0
SCREEN_TASK_S       seconds one measurement takes       0.056
SCREEN_CLUSTERS     how many clusters `add_clusters` makes without an argument    20
SCREEN_DATA         directory of the SQLite file        next to manage.py
SCREEN_OVERLAP      when a refresh comes due while one waits: allow_all, or buffer_one    allow_all
SCREEN_DEBUG        1 or 0                              1
"""

import os
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from django.core.management.utils import get_random_secret_key
from kombu import Queue

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(os.environ.get("SCREEN_DATA", BASE_DIR))


def _next_database(url):
    """The same server's next database, so that DEL on the cache can never touch the broker's keys."""
    parts = urlsplit(url)
    number = int(parts.path.strip("/") or 0)
    return urlunsplit(parts._replace(path=f"/{number + 1}"))


BROKER_URL = os.environ.get("SCREEN_BROKER_URL", "redis://localhost:6379/0")
CACHE_URL = os.environ.get("SCREEN_CACHE_URL") or _next_database(BROKER_URL)
SCREEN_INTERVAL_S = float(os.environ.get("SCREEN_INTERVAL_S", "1.0"))
SCREEN_TASK_S = float(os.environ.get("SCREEN_TASK_S", "0.056"))
SCREEN_CLUSTERS = int(os.environ.get("SCREEN_CLUSTERS", "20"))

# True by default, as it was in the story: the worker warns at its start that DEBUG leaks memory, and so DEBUG
# was the first suspect. It does cost memory (Django keeps its queries), but in the worker, not in Redis.
DEBUG = os.environ.get("SCREEN_DEBUG", "1") == "1"
# There are no sessions and no forms to sign, so a key for this process alone does.
SECRET_KEY = get_random_secret_key()
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]

INSTALLED_APPS = ["screen"]
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"]
ROOT_URLCONF = "screen.urls"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATA_DIR / "screen.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": CACHE_URL}}
USE_TZ = True

CELERY_BROKER_URL = BROKER_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
# Every ten seconds unless told otherwise; the demo lasts for a minute.
CELERY_TIDEGATE_PROBE_EVERY_S = 1
# A refresh with all that it fans out into is one firing. With `buffer_one` a new one is sent only while at most one is
# not done, so the workers clock the schedule, whatever the interval.
CELERY_TIDEGATE_ENTRIES = {
    "refresh": {"overlap": os.environ.get("SCREEN_OVERLAP", "allow_all"), "scope": "firing"},
}
# With Tidegate's scheduler (`celery beat -S tidegate`) the interval follows the workers that live.
if os.environ.get("SCREEN_FOLLOWS"):
    CELERY_TIDEGATE_ENTRIES["refresh"] |= {"every": "auto", "min": 0.2, "max": 10}
CELERY_TASK_QUEUES = [Queue("celery"), Queue("schedule")]
# The parent has a queue of its own. In the children's it would wait behind those of the firings before, and the load
# would come in waves: many parents in a row, then all their children, and each wave longer than the last.
CELERY_TASK_ROUTES = {"screen.tasks.refresh_all_clusters": {"queue": "schedule"}}
CELERY_BEAT_SCHEDULE_FILENAME = str(DATA_DIR / "celerybeat-schedule")
CELERY_BEAT_SCHEDULE = {
    "refresh": {"task": "screen.tasks.refresh_all_clusters", "schedule": SCREEN_INTERVAL_S},
}
