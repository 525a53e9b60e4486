"""The machine output: field names as designed, nulls with their reasons, nothing that JSON does not have."""

import json
from dataclasses import dataclass

import pytest

from faces.plans import a_plan, an_unknown_entry
from reports import HIDDEN, a_diagnosis, a_queue_report
from tidegate.cli.text import to_json
from tidegate.document import document, iso
from tidegate.facts.diagnosis import Finding, Level, State
from tidegate.facts.unknown import Maybe

#: DESIGN §7, to the letter; fields may be added and never renamed.
DESIGNED = {
    (): "tidegate at broker verdict queues tasks memory findings cost",
    ("broker",): "url server version used_memory_bytes maxmemory_bytes maxmemory_policy",
    ("queues", 0): "name state depth by_priority unacked consumers arrival_per_s service_per_s growth_per_s "
    "oldest_age_s bytes bytes_per_message drain_s",
    (
        "tasks",
        0,
    ): "name queue depth_share arrival_per_s service_per_s edge_interval_s min_safe_interval_s capacity_factor",
    ("memory",): "used_bytes limit_bytes by_family growth_bytes_per_s full_in_s",
    ("findings", 0): "rule level sentence evidence remedy",
    ("cost",): "commands server_ms elapsed_s",
}


@pytest.mark.parametrize(("path", "names"), DESIGNED.items(), ids=lambda value: ".".join(map(str, value)) or "top")
def test_the_fields_are_named_as_designed(path, names):
    value = document(a_diagnosis())
    for part in path:
        value = value[part]

    assert set(names.split()) <= set(value)


#: The same of `tidegate plan`.
PLANNED = {
    ("pools", 0): "queues slots hosts utilisation effective_slots",
    (
        "entries",
        0,
    ): "entry task interval_s work_s work_s_error min_safe_interval_s edge_interval_s freshest_interval_s safe "
    "with_hosts_lost binding basis",
    ("entries", 0, "min_safe_interval_s"): "estimate low high",
    ("entries", 0, "with_hosts_lost", 0): "lost min_safe_interval_s growth_per_s full_in_s",
}


@pytest.mark.parametrize(("path", "names"), PLANNED.items(), ids=lambda value: ".".join(map(str, value)) or "top")
def test_the_fields_of_a_plan_are_named_as_designed(path, names):
    value = document(a_plan())
    for part in path:
        value = value[part]

    assert set(names.split()) <= set(value)


def test_a_plan_of_which_nothing_is_known_is_null_with_reasons():
    entry = document(an_unknown_entry())

    assert entry["safe"] is entry["min_safe_interval_s"] is entry["work_s"] is None
    assert entry["unknown"]["safe"] == "fewer than 30 runs (12)"
    assert entry["with_hosts_lost"][0]["unknown"]["growth_per_s"] == "fewer than 30 runs (12)"


def test_states_and_levels_are_lower_case_words():
    shown = document(a_diagnosis())

    assert shown["verdict"] == shown["queues"][0]["state"] == "growing"
    assert shown["findings"][0]["level"] == "critical"
    assert [state.value for state in State] == ["ok", "draining", "surge", "unknown", "growing", "stalled"]


def test_what_could_not_be_seen_is_null_with_its_reason():
    queue = document(a_queue_report(depth=HIDDEN, bytes=HIDDEN))

    assert queue["depth"] is queue["bytes"] is None
    assert queue["unknown"] == {"depth": HIDDEN.why, "bytes": HIDDEN.why}


def test_what_was_seen_whole_has_no_map_of_reasons():
    assert "unknown" not in document(a_queue_report())


def test_never_is_null_without_a_reason():
    queue = document(a_queue_report(drain_s=None))

    assert queue["drain_s"] is None
    assert "unknown" not in queue


def test_evidence_that_could_not_be_seen_keeps_its_reason():
    finding = Finding(
        rule="TG101", level=Level.CRITICAL, sentence="It grows.", evidence={"depth": 5, "growth_per_s": HIDDEN}
    )

    assert document(finding)["evidence"] == {"depth": 5, "growth_per_s": None, "unknown": {"growth_per_s": HIDDEN.why}}


def test_the_reasons_of_a_finding_join_those_of_its_fields():
    @dataclass(frozen=True)
    class Both:
        value: Maybe[int]
        unknown: dict[str, str]

    assert document(Both(HIDDEN, {"other": "refused"}))["unknown"] == {"other": "refused", "value": HIDDEN.why}


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_json_has_no_infinity(value):
    assert document(value) is None


def test_numbers_are_rounded_to_six_decimals():
    assert document(0.1 + 0.2) == 0.3
    assert document(2 / 3) == 0.666667


def test_a_whole_number_stays_exact():
    assert document(2**60 + 1) == 2**60 + 1
    assert document(True) is True


def test_keys_are_text():
    assert document({0: 1, 9: 2}) == {"0": 1, "9": 2}


def test_tuples_and_what_json_does_not_know_become_lists_and_text():
    assert document((1, (2,))) == [1, [2]]
    assert document(b"x") == "b'x'"


def test_the_whole_diagnosis_is_json_in_ascii_without_a_control_character():
    name = 'caf\u00e9 \x1b[31m \u202e \x7f \x00 \ud800 "'
    text = to_json(document(a_diagnosis(a_queue_report(name=name))))

    assert text.isascii()
    assert all(char.isprintable() or char == "\n" for char in text)
    assert json.loads(text)["queues"][0]["name"] == name


def test_times_are_iso_8601_in_utc():
    assert iso(0) == "1970-01-01T00:00:00.000Z"
    assert iso(1_790_000_000.1239) == "2026-09-21T14:13:20.123Z"
