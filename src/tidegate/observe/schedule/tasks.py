"""Which tasks an application knows: its task modules imported, as its workers and its beat import them at their start."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from tidegate.facts.unknown import Maybe, Unknown

_SKIPS_CHECKS = "CELERY_SKIP_CHECKS"


def known_tasks(app: Any) -> Maybe[tuple[str, ...]]:
    """The names of all tasks, sorted; unknown, with the reason, where one of the task modules can't be imported.

    Imports the user's modules and runs nothing else of theirs: Django's system checks are left out.
    """
    try:
        with _quietly():
            app.loader.import_default_modules()
            app.finalize(auto=True)
            return tuple(sorted(map(str, app.tasks)))
    except (Exception, SystemExit) as error:  # noqa: BLE001  whatever importing somebody's module may raise
        said = " ".join(str(error).split())
        return Unknown(f"the task modules can't be imported ({type(error).__name__}: {said})")


@contextmanager
def _quietly() -> Iterator[None]:
    """What modules print goes to stderr, and what Celery logs of a failing one nowhere: the reason is kept."""
    before, logged = os.environ.get(_SKIPS_CHECKS), logging.root.manager.disable
    os.environ[_SKIPS_CHECKS] = "1"
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(sys.stderr), warnings.catch_warnings():
            # They are the worker's to say, and must not end us where they are errors.
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logged)
        if before is None:
            del os.environ[_SKIPS_CHECKS]
        else:
            os.environ[_SKIPS_CHECKS] = before
