"""The command line as people run it: in a process of its own, or, where many runs are needed, in this one."""

import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tidegate.cli.main import tidegate
from tidegate.demo.processes import python_environment

#: Every look there is, with `{}` for the broker; short windows, so that a matrix of them stays quick.
LOOKS = (
    ("doctor", "{}", "--window", "0.5"),
    ("queues", "{}", "--window", "0.5"),
    ("peek", "celery", "{}"),
    ("census", "celery", "{}", "--sample"),
    ("census", "celery", "{}", "--exact"),
    ("plan", "{}"),
    ("gate", "status", "{}", "--window", "0.5"),
)
COMMANDS = tuple((*look, *form) for look in LOOKS for form in ((), ("--json",)))
#: Those of one queue, which has to be there.
ON_ONE_QUEUE = tuple(command for command in COMMANDS if command[0] in ("peek", "census"))
WINDOW_S = 0.5
#: No run may take longer: what a frozen test would look like.
LONGEST_S = 40
_COLOURS = {"FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}
#: Code points that steer a terminal: C0 and DEL, C1, and what turns the direction of text.
STEERING = {*range(0x20), *range(0x7F, 0xA0), 0x61C, *range(0x200B, 0x2010), *range(0x2028, 0x202F)} | {
    *range(0x2066, 0x206A)
}


@dataclass(frozen=True, slots=True)
class Ran:
    """How one run ended: its exit code, what it said, how long it took, and the most memory it held."""

    code: int
    out: bytes
    err: bytes
    took_s: float
    peak_mb: float = 0.0

    @property
    def said(self) -> str:
        return self.err.decode()

    @property
    def shown(self) -> str:
        return self.out.decode()

    @property
    def parsed(self) -> Any:
        return json.loads(self.out)


def words(command: tuple[str, ...], url: str, *more: str) -> list[str]:
    """The command line of one of `COMMANDS` on that broker."""
    return [word.replace("{}", url) for word in command] + list(more)


#: Runs a command, ends it by force after so many seconds, and reports the most memory it held. A small process of its
#: own, because a child inherits what its parent held at the most: that of pytest may be anything.
_LAUNCHER = """
import os, signal, sys
report, longest, *command = sys.argv[1:]
pid = os.fork()
if pid == 0:
    signal.alarm(int(longest))
    os.execv(command[0], command)
_, status, usage = os.wait4(pid, 0)
os.write(int(report), str(usage.ru_maxrss).encode())
sys.exit(os.waitstatus_to_exitcode(status) % 256)
"""


def briefly(command: tuple[str, ...], url: str) -> list[str]:
    """The same, where what is in the broker matters and not how it moves; of a queue, all of it."""
    more = {"doctor": ("--window", "0.05"), "queues": ("--window", "0.05"), "peek": ("-n", "10000")}
    more["gate"] = more["doctor"]
    return words(command, url, *more.get(command[0], ()))


def run(*arguments: str | bytes, environment: Mapping[str, str] | None = None) -> Ran:
    """`python -m tidegate …` in a process of its own, ended by force after `LONGEST_S`."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as report:
        launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(report.fileno()), str(LONGEST_S)]
        began = time.monotonic()
        code = subprocess.run(
            [*launcher, sys.executable, "-m", "tidegate", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=_environment(environment),
            pass_fds=[report.fileno()],
            check=False,
        ).returncode
        took_s = time.monotonic() - began
        return Ran(code, _all(out), _all(err), took_s, _megabytes(int(_all(report))))


def _all(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    here = {name: value for name, value in python_environment(Path.cwd()).items() if name not in _COLOURS}
    return {**here, "COLUMNS": "200", "PYTHONIOENCODING": "utf-8", **(more or {})}


def _megabytes(maxrss: int) -> float:
    # Linux counts kilobytes, macOS bytes.
    return maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def call(*arguments: str) -> Ran:
    """The same within this process: quick enough for a matrix."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    began, code = time.monotonic(), 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            tidegate(list(arguments), prog_name="tidegate")
        except SystemExit as ended:
            code = int(ended.code or 0)
    took_s = time.monotonic() - began
    return Ran(code, _written(out), _written(err), took_s)


def _written(stream: io.TextIOWrapper) -> bytes:
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue()


def assert_one_line(ran: Ran, *, longest_s: float, secret: str = "") -> None:
    """It could not look and said so: exit 3, one line on stderr, nothing on stdout, in time, and no secret in it."""
    said = ran.said
    assert ran.code == 3, said
    assert ran.out == b""
    assert said.startswith("tidegate: could not look: "), said
    assert said.endswith("\n")
    assert said.count("\n") == 1, said
    assert "Traceback" not in said
    assert "mistake in Tidegate" not in said, said
    assert not steering(said), said
    assert ran.took_s < longest_s, said
    assert not secret or secret not in said, said


def steering(text: str) -> set[str]:
    """The characters in the text that could steer a terminal, line ends aside."""
    return {char for char in text if ord(char) in STEERING and char != "\n"}


def assert_harmless(ran: Ran) -> None:
    """It looked and said what it saw: no traceback, and nothing that could steer a terminal."""
    assert ran.code in (0, 1), ran.said
    assert "Traceback" not in ran.said
    assert "Exception ignored" not in ran.said
    assert not steering(ran.shown), sorted(map(ascii, steering(ran.shown)))
    assert not steering(ran.said)


def assert_every_command_is_harmless(url: str) -> None:
    """All commands, as text and as JSON, in this process."""
    for command in COMMANDS:
        (assert_harmless_json if "--json" in command else assert_harmless)(call(*briefly(command, url)))


def assert_harmless_json(ran: Ran) -> None:
    """The same, and what it wrote is one JSON document in ASCII."""
    assert_harmless(ran)
    assert ran.out.isascii()
    assert ran.parsed is not None
