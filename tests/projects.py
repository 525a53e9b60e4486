"""Projects as users have them, in a directory of their own: a plain module, or Django with django-celery-beat."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from faces.shell import Ran
from tidegate.demo.processes import python_environment

SETTINGS = """
from pathlib import Path
SECRET_KEY = "x"
INSTALLED_APPS = ["django_celery_beat"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": Path(__file__).with_name("db.sqlite3")}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
CELERY_BEAT_SCHEDULER = "django"
CELERY_TIMEZONE = "Europe/Berlin"
"""
APPLICATION = """
import os
from celery import Celery
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_settings")
app = Celery("proj")
app.config_from_object("django.conf:settings", namespace="CELERY")
@app.task(name="proj.refresh")
def refresh(): pass
@app.task(name="proj.mail", expires=60, queue="mail")
def mail(): pass
"""
_SEEN = """
import json
from tidegate.document import document
from tidegate.observe.app import load_app, see_app
print(json.dumps(document(see_app(load_app("proj")))))
"""


def write(place: Path, **modules: str) -> Path:
    """The directory with these modules in it, by name."""
    place.mkdir(parents=True, exist_ok=True)
    for name, source in modules.items():
        (place / f"{name}.py").write_text(source)
    return place


def python(place: Path, *arguments: str, **environment: str) -> Ran:
    """Runs Python in the directory, as a user would."""
    variables = {**python_environment(place), "COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": "1", **environment}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=place, env=variables, capture_output=True, check=False, timeout=60
    )
    return Ran(done.returncode, done.stdout, done.stderr, 0.0)


def script(place: Path, source: str) -> str:
    """What a script of the project prints; AssertionError where it fails."""
    ran = python(place, "-c", source)
    assert ran.code == 0, ran.said
    return ran.shown


def seen(place: Path) -> Any:
    """What the application says of itself, as plain data."""
    return json.loads(script(place, _SEEN))


def django_project(place: Path, settings: str = "", application: str = "", migrated: bool = True) -> Path:
    """A Django project with django-celery-beat on SQLite; `settings` and `application` are added at the ends."""
    write(place, site_settings=SETTINGS + settings, proj=APPLICATION + application)
    if migrated:
        ran = python(place, "-m", "django", "migrate", "--verbosity", "0", DJANGO_SETTINGS_MODULE="site_settings")
        assert ran.code == 0, ran.said
    return place


def rows(place: Path, source: str) -> None:
    """Writes rows with django-celery-beat's own models; everything in its `models` is at hand."""
    script(place, f"import proj\nimport django\ndjango.setup()\nfrom django_celery_beat.models import *\n{source}")
