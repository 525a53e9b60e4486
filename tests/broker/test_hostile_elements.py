"""Elements that nobody should have sent: each is a stated fact or costs only its odd part, and none raises."""

import base64
import json
from typing import Any

import msgspec
import pytest
from elements import RECORDED, element, label, undecodable, with_headers, with_properties
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.broker import envelope, outside
from tidegate.broker.envelope import decode, epoch, identity_of, open_label, open_unacked, wire_decoder
from tidegate.broker.narrow import arguments_of, narrow_decoder
from tidegate.document import document
from tidegate.facts.message import Label, Undecodable
from tidegate.facts.unknown import Unknown, why_unknown

# --- Hostile elements

DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not JSON"),
        (b"\x00", "not JSON"),
        (b"\xff\xfe{", "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"rq:job:1", "not JSON"),
        (element()[:-1], "not JSON"),
        (element() + b"x", "not JSON"),
        (DEEP, "nested too deeply"),
        (b"{}", "an object"),
        (b"[]", "an array"),
        (b"null", "absent"),
        (b"1" * 5_000, "no message"),
        (element(body=...), "no message"),
        (element(headers=[["task", "x"]]), "the headers are an array"),
        (element(headers="x"), "the headers are a text"),
        (element(body={"a": 1}), "the body is an object"),
        (element(body=7), "the body is a number"),
        (with_headers(task=7), "the task's name is a number"),
        (with_headers(task={"a": 1}), "the task's name is an object"),
        (with_headers(task=["a"]), "the task's name is an array"),
        (element(headers={}, body=base64.b64encode(b'{"task": 7}').decode()), "the task's name is a number"),
        (element(headers={}, body="!"), "not JSON"),
        (b"[" + b"[]," * (2 << 20) + b"1]", "too large to look closer"),
    ],
)
def test_an_element_that_is_no_message_is_a_stated_fact(data: bytes, said: str) -> None:
    assert said in undecodable(data)
    opened = decode(data)
    assert opened.size_bytes == len(data)
    assert opened.undecodable is not None or why_unknown(opened.body) is not None


@pytest.mark.parametrize(
    "data",
    [
        element(properties=None),
        element(properties=[]),
        element(properties=...),
        element(content_type=7, content_encoding=None),
        with_properties(priority="high", delivery_info=None, delivery_tag=7),
        with_headers(retries="x", id=7, eta=[], expires={}, origin=None),
        with_headers(note=float("nan")),
        with_headers(note="\ud800"),
        element().replace(b'"lang"', b'"\xff"'),
        element().replace(b'"lang": "py"', b'"n": ' + b"1" * 5_000),
        element().replace(b'"headers"', b'"headers": 1, "headers"'),
        b" \n" + element() + b"\t",
    ],
)
def test_an_odd_part_costs_only_itself(data: bytes) -> None:
    assert label(data).task == "shop.tasks.bill"
    assert decode(data).task == "shop.tasks.bill"
    assert label(data).identity == label(element()).identity


def test_an_empty_body_is_no_obstacle() -> None:
    for data in (element(body=None), element(body="")):
        assert label(data).task == "shop.tasks.bill"
        assert "not JSON" in str(why_unknown(decode(data).args))


@pytest.mark.parametrize("name", ["", "\ud800", "a\x00b", "\x1b[31m", "x" * 100_000, "<script>", "‮"])
def test_a_task_name_is_kept_as_it_came(name: str) -> None:
    assert label(with_headers(task=name)).task == name


def test_a_huge_message_is_labelled_and_its_body_stays_closed() -> None:
    data = element(body="A" * (50 << 20))
    assert label(data).task == "shop.tasks.bill"
    assert "39,321,600 bytes, more than" in str(why_unknown(decode(data).args))


def test_a_deep_value_that_nobody_reads_does_no_harm() -> None:
    data = element().replace(b'"lang": "py"', b'"note": ' + DEEP + b"]" * len(DEEP))
    assert undecodable(data) == "JSON nested too deeply"


# --- Properties

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.just("2026-11-23T12:00:00"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def _fields(kind: type[msgspec.Struct]) -> st.SearchStrategy[dict[str, Any]]:
    names = st.sampled_from(kind.__struct_encode_fields__)
    return st.dictionaries(names | st.text(max_size=3), json_values | st.just("shop.tasks.bill"), max_size=8)


structured = st.fixed_dictionaries(
    {"body": st.text() | st.sampled_from([json.loads(data)["body"] for data in RECORDED.values()]) | json_values},
    optional={
        "headers": _fields(outside.Headers) | json_values,
        "properties": _fields(outside.Properties) | json_values,
        "content-type": st.sampled_from(sorted({json.loads(d)["content-type"] or "" for d in RECORDED.values()}))
        | json_values,
        "content-encoding": st.sampled_from(["utf-8", "binary", "latin-1"]) | json_values,
    },
).map(lambda value: json.dumps(value).encode())


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real message with a piece of it replaced."""
    data = draw(st.sampled_from(sorted(RECORDED.values()))).encode()
    start = draw(st.integers(0, len(data)))
    end = min(len(data), start + draw(st.integers(0, 30)))
    return (
        data[:start]
        + draw(st.binary(max_size=12) | st.sampled_from([b"null", b"1", b"{}", b'""', b"\\ud800"]))
        + data[end:]
    )


anything = st.binary() | json_values.map(lambda value: json.dumps(value).encode()) | structured | mutated()


@settings(deadline=None)
@given(anything)
def test_nothing_raises_and_everything_is_a_document(data: bytes) -> None:
    json.dumps(document(open_label(data)))
    json.dumps(document(decode(data)))
    json.dumps(document(open_unacked(data)[0]))
    open_unacked(b"[" + data + b', "", "celery"]')


@settings(deadline=None)
@given(anything)
def test_where_the_fast_way_reads_the_lenient_way_reads_the_same(data: bytes) -> None:
    try:
        typed = outside.read_typed(data)
    except envelope.ODD:
        return
    lenient = outside.read_lenient(data)
    assert typed == lenient
    assert not isinstance(lenient, Undecodable)
    assert envelope._label(lenient, len(data)) == open_label(data)


@settings(deadline=None)
@given(anything)
def test_where_the_census_reads_the_label_says_the_same(data: bytes) -> None:
    try:
        wire = wire_decoder()(data)
    except envelope.ODD:
        return
    opened = label(data)
    assert (opened.task, opened.expires_at) == (wire.headers.task, epoch(wire.headers.expires))
    assert opened.identity == identity_of(wire.headers.task, wire.body)


HEADERS, PROPERTIES = (
    ("expires", "origin", "root_id", "enqueued_at", "sentry_enqueued"),
    ("published_at", "delivery_tag"),
)
narrow = narrow_decoder(HEADERS, PROPERTIES, opens=True)


@settings(deadline=None)
@given(anything)
def test_where_a_filter_reads_a_part_the_whole_says_the_same(data: bytes) -> None:
    try:
        part = narrow(data)
    except envelope.ODD:
        return
    whole = outside.open_outside(data)
    assert not isinstance(whole, Undecodable)
    assert (part.body, part.headers.task) == (whole.body, whole.headers.task)
    assert [getattr(part.headers, name) for name in HEADERS] == [getattr(whole.headers, name) for name in HEADERS]
    assert [getattr(part.properties, name) for name in PROPERTIES] == [
        getattr(whole.properties, name) for name in PROPERTIES
    ]
    opened = decode(data)
    assert repr(arguments_of(part)) == repr((opened.args, opened.kwargs))


@settings(deadline=None)
@given(anything)
def test_an_unacked_value_and_the_element_inside_have_the_same_label(data: bytes) -> None:
    outside, inside = open_unacked(b"[" + data + b', "", ""]')[0], open_label(data)
    if isinstance(inside, Label):
        assert isinstance(outside, Label)
        assert (outside.task, outside.identity, outside.id) == (inside.task, inside.identity, inside.id)


@settings(deadline=None)
@given(st.lists(json_values, max_size=3), st.dictionaries(st.text(), json_values, max_size=3))
def test_arguments_come_back_as_they_were_sent(args: list[object], kwargs: dict[str, object]) -> None:
    body = base64.b64encode(json.dumps([args, kwargs, {}]).encode()).decode()
    opened = decode(element(body=body))
    assert not isinstance(opened.args, Unknown)
    # Compared as text: NaN is not equal to itself.
    assert repr((opened.args, opened.kwargs)) == repr((args, kwargs))
