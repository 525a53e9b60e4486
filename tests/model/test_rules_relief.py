"""TG160: what acts have set aside of queues, and whether somebody goes on with them."""

from builders import NOW, a_look, a_queue
from rule_table import CRITICAL, INFO, OK, WARNING, Row, check, table

from tidegate.facts.seen import SetAside
from tidegate.facts.unknown import Unknown

HIDDEN = Unknown("MGET may not be run")


def aside(**changes):
    facts = {
        "id": "7f3a",
        "by_priority": {0: 90, 3: 10},
        "act": "purge",
        "started_at": NOW - 120,
        "who": "ann@ops",
        "silent_s": 0.2,
    }
    return a_look(a_queue("mail"), a_queue().aside(SetAside(**facts | changes)))  # fmt: skip


@table(
    Row("no act has a queue", a_look(a_queue("mail"), a_queue()), OK, ["No queue is set aside."]),
    Row(
        "an act is at work", aside(), INFO,
        ["celery has been set aside by purge 7f3a for 2 minutes, with 100 messages: it is at work."],
        {"queue": "celery", "id": "7f3a", "aside": 100, "started_by": "ann@ops"}, remedy=None,
    ),
    Row(
        "whoever did it is gone, and what waits is found by no worker", aside(interrupted=True), CRITICAL,
        ["whoever did it is gone"], {"act": "purge"}, remedy="tidegate relief resume 7f3a",
    ),
    Row("nothing is aside any more, so nothing waits", aside(interrupted=True, by_priority={}), WARNING, ["with 0 messages"],
        remedy="tidegate relief resume 7f3a"),
    Row("it left no record, so its age and name are not known", aside(act="", started_at=None, interrupted=True), CRITICAL,
        ["celery has been set aside by an act 7f3a, with 100 messages"], remedy="resume 7f3a"),
    Row("an id that came from outside is one word of the command", aside(id="a b", interrupted=True), CRITICAL,
        remedy="resume 'a b'"),
    Row("an id names its act", aside(id="purge-2611", interrupted=True), CRITICAL, ["set aside by purge-2611 for"],
        remedy="resume purge-2611"),
    Row("whether it goes on can't be told", aside(interrupted=HIDDEN), INFO, unknown=["interrupted"]),
    Row("who has the queue can't be read", a_look(a_queue().aside(HIDDEN)), INFO, unknown=["set_aside"]),
)  # fmt: skip
def test_a_queue_is_set_aside(row):
    check("TG160", row)
