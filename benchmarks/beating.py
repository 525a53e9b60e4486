"""What beat reaches: due runs sent and how late, against stock beat in the same run; loading, memory, and a sync."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import redis

from benchmarks.instruments import note
from benchmarks.measurements import Row
from tidegate.demo.broker import PrivateBroker
from tidegate.demo.processes import celery, python_environment

STOCK, OURS = "celery.beat:PersistentScheduler", "tidegate"
#: (entries, seconds between two runs of each)
SCHEDULES = ((1_000, 1.0), (10_000, 10.0))
WINDOW_S = 20.0
MANY = 100_000
STARTS_S = 60.0

#: Writes how late each due time was with the server, where the scheduler says when it was due.
_PROJECT = """
import atexit, json, os, time
from celery import Celery

app = Celery("bench", broker=os.environ["CELERY_BROKER_URL"], set_as_current=False)
app.conf.beat_schedule = {{
    f"entry-{{n}}": {{"task": "bench.noop", "schedule": {every}, "args": (n,)}} for n in range({entries})
}}

@app.task(name="bench.noop")
def noop(number):
    pass

late = []
try:
    from tidegate.act.beat.signals import beat_decided
except ImportError:
    pass
else:
    def note(outcome, due, **_):
        late.append((str(outcome), time.time(), time.time() - due.timestamp()))
    beat_decided.connect(note, weak=False)
    atexit.register(lambda: open("late.json", "w").write(json.dumps(late)))
"""

#: Loads a schedule, and says what that took: seconds until the first tick is over, bytes per entry, seconds of a sync.
_LOADS = """
import json, os, sys, time
from celery.beat import Service
from proj import app

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

before, began = resident(), time.perf_counter()
beat = Service(app, scheduler_cls=sys.argv[1], schedule_filename="schedule").scheduler
beat.tick()
loaded = time.perf_counter()
# Every entry has run once.
if hasattr(beat, "book"):
    for kept in beat.book.entries.values():
        kept.entry = beat.keep_run(kept.entry, kept.entry.last_run_at)
else:
    for entry in list(beat.schedule.values()):
        beat.reserve(entry)
held, synced = resident() - before, time.perf_counter()
beat.sync()
print(json.dumps([loaded - began, held, time.perf_counter() - synced]), flush=True)
os._exit(0)
"""


@dataclass(frozen=True)
class Reached:
    """Of one beat: runs sent within the window, how late each was (ours alone says it), and its memory."""

    sent: int
    late_s: list[float]
    resident_mb: float


def beating(rounds: int) -> Iterator[Row]:
    """Both schedules with both schedulers, then a large one that is only loaded."""
    with PrivateBroker() as server:
        for entries, every_s in SCHEDULES:
            yield from _sent(server, entries, every_s)
    yield from _loaded()


def _sent(server: PrivateBroker, entries: int, every_s: float) -> Iterator[Row]:
    what = f"{entries:,} entries every {every_s:g} s"
    found = {}
    for scheduler in (STOCK, OURS):
        note(f"{what}: {scheduler}")
        found[scheduler] = _run(server, scheduler, entries, every_s)
    stock, ours = found[STOCK], found[OURS]
    wanted = entries * WINDOW_S / every_s
    share = ours.sent / wanted
    yield Row(
        f"{what}, sent of what came due",
        f"{share:.1%}",
        f"stock {stock.sent / wanted:.1%}",
        None,
        "≥ 99 %",
        share >= 0.99,
    )
    ratio = ours.sent / max(stock.sent, 1)
    least = 10 if entries >= 10_000 else None
    promised, good = ("≥ 10", ratio >= least) if least else ("", None)
    yield Row(
        f"{what}, sent",
        f"{ours.sent / WINDOW_S:,.0f}/s",
        f"stock {stock.sent / WINDOW_S:,.0f}/s",
        ratio,
        promised,
        good,
    )
    p50, p99 = statistics.median(ours.late_s), statistics.quantiles(ours.late_s, n=100)[98]
    yield Row(
        f"{what}, late, median / 99th of 100",
        f"{p50 * 1e3:.0f} / {p99 * 1e3:.0f} ms",
        "its own clock",
        promised="≤ 100 / 500 ms",
        good=p50 <= 0.1 and p99 <= 0.5,
    )
    yield Row(
        f"{what}, memory of the process",
        f"{ours.resident_mb:.0f} MB",
        f"stock {stock.resident_mb:.0f} MB",
        ours.resident_mb / stock.resident_mb,
    )


def _run(server: PrivateBroker, scheduler: str, entries: int, every_s: float) -> Reached:
    """A real beat; from outside it is seen what arrives, in a window that begins when every entry has run or should have."""
    with (
        tempfile.TemporaryDirectory(prefix="tidegate-bench-") as name,
        redis.Redis(unix_socket_path=str(server.socket_path)) as client,
    ):
        place = Path(name)
        (place / "proj.py").write_text(_PROJECT.format(entries=entries, every=every_s))
        client.flushall()
        words = ["beat", "-S", scheduler, "-l", "WARNING", "--pidfile=", "-s", str(place / "schedule")]
        process = celery(
            "proj", *words, project=place, log=place / "log", environment={"CELERY_BROKER_URL": server.url}
        )
        try:
            _wait_for_first(client)
            # Ours spreads the first runs over an interval.
            _drain(client, every_s)
            began_s = time.time()
            sent = _drain(client, WINDOW_S)
            resident_mb = _resident_mb(process.pid)
        finally:
            process.stop()
        return Reached(sent, _late(place / "late.json", began_s), resident_mb)


def _wait_for_first(client: redis.Redis) -> None:
    give_up = time.monotonic() + STARTS_S
    while not client.llen("celery"):
        if time.monotonic() > give_up:
            raise SystemExit("beat sent nothing")
        time.sleep(0.02)


def _drain(client: redis.Redis, seconds: float) -> int:
    """Takes away what arrives, and counts it."""
    end, count = time.monotonic() + seconds, -int(client.llen("celery"))
    while time.monotonic() < end:
        taken = client.rpop("celery", 1000)
        count += len(taken or ())  # type: ignore[arg-type]
        time.sleep(0.02)
    return count + int(client.llen("celery"))


def _late(file: Path, began_s: float) -> list[float]:
    """Of the due times decided on in the window."""
    if not file.exists():
        return []
    end_s = began_s + WINDOW_S
    return [late for outcome, at, late in json.loads(file.read_text()) if began_s <= at <= end_s and outcome == "sent"]


def _resident_mb(pid: int) -> float:
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(row.split()[1] for row in rows if row.startswith("VmRSS"))) / 1024


def _loaded() -> Iterator[Row]:
    """In processes that do nothing else; a schedule of a thousand entries is taken off for what is there anyway."""
    found = {}
    for scheduler in (STOCK, OURS):
        note(f"loading {MANY:,} entries: {scheduler}")
        small, tenth, large = (_load(scheduler, entries) for entries in (1_000, 10_000, MANY))
        found[scheduler] = large[0], (large[1] - small[1]) / (MANY - 1_000), tenth[2]
    stock, ours = found[STOCK], found[OURS]
    yield Row(
        f"{MANY:,} entries, until the first tick is over",
        f"{ours[0]:.1f} s",
        f"stock {stock[0]:.1f} s",
        ours[0] / stock[0],
        "< 10 s",
        ours[0] < 10,
    )
    yield Row(
        f"{MANY:,} entries that ran, memory of each",
        f"{ours[1]:,.0f} bytes",
        f"stock {stock[1]:,.0f} bytes",
        ours[1] / stock[1],
    )
    yield Row(
        "10,000 entries, a sync",
        f"{ours[2] * 1e3:.0f} ms",
        f"stock {stock[2] * 1e3:.0f} ms",
        ours[2] / stock[2],
        "≤ 200 ms",
        ours[2] <= 0.2,
    )


def _load(scheduler: str, entries: int) -> tuple[float, float, float]:
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as name:
        place = Path(name)
        (place / "proj.py").write_text(_PROJECT.format(entries=entries, every=1_000.0))
        (place / "loads.py").write_text(_LOADS)
        environment = {**python_environment(place), "CELERY_BROKER_URL": "redis://127.0.0.1:1/0"}
        child = subprocess.run(
            [sys.executable, "loads.py", scheduler],
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        took_s, held, sync_s = json.loads(child.stdout.splitlines()[-1])
        return took_s, held, sync_s
