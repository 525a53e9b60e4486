"""Nothing is written, so read access is enough; and what a user may not see is unknown with its reason, never fine."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from broker.elements import element
from faces.shell import (
    COMMANDS,
    ON_ONE_QUEUE,
    assert_every_command_is_harmless,
    assert_harmless,
    assert_harmless_json,
    assert_one_line,
    briefly,
    call,
    run,
    words,
)
from tidegate.demo.broker import PrivateBroker

SECRET = "look-but-do-not-touch"
#: Users who see the queues, from the freest to the strictest, by the rules of their ACL.
LOOKERS = {
    "everything": "~* &* +@all",
    "reads": "~* &* +@read",
    "reads-and-hears": "~* &* +@read +psubscribe +info +ping +client|list +config|get",
    "strict": "resetchannels ~* +@read -@dangerous",
    "read-keys-only": "resetchannels %R~* +@read -@dangerous",
    "no-scan": "~* +@read -scan",
    "no-weights": "~* +@read -memory",
}


@pytest.fixture
def filled(redis_client: redis.Redis) -> Iterator[redis.Redis]:
    """Five messages that nobody takes, one that was taken, and a result."""
    redis_client.sadd("_kombu.binding.celery", b"celery\x06\x16\x06\x16celery")
    redis_client.lpush("celery", *[element()] * 5)
    redis_client.hset("unacked", "tag", b'[%s, "celery", "celery"]' % element())
    redis_client.zadd("unacked_index", {"tag": 1.7e9})
    redis_client.set("celery-task-meta-1", "{}")
    yield redis_client


def login(valkey: PrivateBroker, name: str, rules: str) -> str:
    """The URL for a user of that name with those rights."""
    valkey.ask("ACL", "SETUSER", name, "reset", "on", f">{SECRET}", *rules.split())
    return f"redis://{name}:{SECRET}@{valkey.host}:{valkey.port}/0"


@pytest.mark.parametrize("user", LOOKERS)
def test_every_command_runs_for_a_user_who_may_only_read(user: str, valkey: PrivateBroker, filled: redis.Redis) -> None:
    url = login(valkey, user, LOOKERS[user])
    for command in COMMANDS:
        ran = call(*briefly(command, url))
        (assert_harmless_json if "--json" in command else assert_harmless)(ran)
        assert SECRET not in ran.shown + ran.said


@pytest.mark.parametrize("user", LOOKERS)
def test_what_could_not_be_seen_is_unknown_and_never_fine(
    user: str, valkey: PrivateBroker, filled: redis.Redis
) -> None:
    found = call("doctor", login(valkey, user, LOOKERS[user]), "--window", "0.2", "--json").parsed
    assert [queue["depth"] for queue in found["queues"]] == [5]
    assert found["verdict"] != "ok"
    assert not [finding for finding in found["findings"] if finding["level"] == "ok" and finding["unknown"]]
    assert_no_null_without_a_reason(found)


def test_a_user_who_only_reads_is_told_what_to_grant(valkey: PrivateBroker, filled: redis.Redis) -> None:
    found = call("doctor", login(valkey, "strict", LOOKERS["strict"]), "--window", "0.2", "--json").parsed
    why = found["broker"]["unknown"]["used_memory_bytes"]
    assert found["broker"]["used_memory_bytes"] is None
    assert "the user 'strict' may not run INFO: ACL SETUSER strict +info" in why
    assert found["queues"][0]["consumers"] is None
    assert found["queues"][0]["unknown"]["consumers"]


def assert_no_null_without_a_reason(found: dict[str, Any]) -> None:
    """Of the server and the queues every null has its reason; `drain_s` null is an answer too: never."""
    for part in (found["broker"], *found["queues"]):
        missing = {name for name, value in part.items() if value is None} - {"drain_s"}
        assert missing <= part.get("unknown", {}).keys()


def test_a_user_who_may_not_see_the_queue_learns_nothing_and_hears_so(
    valkey: PrivateBroker, filled: redis.Redis
) -> None:
    url = login(valkey, "elsewhere", "~other* &* +@read")
    found = call("doctor", url, "--window", "0.2", "-Q", "celery", "--json").parsed
    assert found["verdict"] == "unknown"
    assert found["queues"][0]["depth"] is None
    assert "may not read that key" in found["queues"][0]["unknown"]["depth"]
    for look in ("peek", "census"):
        ran = call(look, "celery", url)
        assert_one_line(ran, longest_s=2, secret=SECRET)
        assert "ACL SETUSER elsewhere %R~*" in ran.said


def test_a_user_who_may_not_read_lists_sees_their_depth_alone(valkey: PrivateBroker, filled: redis.Redis) -> None:
    url = login(valkey, "counter", "~* &* +@read -lrange -lindex")
    found = call("doctor", url, "--window", "0.2", "--json").parsed
    assert found["queues"][0]["depth"] == 5
    assert found["verdict"] != "ok"
    for command in ON_ONE_QUEUE:
        ran = call(*words(command, url))
        assert_one_line(ran, longest_s=2, secret=SECRET)
        assert "+lrange" in ran.said, ran.said


def test_a_user_without_any_right_is_told_so(valkey: PrivateBroker, filled: redis.Redis) -> None:
    url = login(valkey, "nobody", "-@all")
    for command in COMMANDS:
        assert_one_line(call(*words(command, url)), longest_s=2, secret=SECRET)


def test_a_monitor_sees_no_command_that_writes(broker_url: str, filled: redis.Redis) -> None:
    writing = {name.decode() for name in filled.execute_command("ACL", "CAT", "write")}
    assert {"lpush", "set", "brpop", "expire", "del"} <= writing
    filled.config_resetstat()
    with redis.Redis.from_url(broker_url) as other, other.monitor() as monitor:
        assert_every_command_is_harmless(broker_url)
        assert_harmless(run("doctor", broker_url, "--window", "0.5"))
        filled.echo("that was all")
        seen = set()
        while "echo" not in seen:
            seen.add(monitor.next_command()["command"].split()[0].lower())
    # A monitor is not shown every command; the server's statistics know them all.
    counted = {name.removeprefix("cmdstat_").partition("|")[0] for name in filled.info("commandstats")}
    assert {"llen", "lrange", "scan", "info"} <= seen
    assert not seen & writing
    assert not counted & writing


def test_what_was_there_is_there_unchanged(broker_url: str, filled: redis.Redis) -> None:
    before = {key: filled.dump(key) for key in filled.scan_iter()}
    assert_every_command_is_harmless(broker_url)
    assert {key: filled.dump(key) for key in filled.scan_iter()} == before
