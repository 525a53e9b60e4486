"""TG101 to TG104: the movement of queues."""

from builders import (
    HIDDEN,
    a_flow,
    a_heartbeat,
    a_look,
    a_queue,
    an_answer,
    no_workers,
    simulated_look,
    some_workers,
    unread_flow,
)
from rule_table import CRITICAL, INFO, OK, WARNING, Row, check, table
from simulated import FLUSH, REFRESH, Cluster, Job, Pool, fan_out

from tidegate.facts.seen import WorkersSeen

GROWS = a_queue().with_flow(a_flow(10, 5, depth=100)).with_census()
DRAINS = a_queue().with_flow(a_flow(1, 10, depth=1000)).with_census()
STANDS = a_queue().with_flow(a_flow(1, 0, depth=100)).with_census()
UNREAD = a_queue("odd").with_depth(HIDDEN)
BUSY = some_workers(a_heartbeat(active=2))
FANNED = simulated_look(Cluster().every(1.0, fan_out(20, 0.06)).watch(30.03, 10))
ROUTED = simulated_look(
    Cluster(Pool(("celery", "parents"))).every(1.0, fan_out(20, 0.06, parents="parents")).watch(30.03, 10)
)
BURST = simulated_look(Cluster().every(1.0, Job(run_s=0.1)).burst(25, 300, Job(run_s=0.1)).watch(20, 10))


@table(
    Row("an idle queue does not grow", a_look(), OK, ["No queue grows"], {"queues": 1}),
    Row(
        "ten come and five leave every second: it gains 5/s, 18,000 an hour, and never clears",
        a_look(GROWS), CRITICAL, ["celery grows by 5/s", "18,000 messages an hour", "10/s arrive, 5/s leave", "never clears"],
        {"queue": "celery", "growth_per_s": 5.0, "task": FLUSH, "edge_interval_s": 0.2, "capacity_factor": 2.0},
        remedy='{"task": "screen.tasks.flush_cluster_status", "schedule": 0.25, "options": {"expires": 0.25}}',
    ),
    Row(
        "the story: a parent that fans out into twenty children of 60 ms every second needs 1.2 s and a little",
        FANNED, CRITICAL, ["firings bring ", f"each firing of {REFRESH} fans out into 20 messages", "times what they can"],
        {"task": FLUSH, "fired_by": REFRESH}, remedy=f'"task": "{REFRESH}"',
    ),
    Row(
        "the parent waits in a queue of its own, which does not grow, and is named all the same",
        ROUTED, CRITICAL, ["celery grows", f"each firing of {REFRESH}"], {"fired_by": REFRESH}, remedy=f"Send {REFRESH}",
    ),
    Row(
        "a thousand that shrink by 9/s are no trouble, so there is nothing to do; 910 wait when the window ends",
        a_look(DRAINS), INFO, ["celery drains: 910 messages wait", "empty in about 101 s"], {"state": "draining"},
        remedy=None,
    ),
    Row(
        "a burst may pass: look again",
        BURST, INFO, ["celery rose in a burst"], {"state": "surge"}, remedy="--window 60",
    ),
    Row(
        "one queue grows and one can't be read: the worse one comes first",
        a_look(GROWS, UNREAD), CRITICAL, ["celery grows"],
    ),
    Row(
        "a queue that was not watched may grow",
        a_look(a_queue().with_depth(50).with_flow(unread_flow())), INFO, ["growth of celery", "no list"],
        unknown=["growth_per_s"],
    ),
    Row("no queue at all is no healthy one", a_look(queues=()), INFO, ["no queue was found"], unknown=["queues"]),
    Row(
        "as many leave as come: it is at the edge, and does not grow",
        a_look(a_queue().with_flow(a_flow(5, 5, depth=5)).with_census()), OK,
    ),
)  # fmt: skip
def test_a_queue_that_grows(row):
    check("TG101", row)


@table(
    Row("nothing waits, so nothing stands", a_look(), OK, ["No queue stands still"]),
    Row(
        "a hundred wait and none leaves for the whole window",
        a_look(STANDS), CRITICAL, ["celery stands still", "none left for 10 s"], {"queue": "celery", "depth": 110},
        remedy="worker -Q celery",
    ),
    Row("a queue that is worked on does not stand", a_look(DRAINS), OK),
    Row(
        "workers run long tasks: it may be that, so it is neither",
        a_look(STANDS, workers=BUSY), INFO, ["whether celery stands still", "2 tasks run"], unknown=["state"],
    ),
    Row(
        "the busy worker said that it takes from another queue only: that is no excuse",
        a_look(STANDS, workers=some_workers(a_heartbeat(active=2), answers=(an_answer("mail"),))), CRITICAL, ["stands still"],
    ),
    Row(
        "a busy worker that did not answer (a solo pool can't) may be the one",
        a_look(STANDS, workers=some_workers(a_heartbeat(active=2), answers=())), INFO, unknown=["state"],
    ),
    Row(
        "a queue that could not be read may stand",
        a_look(a_queue().with_depth(HIDDEN).with_flow(unread_flow())), INFO, unknown=["state"],
    ),
    Row(
        "a queue's name is foreign: it must stay one word of the command",
        a_look(a_queue("x; rm -rf ~").with_flow(a_flow(0, 0, depth=9))), CRITICAL, remedy="-Q 'x; rm -rf ~'",
    ),
)  # fmt: skip
def test_a_queue_that_stands_still(row):
    check("TG102", row)


@table(
    Row("one worker was heard", a_look(), OK, ["1 worker heard"], {"workers": 1}),
    Row(
        "messages wait, none leaves and nobody was heard",
        a_look(STANDS, workers=no_workers()), CRITICAL, ["Nobody takes from celery", "110 messages waited"],
        {"consumers": 0}, remedy="worker -Q celery",
    ),
    Row(
        "workers that were heard said that they take from other queues",
        a_look(STANDS, workers=some_workers(answers=(an_answer("mail"),))), CRITICAL, ["Nobody takes from celery"],
    ),
    Row(
        "nothing waits, but nobody would take it either",
        a_look(workers=no_workers()), WARNING, ["No worker was heard in 10 s"], {"workers": 0}, remedy="Start the workers",
    ),
    Row(
        "silent workers show as clients that wait for messages",
        a_look(workers=no_workers(blocked_consumers=2)), OK, ["clients wait for messages: 2"],
    ),
    Row(
        "nobody was heard, and clients could not be listed",
        a_look(workers=no_workers(blocked_consumers=HIDDEN)), INFO, unknown=["blocked_consumers"],
    ),
    Row("the event channel is refused", a_look(workers=WorkersSeen(heartbeats=HIDDEN)), INFO, unknown=["consumers"]),
    Row(
        "two queues and two workers: who takes from the one that stands does not show from outside",
        a_look(STANDS, a_queue("mail"), workers=some_workers(a_heartbeat("a@x"), a_heartbeat("b@x"))), INFO,
        ["who takes from celery", "--ask-workers"], unknown=["consumers"],
    ),
    Row(
        "nobody was heard, and whether messages leave could not be seen: that is no proof",
        a_look(a_queue().with_depth(50).with_flow(unread_flow()), workers=no_workers()), INFO, unknown=["service_per_s"],
    ),
    Row("silent workers that empty the queue are there", a_look(DRAINS, workers=no_workers(blocked_consumers=1)), OK),
)  # fmt: skip
def test_a_queue_that_nobody_consumes(row):
    check("TG103", row)


@table(
    Row("nothing waits", a_look(), OK, ["Nothing waits long"]),
    Row(
        "910 messages at ten a second take a minute and a half: late for a refresh",
        a_look(DRAINS), INFO, ["wait about 91 s", "the backlog of 910 clears in about 101 s"], {"depth": 910},
        remedy="expires",
    ),
    Row("59 s are not yet late", a_look(a_queue().with_flow(a_flow(5, 5, depth=5 * 59)).with_census()), OK),
    Row(
        "61 s are, and the backlog neither grows nor shrinks",
        a_look(a_queue().with_flow(a_flow(5, 5, depth=5 * 61)).with_census()), INFO, ["wait about 61 s", "shows no trend"],
    ),
    Row(
        "a backlog that grows makes it a warning: it does not clear",
        a_look(a_queue().with_flow(a_flow(10, 5, depth=800)).with_census()), WARNING, ["does not clear"],
        remedy="purge -Q celery",
    ),
    Row("more than an hour is a warning", a_look(DRAINS.since(3700)), WARNING, ["wait about 62 minutes"]),
    Row("an hour exactly is not yet", a_look(DRAINS.since(3600)), INFO),
    Row(
        "none leaves and no message carries its time: how long they wait can't be known",
        a_look(STANDS), INFO, ["how long messages of celery wait"], unknown=["wait_s"],
    ),
    Row("a stamp tells the age even where none leaves", a_look(STANDS.since(30)), OK),
    Row("a queue that could not be read may hold old ones", a_look(UNREAD), INFO, unknown=["wait_s"]),
)  # fmt: skip
def test_messages_that_wait_long(row):
    check("TG104", row)
