"""Which scheduler an application is configured for: the setting `beat_scheduler`, a name or a dotted path."""

from typing import Any

from tidegate.facts.unknown import Maybe, Unknown

#: What the places that hold entries are called, in `EntrySeen.source` and everywhere else.
STATIC = "beat_schedule"
DATABASE = "django-celery-beat"
REDBEAT = "RedBeat"
_BY_PACKAGE = {"django_celery_beat": DATABASE, "redbeat": REDBEAT}
#: Where the schedulers of Tidegate are.
_OURS = "tidegate.act.beat."
_DEFAULT = "celery.beat:PersistentScheduler"


def configured(app: Any) -> str:
    """The setting as it stands."""
    return str(app.conf.beat_scheduler or _DEFAULT)


def is_ours(app: Any) -> Maybe[bool]:
    """Whether the configured scheduler is one of Tidegate's; imports its module as `kind_of_scheduler` does."""
    try:
        scheduler = _imported(_dotted(configured(app)))
    except (Exception, SystemExit) as error:  # noqa: BLE001  whatever importing somebody's module may raise
        return _not_importable(_dotted(configured(app)), error)
    return any(f"{base.__module__}.".startswith(_OURS) for base in getattr(scheduler, "__mro__", ()))


def left_to_the_command_line(app: Any) -> bool:
    """True where the setting is Celery's default, so that `celery beat -S …` decides."""
    return configured(app) == _DEFAULT


def kind_of_scheduler(app: Any) -> Maybe[str]:
    """The place where the configured scheduler keeps its entries; unknown for one of a kind that we can't read.

    Imports the scheduler's module where its name alone does not tell, as beat does.
    """
    path = _dotted(configured(app))
    package = path.partition(".")[0]
    if package in _BY_PACKAGE:
        return _BY_PACKAGE[package]
    try:
        return _kind_of_class(path)
    except (Exception, SystemExit) as error:  # noqa: BLE001  whatever importing somebody's module may raise
        return _not_importable(path, error)


def _not_importable(path: str, error: BaseException) -> Unknown:
    said = " ".join(str(error).split())
    return Unknown(f"beat_scheduler {path!r} can't be imported ({type(error).__name__}: {said})")


def _imported(path: str) -> Any:
    from celery.utils.imports import symbol_by_name

    return symbol_by_name(path)


def _kind_of_class(path: str) -> Maybe[str]:
    from celery.beat import PersistentScheduler, Scheduler

    scheduler = _imported(path)
    lineage = getattr(scheduler, "__mro__", ())
    found = [_BY_PACKAGE[_package(base)] for base in lineage if _package(base) in _BY_PACKAGE]
    if found:
        return found[0]
    if scheduler is Scheduler or PersistentScheduler in lineage:
        return STATIC
    return Unknown(f"beat_scheduler {path!r} keeps its entries in a place that is not known here")


def _package(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def _dotted(name: str) -> str:
    """The path that a registered name stands for, as `django` does."""
    from celery.utils.imports import load_extension_class_names

    names: Any = load_extension_class_names("celery.beat_schedulers")
    return str(dict(names).get(name, name))
