"""Elements of a queue: what a worker could read is read alike, fast or slow, and any other bytes are a stated fact."""

import base64
import json
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import celery.app.amqp
import pytest
from celery import Celery
from elements import RECORDED, element, label, message, undecodable, with_headers, with_properties
from hypothesis import given, settings
from hypothesis import strategies as st
from kombu import Connection, Exchange, Producer
from kombu.transport import memory
from kombu.utils.json import dumps

from tidegate.broker import envelope
from tidegate.broker.envelope import decode, epoch, identity_of, open_unacked, wire_decoder
from tidegate.facts.message import Label, Message, Undecodable
from tidegate.facts.unknown import why_unknown

INCIDENT = RECORDED["incident"]
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
Send = Callable[..., bytes]


@pytest.fixture
def send(monkeypatch: pytest.MonkeyPatch) -> Send:
    """Publishes with the installed Celery and gives the bytes that the Redis transport would LPUSH."""
    handed: list[str] = []
    monkeypatch.setattr(memory.Channel, "_put", lambda self, queue, message, **kw: handed.append(dumps(message)))
    monkeypatch.setattr(celery.app.amqp, "anon_nodename", lambda *a, **kw: "gen1@host")

    def send(protocol: int = 2, **options: Any) -> bytes:
        app = Celery("shop", broker="memory://", set_as_current=False)
        app.conf.task_protocol = protocol
        app.send_task("shop.tasks.bill", args=(7, "é"), kwargs={"fast": True}, task_id="an-id", **options)
        return handed.pop().encode()

    return send


# --- What Celery sends


def test_the_incidents_message_is_read_as_the_story_tells_it() -> None:
    opened = label(INCIDENT.encode())
    assert opened.task == "screen.tasks.flush_cluster_status"
    assert opened.is_child
    assert opened.argsrepr == "(1070,)"
    assert (opened.eta_at, opened.expires_at, opened.enqueued_at) == (None, None, None)
    assert decode(INCIDENT.encode()).args == [1070]


def test_a_label_says_what_the_producer_said(send: Send) -> None:
    data = send(eta=NOON, expires=NOON + timedelta(hours=1), headers={"enqueued_at": 1795435200.5})
    assert label(data) == Label(
        task="shop.tasks.bill",
        id="an-id",
        root_id="an-id",
        argsrepr="(7, 'é')",
        origin="gen1@host",
        eta_at=NOON.timestamp(),
        expires_at=NOON.timestamp() + 3600,
        enqueued_at=1795435200.5,
        delivery_tag=json.loads(data)["properties"]["delivery_tag"],
        size_bytes=len(data),
        identity=identity_of("shop.tasks.bill", json.loads(data)["body"]),
    )


def test_a_message_says_what_the_producer_said(send: Send) -> None:
    data = send(eta=NOON, expires=NOON + timedelta(hours=1), priority=6, headers={"periodic_task_name": "nightly"})
    assert decode(data) == Message(
        id="an-id",
        task="shop.tasks.bill",
        args=[7, "é"],
        kwargs={"fast": True},
        argsrepr="(7, 'é')",
        kwargsrepr="{'fast': True}",
        eta="2026-11-23T12:00:00+00:00",
        expires="2026-11-23T13:00:00+00:00",
        retries=0,
        origin="gen1@host",
        root_id="an-id",
        periodic_entry="nightly",
        priority=6,
        delivery_tag=json.loads(data)["properties"]["delivery_tag"],
        content_type="application/json",
        content_encoding="utf-8",
        size_bytes=len(data),
        protocol=2,
    )


@pytest.mark.parametrize("protocol", [1, 2])
@pytest.mark.parametrize("serializer", ["json", "yaml", "msgpack"])
@pytest.mark.parametrize("compression", [None, "gzip", "bzip2", "lzma", "brotli"])
def test_arguments_are_read_in_every_format(
    send: Send, protocol: int, serializer: str, compression: str | None
) -> None:
    data = send(protocol, serializer=serializer, compression=compression, eta=NOON)
    opened = decode(data)
    assert (opened.protocol, opened.task, opened.id) == (protocol, "shop.tasks.bill", "an-id")
    assert (opened.args, opened.kwargs) == ([7, "é"], {"fast": True})
    assert (label(data).task, label(data).id, label(data).eta_at) == ("shop.tasks.bill", "an-id", NOON.timestamp())


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_what_an_older_kombu_wrote_is_read(name: str) -> None:
    data = RECORDED[name].encode()
    opened = decode(data)
    assert opened.undecodable is None
    assert opened.size_bytes == len(data)
    if name.startswith("kombu_"):
        assert (opened.task, opened.protocol, label(data).task) == (None, None, None)
    elif "pickle" in name:
        assert "never loaded" in str(why_unknown(opened.args if opened.task else opened.body))
    elif name != "incident":
        assert (opened.task, opened.args, opened.kwargs) == ("shop.tasks.bill", [7, "é"], {"fast": True})
        assert label(data).task == "shop.tasks.bill"


def test_a_pickled_task_is_named_by_its_headers_and_never_loaded(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    data = send(serializer="pickle")
    monkeypatch.setattr(pickle, "loads", lambda *a: pytest.fail("a pickle was loaded"))
    opened = decode(data)
    assert (opened.task, opened.argsrepr) == ("shop.tasks.bill", "(7, 'é')")
    assert "pickle, never loaded: protocol" in str(why_unknown(opened.args))
    assert opened.args == opened.kwargs == opened.body


def test_a_pickle_without_headers_has_no_name_to_be_counted_under(send: Send) -> None:
    data = send(1, serializer="pickle")
    assert "no task in the headers, and the body stays closed: pickle" in undecodable(data)
    assert decode(data).undecodable is None
    assert "never loaded" in str(why_unknown(decode(data).body))


def test_a_message_that_is_no_task_shows_its_body(monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[str] = []
    monkeypatch.setattr(memory.Channel, "_put", lambda self, queue, message, **kw: handed.append(dumps(message)))
    with Connection("memory://") as connection:
        producer = Producer(connection.channel(), exchange=Exchange(""), routing_key="q")
        for body in ({"hello": [1]}, "hello", b"\xff"):
            producer.publish(body)
    assert [decode(data.encode()).body for data in handed] == [{"hello": [1]}, "hello", "base64:/w=="]
    assert [label(data.encode()).task for data in handed] == [None, None, None]


def test_a_worker_that_gave_a_message_back_left_a_mark() -> None:
    assert not label(element()).redelivered
    assert label(with_headers(redelivered=True)).redelivered
    assert label(with_properties(delivery_info={"exchange": "", "redelivered": True})).redelivered
    assert decode(with_headers(redelivered=True)).redelivered


def test_beats_marks_are_read() -> None:
    assert label(with_headers(celery_beat_task=True)).from_beat
    assert not label(with_headers(celery_beat_task="yes")).from_beat
    assert label(with_headers(periodic_task_name="nightly")).periodic_entry == "nightly"


def test_a_body_of_another_shape_is_shown_whole() -> None:
    for body in (b"[1]", b'"x"', b"[{}, []]", b"null", b'{"a": 1}'):
        opened = decode(element(body=base64.b64encode(body).decode()))
        assert "not [args, kwargs, embed]" in str(why_unknown(opened.args))
        assert opened.body == json.loads(body)


def test_a_message_with_both_protocols_is_read_by_its_headers() -> None:
    body = base64.b64encode(b'{"task": "other", "args": [1], "kwargs": {}}').decode()
    opened = decode(element(body=body))
    assert (opened.task, opened.protocol, opened.args, opened.kwargs) == ("shop.tasks.bill", 2, [1], {})


# --- Times


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [
        (1795435200, 1795435200.0),
        (1795435200.25, 1795435200.25),
        (1795435200_250, 1795435200.25),
        (1795435200_250_000, 1795435200.25),
        (1795435200_250_000_000, 1795435200.25),
        ("1795435200.250000000", 1795435200.25),
        ("1795435200250", 1795435200.25),
        ("2026-11-23T12:00:00", NOON.timestamp()),
        ("2026-11-23T12:00:00Z", NOON.timestamp()),
        ("2026-11-23T12:00:00.500000+00:00", NOON.timestamp() + 0.5),
        ("2026-11-23T14:00:00+02:00", NOON.timestamp()),
        ("2026-11-23 12:00:00", NOON.timestamp()),
        ("20261123T120000", NOON.timestamp()),
        *((odd, None) for odd in (None, 0, 60, -1, 1e300, float("nan"), float("inf"), "", "soon", "nan", "9" * 5_000)),
        *((odd, None) for odd in ("2026-13-01", "2026-11-23T25:00", "\ud800", "\x00", "2026-", "٢٠٢٦-١١-٢٣")),
        ("0001-01-01T00:00:00+14:00", -62135647200.0),
    ],
)
def test_a_time_is_read_as_producers_write_it(stamp: str | float | None, seconds: float | None) -> None:
    # A double holds nanoseconds since 1970 only to the next 256.
    assert epoch(stamp) == (seconds if seconds is None else pytest.approx(seconds, abs=1e-6))


@settings(deadline=None)
@given(st.datetimes(timezones=st.none() | st.just(UTC) | st.just(timezone(timedelta(hours=-5)))))
def test_every_iso_time_means_what_celery_means_by_it(moment: datetime) -> None:
    assert epoch(moment.isoformat()) == (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


@pytest.mark.parametrize(
    "data",
    [
        with_headers(enqueued_at=1795435200.5),
        with_headers(enqueued_at="2026-11-23T12:00:00.5+00:00"),
        with_headers(sentry__task__enqueued__time="1795435200.500000000"),
        with_properties(published_at=1795435200.5),
        with_properties(published_at=1795435200500),
        with_headers(enqueued_at="soon", sentry__task__enqueued__time=1795435200.5),
    ],
)
def test_every_stamp_in_use_tells_when_a_message_was_published(data: bytes) -> None:
    assert label(data).enqueued_at == 1795435200.5
    assert decode(data).enqueued_at == 1795435200.5


def test_an_expiry_in_the_old_protocol_may_be_a_number() -> None:
    assert label(with_headers(expires=1795435200)).expires_at == 1795435200.0
    assert decode(with_headers(eta=1795435200, expires=1795435200.5)).expires == 1795435200.5
    assert decode(with_headers(eta=1795435200)).eta == "1795435200.0"


# --- Identity


def test_messages_of_the_same_task_and_body_are_the_same_whatever_their_ids() -> None:
    first, second = label(with_headers(id="1")), label(with_headers(id="2"))
    assert first.identity == second.identity
    assert first.identity != label(with_headers(task="other")).identity
    assert first.identity != label(element(body="e30=")).identity
    assert -(2**63) <= first.identity < 2**63


def test_the_same_message_spelled_differently_has_the_same_identity() -> None:
    data = element()
    spelled = (
        data.replace(b'"task"', b'"t\\u0061sk"').replace(b'"shop.', b'"\\u0073hop.').replace(b'"W1s', b'"\\u00571s')
    )
    assert spelled != data
    wire = wire_decoder()(spelled)
    assert label(spelled).identity == label(data).identity == identity_of(wire.headers.task, wire.body)


# --- The census


def test_the_wire_decoder_reads_what_a_census_counts() -> None:
    wire = wire_decoder()(with_headers(expires="2026-11-23T12:00:00"))
    assert (wire.headers.task, wire.headers.expires) == ("shop.tasks.bill", "2026-11-23T12:00:00")
    assert wire.body == message()["body"]


@pytest.mark.parametrize("data", [b"", b"1", b"{}", element(headers=[]), element(headers={}), element(body={})])
def test_the_wire_decoder_refuses_what_it_cannot_count(data: bytes) -> None:
    with pytest.raises(envelope.ODD):
        wire_decoder()(data)


# --- Unacked


def test_an_unacked_value_is_a_message_with_where_it_came_from() -> None:
    value = json.dumps([message(), "celery", "q"]).encode()
    opened, exchange, routing_key = open_unacked(value)
    assert isinstance(opened, Label)
    assert (opened.task, exchange, routing_key, opened.size_bytes) == ("shop.tasks.bill", "celery", "q", len(value))
    assert opened.identity == label(element()).identity


def test_an_odd_unacked_value_is_still_read() -> None:
    odd = json.dumps([message(properties=None), "", "q"]).encode()
    opened, exchange, routing_key = open_unacked(odd)
    assert isinstance(opened, Label)
    assert (opened.task, exchange, routing_key) == ("shop.tasks.bill", "", "q")
    assert open_unacked(json.dumps([message(), None, 7]).encode())[1:] == ("", "")


@pytest.mark.parametrize("value", [b"", b"[", b"{}", b"[]", b"[1, 2, 3]", b'[{}, "", ""]', b"\xff", b"[" * 100_000])
def test_an_unacked_value_that_is_none_is_a_stated_fact(value: bytes) -> None:
    opened, exchange, routing_key = open_unacked(value)
    assert isinstance(opened, Undecodable)
    assert (opened.size_bytes, exchange, routing_key) == (len(value), "", "")
