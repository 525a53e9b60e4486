"""Bodies: what kombu packs is unpacked alike, within bounds, and nothing in it is ever executed."""

import base64
import bz2
import gzip
import json
import lzma
import os
import pickle
import pickletools
import sys
import zlib
from datetime import UTC, datetime

import brotli
import kombu.compression
import kombu.serialization
import msgpack
import pytest
import yaml
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.broker import bodies, compression
from tidegate.broker.bodies import Wrapping, open_body
from tidegate.facts.unknown import Unknown, why_unknown

JSON = Wrapping("application/json", "utf-8", None, "base64")
YAML = Wrapping("application/x-yaml", "utf-8", None, "base64")
MSGPACK = Wrapping("application/x-msgpack", "binary", None, "base64")
PICKLE = Wrapping("application/x-python-serialize", "binary", None, "base64")
BOMB = b"0" * (64 << 20)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def packed(data: bytes) -> str:
    return base64.b64encode(data).decode()


def opened(data: bytes, wrapping: Wrapping) -> object:
    return open_body(packed(data), wrapping)


def reason(value: object) -> str:
    why = why_unknown(value)
    assert why is not None, f"opened: {str(value)[:200]}"
    return why


def by_kombu(value: object, serializer: str, method: str | None = None) -> object:
    content_type, content_encoding, data = kombu.serialization.dumps(value, serializer)
    if method is not None:
        data, method = kombu.compression.compress(data, method)
    return opened(
        data.encode() if isinstance(data, str) else data, Wrapping(content_type, content_encoding, method, "base64")
    )


@pytest.mark.parametrize("serializer", ["json", "msgpack", "yaml"])
@settings(deadline=None)
@given(value=json_values)
def test_what_kombu_serializes_comes_out_the_same(serializer: str, value: object) -> None:
    if serializer == "yaml":
        assert by_kombu(value, serializer) == bodies.plain(yaml.safe_load(yaml.safe_dump(value)))
    else:
        assert by_kombu(value, serializer) == value


@pytest.mark.parametrize("method", sorted(kombu.compression._aliases))
def test_what_kombu_compresses_comes_out_the_same(method: str) -> None:
    assert by_kombu([[7], {"a": "é" * 999}], "json", method) == [[7], {"a": "é" * 999}]


@pytest.mark.parametrize(
    ("method", "data"),
    [
        ("application/x-gzip", zlib.compress(b'"x"')),
        ("gzip", gzip.compress(b'"x"', mtime=0)),
        ("application/x-bz2", bz2.compress(b'"x"')),
        ("application/x-lzma", lzma.compress(b'"x"', preset=9)),
        ("application/zstd", zstandard.compress(b'"x"', 22)),
        ("application/x-brotli", brotli.compress(b'"x"')),
    ],
)
def test_every_method_opens_whole_data_and_says_why_it_cannot_open_damaged_data(method: str, data: bytes) -> None:
    wrapping = Wrapping("application/json", "utf-8", method, "base64")
    assert opened(data, wrapping) == "x"
    assert reason(opened(b"\x00garbage", wrapping))
    assert reason(opened(data[: len(data) // 2], wrapping))
    assert reason(opened(b"", wrapping))


@pytest.mark.parametrize(
    ("method", "compress"),
    [
        ("application/x-gzip", zlib.compress),
        ("application/x-bz2", bz2.compress),
        ("application/x-lzma", lzma.compress),
        ("application/zstd", zstandard.compress),
        ("application/x-brotli", lambda data: brotli.compress(data, quality=5)),
    ],
)
def test_a_bomb_is_expanded_only_up_to_the_limit(method: str, compress) -> None:
    wrapping = Wrapping("application/data", "binary", method, "base64")
    assert "expand to more than the 8,388,608" in reason(opened(compress(BOMB), wrapping))


def test_an_unknown_method_is_named() -> None:
    assert "'snappy'" in reason(opened(b"x", Wrapping("text/plain", "utf-8", "snappy", "base64")))


def test_a_missing_library_is_named_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "_first_installed", lambda names: None)
    assert "tidegate[zstd]" in reason(opened(b"x", Wrapping("text/plain", "utf-8", "zstd", "base64")))
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert "tidegate[yaml]" in reason(opened(b"a: 1", YAML))


def test_a_brotli_that_cannot_bound_its_output_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class OldDecompressor:
        def process(self, data: bytes) -> bytes:
            return data

    monkeypatch.setattr(brotli, "Decompressor", OldDecompressor)
    assert "before 1.2" in reason(opened(b"x", Wrapping("text/plain", "utf-8", "brotli", "base64")))


class Exploit:
    def __reduce__(self):
        return os.system, ("exit 1",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_body_is_described_and_never_loaded(protocol: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def loaded(*_args: object, **_kwargs: object) -> None:
        pytest.fail("a pickle was loaded")

    data = pickle.dumps([Exploit(), datetime(2026, 1, 1, tzinfo=UTC)], protocol)
    for name in ("load", "loads", "Unpickler", "_Unpickler"):
        monkeypatch.setattr(pickle, name, loaded)
    monkeypatch.setattr(os, "system", loaded)
    why = reason(opened(data, PICKLE))
    assert why.startswith(f"pickle, never loaded: protocol {protocol}, {len(data)} bytes, would import ")
    assert f"{os.name}.system" in why
    assert "datetime.datetime" in why


def test_a_name_that_a_pickle_imports_twice_is_found_through_its_memo() -> None:
    data = pickletools.optimize(
        pickle.dumps([datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC), UTC], 4)
    )
    assert "would import datetime.datetime, datetime.timezone, datetime.timedelta" in reason(opened(data, PICKLE))


def test_a_plain_pickle_imports_nothing() -> None:
    assert "would import nothing" in str(by_kombu([[7], {}], "pickle"))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "damaged"),
        (b"\x80\x04", "damaged"),
        (b"\x8a\xff\xff", "damaged"),
        (b"I" + b"9" * 10_000 + b"\n.", "damaged"),
        (b"\x8e" + b"\xff" * 8, "damaged"),
        (b"0" * 100_000, "the first 50,000 operations"),
        (b"cos\nsystem\n" * 9000 + b".", "would import os.system"),
        (b"".join(b"cm\nf%d\n" % n for n in range(9)) + b".", "m.f4 and 4 more"),
    ],
)
def test_an_odd_pickle_is_described_within_bounds(data: bytes, said: str) -> None:
    assert said in reason(opened(data, PICKLE))


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 30))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, "written out"),
        (MERGES, "merge keys"),
        ("&a [*a]", "nested deeper"),
        ("a: &a " + "x" * 30_000 + "\nb: [" + "*a, " * 5_000 + "]", "written out"),
        ("[" * 60_000, "nested too deeply"),
        ("x" * 70_000, "the YAML body is 70,000 bytes"),
        ("!!python/object/apply:os.system [exit 1]", "not YAML"),
        ("!!bool x", "KeyError"),
        ("!!timestamp x", "AttributeError"),
        ("!!int ''", "not YAML"),
        ("? {a: b}\n: c", "not YAML"),
        ("a: 1\n---\nb: 2", "not YAML"),
        ("\x00", "not YAML"),
        ("9" * 5_000, "not YAML"),
    ],
)
def test_hostile_yaml_stays_closed(text: str, said: str) -> None:
    assert said in reason(opened(text.encode(), YAML))


def test_yaml_values_that_json_lacks_come_as_text() -> None:
    text = b"{when: 2026-11-23 12:00:00, day: 2026-11-23, raw: !!binary /w==, 1: a, null: b, set: !!set {x}}"
    assert opened(text, YAML) == {
        "when": "2026-11-23T12:00:00",
        "day": "2026-11-23",
        "raw": "base64:/w==",
        "1": "a",
        "None": "b",
        "set": ["x"],
    }
    assert opened(b"0x" + b"f" * 9_000, YAML) == "0x" + "f" * 9_000


def test_msgpack_values_that_json_lacks_come_as_text() -> None:
    value = {"raw": b"\xff", 1: msgpack.ExtType(5, b"ab"), "at": msgpack.Timestamp(0), (1, 2): None, b"k": 2**64 - 1}
    assert opened(msgpack.packb(value), MSGPACK) == {
        "raw": "base64:/w==",
        "1": "ext 5:base64:YWI=",
        "at": "1970-01-01T00:00:00+00:00",
        "[1, 2]": None,
        "base64:aw==": 2**64 - 1,
    }


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\x81\x80\xc0",
        b"\xa1\xff",
        b"\x91" * 100_000,
        b"\x01\x02",
    ],
)
def test_hostile_msgpack_stays_closed(data: bytes) -> None:
    assert reason(opened(data, MSGPACK))


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"[NaN, Infinity]", "[nan, inf]"),
        (b'"\\ud800"', "'\\ud800'"),
        (b'"\xff"', "'\\udcff'"),
        (b'"\x00"', "'\\x00'"),
        (b'{"a": 1, "a": 2}', "{'a': 2}"),
        (b"9" * 400, "9" * 400),
        (b"9" * 5_000, f"'{'9' * 5_000}'"),
        (b"-" + b"9" * 5_000, f"'-{'9' * 5_000}'"),
        (b'{"__type__": "datetime", "__value__": "x"}', "{'__type__': 'datetime', '__value__': 'x'}"),
    ],
)
def test_odd_json_is_read_as_it_stands(data: bytes, value: str) -> None:
    assert repr(opened(data, JSON)) == value


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not JSON"),
        (b'{"a": ', "not JSON"),
        (b"[1] x", "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" * 500 + b"]" * 500, "nested deeper than 64"),
        (b"[" + b"[]," * 300_000 + b"1]", "more than 500,000 values"),
    ],
)
def test_hostile_json_stays_closed(data: bytes, said: str) -> None:
    assert said in reason(opened(data, JSON))


def test_the_reason_never_quotes_the_body() -> None:
    for wrapping in (JSON, YAML, MSGPACK):
        assert "hunter2" not in reason(opened(b'{"password": "hunter2', wrapping))


@pytest.mark.parametrize(
    ("data", "encoding", "value"),
    [
        (b"caf\xc3\xa9", "utf-8", "café"),
        (b"caf\xe9", "latin-1", "café"),
        (b"caf\xe9", "utf-8", "base64:Y2Fm6Q=="),
        (b"\x00\xff", "binary", "base64:AP8="),
        (b"x", "idna", "base64:eA=="),
        (b"", "utf-8", ""),
    ],
)
def test_raw_bodies_come_as_text_or_base64(data: bytes, encoding: str, value: str) -> None:
    assert opened(data, Wrapping("application/data", encoding, None, "base64")) == value
    assert opened(data, Wrapping(None, encoding, None, "base64")) == value


def test_json_in_another_charset_is_read_in_it() -> None:
    assert opened('"é"'.encode("utf-16"), Wrapping("application/json", "utf-16", None, "base64")) == "é"
    assert opened(b'"\xe9"', Wrapping("application/json; charset=x", "latin-1", None, "base64")) == "é"
    assert "not ascii" in reason(opened(b'"\xe9"', Wrapping("application/json", "ascii", None, "base64")))
    assert "'punycode'" in reason(opened(b'""', Wrapping("application/json", "punycode", None, "base64")))


def test_a_body_without_base64_is_the_text_itself() -> None:
    assert open_body('[[7], {}, "é"]', Wrapping("application/json", "utf-8", None, None)) == [[7], {}, "é"]
    assert open_body('"é"', Wrapping("application/json", "latin-1")) == "é"


@pytest.mark.parametrize("body", ["é", "AAA", "A" * 5])
def test_base64_garbage_is_said_to_be_no_base64(body: str) -> None:
    assert "not base64" in reason(open_body(body, JSON))


@pytest.mark.parametrize(
    ("wrapping", "said"),
    [
        (Wrapping("application/x-custom", None, None, "base64"), "'application/x-custom'"),
        (Wrapping("application/json", None, None, "rot13"), "'rot13'"),
        (Wrapping("x" * 5000), "content type"),
    ],
)
def test_an_unknown_packing_is_named_and_cut_short(wrapping: Wrapping, said: str) -> None:
    why = reason(open_body("", wrapping))
    assert said in why
    assert len(why) < 200


def test_a_large_body_stays_closed_and_its_sizes_are_told() -> None:
    why = reason(opened(b"x" * (2 << 20), JSON))
    assert "2,097,152 bytes" in why
    assert "1,048,576" in why


@settings(deadline=None)
@given(st.binary(), st.sampled_from(sorted(bodies._READERS)), st.sampled_from([None, *sorted(compression._METHODS)]))
def test_no_bytes_raise_whatever_they_claim_to_be(data: bytes, kind: str, method: str | None) -> None:
    value = opened(data, Wrapping(kind, "utf-8", method, "base64"))
    if not isinstance(value, Unknown):
        json.dumps(value)


@settings(deadline=None)
@given(st.text(), st.builds(Wrapping, *[st.none() | st.text()] * 4))
def test_no_wrapping_raises(body: str, wrapping: Wrapping) -> None:
    open_body(body, wrapping)
