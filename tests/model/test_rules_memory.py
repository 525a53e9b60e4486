"""TG110 to TG118: where Redis's memory goes."""

from builders import GB, HIDDEN, MB, a_flow, a_keyspace, a_look, a_queue, a_server, an_app
from rule_table import CRITICAL, INFO, OK, WARNING, Row, check, table

from tidegate.facts.seen import KeyFamily

GROWS = a_queue().with_flow(a_flow(10, 5, depth=100)).with_census().weighing(1000.0)
DAY = 86400


def on(*queues, **server):
    return a_look(*queues, server=a_server(**server))


def with_results(**changes):
    return a_look(keyspace=a_keyspace(KeyFamily(name="results", count=500, bytes=2 * MB, **changes)))


@table(
    Row("4 GB are the limit", on(), OK, ["limited to 4 GB"], {"maxmemory_bytes": 4 * GB}),
    Row(
        "none is set: 60 % of the machine leaves room for a snapshot",
        on(maxmemory_bytes=0), INFO, ["no memory limit"], {"maxmemory_bytes": 0}, remedy="maxmemory 4916mb",
    ),
    Row("none is set and a queue grows", on(GROWS, maxmemory_bytes=0), WARNING),
    Row("the machine is unknown as well", on(maxmemory_bytes=0, system_memory_bytes=HIDDEN), INFO, remedy="4gb"),
    Row("it could not be read", on(maxmemory_bytes=HIDDEN), INFO, unknown=["maxmemory_bytes"]),
)  # fmt: skip
def test_no_memory_limit(row):
    check("TG110", row)


@table(
    Row("nothing is deleted", on(), OK, ["noeviction"]),
    Row(
        "any key may go, and a queue is one key",
        on(maxmemory_policy="allkeys-lru"), CRITICAL, ["a queue is one key", "allkeys-lru"], remedy="maxmemory-policy noeviction",
    ),
    Row(
        "without a limit it sleeps, until somebody sets one",
        on(maxmemory_policy="allkeys-lfu", maxmemory_bytes=0), WARNING,
    ),
    Row(
        "the limit could not be read: it may be awake",
        on(maxmemory_policy="allkeys-lru", maxmemory_bytes=HIDDEN), CRITICAL,
    ),
    Row("only keys that expire go, and queues do not", on(maxmemory_policy="volatile-ttl"), INFO, ["results"]),
    Row("it could not be read", on(maxmemory_policy=HIDDEN), INFO, unknown=["maxmemory_policy"]),
)  # fmt: skip
def test_an_evicting_policy(row):
    check("TG111", row)


@table(
    Row("nothing is written, and nobody can mistake it", on(), OK, ["Nothing is written to disk"]),
    Row("written, and bounded apart from that", on(aof_enabled=True), OK, ["survive a restart (AOF)"]),
    Row(
        "the story's third lesson: what is on disk is in memory all the same",
        on(rdb_save="900 1", aof_enabled=True, maxmemory_bytes=0), INFO, ["AOF and RDB snapshots", "not a bound"],
        remedy="Set maxmemory",
    ),
    Row(
        "written, and the limit unknown",
        on(aof_enabled=True, maxmemory_bytes=HIDDEN), INFO, unknown=["maxmemory_bytes"],
    ),
    Row("not written, so the limit does not matter here", on(maxmemory_bytes=HIDDEN), OK),
    Row("CONFIG is refused", on(rdb_save=HIDDEN), INFO, unknown=["rdb_save"]),
)  # fmt: skip
def test_persistence_taken_for_a_bound(row):
    check("TG112", row)


@table(
    Row("10 MB of 4 GB, and nothing grows", on(), OK, ["10 MB of 4 GB (maxmemory)"], {"full_in_s": None}),
    Row("three quarters are a warning", on(used_memory_bytes=3 * GB), WARNING, ["75 %"], remedy="TG101"),
    Row("a byte less is not", on(used_memory_bytes=3 * GB - 1), OK),
    Row("nine tenths are critical", on(used_memory_bytes=int(3.61 * GB)), CRITICAL, ["90 %"]),
    Row(
        "5000 bytes a second fill 4 GB in ten days",
        on(GROWS), WARNING, ["full in 9.9 days"], {"growth_bytes_per_s": 5000.0, "full_in_s": (4 * GB - 10 * MB) / 5000},
    ),
    Row("less than a day is critical", on(GROWS, maxmemory_bytes=400 * MB), CRITICAL, ["full in 23 hours"]),
    Row("more than a month is worth a word", on(GROWS.weighing(300.0)), INFO, ["full in 33 days"]),
    Row("without a limit the machine's memory is one", on(maxmemory_bytes=0), OK, ["8 GB (system memory)"]),
    Row(
        "how fast the queue grows in bytes could not be seen",
        on(GROWS.weighing(HIDDEN)), INFO, ["growth of the memory"], unknown=["full_in_s"],
    ),
    Row("the machine is unknown", on(maxmemory_bytes=0, system_memory_bytes=HIDDEN), INFO, unknown=["limit_bytes"]),
    Row("INFO is refused", on(used_memory_bytes=HIDDEN), INFO, unknown=["used_bytes"]),
)  # fmt: skip
def test_memory_that_is_running_out(row):
    check("TG113", row)


@table(
    Row("there is room", on(), OK, ["takes writes"]),
    Row("no limit, no refusal", on(maxmemory_bytes=0, used_memory_bytes=7 * GB), OK),
    Row("98 % are not there yet", on(used_memory_bytes=int(0.98 * 4 * GB)), OK),
    Row(
        "at the limit nothing can be written; a quarter more makes room",
        on(GROWS, used_memory_bytes=4 * GB), CRITICAL, ["at its memory limit (4 GB of 4 GB)", "refuses writes"],
        {"used_bytes": 4 * GB}, remedy="maxmemory 5120mb",
    ),
    Row(
        "the limit was lowered below what is used: room is made beyond that",
        on(used_memory_bytes=4 * GB, maxmemory_bytes=GB), CRITICAL, remedy="maxmemory 5120mb",
    ),
    Row(
        "a tiny limit never becomes 0, which would be none",
        on(maxmemory_bytes=1000, used_memory_bytes=1000), CRITICAL, remedy="maxmemory 1mb",
    ),
    Row(
        "a queue's name is foreign: it must stay one word of the command",
        on(a_queue("$(reboot)").with_flow(a_flow(0, 0, depth=9)), used_memory_bytes=4 * GB), CRITICAL,
        remedy="UNLINK '$(reboot)'",
    ),
    Row("INFO is refused", on(used_memory_bytes=HIDDEN), INFO, unknown=["used_bytes"]),
)  # fmt: skip
def test_redis_at_its_limit(row):
    check("TG114", row)


@table(
    Row("10 MB are not worth a word", on(), OK, ["0 B of 10 MB"]),
    Row(
        "the queues are a little of 1 GB: clearing them would free nothing",
        on(used_memory_bytes=GB), INFO, ["explain only 0 B of the 1 GB", "unexplained"], remedy="largest part first",
    ),
    Row("near the limit it is a warning", on(used_memory_bytes=3 * GB), WARNING),
    Row(
        "the queues are most of it",
        on(a_queue().with_flow(a_flow(5, 5, depth=10**6)).with_census(), used_memory_bytes=GB), OK, ["763 MB of 1 GB"],
    ),
    Row(
        "a queue that could not be weighed may be all of it",
        on(GROWS.weighing(HIDDEN), used_memory_bytes=GB), INFO, ["what the queues weigh"], unknown=["celery"],
    ),
    Row("SCAN is refused", a_look(keyspace=HIDDEN), INFO, unknown=["by_family"]),
)  # fmt: skip
def test_memory_that_the_queues_do_not_explain(row):
    check("TG115", row)


@table(
    Row("the process holds what it needs", on(), OK, ["12 MB for 10 MB"]),
    Row(
        "twice as much as the data", on(used_memory_bytes=GB, rss_bytes=2 * GB), WARNING, ["2 GB for 1 GB of data"],
        remedy="MEMORY PURGE",
    ),
    Row("little memory is never fragmented enough", on(used_memory_bytes=MB, rss_bytes=20 * MB), OK),
    Row(
        "a snapshot of 5 of 8 GB may need as much again",
        on(used_memory_bytes=5 * GB, rss_bytes=5 * GB, rdb_save="900 1"), WARNING, ["5 GB of data on a machine of 8 GB"],
        remedy="half of the machine",
    ),
    Row("nothing is written, so nothing is copied", on(used_memory_bytes=5 * GB, rss_bytes=5 * GB), OK),
    Row("half of the machine is enough", on(used_memory_bytes=4 * GB, rss_bytes=4 * GB, aof_enabled=True), OK),
    Row(
        "whether snapshots are taken could not be read",
        on(used_memory_bytes=5 * GB, rss_bytes=5 * GB, rdb_save=HIDDEN), INFO, ["snapshot"], unknown=["persistence"],
    ),
    Row("with room for a copy that does not matter", on(rdb_save=HIDDEN), OK),
    Row(
        "the machine is unknown, and snapshots are taken",
        on(system_memory_bytes=HIDDEN, aof_enabled=True), INFO, unknown=["system_memory_bytes"],
    ),
    Row("INFO is refused", on(rss_bytes=HIDDEN), INFO, unknown=["rss_bytes"]),
)  # fmt: skip
def test_memory_beyond_the_data(row):
    check("TG116", row)


@table(
    Row("none are kept", a_look(), OK, ["No results are kept"]),
    Row("they expire", with_results(), OK, ["Results expire"]),
    Row(
        "400 stay for ever",
        with_results(without_expiry=400), WARNING, ["400 results never expire, of 500"], {"without_expiry": 400},
        remedy="result_expires",
    ),
    Row(
        "the application keeps them for ever",
        a_look(app=an_app(result_expires_s=0.0)), WARNING, ["result_expires is 0 or None"],
    ),
    Row("TTL is refused", with_results(without_expiry=HIDDEN), INFO, unknown=["without_expiry"]),
    Row("SCAN is refused", a_look(keyspace=HIDDEN), INFO, unknown=["results"]),
)  # fmt: skip
def test_results_without_expiry(row):
    check("TG117", row)


@table(
    Row("none", a_look(), OK, ["No reply list"]),
    Row(
        "three nobody will read",
        a_look(keyspace=a_keyspace(orphaned_replies=3)), INFO, ["3 reply lists"], remedy="UNLINK",
    ),
    Row("SCAN is refused", a_look(keyspace=HIDDEN), INFO, unknown=["orphaned_replies"]),
    Row("TTL is refused", a_look(keyspace=a_keyspace(orphaned_replies=HIDDEN)), INFO, unknown=["orphaned_replies"]),
)  # fmt: skip
def test_orphaned_reply_lists(row):
    check("TG118", row)
