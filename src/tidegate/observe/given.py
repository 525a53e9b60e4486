"""Files in which people say how long their tasks run and what workers they have: JSON or TOML, read whole."""

import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tidegate.errors import UsageError
from tidegate.facts.lint import GivenPool, RunTime
from tidegate.units import parse_duration

_FIELDS = {"run_s", "children", "per_s"}
_LARGEST_BYTES = 16 << 20
#: As many as --hosts takes.
_MOST_HOSTS = 1000


def read_run_times(path: Path) -> dict[str, RunTime]:
    """Run times by task: `task = seconds`, or `{run_s, children: {task: number}, per_s}`.

    Names with dots may be written as nested tables, as TOML reads them where they are not quoted. Raises UsageError for
    anything else, and for a child whose own run time is not given.
    """
    times = {name: _run_time(path, name, value) for name, value in _flat(path, _read(path))}
    for name, time in times.items():
        unknown = next((child for child in time.children if child not in times), None)
        if unknown is not None:
            raise UsageError(f"{path}: {name} has the child {unknown}, whose own run time is missing: add {unknown!r}")
    return times


def read_pools(path: Path) -> tuple[GivenPool, ...]:
    """Pools of workers: a list (in TOML `[[pools]]`) of `{queues, slots, hosts}`; `slots` on each host.

    `hosts` is a number, or a list of names where pools share hosts; 1 where it is left out. Raises UsageError.
    """
    value = _read(path)
    rows = value.get("pools") if isinstance(value, dict) else value
    if not isinstance(rows, list) or not rows:
        raise UsageError(f'{path}: expected a list of pools, as in {{"pools": [{{"queues": ["celery"], "slots": 4}}]}}')
    return tuple(_pool(path, number, row) for number, row in enumerate(rows, 1))


def _read(path: Path) -> Any:
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise UsageError(f"{path}: larger than 16 MiB, which no such file is")
        text = path.read_text("utf-8")
        return tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        kind = "TOML" if path.suffix.lower() == ".toml" else "JSON (TOML is read from files named *.toml)"
        raise UsageError(f"{path} is no {kind}: {error}") from error


def _flat(path: Path, value: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Names with what stands behind them; a table without `run_s` holds further parts of the name."""
    if not isinstance(value, dict):
        raise UsageError(f'{path}: expected names of tasks, as in {{"proj.tasks.add": 0.25}}, got {value!r:.60}')
    for part, item in value.items():
        name = f"{before}{part}"
        if isinstance(item, dict) and not _FIELDS & item.keys():
            yield from _flat(path, item, f"{name}.")
        else:
            yield name, item


def _run_time(path: Path, name: str, value: Any) -> RunTime:
    if not isinstance(value, dict):
        return RunTime(run_s=_seconds(path, name, value))
    strange = next((key for key in value if key not in _FIELDS), None)
    if strange is not None or "run_s" not in value:
        raise UsageError(f"{path}: {name}: expected run_s, and perhaps children and per_s; got {', '.join(value)}")
    children = dict(_flat(path, value.get("children", {})))
    return RunTime(
        run_s=_seconds(path, name, value["run_s"]),
        children={child: _number(path, f"children of {name}", each) for child, each in children.items()},
        per_s=_number(path, f"per_s of {name}", value.get("per_s", 0)),
    )


def _seconds(path: Path, name: str, value: Any) -> float:
    """A number of seconds, or text as `250ms`."""
    if isinstance(value, str):
        try:
            return parse_duration(value)
        except ValueError as error:
            raise UsageError(f"{path}: run time of {name}: {error}") from error
    return _number(path, f"run time of {name}", value)


def _number(path: Path, what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise UsageError(f"{path}: {what}: expected a number of at least 0, got {value!r:.60}")
    return float(value)


def _pool(path: Path, number: int, row: Any) -> GivenPool:
    if not isinstance(row, Mapping) or not {"queues", "slots"} <= row.keys() <= {"queues", "slots", "hosts"}:
        raise UsageError(f"{path}: pool {number}: expected queues, slots and perhaps hosts, got {row!r:.60}")
    queues, slots, hosts = row["queues"], row["slots"], row.get("hosts", 1)
    if not isinstance(queues, list) or not queues or not all(isinstance(queue, str) for queue in queues):
        raise UsageError(f"{path}: pool {number}: queues: expected a list of names, got {queues!r:.60}")
    if isinstance(slots, bool) or not isinstance(slots, int) or slots < 1:
        raise UsageError(f"{path}: pool {number}: slots: expected a whole number of at least 1, got {slots!r:.60}")
    return GivenPool(queues=tuple(queues), slots=slots, hosts=_hosts(path, number, hosts))


def _hosts(path: Path, number: int, hosts: Any) -> tuple[str, ...]:
    if isinstance(hosts, int) and not isinstance(hosts, bool) and 1 <= hosts <= _MOST_HOSTS:
        return tuple(f"pool{number}-host{place}" for place in range(1, hosts + 1))
    if isinstance(hosts, list) and hosts and all(isinstance(host, str) and host for host in hosts):
        return tuple(dict.fromkeys(hosts))
    raise UsageError(
        f"{path}: pool {number}: hosts: expected a number from 1 to 1000 or a list of names, got {hosts!r:.60}"
    )
