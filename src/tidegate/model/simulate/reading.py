"""A scenario file, read and checked: every name known, every number possible, one line where something is wrong."""

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tidegate.errors import UsageError
from tidegate.facts.overlap import Overlap, Payload, Scope
from tidegate.facts.scenario import (
    Arrivals,
    BrokerSettings,
    Entry,
    HostEvent,
    HostGroup,
    RunSettings,
    Scenario,
    TaskLoad,
)
from tidegate.model.simulate import values as v
from tidegate.model.simulate.checking import check
from tidegate.model.simulate.values import Check, filled, one_of, refuse

_PRIORITY = v.whole(0, 255)
#: The lists of a scenario, `[[name]]`, and the keys of their items.
LISTS: Mapping[str, tuple[type, Mapping[str, Check]]] = {
    "hosts": (HostGroup, {
        "name": v.text, "count": v.whole(1, 1_000_000), "slots": v.whole(1, 100_000), "queues": v.names,
        "prefetch": v.whole(0, 100_000), "disable_prefetch": v.flag,
        "queue_order": v.choice(("round_robin", "priority")), "cores": v.number(0, 100_000),
        "slowdown": v.points(v.number(1), v.number(0, above=True)), "turnaround": v.duration, "latency": v.duration,
    }),
    "tasks": (TaskLoad, {
        "name": v.text, "queue": v.text, "run": v.law, "children": v.by_name(v.number(0, 1_000_000)),
        "priority": _PRIORITY, "acks_late": v.flag, "expires": v.duration, "retry": v.retry, "cpu": v.number(0, 1),
        "bytes": v.size, "overlap": v.choice(Overlap), "payload": v.choice(Payload),
    }),
    "entries": (Entry, {
        "name": v.text, "task": v.text, "every": v.some_time, "gaps": v.some_gap, "phase": v.duration,
        "jitter": v.duration, "count": v.whole(1, 1_000_000), "overlap": v.choice(Overlap),
        "payload": v.choice(Payload), "scope": v.choice(Scope), "expires": v.duration, "priority": _PRIORITY,
    }),
    "arrivals": (Arrivals, {
        "name": v.text, "task": v.text, "rate": v.number(0, above=True),
        "rates": v.points(v.duration, v.number(0)), "gaps": v.some_gap, "times": v.several(v.duration),
        "expires": v.duration, "priority": _PRIORITY,
    }),
    "events": (HostEvent, {"at": v.duration, "kill": v.text, "return": v.text, "count": v.whole(1, 1_000_000)}),
}  # fmt: skip
#: The tables of a scenario, `[name]`.
TABLES: Mapping[str, tuple[type, Mapping[str, Check]]] = {
    "run": (RunSettings, {
        "duration": v.some_time, "warmup": v.duration, "seed": v.whole(0, 2**63), "runs": v.whole(1, 10_000),
        "mode": v.choice(("events", "fluid")),
    }),
    "broker": (BrokerSettings, {
        "visibility_timeout": v.some_time, "restore_every": v.some_time,
        "priority_steps": v.several(_PRIORITY), "memory_limit": v.size, "memory_used": v.size,
    }),
}  # fmt: skip
#: Of a run the warm-up is this share where none is given.
_WARMUP = 0.1


def read_scenario(text: str, name: str = "the scenario") -> Scenario:
    """The scenario that a file says; UsageError with one line where it can't be one."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name} is no TOML: {error}") from None
    return scenario_from(document, name)


def scenario_from(document: Mapping[str, Any], name: str = "the scenario") -> Scenario:
    """The same from TOML already parsed."""
    for key in document:
        if key not in LISTS and key not in TABLES:
            raise one_of(key, [*LISTS, *TABLES], f"{name}: the section")
    lists = {section: _items(section, document.get(section, [])) for section in LISTS}
    run = _run(document.get("run", {}))
    _, keys = TABLES["broker"]
    broker = filled(BrokerSettings, keys, "[broker]", _table("broker", document.get("broker", {})))
    scenario = Scenario(**{section: tuple(items) for section, items in lists.items()}, run=run, broker=broker)
    check(scenario, name)
    return scenario


def _table(section: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise refuse(f"[{section}]", "a table", value)
    return value


def _run(value: object) -> RunSettings:
    table = _table("run", value)
    run: RunSettings = filled(RunSettings, TABLES["run"][1], "[run]", table)
    return run if "warmup" in table else replace(run, warmup_s=run.duration_s * _WARMUP)


def with_duration(run: RunSettings, duration_s: float) -> RunSettings:
    """Of another duration, its warm-up the same part of it."""
    return replace(run, duration_s=duration_s, warmup_s=run.warmup_s * duration_s / run.duration_s)


def _items(section: str, value: object) -> list[Any]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise refuse(f"[[{section}]]", f"tables that begin with [[{section}]]", value)
    return [_item(section, number, item) for number, item in enumerate(value, 1)]


def _item(section: str, number: int, item: Mapping[str, Any]) -> Any:
    kind, keys = LISTS[section]
    where = f"[[{section}]] {item.get('name') or item.get('task') or number}"
    if kind is HostEvent:
        return _event(where, item)
    if kind in (Entry, Arrivals) and "name" not in item and "task" in item:
        item = {"name": item["task"], **item}
    return filled(kind, keys, where, item)


def _event(where: str, item: Mapping[str, Any]) -> HostEvent:
    keys = LISTS["events"][1]
    for key in item:
        if key not in keys:
            raise one_of(key, keys, f"{where}: the key")
    acts = [key for key in ("kill", "return") if key in item]
    if len(acts) != 1 or "at" not in item:
        raise UsageError(f"{where}: at, and one of kill and return, must be given")
    checked = {key: keys[key](f"{where}: {key}", value) for key, value in item.items()}
    [kind] = acts
    return HostEvent(at_s=checked["at"], kind="kill" if kind == "kill" else "return", host=checked[kind],
                     count=checked.get("count"))  # fmt: skip
