"""TG105 to TG109: what the queues are filled with."""

from builders import HIDDEN, a_flow, a_keyspace, a_look, a_queue, a_task, simulated_look
from rule_table import INFO, OK, WARNING, Row, check, table
from simulated import FLUSH, REFRESH, Cluster, Job, fan_out

FULL = a_queue().with_flow(a_flow(5, 5, depth=100))
GROWS = a_queue().with_flow(a_flow(10, 5, depth=50))
UNREAD = a_queue("odd").with_depth(HIDDEN)
OVER_THERE = a_look(UNREAD)
NOT_COUNTED = a_look(FULL)
FANNED = simulated_look(Cluster().every(1.0, fan_out(20, 0.06)).watch(30.03, 10))
CLEARS = simulated_look(Cluster().every(1.0, fan_out(13, 0.06)).watch(10.03, 10))
PLAIN = simulated_look(Cluster().every(0.1, Job(run_s=0.12)).watch(10.03, 10))


def filled(*rows, **changes):
    return a_look(FULL.with_census(*rows, **changes))


@table(
    Row("nothing waits, so nothing has expired", a_look(), OK, ["No waiting message has expired"]),
    Row("what waits is fresh", filled(a_task(count=100)), OK),
    Row(
        "ten of a hundred are past their time: a tenth is worth a warning",
        filled(a_task(count=100, expired=10)), WARNING, ["10 of the 100 messages in celery have expired"],
        {"expired": 10, "messages": 100, "exact": True}, remedy="one more worker",
    ),
    Row("nine of a hundred are worth a word", filled(a_task(count=100, expired=9)), INFO, ["9 of the 100"]),
    Row("a sample says about", filled(a_task(count=100, expired=50), exact=False), WARNING, ["About 50 of the 100"]),
    Row(
        "the expired of all tasks count together",
        filled(a_task(expired=6), a_task("b", expired=6)), WARNING, ["12 of"],
    ),
    Row("a queue that could not be read may hold expired ones", OVER_THERE, INFO, unknown=["odd"]),
    Row("nor could this one be looked into", NOT_COUNTED, INFO, unknown=["celery"]),
)  # fmt: skip
def test_messages_that_have_expired(row):
    check("TG105", row)


@table(
    Row("nothing waits", a_look(), OK, ["No single task"]),
    Row(
        "half of a queue is one task",
        filled(a_task(count=50, share=0.5), a_task("b", count=50, share=0.5)), INFO,
        [f"50 % of celery is {FLUSH}: about 50 messages"], {"task": FLUSH, "share": 0.5},
        remedy='task_routes = {"screen.tasks.flush_cluster_status": {"queue": "celery-slow"}}',
    ),
    Row("49 % is no majority", filled(a_task(count=49, share=0.49), a_task("b", count=51, share=0.51)), OK),
    Row("alone in its queue, it needs no other", filled(a_task(count=100)), INFO, remedy="its own rate decides"),
    Row("where the queue grows it is a warning", a_look(GROWS.with_census(a_task(count=100))), WARNING),
    Row(
        "of nineteen messages nothing can be said", a_look(a_queue().with_flow(a_flow(5, 5, depth=19)).with_census()), OK
    ),
    Row("of twenty it can", a_look(a_queue().with_flow(a_flow(5, 5, depth=20)).with_census()), INFO),
    Row("what could not be read may be of one task", OVER_THERE, INFO, unknown=["odd"]),
    Row(
        "a task's name is foreign: it must stay a string of the setting",
        filled(a_task('x"}, "y', count=60, share=0.6), a_task("b", count=40, share=0.4)), INFO,
        remedy='{"x\\"}, \\"y": {',
    ),
)  # fmt: skip
def test_a_task_that_dominates(row):
    check("TG106", row)


@table(
    Row("nothing waits", a_look(), OK, ["Few messages repeat"]),
    Row(
        "ten of a hundred ask for what another asks for",
        filled(a_task(count=100, duplicates=10)), INFO, ["10 % of celery repeats another waiting message", FLUSH],
        {"duplicates": 10, "messages": 100}, remedy="expires",
    ),
    Row("nine are few", filled(a_task(count=100, duplicates=9)), OK),
    Row("of a sample it is at least so many", filled(a_task(duplicates=40), exact=False), INFO, ["At least 40 %"]),
    Row("where the queue grows it is a warning", a_look(GROWS.with_census(a_task(duplicates=90))), WARNING),
    Row("what could not be read may repeat", NOT_COUNTED, INFO, unknown=["celery"]),
)  # fmt: skip
def test_messages_that_repeat(row):
    check("TG107", row)


@table(
    Row("nothing came", a_look(), OK, ["No firing fans out"]),
    Row("plain messages are no firing, however many", PLAIN, OK),
    Row(
        "the story: twenty children a firing, in a queue that grows",
        FANNED, WARNING, [f"Each firing of {REFRESH} fans out into 20 messages, mostly {FLUSH}"], {"root": REFRESH},
        remedy="whole firing",
    ),
    Row(
        "a fan-out that clears is worth knowing; its parent is taken at once, so nobody saw which it is",
        CLEARS, INFO, ["its first message was not seen", "fans out into 1", FLUSH], {"root": None},
    ),
    Row(
        "children that wait show it where none came in the window",
        filled(a_task(count=100), children_share=0.5, children_per_root=20.0), INFO,
        ["50 % of celery are children", "about 20 messages a firing"], {"children_share": 0.5, "children_per_root": 20.0},
        remedy="root_id",
    ),
    Row("fewer than half are not worth it", filled(a_task(count=100), children_share=0.49), OK),
    Row(
        "five a second came and were taken at once, so nobody saw what they were",
        a_look(a_queue().with_flow(a_flow(5, 5, task=None, seen=False))), INFO, ["what fires what"], unknown=["celery"],
    ),
    Row("what could not be read may be children", OVER_THERE, INFO, unknown=["odd"]),
)  # fmt: skip
def test_a_firing_that_fans_out(row):
    check("TG108", row)


@table(
    Row("nothing waits", a_look(), OK, ["could be read"]),
    Row("all of it could be read", filled(a_task(count=100)), OK),
    Row(
        "one of a hundred is no message",
        filled(a_task(count=99), undecodable=1), WARNING, ["Undecodable: 1 of the 100 messages in celery"],
        {"undecodable": 1}, remedy="tidegate peek celery",
    ),
    Row("a queue that is no list", a_look(UNREAD), INFO, ["the queue odd", "NOPERM"], unknown=["depth"]),
    Row(
        "the walk over the keys ended early: there may be further queues",
        a_look(keyspace=a_keyspace(total=900_000, scanned=100_000, complete=False)), INFO,
        ["further queues", "100,000 of 900,000 keys"], unknown=["queues"],
    ),
    Row(
        "a queue's name is foreign: it must stay one word of the command",
        a_look(a_queue("a b").with_flow(a_flow(5, 5, depth=9)).with_census(undecodable=1)), WARNING,
        remedy="tidegate peek 'a b'",
    ),
)  # fmt: skip
def test_what_can_not_be_read(row):
    check("TG109", row)
