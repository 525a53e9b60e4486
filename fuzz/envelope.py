"""Any bytes through the envelope: nothing may raise, and the two ways of reading must agree.

python fuzz/envelope.py [SECONDS]      mutates the recorded messages at random
python fuzz/envelope.py -runs=1000000  with atheris, where it is installed
"""

import base64
import json
import random
import sys
import time
from pathlib import Path

from tidegate.broker import envelope, outside
from tidegate.document import document
from tidegate.facts.message import Undecodable

RECORDED = Path(__file__).parent.parent / "tests" / "broker" / "recorded" / "kombu-5.5.3.json"
TOKENS = [
    *(
        b"null",
        b"true",
        b"NaN",
        b"-1e999",
        b"1" * 400,
        b"[]",
        b"{}",
        b'""',
        b'"task"',
        b'"body"',
        b'"headers"',
        b"\x00",
    ),
    *(b"\\ud800", b"\\u0041", b"\xff", b"\xef\xbb\xbf", b"[" * 200, b"}" * 3, b'"base64"', b"2026-11-23T00:00:00"),
    *(b"application/x-yaml", b"application/x-msgpack", b"application/x-python-serialize", b"application/x-gzip"),
]


def fuzz_one(data: bytes) -> None:
    """Raises where a promise of the envelope does not hold for these bytes."""
    label = envelope.open_label(data)
    json.dumps(document(label))
    json.dumps(document(envelope.decode(data)))
    envelope.open_unacked(data)
    assert envelope.open_unacked(b"[" + data + b', "", "celery"]')[0] is not None
    _the_two_ways_agree(data)
    _the_census_agrees(data, label)


def _the_two_ways_agree(data: bytes) -> None:
    try:
        typed = outside.read_typed(data)
    except envelope.ODD:
        return
    lenient = outside.read_lenient(data)
    if isinstance(lenient, Undecodable):
        # The parsers' own limits on nesting differ by a few levels.
        assert "too deeply" in lenient.why, lenient
    else:
        assert typed == lenient, (typed, lenient)


def _the_census_agrees(data: bytes, label: object) -> None:
    try:
        wire = envelope.wire_decoder()(data)
    except envelope.ODD:
        return
    if isinstance(label, Undecodable):
        assert "too deeply" in label.why, label
        return
    assert (wire.headers.task, envelope.epoch(wire.headers.expires)) == (label.task, label.expires_at)
    assert envelope.identity_of(wire.headers.task, wire.body) == label.identity


def mutated(seed: bytes, chance: random.Random) -> bytes:
    """The seed with a few random cuts, copies, bit flips and hostile tokens."""
    data = bytearray(seed)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.choice((0, 1, 2, 8, 60)))
        match chance.randrange(4):
            case 0:
                data[at:end] = chance.choice(TOKENS)
            case 1:
                data[at:end] = chance.randbytes(end - at)
            case 2:
                data[at:at] = data[at:end]
            case _:
                del data[at:end]
    return bytes(data)


def _replaced(seed: bytes, chance: random.Random) -> bytes:
    """The seed with one value, anywhere in it, replaced by another kind of value: valid JSON, odd message."""
    message = json.loads(seed)
    part = message
    for _ in range(chance.randrange(3)):
        inner = [value for value in part.values() if isinstance(value, dict) and value]
        part = chance.choice(inner) if inner else part
    odd = (None, True, 7, -1.5, 10**30, "", "x", "2026-11-23T12:00:00", "1e400", [], {"task": 1}, float("nan"))
    part[chance.choice([*part, "task", "eta", "expires", "enqueued_at", "redelivered"])] = chance.choice(odd)
    return json.dumps(message).encode()


def _with_other_body(seed: bytes, chance: random.Random) -> bytes:
    message = json.loads(seed)
    body = base64.b64decode(message["body"])
    message["body"] = base64.b64encode(mutated(body, chance)).decode()
    return json.dumps(message).encode()


def main(seconds: float) -> None:
    seeds = [element.encode() for element in json.loads(RECORDED.read_text())["elements"].values()]
    chance, until, runs, slowest = random.Random(), time.monotonic() + seconds, 0, 0.0
    while time.monotonic() < until:
        data = chance.choice((mutated, mutated, _replaced, _with_other_body))(chance.choice(seeds), chance)
        began = time.monotonic()
        try:
            fuzz_one(data)
        except BaseException:
            print(f"after {runs:,} runs: {data!r}", file=sys.stderr)
            raise
        runs, slowest = runs + 1, max(slowest, time.monotonic() - began)
    print(f"{runs:,} runs, none failed, the slowest took {slowest * 1000:.1f} ms")


if __name__ == "__main__":
    try:
        import atheris  # type: ignore[import-not-found]
    except ImportError:
        main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0)
    else:
        atheris.instrument_all()
        atheris.Setup(sys.argv, fuzz_one)
        atheris.Fuzz()
