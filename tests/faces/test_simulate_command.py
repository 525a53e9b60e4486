"""`tidegate simulate` as people run it: scenario files, what the probe left on a real server, and whatever goes wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from faces.charts import WITHOUT_MATPLOTLIB
from faces.hostile import TEXTS
from faces.measured import leave, two_hosts
from faces.shell import assert_harmless, assert_harmless_json, call, run
from model.cluster import CHILD, PARENT
from tidegate.demo.processes import python_environment

SCENARIOS = Path(__file__).parents[2] / "examples" / "scenarios"
STORY = str(SCENARIOS / "story.toml")
SMALL = """
[run]
duration = 60
[[hosts]]
name = "w"
[[tasks]]
name = "refresh"
run = 0.4
[[entries]]
task = "refresh"
every = 1.0
"""


@pytest.fixture
def file(tmp_path):
    """`file(text)`: the name of a scenario file with that text."""

    def write(text, name="s.toml"):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.toml")), ids=lambda path: path.name)
def test_every_example_is_simulated_as_text_and_as_json(path):
    shown, parsed = call("simulate", str(path)), call("simulate", str(path), "--json")

    assert_harmless(shown)
    assert_harmless_json(parsed)
    assert shown.shown.splitlines()[0].upper().startswith(parsed.parsed["verdict"].upper())


def test_the_story_never_clears_and_when_the_memory_is_full_is_said_first():
    ran = call("simulate", STORY)

    assert ran.code == 0, ran.said
    assert ran.shown.startswith("GROWING  celery never clears: it grows by 1.79/s; the memory is full in 48 days\n")
    assert "Messages waiting" in ran.shown
    assert "69,821 messages published: 63,205 done, 6,611 waiting, 4 reserved, 1 running." in " ".join(
        ran.shown.split()
    )


def test_the_policies_are_compared_in_one_run():
    entries = {
        entry["name"]: entry for entry in call("simulate", str(SCENARIOS / "overlap.toml"), "--json").parsed["entries"]
    }

    assert entries["skip"]["skipped"] == {"skip": 1800}
    assert entries["allow_all"]["skipped"] == {}
    assert entries["buffer_one"]["age_read_at_run_s"]["mean"] == pytest.approx(2.25, abs=0.01)
    replaced = entries["buffer_one, replaced"]["age_read_at_publish_s"]["mean"]
    assert replaced < entries["buffer_one"]["age_read_at_publish_s"]["mean"] < 5
    assert entries["allow_all"]["age_read_at_publish_s"]["mean"] > 600


def test_a_lost_host_loses_what_it_ran_and_its_backlog_clears():
    parsed = call("simulate", str(SCENARIOS / "host-lost.toml"), "--json").parsed

    assert parsed["verdict"] == "ok"
    assert parsed["messages"]["lost"] == 1
    assert parsed["queues"][0]["most_depth"] > 2000
    assert parsed["queues"][0]["end_depth"] < 30


def test_options_go_before_what_the_scenario_says(file):
    ran = call("simulate", file(SMALL), "--duration", "2m", "--seed", "5", "--runs", "3", "--json").parsed

    assert (ran["duration_s"], ran["warmup_s"], ran["seed"], ran["runs"]) == (120, 12, 5, 3)
    assert ran["messages"]["published"] == 3 * 121


def test_the_fluid_mode_is_an_option_too(file):
    ran = call("simulate", file(SMALL), "--fluid", "--json").parsed

    assert ran["mode"] == "fluid"
    assert ran["tasks"][0]["wait"]["p95_s"] is None
    assert "fluid" in ran["tasks"][0]["wait"]["unknown"]["p95_s"]


def test_the_same_seed_says_the_same_in_another_process():
    first, second = run("simulate", STORY, "--duration", "5m"), run("simulate", STORY, "--duration", "5m")

    assert first.code == 0, first.said
    assert first.out == second.out


def test_depth_over_time_has_as_many_points_as_moments():
    ran = call("simulate", STORY, "--json").parsed

    assert 100 < len(ran["at_s"]) <= 400
    assert all(len(queue["depth_at"]) == len(ran["at_s"]) for queue in ran["queues"])
    assert ran["at_s"][-1] == ran["simulated_s"] == 3600


def test_the_chart_is_written_as_a_picture(tmp_path):
    picture = tmp_path / "depth.svg"
    ran = call("simulate", STORY, "--chart", str(picture))

    assert ran.code == 0, ran.said
    assert f"The chart is in {picture}" in ran.said
    assert picture.read_text().startswith("<?xml")


def test_a_chart_without_its_extra_is_refused_before_anything_is_simulated(tmp_path):
    script = (
        WITHOUT_MATPLOTLIB
        + f"""
from tidegate.cli.main import tidegate
tidegate(["simulate", {STORY!r}, "--chart", {str(tmp_path / "x.svg")!r}])
"""
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert ran.returncode == 2
    assert "pip install 'tidegate[charts]'" in ran.stderr
    assert ran.stdout == ""


# What is wrong


def test_a_file_that_is_not_there_or_no_text_or_a_directory_is_said_in_one_line(tmp_path):
    (tmp_path / "latin.toml").write_bytes(b"# \xe9\xff")
    for name, reason in (("none.toml", "No such file"), (".", "directory"), ("latin.toml", "it is not UTF-8 text")):
        ran = call("simulate", str(tmp_path / name))
        assert (ran.code, ran.out) == (2, b"")
        assert ran.said.startswith("tidegate: wrong usage: cannot read the scenario ")
        assert reason in ran.said
        assert ran.said.count("\n") == 1


@pytest.mark.parametrize(("text", "said"), [
    ("", "s.toml is empty"),
    (SMALL.replace("every = 1.0", "every = 0"), "[[entries]] refresh: every: expected a duration above 0, got 0"),
    (SMALL.replace("every", "evry"), "did you mean 'every'?"),
    (SMALL.replace('task = "refresh"', 'task = "refrsh"'), "did you mean 'refresh'?"),
    (SMALL.replace("60", '"400000 years"'), "[run]: duration: expected a duration such as 1.2, 90s or 1m30s"),
    (SMALL.replace("60", "3e8").replace("1.0", "0.001"), "a shorter duration, or the fluid mode"),
])  # fmt: skip
def test_a_bad_scenario_is_refused_in_one_line_with_exit_code_2(file, text, said):
    ran = call("simulate", file(text))

    assert (ran.code, ran.out) == (2, b"")
    assert said in ran.said
    assert ran.said.startswith("tidegate: wrong usage: ")
    assert ran.said.count("\n") == 1


@pytest.mark.parametrize("duration", ["0", "9999999d"])
def test_an_absurd_duration_is_refused_as_an_option_too(duration):
    ran = call("simulate", STORY, "--duration", duration)

    assert ran.code == 2
    assert "[run]: duration: expected more than 0 s and at most ten years" in ran.said


def test_a_queue_that_nobody_consumes_is_simulated_and_said_to_grow(file):
    ran = call("simulate", file(SMALL.replace("run = 0.4", 'queue = "nowhere"')))

    assert ran.code == 0, ran.said
    assert ran.shown.startswith("STALLED  nobody consumes nowhere: it grows by 1/s")


def test_without_a_scenario_or_with_two_it_says_what_it_wants():
    for arguments in ((), (STORY, "--from-probe")):
        ran = call("simulate", *arguments)
        assert ran.code == 2
        assert "expected a scenario file, or --from-probe in its place" in ran.said


def test_a_broker_in_the_place_of_a_file_is_not_shown_with_its_password():
    ran = call("simulate", "redis://:secret@localhost/0")

    assert ran.code == 2
    assert "secret" not in ran.said
    assert "--from-probe" in ran.said


@pytest.mark.parametrize("name", TEXTS, ids=ascii)
def test_no_name_in_a_scenario_can_steer_the_terminal(file, name):
    if "\ud800" in name:
        name = name.replace("\ud800", "")
    quoted = (
        json.dumps(name)
        .replace("\\ud835\\udd4f", "X")
        .replace("\\udb40\\udc41\\udb80\\udc00", "\\U000e0041\\U000f0000")
    )
    text = (
        SMALL.replace('"refresh"', quoted).replace('"w"', quoted).replace("run = 0.4", f"run = 0.4\nqueue = {quoted}")
    )
    for options in ((), ("-v",), ("--fluid",)):
        assert_harmless(call("simulate", file(text), *options))
    assert_harmless_json(call("simulate", file(text), "--json"))


def test_a_name_that_is_not_known_is_shown_harmlessly(file):
    ran = call("simulate", file(SMALL.replace('task = "refresh"', 'task = "\\u001b[2Jred"')))

    assert ran.code == 2
    assert "\x1b" not in ran.said


# From the probe


def test_what_the_probe_measured_is_simulated(broker_url, redis_client):
    leave(redis_client, two_hosts(interval_s=1.0))
    ran = call("simulate", "--from-probe", broker_url, "--json").parsed

    assert ran["verdict"] == "ok"
    assert {task["name"] for task in ran["tasks"]} == {PARENT, CHILD}
    assert ran["pools"][0]["busy_share"]["mean"] == pytest.approx(20 * 0.0614 / 2, rel=0.05)
    assert ran["notes"][0].startswith("made from ")


def test_from_the_probe_only_reads(broker_url, redis_client):
    leave(redis_client, two_hosts())
    before = {key: redis_client.dump(key) for key in redis_client.scan_iter()}
    assert call("simulate", "--from-probe", broker_url).code == 0

    assert {key: redis_client.dump(key) for key in redis_client.scan_iter()} == before


def test_what_was_measured_is_written_to_be_edited_and_simulated(broker_url, redis_client, tmp_path):
    leave(redis_client, two_hosts())
    target = tmp_path / "measured.toml"
    wrote = call("simulate", "--from-probe", broker_url, "--write", str(target))

    assert (wrote.code, wrote.out) == (0, b"")
    assert f"The scenario is in {target}" in wrote.said
    assert target.read_text().startswith("# made from ")
    target.write_text(target.read_text().replace("every = 1.0", "every = 0.5"))
    assert call("simulate", str(target)).shown.startswith("GROWING  celery never clears: it grows by ")


def test_a_file_that_is_there_is_not_written_over(file):
    there = file(SMALL)
    ran = call("simulate", STORY, "--write", there)

    assert ran.code == 2
    assert "File exists" in ran.said
    assert Path(there).read_text() == SMALL


def test_nothing_measured_is_said_and_nothing_made_up(broker_url):
    ran = call("simulate", "--from-probe", broker_url)

    assert (ran.code, ran.out) == (3, b"")
    assert ran.said == (
        "tidegate: could not look: nothing was measured there: install the probe (tidegate.install(app)), and let tasks run\n"
    )


def test_no_server_is_said_in_one_line():
    ran = call("simulate", "--from-probe", "redis://127.0.0.1:1/0")

    assert ran.code == 3
    assert ran.said.count("\n") == 1


# Ctrl-C


def test_ctrl_c_shows_what_was_simulated_until_then_and_ends_with_130(tmp_path):
    """The file is large enough that the signal comes in the middle, however fast the machine."""
    scenario = tmp_path / "long.toml"
    scenario.write_text(SMALL.replace("60", "3e6").replace("every = 1.0", "every = 0.01"))
    command = [sys.executable, "-m", "tidegate", "simulate", str(scenario), "--json"]
    with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, env=python_environment(tmp_path))
        try:
            deadline = time.monotonic() + 30
            while not _handles_interrupt(process.pid):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            code = process.wait(60)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    answer = json.loads((tmp_path / "out").read_text())

    assert code == 130
    assert not answer["complete"]
    assert 0 < answer["simulated_s"] < answer["duration_s"]
    assert (
        "interrupted; this is what was simulated until then, and nothing was changed" in (tmp_path / "err").read_text()
    )


def _handles_interrupt(pid):
    """True once the simulation runs: only it writes so much time to its process."""
    if not Path("/proc").exists():
        time.sleep(3.0)
        return True
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / os.sysconf("SC_CLK_TCK") > 1.5
