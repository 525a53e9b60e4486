"""`beat_scheduler = "tidegate-django"`: the entries are rows of django-celery-beat.

Importing this module needs the package, and Django set up.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tidegate.act.beat.outcomes import rarely
from tidegate.act.beat.scheduler import TidegateMixin
from tidegate.errors import UsageError
from tidegate.facts.beat import EntryPolicy

try:
    from django_celery_beat import schedulers
except ImportError as error:
    raise UsageError(
        "the scheduler tidegate-django needs django-celery-beat: pip install django-celery-beat"
    ) from error

#: Rows that one statement writes, and for how long a tick may write; what is left is written by those that follow.
_ROWS, _WRITES_S = 250, 0.1
#: At the end everything is written, unless the database takes longer than this.
_LAST_S = 10.0
#: What is changed past Django's signals (in bulk, by SQL) is seen after so long; as django-celery-beat has it.
_READS_ALL_EVERY_S = schedulers.SCHEDULE_SYNC_MAX_INTERVAL
_LOOKS_EVERY_S = 0.9
_PARTS = ("interval", "crontab", "solar", "clocked")


class DatabaseScheduler(TidegateMixin, schedulers.DatabaseScheduler):  # type: ignore[misc]
    """A change of rows is seen within a second; run state is written in bulk; a database that is away is waited for.

    All enabled rows are kept, crontabs that are hours away among them, so nothing that was missed is forgotten.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: Rows whose run state is to be written when Celery says so, and those that are being written.
        self._ran: dict[str, Any] = {}
        self._writing: dict[str, Any] = {}
        self._looked_s = self._read_s = 0.0
        self._is_set_up = False
        self._given: Mapping[str, Any] | None = None
        self._schedule: dict[str, Any] | None = None
        super().__init__(*args, **kwargs)

    # What the mixin asks for.

    def listed(self) -> Mapping[str, Any] | None:
        """The rows, where they are other ones than the last time."""
        if not self._is_set_up:
            self.setup_schedule()
        if self._writing:
            self._write(_WRITES_S)
        found = self.schedule
        if found is self._given:
            return None
        self._given = found
        return found

    def permits(self, entry: Any, due: datetime) -> bool:
        """Whether the row is enabled, has begun, and is neither over nor done; one that is over or done is disabled."""
        row = entry.model
        if not row.enabled or (row.start_time is not None and due < _aware(row.start_time)):
            return False
        if row.one_off and row.total_run_count > 0:
            self._end(row)
        elif row.expires is not None and datetime.now(UTC) >= _aware(row.expires):
            entry._disable(row)
        return bool(row.enabled)

    def keep_run(self, entry: Any, due: datetime) -> Any:
        """Notes it in the row, which is written later; a row that runs once is disabled at once."""
        row = entry.model
        row.last_run_at = entry.last_run_at = due if _zones() else due.replace(tzinfo=None)
        row.total_run_count += 1
        entry.total_run_count = row.total_run_count
        if row.one_off:
            self._end(row)
        else:
            self._ran[row.name] = row
        return entry

    def policy_of(self, entry: Any) -> EntryPolicy:
        """A row that says when it starts is not spread."""
        policy: EntryPolicy = super().policy_of(entry)
        return policy if entry.model.start_time is None else replace(policy, spread=False)

    # What django-celery-beat has otherwise.

    def setup_schedule(self) -> None:
        """The same, as soon as the database answers."""
        try:
            self._read()
            super().setup_schedule()
            self._is_set_up = True
        except schedulers.DatabaseError as error:
            self._schedule = self._schedule or {}
            rarely.say("database", "the database does not answer (%s): tried again every second", error)

    @property
    def schedule(self) -> dict[str, Any]:
        """All enabled rows; whether they have changed is asked at most once a second."""
        now_s = time.monotonic()
        if self._is_set_up and now_s - self._looked_s >= _LOOKS_EVERY_S:
            self._looked_s = now_s
            if self.schedule_changed() or now_s - self._read_s >= _READS_ALL_EVERY_S:
                self._read()
        return self._schedule or {}

    def _read(self) -> None:
        if self._last_timestamp is None:
            # What changes from now on is a change.
            self.schedule_changed()
        found = self.all_as_schedule()
        for name, row in {**self._writing, **self._ran}.items():
            if name in found:
                _carry_over(row, found[name])
                (self._ran if name in self._ran else self._writing)[name] = found[name].model
        self._schedule, self._read_s = found, time.monotonic()

    def all_as_schedule(self) -> dict[str, Any]:
        """By name, in one query; a row that no entry can be made of is reported, and the others run."""
        found = {}
        for row in self.enabled_models_qs():
            try:
                entry = self.Entry(row, app=self.app)
                if row.enabled:
                    found[row.name] = _from_its_start(entry)
            except schedulers.DatabaseError:
                raise
            except Exception as error:  # noqa: BLE001  whatever somebody wrote into the table
                kind = type(error).__name__
                rarely.say(
                    f"row {row.name}", "the row %r is left out: it can't be read (%s: %s)", row.name, kind, error
                )
        return found

    def enabled_models_qs(self) -> Any:
        """Those that are hours away, too: the agenda has room for them."""
        return self.Model.objects.enabled().prefetch_related(None).select_related(*_PARTS)

    def _do_sync(self) -> None:
        """What ran since the last time is written from now on, a piece with each look at the rows."""
        self._last_sync, self._tasks_since_sync = time.monotonic(), 0
        self._writing.update(self._ran)
        self._ran.clear()

    def sync(self) -> None:
        """Writes everything that is not written yet: at the end."""
        self._do_sync()
        self._write(_LAST_S)

    def _write(self, within_s: float) -> None:
        """Rows that are gone stay gone; no reader is told, for nothing that it goes by has changed."""
        until_s = time.monotonic() + within_s
        try:
            schedulers.close_old_connections()
            while self._writing and time.monotonic() < until_s:
                names = list(self._writing)[:_ROWS]
                rows = [self._writing[name] for name in names]
                self.Model._default_manager.bulk_update(rows, ["last_run_at", "total_run_count"])
                for name in names:
                    del self._writing[name]
        except (schedulers.DatabaseError, schedulers.InterfaceError) as error:
            rarely.say("database", "the last runs can't be written (%s): tried again every second", error)

    def _end(self, row: Any) -> None:
        """It runs once, and has run."""
        row.enabled, row.total_run_count, row.no_changes = False, 0, False
        self._ran.pop(row.name, None)
        row.save()


def _carry_over(row: Any, entry: Any) -> None:
    """What is not written yet holds for the row as it was read again."""
    entry.model.last_run_at = entry.last_run_at = row.last_run_at
    entry.model.total_run_count = entry.total_run_count = row.total_run_count


def _from_its_start(entry: Any) -> Any:
    """A row with a start that never ran has its due times from that moment on."""
    start, every = entry.model.start_time, getattr(entry.schedule, "run_every", None)
    if start is not None and entry.model.total_run_count == 0 and isinstance(every, timedelta) and every:
        start = _aware(start)
        # For one far away: still before now, and on the same grid.
        ahead = max(-(-(start - datetime.now(UTC)) // every), 1)
        entry.last_run_at = start - ahead * every
    return entry


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _zones() -> bool:
    return bool(getattr(schedulers.settings, "DJANGO_CELERY_BEAT_TZ_AWARE", True))
