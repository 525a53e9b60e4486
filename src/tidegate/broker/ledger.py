"""The keys in which probes keep what they counted, behind the application's own `global_keyprefix`.

    tidegate:probe:1:<length>:<start>  hash    one stretch of time: process → its slice; `all` → everything merged
    tidegate:probe:1:stretches         zset    which stretches there are, as `<length>:<start>`, scored with their end
    tidegate:probe:1:workers           hash    process → what it says of itself
    tidegate:probe:1:merging           string  who merges at present

Every key expires. Stretches are of the lengths below, each a multiple of the one before, so they nest.

How merging loses nothing and counts nothing twice, whenever anybody is killed:

- A process writes the whole of what it counted of a minute so far, over and over, into its own field. Repeating that
  changes nothing. Some seconds after the minute's end the field is final.
- The slice `all` of a stretch is authoritative: whoever reads it ignores every other field of that stretch and of all
  shorter stretches inside. It is written by one HSET, before anything that it replaces is removed; readers read
  shorter stretches before longer ones. So what was removed has always been seen in the longer one.
- What comes late, because a process could not reach the server, goes into a field `<process>.late`, which counts
  although there is an `all`, unless that one names it among those merged into it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from tidegate.broker.client import Broker, Command, Refusal, as_text
from tidegate.broker.keys import Layout
from tidegate.broker.reads import batched, bytes_of, refused
from tidegate.broker.records import Stored, decode_slice
from tidegate.errors import AccessDenied, CannotLook
from tidegate.facts.unknown import Maybe

LENGTHS_S = (60, 300, 1800, 7200, 21600)
MERGED = "all"
LATE = ".late"
_SPACE = "tidegate:probe:1:"
#: Stretches that a reader takes in: those of a minute each, for more than a day, are 1,500.
MOST_STRETCHES = 5000


class Stretch(NamedTuple):
    """A length of time that begins at a multiple of it, in seconds of the broker's clock."""

    length_s: int
    start_s: int

    @property
    def end_s(self) -> int:
        """The second that is no longer in it."""
        return self.start_s + self.length_s

    @property
    def member(self) -> bytes:
        """Its name among the stretches."""
        return b"%d:%d" % self

    def above(self) -> list["Stretch"]:
        """The longer stretches that hold it, shortest first."""
        return [Stretch(long, self.start_s // long * long) for long in LENGTHS_S if long > self.length_s]


def minute_of(at_s: float) -> Stretch:
    """The minute of a moment."""
    return Stretch(60, int(at_s // 60) * 60)


def stretch_key(layout: Layout, stretch: Stretch) -> str:
    """The hash of a stretch."""
    return f"{layout.prefix}{_SPACE}{stretch.length_s}:{stretch.start_s}"


def stretches_key(layout: Layout) -> str:
    """The sorted set of the stretches there are."""
    return f"{layout.prefix}{_SPACE}stretches"


def workers_key(layout: Layout) -> str:
    """The hash of the workers."""
    return f"{layout.prefix}{_SPACE}workers"


def merging_key(layout: Layout) -> str:
    """The lock of whoever merges."""
    return f"{layout.prefix}{_SPACE}merging"


def weights(broker: Broker, present: list[Stretch]) -> dict[str, Maybe[int]]:
    """What every key of the probe weighs in the server's memory; one MEMORY USAGE a key."""
    layout = broker.layout
    own = [stretches_key(layout), workers_key(layout), merging_key(layout)]
    keys = [*own, *(stretch_key(layout, stretch) for stretch in present)]
    return dict(zip(keys, bytes_of(broker, keys, samples=0), strict=True))


@dataclass(frozen=True, slots=True)
class Record:
    """One field of a stretch, decoded; `stored` is None where it can't be read."""

    stretch: Stretch
    field: str
    size_bytes: int
    stored: Stored | None

    @property
    def id(self) -> str:
        """How an `all` names it among those merged into it."""
        return f"{self.field}@{self.stretch.length_s}:{self.stretch.start_s}"

    @property
    def is_late(self) -> bool:
        """It counts beside an `all`."""
        return self.field.endswith(LATE)


def writing(layout: Layout, stretch: Stretch, field: str, record: bytes, keep_s: int) -> list[Command]:
    """The three commands that keep a record, and let it go `keep_s` after the stretch's end; repeating them is safe."""
    key = stretch_key(layout, stretch)
    return [
        ("HSET", key, field, record),
        ("EXPIREAT", key, stretch.end_s + keep_s),
        ("ZADD", stretches_key(layout), stretch.end_s, stretch.member),
    ]


def stretches(broker: Broker, since_s: float = 0.0) -> list[Stretch]:
    """The stretches that end after `since_s`, oldest first; one ZRANGEBYSCORE. What is no stretch of ours is left out.

    Raises CannotLook where the server refuses.
    """
    reply = broker.one("ZRANGEBYSCORE", stretches_key(broker.layout), f"({since_s}", "+inf", "LIMIT", 0, MOST_STRETCHES)
    if isinstance(reply, Refusal):
        why = refused(broker, "ZRANGEBYSCORE", reply).why
        raise AccessDenied(why) if reply.denied else CannotLook(f"the probe's data can't be read: {why}")
    return [stretch for member in reply if (stretch := _stretch(as_text(member))) is not None]


def _stretch(member: str) -> Stretch | None:
    length, _, start = member.partition(":")
    if not (length.isdecimal() and start.isdecimal() and len(member) < 24):
        return None
    stretch = Stretch(int(length), int(start))
    return stretch if stretch.length_s in LENGTHS_S and stretch.start_s % stretch.length_s == 0 else None


def records(broker: Broker, asked: Iterable[Stretch]) -> list[Record]:
    """All records of the stretches and of the longer ones that hold them; one HGETALL a stretch, shortest first."""
    wanted = sorted({one for stretch in asked for one in (stretch, *stretch.above())})
    found = []
    replies = batched(broker, [("HGETALL", stretch_key(broker.layout, stretch)) for stretch in wanted])
    for stretch, reply in zip(wanted, replies, strict=True):
        if isinstance(reply, Refusal):
            found.append(Record(stretch, "", 0, None))
        else:
            found += [_record(stretch, name, value) for name, value in zip(reply[::2], reply[1::2], strict=True)]
    return found


def _record(stretch: Stretch, name: bytes, value: bytes) -> Record:
    stored = decode_slice(value)
    if stored is not None and (stored.slice.length_s, stored.slice.start_s) != stretch:
        stored = None
    return Record(stretch, as_text(name), len(value), stored)


def counting(found: list[Record]) -> list[Record]:
    """Those of the records that count, by the rules above; unreadable ones are left out."""
    whole = {record.stretch: record for record in found if record.field == MERGED and record.stored is not None}
    return [record for record in found if record.stored is not None and _counts(record, whole)]


def _counts(record: Record, whole: dict[Stretch, Record]) -> bool:
    above = [whole[stretch] for stretch in record.stretch.above() if stretch in whole]
    if record.field != MERGED and record.stretch in whole:
        above.append(whole[record.stretch])
    if record.is_late:
        return not any(record.id in one.stored.merged for one in above if one.stored is not None)
    return not above
