"""`tidegate plan` on a real server that holds what probes left."""

import xml.etree.ElementTree as ElementTree

import pytest

from faces.charts import WITHOUT_MATPLOTLIB
from faces.hostile import TEXTS
from faces.measured import leave, two_hosts
from faces.shell import assert_harmless, assert_harmless_json, call, run
from model.cluster import CHILD, PARENT
from tidegate.facts.measured import Key

APP = f"""
from celery import Celery
app = Celery("proj", broker="{{url}}")
app.conf.beat_schedule = {{{{
    "refresh": {{{{"task": "{PARENT}", "schedule": {{interval}}}}}},
    "nightly": {{{{"task": "proj.nightly", "schedule": 3600.0}}}},
}}}}
"""


@pytest.fixture
def measured_at(broker_url, redis_client, tmp_path, monkeypatch):
    """`measured_at(0.5)`: options that name a broker with data, and an application with that interval."""
    leave(redis_client, two_hosts())

    def at(interval_s):
        name = f"proj_{str(interval_s).replace('.', '_')}"
        (tmp_path / f"{name}.py").write_text(APP.format(url=broker_url, interval=interval_s))
        monkeypatch.syspath_prepend(tmp_path)
        return ("plan", "-A", name)

    return at


def test_the_answer_names_the_edge_the_safe_interval_and_what_a_lost_host_does(measured_at):
    ran = call(*measured_at(0.5))
    said = " ".join(ran.shown.split())

    assert ran.code == 0, ran.said
    assert "refresh every 0.5 s is not safe: the queue grows by" in said
    assert "0.625 s is the edge, 0.781 s is safe (" in said
    assert "With 1 of 2 hosts lost it takes 1.56 s (" in said
    assert "and whether that is safe is unknown: no run of it was measured" in said
    assert "┊ now 0.5 s" in ran.shown


def test_without_an_application_the_intervals_are_those_measured(broker_url, redis_client):
    leave(redis_client, two_hosts())
    ran = call("plan", broker_url, "--json")
    [entry] = ran.parsed["entries"]

    assert entry["entry"] == "refresh"
    assert entry["edge_interval_s"] == pytest.approx(0.625, rel=0.02)
    assert entry["interval_s"] == pytest.approx(1.0, rel=0.02)
    assert entry["safe"] is True
    assert "its interval as measured" in entry["basis"]


def test_json_is_the_plan_and_nothing_else(measured_at):
    plan = call(
        *measured_at(0.5), "--json", "--hosts-lost", "2", "--utilisation", "0.5", "--weight", "refresh=4"
    ).parsed
    entry = plan["entries"][0]

    assert plan["target_utilisation"] == 0.5
    assert entry["min_safe_interval_s"]["estimate"] == pytest.approx(2 * entry["edge_interval_s"], rel=0.01)
    assert [lost["lost"] for lost in entry["with_hosts_lost"]] == [1, 2]
    assert entry["with_hosts_lost"][1]["unknown"]["min_safe_interval_s"] == "no worker is left that could run it"


@pytest.mark.parametrize(("interval", "level", "code"), [(0.5, "unsafe", 1), (0.5, "never", 0), (3.0, "unsafe", 0)])
def test_an_unsafe_interval_ends_with_1_where_that_is_asked_for(measured_at, interval, level, code):
    assert call(*measured_at(interval), "--fail-on", level).code == code


def test_planning_changes_nothing_in_the_broker(measured_at, redis_client):
    command = measured_at(0.5)
    before = contents(redis_client)
    call(*command, "-v")

    assert before
    assert contents(redis_client) == before


def contents(client):
    return {key: (client.dump(key), client.expiretime(key)) for key in client.scan_iter()}


def test_one_entry_may_be_asked_for(measured_at):
    command = measured_at(0.5)
    ran = call(*command, "--entry", "refresh", "--json", "--fail-on", "unsafe")

    assert [entry["entry"] for entry in ran.parsed["entries"]] == ["refresh"]
    assert {curve["entry"] for curve in ran.parsed["curves"]} == {"refresh"}
    assert ran.code == 1
    assert call(*command, "--entry", "nightly", "--fail-on", "unsafe").code == 0


def test_a_name_that_no_entry_has_is_a_wrong_usage_with_the_nearest_one(measured_at):
    ran = call(*measured_at(0.5), "--entry", "refesh")

    assert ran.code == 2
    assert ran.said == "tidegate: wrong usage: no periodic entry 'refesh' to show: did you mean 'refresh'?\n"


def test_the_chart_is_written_where_it_is_asked_for_and_the_json_stays_clean(measured_at, tmp_path):
    picture = tmp_path / "refresh.svg"
    ran = call(*measured_at(0.5), "--chart", str(picture), "--json")
    texts = {"".join(node.itertext()) for node in ElementTree.parse(picture).iter() if node.tag.endswith("}text")}

    assert ran.parsed["curves"]
    assert ran.said == f"The chart is in {picture}\n"
    assert {
        "refresh: how fast its queue grows at every interval",
        "now 0.5 s",
        "all hosts",
        "1 of 2 hosts lost",
    } <= texts


def test_a_chart_that_cannot_be_written_is_refused_before_the_broker_is_asked(tmp_path):
    ran = call("plan", "redis://127.0.0.1:1/0", "--chart", str(tmp_path / "chart.gif"))

    assert (ran.code, ran.shown) == (2, "")
    assert "expected a file name that ends in .svg or .png" in ran.said


def test_no_data_yet_says_what_to_add_and_writes_no_chart(broker_url, tmp_path):
    ran = call("plan", broker_url, "--chart", str(tmp_path / "chart.svg"))

    assert ran.code == 0
    assert ran.shown.startswith("Nothing was measured yet. Add the probe to the application")
    assert "    tidegate.install(app)\n" in ran.shown
    assert "no chart was written" in ran.said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [
        ("--weight", "refresh"), ("--weight", "refresh=0"), ("--weight", "refresh=nan"), ("--weight", "=2"),
        ("--utilisation", "0"), ("--utilisation", "1.5"), ("--utilisation", "nan"), ("--hosts-lost", "-1"),
        ("--since", "soon"), ("--wait-target", "-3"), ("--fail-on", "always"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_wrong_option_is_a_wrong_usage(options):
    ran = call("plan", "redis://127.0.0.1:1/0", *options)

    assert (ran.code, ran.shown) == (2, "")
    assert "mistake in Tidegate" not in ran.said


def test_a_name_may_hold_an_equals_sign(measured_at):
    assert "no periodic entry 'a=b'" in call(*measured_at(0.5), "--weight", "a=b=2").said


def test_without_matplotlib_a_chart_is_refused_in_one_line_that_says_how_to_install_it(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_MATPLOTLIB)
    target = str(tmp_path / "chart.svg")
    ran = run("plan", "redis://127.0.0.1:1/0", "--chart", target, environment={"PYTHONPATH": str(tmp_path)})

    assert (ran.code, ran.out) == (2, b"")
    assert ran.said.startswith(
        "tidegate: wrong usage: a chart as a file needs the extra: pip install 'tidegate[charts]'"
    )
    assert ran.said.count("\n") == 1


def test_what_the_probe_left_of_hostile_names_is_shown_and_steers_nothing(broker_url, redis_client):
    for text in TEXTS:
        redis_client.flushall()
        measured = two_hosts()
        name = text.encode("utf-8", "replace").decode()
        for slice_ in measured.slices:
            slice_.runs = {
                Key(name, name, name) if key.task == CHILD else key: runs for key, runs in slice_.runs.items()
            }
        leave(redis_client, measured)
        assert_harmless(call("plan", broker_url, "-v"))
        assert_harmless_json(call("plan", broker_url, "--json"))
