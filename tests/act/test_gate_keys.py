"""What must not be pending twice has one name, however it is called and wherever."""

import uuid
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st

from tidegate.act.gate import header
from tidegate.act.gate.keys import NoKey, entry_key, key_of, parameters_of
from tidegate.act.gate.settings import policies
from tidegate.facts.gate import Guard
from tidegate.facts.overlap import Overlap, Payload, Scope

app = Celery("proj", set_as_current=False)


@app.task(name="flush", shared=False)
def flush(cluster, force=False, *more, **rest):
    """Takes whatever comes."""


@app.task(name="bound", shared=False, bind=True)
def bound(self, cluster):
    """Knows itself."""


FLUSH = parameters_of(flush)


@pytest.mark.parametrize(
    ("args", "kwargs", "key"),
    [
        ((1070,), {}, "flush(1070)"),
        ([1070], {}, "flush(1070)"),
        ((), {"cluster": 1070}, "flush(1070)"),
        ((), {"force": True, "cluster": 1070}, "flush(1070,true)"),
        ((1070, True), None, "flush(1070,true)"),
        ((1070,), {"b": 1, "a": 2}, 'flush(1070;{"a":2,"b":1})'),
        ((), {}, "flush()"),
        ((datetime(2024, 5, 1, tzinfo=UTC), Decimal("1.5")), {}, 'flush("2024-05-01T00:00:00Z","1.5")'),
        ((uuid.UUID(int=5), {"b": {1, 2}}), {}, 'flush("00000000-0000-0000-0000-000000000005",{"b":[1,2]})'),
        (("a;b", 'c"),('), {}, 'flush("a;b","c\\"),(")'),
    ],
)
def test_the_key_of_a_call_is_the_task_and_its_arguments(args, kwargs, key):
    assert key_of("flush", None, FLUSH, args, kwargs) == key


def test_a_task_that_is_not_registered_here_has_the_same_key_as_long_as_its_arguments_have_no_names():
    assert key_of("flush", None, None, (1070,), {}) == key_of("flush", None, FLUSH, (), {"cluster": 1070})


def test_a_task_that_knows_itself_is_not_among_its_own_arguments():
    assert key_of("bound", "{cluster}", parameters_of(bound), (5,), {}) == "bound#5"


def test_a_long_key_is_cut_and_told_apart_by_a_digest():
    keys = {key_of("flush", None, FLUSH, ("x" * length,), {}) for length in range(150, 400)}

    assert len(keys) == 250
    assert max(map(len, keys)) <= 200
    assert key_of("t" * 5000, None, None, (), {}).startswith("t" * 100 + "~")


@pytest.mark.parametrize(
    ("maker", "key"),
    [
        ("{cluster}", "flush#7"),
        ("{cluster}-{force}", "flush#7-False"),
        ("{0}", "flush#7"),
        ("all", "flush#all"),
        (lambda args, kwargs: f"{args[0] % 2}", "flush#1"),
    ],
)
def test_a_key_can_be_a_format_or_a_function_and_belongs_to_the_task(maker, key):
    assert key_of("flush", maker, FLUSH, (7,), {}) == key


def test_the_key_of_an_entry_is_its_name_unless_it_tells_its_runs_apart():
    assert entry_key("refresh", None, FLUSH, (7,), {}) == "entry refresh"
    assert entry_key("refresh", "{cluster}", FLUSH, (7,), {}) == "entry refresh#7"


@pytest.mark.parametrize(
    ("maker", "args"),
    [
        (None, (object(),)),
        (None, ("\ud800",)),
        ("{cluster}", ()),
        ("{cluster.nothing}", (5,)),
        (lambda args, kwargs: args[3], (5,)),
        (lambda args, kwargs: 5, (5,)),
        (lambda args, kwargs: "", (5,)),
    ],
)
def test_where_no_key_can_be_made_it_says_why(maker, args):
    with pytest.raises(NoKey, match=r"flush"):
        key_of("flush", maker, FLUSH, args, {})


def test_a_decorators_function_is_called_as_a_function_not_as_a_method():
    other = Celery("proj", set_as_current=False)

    @other.task(name="t", shared=False, overlap="skip", overlap_key=lambda args, kwargs: f"{len(args)}")
    def t(x):
        """Guarded."""

    assert policies(other).guard_for("t", "", {}, (1,), {}, other.tasks["t"]).key == "t#1"


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=2), inside, max_size=3),
    max_leaves=5,
)


@given(one=st.lists(values, max_size=3), other=st.lists(values, max_size=3))
def test_calls_have_the_same_key_exactly_if_they_have_the_same_arguments(one, other):
    # True == 1 in Python, and not in JSON.
    same = repr(one) == repr(other)

    assert (key_of("t", None, None, one, {}) == key_of("t", None, None, other, {})) >= same
    if one != other:
        assert key_of("t", None, None, one, {}) != key_of("t", None, None, other, {})


texts = st.text(max_size=300)
guards = st.builds(
    Guard,
    key=st.text(min_size=1, max_size=300),
    overlap=st.sampled_from([Overlap.SKIP, Overlap.BUFFER_ONE]),
    payload=st.sampled_from(Payload),
    scope=st.sampled_from(Scope),
    firing=texts,
    entry=texts,
)


@given(guard=guards, exempt=st.sampled_from(["", "retry"]))
def test_a_guard_that_was_written_is_read_back(guard, exempt):
    assert header.read(header.written(guard, exempt)) == guard


def test_a_message_that_nothing_is_to_be_known_of_has_no_header():
    assert header.written(Guard()) == {}
    assert header.written(Guard(), "chord") == {"exempt": "chord"}


@pytest.mark.parametrize(
    "value",
    [
        None,
        "key",
        5,
        [],
        {},
        {"key": 5},
        {"key": ["a"]},
        {"key": "x" * 301},
        {"key": "a", "overlap": "maybe"},
        {"key": "a", "overlap": ["skip"]},
        {"key": "a", "scope": {}},
        {"key": "a", "firing": None},
        {"firing": "a"},
        {"entry": "a"},
        {"exempt": "chord"},
    ],
)
def test_a_header_that_somebody_else_made_says_nothing(value):
    assert header.read(value) is None
    assert header.firing_in(value) is None


@given(value=values)
def test_no_header_is_too_odd_to_be_read(value):
    assert isinstance(header.read(value), Guard | None)
    header.firing_in(value)
