"""The entries that RedBeat keeps in Redis, read with commands that only read; nothing of RedBeat's is imported.

    <prefix>:schedule   zset   one key a member, scored with the time it is due next
    <prefix><name>      hash   `definition`: the entry in JSON, `meta`: when it was last sent, in JSON

The prefix is `redbeat:` unless `redbeat_key_prefix` says otherwise; Kombu's `global_keyprefix` does not count here.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from tidegate.broker.address import Address, parse_address, with_options, with_tls
from tidegate.broker.client import Broker, Refusal, as_text, connect
from tidegate.broker.reads import batched, refused
from tidegate.errors import TidegateError
from tidegate.facts.unknown import Maybe, Unknown
from tidegate.observe.schedule.entry import Row
from tidegate.observe.schedule.scheduler import REDBEAT
from tidegate.observe.schedule.timing import Timing, crontab_timing, every, rrule_timing

MOST_ENTRIES = 100_000
_CHUNK = 1000
_CRONTAB = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")


def is_configured(app: Any) -> bool:
    """True where any setting of RedBeat's is given."""
    return any(str(name).lower().startswith("redbeat_") for name in app.conf)


def redbeat_rows(app: Any, zone: tzinfo, timeout_s: float) -> Maybe[list[Row]]:
    """All entries in its schedule; unknown, with the reason, where Redis does not give them.

    Costs one ZRANGE a thousand entries and one HMGET an entry, two hundred in a round trip.
    """
    try:
        address = redbeat_address(app)
        with connect(address, timeout_s) as broker:
            return _rows(broker, _prefix(app), zone)
    except (TidegateError, AttributeError, TypeError, ValueError) as error:
        # The latter where its settings are of another kind than they should be.
        return Unknown(f"RedBeat's entries can't be read: {error}")


def redbeat_address(app: Any) -> Address:
    """Where RedBeat keeps its entries: `redbeat_redis_url`, else the broker; its own options, else the broker's."""
    conf = app.conf
    url = str(_setting(app, "redis_url") or conf.broker_url or "")
    options = _setting(app, "redis_options") or conf.broker_transport_options or {}
    use_ssl = _setting(app, "redis_use_ssl") or conf.broker_use_ssl
    if url.startswith("redis-sentinel"):
        hosts = ";".join(f"sentinel://{host}:{port}" for host, port in options.get("sentinels", ()))
        known = {"master_name": options.get("service_name", "master")} | _only(options, "sentinel_kwargs")
        login: dict[str, Any] = {name: options.get(name) for name in ("username", "password")}
        address = replace(with_options(parse_address(hosts), known), db=int(options.get("db", 0)), **login)
        return with_tls(address, use_ssl)
    return with_tls(parse_address(url, _only(options, "master_name", "sentinel_kwargs")), use_ssl)


def _only(options: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: options[name] for name in names if name in options}


def _setting(app: Any, name: str) -> Any:
    return app.conf.get(f"redbeat_{name}") or app.conf.get(f"REDBEAT_{name.upper()}")


def _prefix(app: Any) -> str:
    return str(_setting(app, "key_prefix") or "redbeat:")


def _rows(broker: Broker, prefix: str, zone: tzinfo) -> Maybe[list[Row]]:
    keys: list[str] = []
    while True:
        if len(keys) > MOST_ENTRIES:
            return Unknown(f"RedBeat holds more than {MOST_ENTRIES:,} entries, which are not read")
        reply = broker.one("ZRANGE", f"{prefix}:schedule", len(keys), len(keys) + _CHUNK - 1)
        if isinstance(reply, Refusal):
            return refused(broker, "ZRANGE", reply)
        keys += map(as_text, reply)
        if len(reply) < _CHUNK:
            break
    replies = batched(broker, [("HMGET", key, "definition", "meta") for key in keys])
    first = next((reply for reply in replies if isinstance(reply, Refusal) and reply.denied), None)
    if first is not None:
        return refused(broker, "HMGET", first)
    # RedBeat itself passes over a key that is gone.
    found = zip(keys, replies, strict=True)
    return [_row(key.removeprefix(prefix), reply, zone) for key, reply in found if _defines(reply)]


def _defines(reply: object) -> bool:
    return isinstance(reply, Refusal) or (isinstance(reply, list) and bool(reply[0]))


def _row(name: str, reply: Any, zone: tzinfo) -> Row:
    if isinstance(reply, Refusal):
        return _unusable(name, f"its key can't be read ({reply.why})")
    definition, meta = _object(reply[0]), _object(reply[1])
    if definition is None:
        return _unusable(name, "its definition is no JSON object")
    options = definition.get("options")
    return Row(
        name=str(definition.get("name") or name),
        task=str(definition.get("task") or ""),
        timing=_timing(definition.get("schedule"), zone),
        source=REDBEAT,
        args=definition.get("args") or (),
        kwargs=definition.get("kwargs") or {},
        options=_decoded(options) if isinstance(options, dict) else {},
        enabled=bool(definition.get("enabled", True)),
        last_run_at=_epoch(meta.get("last_run_at") if meta else None),
        trouble="" if definition.get("task") else "it names no task",
    )


def _unusable(name: str, trouble: str) -> Row:
    return Row(name=name, task="", timing=Timing(text=""), source=REDBEAT, trouble=trouble)


def _object(text: bytes | None) -> dict[str, Any] | None:
    try:
        value = json.loads(text or b"null")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _timing(schedule: object, zone: tzinfo) -> Timing:
    """The schedule in RedBeat's own encoding: an object whose `__type__` says what it is."""
    kind = schedule.get("__type__") if isinstance(schedule, dict) else None
    if not isinstance(schedule, dict):
        return Timing(text="", trouble="it has no schedule")
    if kind == "interval":
        seconds = schedule.get("every")
        return every(seconds) if isinstance(seconds, (int, float)) else _odd(f"its interval is {seconds!r:.40}")
    if kind == "crontab":
        return crontab_timing({name: schedule.get(name, "*") for name in _CRONTAB}, zone)
    if kind == "rrule":
        return rrule_timing(schedule)
    return _odd(f"its schedule is of the unknown type {kind!r:.40}")


def _odd(trouble: str) -> Timing:
    return Timing(text="", trouble=trouble)


def _decoded(options: dict[str, Any]) -> dict[str, Any]:
    """The options with `expires` as a time where it is one."""
    moment = _moment(options.get("expires"))
    return options if moment is None else {**options, "expires": moment}


def _epoch(value: object) -> float | None:
    moment = _moment(value)
    return moment.timestamp() if moment is not None else None


def _moment(value: object) -> datetime | None:
    """A time in RedBeat's encoding; None for anything else."""
    if not isinstance(value, dict) or value.get("__type__") != "datetime":
        return None
    parts = {name: value.get(name, 0) for name in ("year", "month", "day", "hour", "minute", "second", "microsecond")}
    zone = value.get("timezone", "UTC")
    try:
        where = timezone(timedelta(seconds=zone)) if isinstance(zone, (int, float)) else ZoneInfo(str(zone))
        return datetime(**parts, tzinfo=where).astimezone(UTC)
    except (TypeError, ValueError, OverflowError, OSError, KeyError):
        return None
