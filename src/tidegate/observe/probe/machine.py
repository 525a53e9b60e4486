"""What a worker runs on: how many cores it may use, and how busy they are. Linux tells; elsewhere it is unknown."""

import os
import socket
import time
from pathlib import Path

_NS = 1e9
_TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def machine_name() -> str:
    """What the machine is called; a container has a name of its own."""
    return socket.gethostname()


class Machine:
    """Cores and their use; `root` is where the system's own file systems are (tests have their own)."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._proc = root / "proc"
        self._group = root / "sys/fs/cgroup"
        self._own = _affinity()
        quota = self._quota()
        #: Cores that the processes here may use: those they may run on, or the quota of their control group.
        self.cores = float(self._own) if quota is None else min(float(self._own), quota)
        self._limited = quota is not None and quota < self._own
        self._last = self._used()

    def busy_cores(self) -> float | None:
        """Cores in use since the last call: of the control group where it has a quota, else of the whole machine."""
        last, self._last = self._last, self._used()
        if last is None or self._last is None or self._last[0] <= last[0]:
            return None
        return max(0.0, (self._last[1] - last[1]) / (self._last[0] - last[0]))

    def _used(self) -> tuple[float, float] | None:
        """(time, core seconds used by then); None where the system does not tell."""
        seconds = self._group_seconds() if self._limited else self._machine_seconds()
        return None if seconds is None else (time.monotonic(), seconds)

    def _machine_seconds(self) -> float | None:
        words = _words(self._proc / "stat")
        if len(words) < 8 or words[0] != "cpu":
            return None
        user, nice, system, _idle, _iowait, irq, softirq = map(int, words[1:8])
        return (user + nice + system + irq + softirq) / _TICKS_PER_S

    def _group_seconds(self) -> float | None:
        for place in self._places(""):
            words = _words(place / "cpu.stat")
            if "usage_usec" in words:
                return int(words[words.index("usage_usec") + 1]) / 1e6
        for place in self._places("cpuacct"):
            words = _words(place / "cpuacct.usage")
            if words:
                return int(words[0]) / _NS
        return None

    def _quota(self) -> float | None:
        """The smallest quota of the control group and those above it, in cores; None where there is none."""
        found = [self._quota_v2(place) for place in self._places("")]
        found += [self._quota_v1(place) for place in self._places("cpu")]
        return min((quota for quota in found if quota is not None), default=None)

    def _quota_v2(self, place: Path) -> float | None:
        words = _words(place / "cpu.max")
        return int(words[0]) / int(words[1]) if len(words) == 2 and words[0].isdigit() and int(words[1]) else None

    def _quota_v1(self, place: Path) -> float | None:
        quota, period = _words(place / "cpu.cfs_quota_us"), _words(place / "cpu.cfs_period_us")
        if not quota or not period or not quota[0].isdigit() or not int(period[0]):
            return None
        return int(quota[0]) / int(period[0])

    def _places(self, controller: str) -> list[Path]:
        """The directories of our control group and those above it, innermost first."""
        base = self._group
        if controller:
            base = next(
                (self._group / name for name in (controller, "cpu,cpuacct") if (self._group / name).is_dir()), base
            )
        path = self._path(controller).strip("/")
        parts = path.split("/") if path else []
        return [base.joinpath(*parts[:count]) for count in range(len(parts), -1, -1)]

    def _path(self, controller: str) -> str:
        for line in _lines(self._proc / "self/cgroup"):
            _, names, path = [*line.split(":", 2), "", ""][:3]
            if controller in names.split(",") and ".." not in path:
                return path
        return ""


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _words(path: Path) -> list[str]:
    """The words of the file; of /proc/stat only its first line matters, of cpu.stat all of it."""
    lines = _lines(path)
    return " ".join(lines[:1] if path.name == "stat" else lines).split()
