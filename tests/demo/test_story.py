"""The demo grows a real queue, mends it, and leaves nothing behind however it ends."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from urllib.request import urlopen

import pytest
import redis

from demo.deadline import eventually, lives
from tidegate.demo.narrator import PlainNarrator, sparkline
from tidegate.demo.processes import python_environment
from tidegate.demo.stage import Scene, find_project
from tidegate.demo.story import CHILD, ENTRY, PARENT, explain, run_demo
from tidegate.errors import UsageError
from tidegate.facts.planned import Plan
from tidegate.facts.unknown import Unknown
from tidegate.planning import plan

PLAYER = Path(__file__).with_name("player.py")
MARK = "TIDEGATE_TEST_MARK"


class Recorder:
    """A narrator that keeps what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.shown: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def progress(self, line: str) -> None:
        self.shown.append(line)


def marked(mark: str) -> list[int]:
    """Every process that was started with this mark in its environment, this one's own children and theirs."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:  # it ended while we looked, or is somebody else's
                continue
            if f"{MARK}={mark}".encode() in environment and lives(int(entry.name)):
                found.append(int(entry.name))
    return found


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setenv(MARK, str(tmp_path))
    return str(tmp_path)


@pytest.mark.calm
@pytest.mark.timeout(180)
def test_the_queue_grows_is_diagnosed_and_stays_flat_at_the_planned_interval(mark: str) -> None:
    seen: dict[str, object] = {}

    def show(url: str) -> SimpleNamespace:
        with redis.Redis.from_url(url) as client:
            seen.update(url=url, depth=client.llen("celery"), children=len(marked(mark)))
        parent = SimpleNamespace(name=PARENT, edge_interval_s=0.6, min_safe_interval_s=0.8)
        return SimpleNamespace(tasks=[parent])

    def show_plan(url: str) -> Plan:
        seen["plan"] = planned = plan(url)
        return planned

    def show_gate(url: str) -> None:
        with redis.Redis.from_url(url) as client:
            seen["skipped"] = client.hget("tidegate:gate:1:counts", "overlap_skipped|schedule")

    teller = Recorder()
    # Twice what the worker can do, so that a few seconds are enough to see it.
    scene = Scene(clusters=10, task_s=0.05, interval_s=0.25)
    assert run_demo(show, show_plan, show_gate, narrator=teller, seconds=8.0, scene=scene) == 0
    assert seen["depth"] > 20
    assert seen["children"] > 5
    acts = [line for line in teller.shown if "full server" not in line]
    depths = [int(re.search(r"(\d+) messages", line)[1]) for line in acts if "interval" not in line]
    assert depths[0] < depths[15]
    story = " ".join(teller.said)
    assert str(seen["url"]) in story
    assert "0.60 s of work" in story
    # Ten children of 50 ms, the parent, and what Django and the worker add to each.
    [entry] = seen["plan"].entries
    assert entry.entry == ENTRY
    assert entry.runs_per_firing == pytest.approx(11)
    assert 0.5 < entry.edge_interval_s < 0.75
    assert f"every {entry.min_safe_interval_s.estimate:.2f} s" in story
    first, second, third = depths[:30], depths[32:-24], depths[-22:]
    assert min(second[-10:]) < 5
    # In the third act the same overload, which the gate holds at one firing under way and one behind it.
    assert max(first) > 2 * scene.clusters >= max(third)
    assert int(seen["skipped"]) > 5
    assert "without the gate" in story
    assert re.search(r"the oldest status on the page is \d\.\d s old", story)
    # In the fourth the interval follows the hosts, and the queue stays below two refreshes.
    both_s, alone_s, again_s = (float(found) for found in re.findall(r"a refresh comes every (\d+\.\d+) s", story))
    assert alone_s > 1.3 * both_s and alone_s > 1.3 * again_s
    followed = [int(re.search(r"(\d+) messages", line)[1]) for line in teller.shown if "interval" in line]
    assert max(followed) <= 2 * scene.clusters
    # In the last the workers of a full server die, and after the rescue every message is executed once.
    filled, executed = re.search(r"the ([\d,]+) messages are executed, ([\d,]+) in all", story).groups()
    assert "exits with code 1" in story and "Room made after" in story
    assert filled == executed and int(filled.replace(",", "")) > 500
    assert marked(mark) == []


@pytest.mark.parametrize("diagnosis", [None, SimpleNamespace(tasks=[]), "unknown"])
def test_without_a_number_in_the_diagnosis_the_interval_is_doubled(diagnosis: object) -> None:
    why = Unknown("the window was too short")
    parent = SimpleNamespace(name=PARENT, edge_interval_s=why, min_safe_interval_s=why)
    shown = SimpleNamespace(tasks=[parent]) if diagnosis == "unknown" else diagnosis
    teller = Recorder()
    assert explain(teller, Scene(interval_s=0.3), shown, None) == 0.6
    assert "twice the old one: 0.6 s" in teller.said[0]


def test_where_only_the_children_show_their_capacity_a_firing_costs_one_of_each_cluster() -> None:
    hidden = Unknown("no message waits")
    tasks = [
        SimpleNamespace(name=PARENT, edge_interval_s=hidden, min_safe_interval_s=hidden),
        SimpleNamespace(name=CHILD, edge_interval_s=0.06, min_safe_interval_s=0.075),
    ]
    teller = Recorder()
    assert explain(teller, Scene(clusters=20), SimpleNamespace(tasks=tasks), None) == pytest.approx(1.5)
    assert "busy for 1.20 s" in teller.said[0]


@contextmanager
def playing() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The demo with `keep`, once it is left running: the process, and the URL of its page."""
    pipes = {"stdout": subprocess.PIPE, "text": True}
    environment = python_environment(PLAYER.parent)
    with subprocess.Popen([sys.executable, str(PLAYER)], env=environment, **pipes) as process:
        try:
            page = next(found[1] for line in process.stdout if (found := re.search(r"the page +(http\S+)", line)))
            yield process, page
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_however_it_is_ended_no_process_and_no_file_survives(mark: str, number: int, code: int) -> None:
    with playing() as (process, page):
        with urlopen(page, timeout=10) as answer:
            text = answer.read().decode()
        assert "metrics-east-1" in text
        places = directories(mark)
        assert places
        process.send_signal(number)
        assert process.wait(30) == code
        assert eventually(lambda: marked(mark) == [], within_s=30)
        assert eventually(lambda: not any(place.exists() for place in places))


def directories(mark: str) -> list[Path]:
    """The directories in which the marked processes keep their data."""
    found = set()
    for pid in marked(mark):
        for setting in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            if setting.startswith(b"SCREEN_DATA="):
                found.add(Path(setting.partition(b"=")[2].decode()).parent)
    return sorted(found)


def test_the_project_is_found_in_the_checkout() -> None:
    assert (find_project() / "screen" / "tasks.py").is_file()


def test_without_django_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(UsageError, match=r"pip install 'tidegate\[demo\]'"):
        run_demo(lambda _url: None, lambda _url: None, narrator=Recorder())


def test_progress_in_a_pipe_is_a_line_now_and_then() -> None:
    stream = StringIO()
    narrator = PlainNarrator(stream)
    narrator.progress("one")
    narrator.progress("two")
    narrator.say("Done.")
    assert stream.getvalue() == "one\n\nDone.\n"


def test_a_sparkline_ends_with_the_newest_depth() -> None:
    assert sparkline([0, 0, 7, 14]) == "▁▁▄█"
    assert sparkline([0, 0]) == "▁▁"
    assert len(sparkline(list(range(100)), width=10)) == 10
