"""The scripts of the overlap, called directly on a server: what a publisher, a worker, and a tool do to one queue."""

import hashlib
import json
import uuid
from dataclasses import dataclass, field, replace
from typing import Any

import redis

from tidegate.broker.scripts import Script

HOLD = Script("marks", "firings", "hands", "hold")
RELEASE = Script("marks", "firings", "hands", "release")
RESTORE = Script("words", "marks", "firings", "hands", "restore")
TOLD = Script("marks", "firings", "hands", "told")
SWEEP = Script("marks", "firings", "sweep")


class Inline(Script):
    """Fragments with a main part of the test's own."""

    def __init__(self, *names: str, main: str) -> None:
        super().__init__(*names)
        self.text = f"{self.text}\n{main}"
        self.digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


#: The main script's order, without bounds: overlap, marks, push.
ADMIT = Inline(
    "marks",
    "firings",
    main="""
    local t = redis.call("TIME")
    local now = t[1] * 1000 + math.floor(t[2] / 1000)
    local g = { key = ARGV[13], overlap = ARGV[14], payload_policy = ARGV[15], scope = ARGV[16], firing = ARGV[17],
      entry = ARGV[18], id = ARGV[5], tag = ARGV[4], retries = tonumber(ARGV[19]) or 0, body = ARGV[1] }
    local answer = overlap_decide(g, now)
    if answer then return answer end
    overlap_admit(g, KEYS[1], now)
    redis.call("LPUSH", KEYS[1], ARGV[1])
    return {"admitted"}
    """,
)
FORGET = Inline("marks", "firings", main="overlap_forget(redis.call('RPOP', KEYS[1]), ARGV[1])")
FETCH = Inline(
    "marks",
    "firings",
    main="""
    local raw = redis.call("RPOP", KEYS[1])
    if not raw then return nil end
    redis.call("ZADD", ARGV[1] .. "unacked_index", ARGV[4], ARGV[2])
    redis.call("HSET", ARGV[1] .. "unacked", ARGV[2], '[' .. raw .. ', "", "celery"]')
    mark_hold(ARGV[1], raw, ARGV[2], ARGV[3], KEYS[1])
    return raw
    """,
)


@dataclass(frozen=True)
class Told:
    """One message, as its publisher makes it."""

    key: str = "k"
    overlap: str = "buffer_one"
    payload: str = "keep"
    scope: str = "message"
    firing: str = ""
    entry: str = ""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    tag: str = field(default_factory=lambda: str(uuid.uuid4()))
    retries: int = 0
    exempt: str = ""
    args: str = "W10="
    enqueued_at: float | None = None

    @property
    def header(self) -> dict[str, str]:
        said = {"key": self.key, "firing": self.firing, "entry": self.entry}
        if self.key and self.overlap != "allow_all":
            said |= {"overlap": self.overlap, "payload": self.payload, "scope": self.scope}
        return {name: value for name, value in said.items() if value not in ("", "keep", "message")}

    @property
    def message(self) -> dict[str, Any]:
        headers: dict[str, Any] = {
            "lang": "py", "task": "t", "id": self.id, "retries": self.retries, "root_id": self.firing or self.id,
        }  # fmt: skip
        if self.header:
            headers["tidegate"] = self.header
        if self.enqueued_at is not None:
            headers |= {"enqueued_at": self.enqueued_at, "enqueued_clock": "broker"}
        return {
            "body": self.args,
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": headers,
            "properties": {
                "correlation_id": self.id,
                "reply_to": "r",
                "delivery_info": {"exchange": "", "routing_key": "celery"},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": self.tag,
            },
        }

    @property
    def element(self) -> str:
        return json.dumps(self.message)

    def again(self, **changes: Any) -> "Told":
        """Another message with the same guard."""
        return replace(self, **({"id": str(uuid.uuid4()), "tag": str(uuid.uuid4())} | changes))


def root(entry: str = "e", **more: Any) -> Told:
    """The root of a firing."""
    made = str(uuid.uuid4())
    return Told(**({"key": entry, "entry": entry, "scope": "firing", "id": made, "firing": made} | more))


def child(of: Told, **more: Any) -> Told:
    """A child of that firing, without an overlap of its own."""
    return Told(**({"key": "", "overlap": "allow_all", "firing": of.firing, "entry": of.entry} | more))


class Place:
    """One queue on one server, with some workers; every method is one script or one command of theirs."""

    def __init__(self, client: redis.Redis, prefix: str = "") -> None:
        self.client = client
        self.prefix = prefix
        self.queue = f"{prefix}celery"
        self.taken = [f"{prefix}unacked_index", f"{prefix}unacked"]

    def key(self, name: str) -> str:
        return f"{self.prefix}tidegate:gate:1:{name}"

    # Publishers

    def publish(self, m: Told, queue: str = "") -> list[Any]:
        arguments = [
            m.element, self.prefix, "celery", m.tag, m.id, "t", m.exempt, 0, 0, "", "", 0,
            m.key, m.overlap, m.payload, m.scope, m.firing, m.entry, m.retries,
        ]  # fmt: skip
        return [text(part) for part in ADMIT.run(self.client, [queue or self.queue], arguments)]

    def admits(self, m: Told) -> bool:
        """Whether it was published."""
        return self.publish(m)[0] == "admitted"

    # Workers

    def lives(
        self, worker: str, sessions: tuple[str, ...] = ("1",), running: tuple[str, ...] = (), as_of: int = 0
    ) -> None:
        """What a worker says of itself once a second; `as_of` 0: before anything happened."""
        said = json.dumps({"as_of": as_of, "sessions": sessions, "running": running})
        self.client.set(self.key(f"worker:{worker}"), said, px=60000)

    def dies(self, worker: str) -> None:
        self.client.delete(self.key(f"worker:{worker}"))

    def now_ms(self) -> int:
        seconds, micros = self.client.time()
        return seconds * 1000 + micros // 1000

    def pop(self, queue: str = "") -> Told | None:
        """BRPOP of a stock worker, before it registers what it took."""
        raw = self.client.rpop(queue or self.queue)
        return None if raw is None else from_element(raw)

    def register(self, m: Told, at_s: float | None = None) -> None:
        """As a stock worker does it."""
        seconds, micros = self.client.time()
        score = seconds + micros / 1e6 if at_s is None else at_s
        self.client.zadd(self.taken[0], {m.tag: score})
        self.client.hset(self.taken[1], m.tag, json.dumps([m.message, "", "celery"]))

    def hold(self, m: Told, who: str = "w1/1") -> Any:
        """A message that was popped, as the gate's QoS registers it."""
        seconds, micros = self.client.time()
        entry = json.dumps([m.message, "", "celery"])
        return HOLD.run(
            self.client, self.taken, [self.prefix, m.tag, repr(seconds + micros / 1e6), entry, who, *said(m)]
        )

    def take(self, who: str = "w1/1", queue: str = "") -> Told:
        m = self.pop(queue)
        assert m is not None
        self.hold(m, who)
        return m

    def fetch(self, who: str = "w1/1") -> Told:
        """What the fetching script does, for the oldest message."""
        m = from_element(self.client.lindex(self.queue, -1))
        seconds, micros = self.client.time()
        FETCH.run(self.client, [self.queue], [self.prefix, m.tag, who, repr(seconds + micros / 1e6)])
        return m

    def release(self, m: Told, how: str = "done", who: str = "w1/1") -> Any:
        return RELEASE.run(self.client, self.taken, [self.prefix, m.tag, who, how, *said(m)])

    def acknowledge_as_stock(self, m: Told) -> None:
        self.client.zrem(self.taken[0], m.tag)
        self.client.hdel(self.taken[1], m.tag)

    def tell(self, what: str, m: Told) -> None:
        TOLD.run(self.client, self.taken[:1], [self.prefix, m.tag, what, *said(m)])

    def restore(self, m: Told, end: str = "oldest") -> list[Any]:
        arguments = [self.prefix, m.tag, flagged(m), end, "celery", 3_600_000, "t", *said(m)]
        return [text(part) for part in RESTORE.run(self.client, [*self.taken, self.queue], arguments)]

    def restore_as_stock(self, m: Told) -> None:
        self.acknowledge_as_stock(m)
        self.client.rpush(self.queue, flagged(m))

    def sweep(self) -> int:
        self.client.delete(self.key("sweep"))
        return int(
            SWEEP.run(self.client, [self.key("sweep")], [self.prefix, 3_600_000, self.taken[0], self.key("nodes")])
        )

    def later(self, ms: int) -> None:
        """Everything happened that much earlier."""
        for tag, score in self.client.zrange(self.taken[0], 0, -1, withscores=True):
            self.client.zadd(self.taken[0], {tag: score - ms / 1000})
        for key, value in self.client.hgetall(self.key("marks")).items():
            self.client.hset(self.key("marks"), key, json.dumps(_earlier(json.loads(value), ms)))
        for name in self.client.scan_iter(self.key("firing:*")):
            for at, value in self.client.hgetall(name).items():
                self.client.hset(name, at, _earlier_in_firing(at, value.decode(), ms))
        for name in self.client.scan_iter(self.key("worker:*")):
            said = json.loads(self.client.get(name))
            self.client.set(name, json.dumps(said | {"as_of": said["as_of"] and said["as_of"] - ms}))

    # What is there

    def mark(self, key: str = "k") -> dict[str, Any] | None:
        found = self.client.hget(self.key("marks"), key)
        return None if found is None else json.loads(found)

    def open(self, entry: str = "e") -> set[str]:
        found = self.client.hget(self.key("firings"), entry)
        return set() if found is None else set(json.loads(found))

    def waiting_count(self) -> int:
        return int(self.client.llen(self.queue))

    def waiting(self) -> list[Told]:
        """Oldest first."""
        return [from_element(raw) for raw in reversed(self.client.lrange(self.queue, 0, -1))]


def said(m: Told) -> list[Any]:
    return [m.key, m.overlap, m.scope, m.firing, m.entry, m.id, m.retries]


def flagged(m: Told) -> str:
    """The element as Kombu writes it when it restores it."""
    message = m.message
    message["headers"]["redelivered"] = True
    message["properties"]["delivery_info"]["redelivered"] = True
    return json.dumps(message)


def from_element(raw: bytes) -> Told:
    message = json.loads(raw)
    headers = message["headers"]
    header = headers.get("tidegate", {})
    return Told(
        key=header.get("key", ""),
        overlap=header.get("overlap", "allow_all"),
        payload=header.get("payload", "keep"),
        scope=header.get("scope", "message"),
        firing=header.get("firing", ""),
        entry=header.get("entry", ""),
        id=headers["id"],
        tag=message["properties"]["delivery_tag"],
        retries=headers["retries"],
        args=message["body"],
        enqueued_at=headers.get("enqueued_at"),
    )


def _earlier(place: dict[str, Any], ms: int) -> dict[str, Any]:
    times = {
        name: place[name] - ms for name in ("at", "changed", "seen", "glanced", "replaced", "missing") if name in place
    }
    score = {"score": repr(float(place["score"]) - ms / 1000)} if "score" in place else {}
    apart = {name: _earlier(place[name], ms) for name in ("aside", "front", "spill") if name in place}
    return place | times | score | apart


def _earlier_in_firing(at: bytes, value: str, ms: int) -> str:
    if at.startswith(b"n:"):
        return json.dumps(_earlier(json.loads(value), ms))
    if at.startswith(b"t:"):
        state, who, score, changed = value.split()
        return f"{state} {who} {float(score) - ms / 1000!r} {int(changed) - ms}"
    return value


def text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
