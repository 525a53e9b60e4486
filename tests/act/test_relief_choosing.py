"""Which messages a filter means: against an oracle that opens everything, and the edges one by one."""

import base64
import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backlog import NOW_S, goes, message, message_of_protocol_1
from tidegate.act.relief.choosing import Chooser, chooser_of
from tidegate.facts.relief import Ages, Filter
from tidegate.facts.unknown import Unknown

UNMEASURED = Unknown("not measured")


def chosen(
    wanted: Filter, newest_first: Sequence[bytes], arrival: float | Unknown = UNMEASURED, by: int = 3
) -> list[bool]:
    """The verdicts, newest first, from batches of that size."""
    return run(chooser_of(wanted, NOW_S, arrival), newest_first, by)


def run(chooser: Chooser, newest_first: Sequence[bytes], by: int = 3) -> list[bool]:
    depth = len(newest_first)
    if chooser.wants_look:
        for start in range(0, depth, by):
            chooser.look(newest_first[start : start + by])
    oldest_first = newest_first[::-1]
    flags = b""
    for start in range(0, depth, by):
        flags += chooser.choose(oldest_first[start : start + by], start, depth).flags
    return [flag == 1 for flag in reversed(flags)]


tasks = st.sampled_from(["screen.tasks.flush", "screen.tasks.render", "billing.charge", "Screen.tasks.flush"])
values = st.sampled_from([1, 2, "1", None, [1, 2], {"a": 1}])
arguments = st.lists(values, max_size=2)
named = st.dictionaries(st.sampled_from(["cluster", "n"]), values, max_size=2)
stamps = st.sampled_from([..., NOW_S, NOW_S - 5, NOW_S - 10, NOW_S - 3600])
texts = st.sampled_from(["gen1@a", "gen2@b"])
drawn = st.builds(
    lambda task, args, kwargs, at, expires, origin, root: (
        lambda tag: message(tag, task, args, kwargs, enqueued_at=at, expires=expires, origin=origin, root_id=root)
    ),
    tasks,
    arguments,
    named,
    stamps,
    st.sampled_from([None, NOW_S - 1, NOW_S + 1]),
    texts,
    texts,
)
old_style = st.builds(
    lambda task, args, kwargs: lambda tag: message_of_protocol_1(tag, task, args, kwargs), tasks, arguments, named
)
unreadable = st.just(lambda tag: b"no JSON: " + tag.encode())
backlogs = st.lists(drawn | old_style | unreadable, max_size=12).map(
    lambda makers: [make(f"tag-{place}") for place, make in enumerate(makers)]
)
few = st.none() | st.integers(0, 2)
filters = st.builds(
    Filter,
    tasks=st.lists(st.sampled_from(["screen.tasks.*", "*.flush", "billing.charge", "[Ss]creen*"]), max_size=2).map(
        tuple
    ),
    args=st.none() | arguments.map(tuple),
    kwargs=st.just({}) | named,
    older_than_s=st.none() | st.sampled_from([0.0, 5.0, 10.0]),
    expired=st.booleans(),
    origin=st.none() | texts,
    root=st.none() | texts,
    headers=st.just({}) | st.dictionaries(st.just("origin"), texts, max_size=1),
    keep_newest=few,
    keep_oldest=few,
    undecodable=st.booleans(),
)
#: Most filters drawn whole choose nothing, so as often one condition or two are drawn.
narrow = st.one_of(
    st.builds(Filter, tasks=st.just(("screen.tasks.*",)), older_than_s=st.sampled_from([None, 5.0, 10.0])),
    st.builds(Filter, keep_newest=few, keep_oldest=few, tasks=st.sampled_from([(), ("*.flush",)])),
    st.builds(Filter, args=st.none() | arguments.map(tuple), kwargs=named),
    st.builds(Filter, expired=st.booleans(), origin=st.none() | texts, undecodable=st.booleans()),
)


@settings(max_examples=150)
@given(narrow | filters, backlogs, st.sampled_from([None, 0.0, 0.5, 2.0]), st.integers(1, 5))
def test_the_chooser_decides_as_one_who_opens_everything(wanted, backlog, arrival, by):
    measured = UNMEASURED if arrival is None else arrival
    assert chosen(wanted, backlog, measured, by) == goes(wanted, backlog, arrival)


@pytest.mark.parametrize("wanted", [Filter(), Filter(tasks=()), Filter(kwargs={}, headers={})])
def test_nothing_given_chooses_nothing(wanted):
    assert chosen(wanted, [message("a"), message("b")]) == [False, False]


def test_what_can_not_be_read_is_kept_and_counted():
    choice = chooser_of(Filter(tasks=("*",)), NOW_S, UNMEASURED).choose([b"{", message("a"), b"[]"], 0, 3)
    assert (choice.flags, choice.undecodable) == (b"\x00\x01\x00", 2)


def test_what_can_not_be_read_goes_where_it_is_asked_for_and_nothing_else_does():
    assert chosen(Filter(undecodable=True), [message("a"), b"{", message("b")]) == [False, True, False]


def test_of_what_can_not_be_read_the_age_is_told_by_its_place():
    wanted = Filter(undecodable=True, older_than_s=2.0)
    assert chosen(wanted, [b"{", b"{{", b"{{{", b"{{{{"], arrival=1.0) == [False, False, True, True]
    assert chosen(Filter(undecodable=True, tasks=("*",)), [b"{"], arrival=1.0) == [False]


@pytest.mark.parametrize(
    ("glob", "task", "fits"),
    [
        ("a.b", "a.b", True),
        ("a.*", "a.b.c", True),
        ("a.*", "A.b", False),
        ("a.?", "a.bc", False),
        ("*", "", True),
        ("[ab].c", "b.c", True),
        ("a.b", "a.bc", False),
    ],
)
def test_a_task_is_a_glob_with_case(glob, task, fits):
    assert chosen(Filter(tasks=("no.such", glob)), [message("a", task)]) == [fits]


def test_a_message_that_is_no_task_fits_no_glob():
    assert chosen(Filter(tasks=("*",)), [json.dumps({"body": "x", "headers": {}, "properties": {}}).encode()]) == [
        False
    ]


@pytest.mark.parametrize(
    ("stamp", "old"),
    [
        (NOW_S - 10, True),
        (NOW_S - 9.9, False),
        ((NOW_S - 11) * 1000, True),
        (str(NOW_S - 11), True),
        ("2020-01-01T00:00:00Z", True),
        (NOW_S + 60, False),
    ],
)
def test_an_age_is_told_by_the_stamp(stamp, old):
    chooser = chooser_of(Filter(older_than_s=10), NOW_S, 1e9)
    assert run(chooser, [message("a", enqueued_at=stamp)]) == [old]
    assert (chooser.age_by, chooser.notes) == (Ages.STAMPS, ())


def test_without_a_stamp_an_age_is_told_by_place_and_arrivals_and_that_is_said():
    chooser = chooser_of(Filter(older_than_s=10), NOW_S, 0.2)
    assert run(chooser, [message("a"), message("b"), message("c", enqueued_at="yesterday"), message("d")]) == [
        False,
        False,
        True,
        True,
    ]
    assert chooser.age_by is Ages.POSITION
    assert "4 messages was told by their place" in chooser.notes[0]


@pytest.mark.parametrize("arrival", [UNMEASURED, 0.0])
def test_where_an_age_can_not_be_told_the_message_stays_and_that_is_said(arrival):
    chooser = chooser_of(Filter(older_than_s=0), NOW_S, arrival)
    assert run(chooser, [message("a")]) == [False]
    assert chooser.age_by is None
    assert "can't be told" in chooser.notes[0]


@pytest.mark.parametrize(
    ("value", "text"), [("x", "x"), (True, "true"), (3, "3"), (None, "null"), (["a"], '["a"]'), ("é", "é")]
)
def test_any_header_is_compared_as_text(value, text):
    written = [message("a", custom=value), message("b", custom="other"), message("c")]
    assert chosen(Filter(headers={"custom": text}), written) == [True, False, False]


def test_a_header_of_a_message_that_is_oddly_written_is_found_as_well():
    odd = message("a", custom="x", retries="many").replace(b'"priority": 0', b'"priority": NaN')
    assert chosen(Filter(headers={"custom": "x"}, tasks=("t",)), [odd]) == [True]


@pytest.mark.parametrize(
    ("args", "wanted", "fits"),
    [
        ([1, "a"], (1, "a"), True),
        ([1], (1, "a"), False),
        ([1], (True,), False),
        ([True], (1,), False),
        ([1.0], (1,), True),
        ([[1, 2]], ((1, 2),), True),
        ([{"a": [True]}], ({"a": [1]},), False),
        ([], (), True),
        (["1"], (1,), False),
    ],
)
def test_args_are_compared_as_a_whole(args, wanted, fits):
    assert chosen(Filter(args=wanted), [message("a", args=args)]) == [fits]


def test_kwargs_are_compared_by_those_that_are_named():
    wanted = Filter(kwargs={"cluster": 3})
    written = [{"cluster": 3, "more": 1}, {"cluster": 4}, {}, {"cluster": None}]
    assert chosen(wanted, [message(str(n), kwargs=kwargs) for n, kwargs in enumerate(written)]) == [
        True,
        False,
        False,
        False,
    ]


def test_arguments_in_a_pickle_are_not_opened_so_the_message_stays_and_that_is_said():
    pickled = json.loads(message("a"))
    pickled |= {"content-type": "application/x-python-serialize", "body": base64.b64encode(b"\x80\x04N.").decode()}
    chooser = chooser_of(Filter(args=()), NOW_S, UNMEASURED)
    assert run(chooser, [json.dumps(pickled).encode()]) == [False]
    assert "the arguments of 1 can't be read" in chooser.notes[0]


def test_of_messages_with_one_delivery_tag_as_many_go_as_should():
    twice = message("same")
    assert sorted(chosen(Filter(keep_newest=1), [twice, twice, message("c", "u")])) == [False, False, True]
    untagged = message(None)
    assert sum(chosen(Filter(keep_oldest=1), [untagged] * 5)) == 4


def test_asked_again_about_what_can_not_be_told_apart_nothing_more_goes():
    chooser = chooser_of(Filter(keep_oldest=1), NOW_S, UNMEASURED)
    twice = [message("same")] * 2
    chooser.look(twice)
    assert sum(chooser.choose(twice, 0, 2).flags) == 1
    assert sum(chooser.choose(twice, 0, 2).flags) == 0


def test_what_was_not_looked_at_stays():
    chooser = chooser_of(Filter(keep_newest=0), NOW_S, UNMEASURED)
    chooser.look([message("a")])
    assert chooser.choose([message("b"), message("a")], 0, 2).flags == b"\x00\x01"
