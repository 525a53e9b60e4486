"""`beat_scheduler = "tidegate-redbeat"`: the entries are RedBeat's, on RedBeat's own server.

RedBeat's lock is not taken: beats share Tidegate's lease.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from tidegate.act.beat.calendar import interval_of
from tidegate.act.beat.outcomes import rarely
from tidegate.act.beat.scheduler import TidegateMixin
from tidegate.errors import UsageError

try:
    from redbeat import schedulers
    from redbeat.decoder import RedBeatJSONEncoder, to_timestamp
except ImportError as error:
    raise UsageError("the scheduler tidegate-redbeat needs RedBeat: pip install celery-redbeat") from error

#: Entries that one round trip reads or writes.
_AT_ONCE = 1000
#: What comes due within so many seconds is read again, for RedBeat does not tell a change of arguments.
_AHEAD_S = 3


class RedBeatScheduler(TidegateMixin, schedulers.RedBeatScheduler):  # type: ignore[misc]
    """What other processes add, change, disable or remove is seen within a second; run state is written once a second.

    RedBeat's scores are whole seconds; due times here are exact, by the cursors.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._entries: dict[str, Any] = {}
        self._raw: dict[str, str] = {}
        self._scores: dict[str, float] = {}
        self._names: dict[str, str] = {}
        self._ran: dict[str, Any] = {}
        self._is_set_up = False
        super().__init__(*args, **kwargs)
        self.lock_key = None

    @property
    def schedule(self) -> dict[str, Any]:
        """All entries that are known, by name."""
        return self._entries

    # What the mixin asks for.

    def listed(self) -> Mapping[str, Any] | None:
        """The entries, where one came, went or changed. Costs two round trips."""
        if not self._is_set_up:
            self.setup_schedule()
        client = schedulers.get_redis(self.app)
        scores = dict(client.zrange(self.app.redbeat_conf.schedule_key, 0, -1, withscores=True))
        gone = [key for key in self._names if key not in scores]
        for key in gone:
            self._forget(key)
        changed = self._read(client, self._to_read(scores))
        self._scores = scores
        self._write(client)
        return dict(self._entries) if gone or changed else None

    def permits(self, entry: Any, due: datetime) -> bool:
        """Whether it is enabled."""
        return bool(entry.enabled)

    def send_entry(self, entry: Any) -> None:
        """Past `apply_entry`: whoever watches RedBeat (Sentry does) watches `apply_async`, and would count it twice."""
        self.apply_async(entry, producer=self.producer, advance=False)

    def keep_run(self, entry: Any, due: datetime) -> Any:
        """Notes it; written with the next look at the entries."""
        entry.last_run_at = due
        entry.total_run_count += 1
        self._ran[entry.key] = entry
        return entry

    # What RedBeat has otherwise.

    def setup_schedule(self) -> None:
        """The same, as soon as its server answers."""
        try:
            super().setup_schedule()
            self._is_set_up = True
        except schedulers.redis.exceptions.RedisError as error:
            rarely.say("redbeat", "RedBeat's server does not answer (%s): tried again every second", error)

    def sync(self) -> None:
        """Writes everything that is not written yet: at the end."""
        try:
            self._write(schedulers.get_redis(self.app))
        except schedulers.redis.exceptions.RedisError as error:
            rarely.say("redbeat", "the last runs can't be written (%s)", error)

    def _to_read(self, scores: Mapping[str, float]) -> list[str]:
        """What is new, what somebody else gave another time, and what comes due soon."""
        soon = to_timestamp(self.app.now()) + _AHEAD_S
        known = self._scores
        return [key for key, score in scores.items() if score <= soon or known.get(key) != score]

    def _read(self, client: Any, keys: Iterable[str]) -> bool:
        """Takes in the definitions whose text is another one; whether there were any."""
        changed, rest = False, iter(keys)
        while some := list(islice(rest, _AT_ONCE)):
            with client.pipeline(transaction=False) as pipe:
                for key in some:
                    pipe.hmget(key, "definition", "meta")
                answers = pipe.execute(raise_on_error=False)
            for key, answer in zip(some, answers, strict=True):
                definition, meta = answer if isinstance(answer, list) else ("", None)
                if definition is not None and self._raw.get(key) != definition:
                    changed = self._take_in(key, definition, meta) or changed
        return changed

    def _take_in(self, key: str, definition: str, meta: str | None) -> bool:
        self._forget(key)
        self._raw[key] = definition
        try:
            entry = self._made(definition, meta)
        except Exception as error:  # noqa: BLE001  whatever somebody wrote there
            kind = type(error).__name__
            rarely.say(f"key {key}", "the entry at %s is left out: it can't be read (%s: %s)", key, kind, error)
            return True
        self._entries[entry.name], self._names[key] = entry, entry.name
        return True

    def _made(self, definition: str, meta: str | None) -> Any:
        said = {**self.Entry.decode_meta(meta), **self.Entry.decode_definition(definition)}
        ran = said.pop("last_run_at", None)
        entry = self.Entry(app=self.app, **said)
        # Celery's own takes the present for one that never ran.
        entry.last_run_at = ran
        return entry

    def _forget(self, key: str) -> None:
        self._raw.pop(key, None)
        self._ran.pop(key, None)
        name = self._names.pop(key, None)
        if name is not None:
            self._entries.pop(name, None)

    def _write(self, client: Any) -> None:
        """The run state of what ran since the last time; what somebody removed meanwhile stays removed."""
        place = self.app.redbeat_conf.schedule_key
        while some := list(islice(self._ran.items(), _AT_ONCE)):
            scores = {key: _score(entry) for key, entry in some}
            with client.pipeline(transaction=False) as pipe:
                pipe.zadd(place, scores, xx=True)
                for key, entry in some:
                    pipe.hset(key, "meta", _meta(entry))
                pipe.execute()
            self._scores.update(scores)
            for key, _ in some:
                self._ran.pop(key, None)


def _score(entry: Any) -> float:
    """When it is due next, as RedBeat's own scheduler would write it."""
    if not interval_of(entry.schedule):
        return float(entry.score)
    every: timedelta = entry.schedule.run_every
    return float(to_timestamp(entry.last_run_at + every))


def _meta(entry: Any) -> str:
    meta = {"last_run_at": entry.last_run_at, "total_run_count": entry.total_run_count}
    return json.dumps(meta, cls=RedBeatJSONEncoder)
