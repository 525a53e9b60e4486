"""TG150 to TG155: who leads the schedule, what is not sent, what follows the workers, what was forgotten."""

from builders import NOW, a_look, an_app, an_entry
from rule_table import INFO, OK, WARNING, Row, check, table

from tidegate.facts.beat import AUTO, EntryPolicy, Order, Paced
from tidegate.facts.scheduled import BeatSeen, LastSeen, Leader, Rules
from tidegate.facts.unknown import Unknown

HIDDEN = Unknown("HMGET may not be run")
RULES = Rules(name="shop", ours=True)
GUARDED = Rules(name="shop", ours=True, gate_on=True, overlaps={"refresh": "buffer_one"})
FOLLOWS = Rules(name="shop", ours=True, policies={"refresh": EntryPolicy(auto=True)})
DAY_S = 86_400.0


def beat(**changes):
    nothing = {name: {} for name in ("cursors", "last", "counts", "orders", "asks", "paced")}
    facts = {"name": "shop", "at_s": NOW, "leader": Leader(who="web1:7", since_s=1.0), "edition": 0, **nothing}
    return BeatSeen(**facts | changes)


def running(*entries, rules=RULES, app=None, **changes):
    """A schedule of ours; one entry, with nothing to complain of."""
    return a_look(app=app or an_app(*(entries or (an_entry(),))), rules=rules, beat=beat(**changes))


def last(outcome, why=""):
    return {"last": {"refresh": LastSeen(outcome=outcome, at_s=NOW, why=why)}}


def following(interval_s=2.0, basis="plan", most_s=30.0):
    order = Order(every=AUTO, max_s=most_s, who="ann@ops", at_s=NOW)
    return {
        "orders": {"refresh": order},
        "paced": {"refresh": Paced(interval_s=interval_s, why="as measured", basis=basis)},
    }


def paused(since_s):
    return {"orders": {"refresh": Order(paused=True, who="ann@ops", at_s=NOW - since_s)}}


NO_APP = a_look(app=None)
STOCK = a_look(app=an_app(an_entry()), rules=Rules(name="shop", ours=False), beat=None)


@table(
    Row("no application was named", NO_APP, INFO, unknown=["application", "beat", "entries"]),
    Row("another scheduler is no business of ours", STOCK, OK, ["none of Tidegate's"]),
    Row("somebody leads", running(), OK, ["web1:7 leads the schedule shop"], {"leader": "web1:7"}),
    Row(
        "nobody does", running(leader=None), WARNING, ["No beat leads the schedule shop: nothing is sent of its 1 entry"],
        {"name": "shop", "entries": 1}, remedy="celery -A proj beat",
    ),
    Row("nobody has to, where there is no entry", running(app=an_app(), leader=None), OK, ["no entry to send"]),
    Row("without a lease nobody leads", running(rules=Rules(name="shop", ours=True, lease=False), leader=None), OK, ["off"]),
    Row("the lease can't be read", running(leader=HIDDEN), INFO, unknown=["leader"]),
)  # fmt: skip
def test_who_leads(row):
    check("TG150", row)


@table(
    Row("no application was named", NO_APP, INFO, unknown=["application", "beat", "entries"]),
    Row("another scheduler", STOCK, OK),
    Row("never due yet", running(), OK, ["sent, or held back"]),
    Row("sent", running(**last("sent")), OK),
    Row("an overlap that holds is as it should be", running(**last("overlap_skipped")), OK),
    Row(
        "failed", running(counts={"refresh": {"failed": 3}}, **last("failed", "no route")), WARNING,
        ["The last due time of 1 entry was not sent (refresh)", "that of refresh could not be published: no route"],
        {"outcome": "failed", "counts": {"failed": 3}}, remedy="tidegate schedule show refresh -A proj",
    ),
    Row("missed", running(**last("missed_catchup_window")), WARNING, ["was missed"], remedy="show"),
    Row("refused", running(**last("queue_full")), WARNING, ["refused at the queue's bound"], remedy="show"),
    Row("can't be read", running(last=HIDDEN), INFO, unknown=["last_outcome"]),
)  # fmt: skip
def test_what_is_not_sent(row):
    check("TG151", row)


@table(
    Row("no application was named", NO_APP, INFO, unknown=["application", "beat", "entries"]),
    Row("another scheduler", STOCK, OK),
    Row("none is auto", running(), OK, ["No interval follows the workers"]),
    Row("measured", running(**following()), OK, ["1 entry follow"]),
    Row(
        "not measured", running(**following(basis="declared")), INFO,
        ["should follow the workers and stays as declared (refresh)", "as measured"], remedy="tidegate.install(app)",
    ),
    Row(
        "no beat paces it, by the settings", running(rules=FOLLOWS),
        INFO, ["no beat follows the workers yet"], remedy="tidegate.install(app)",
    ),
    Row("can't be read", running(orders=HIDDEN), OK, ["No interval follows"]),
    Row("what it is can't be read", running(**following() | {"paced": HIDDEN}), INFO, unknown=["interval_s"]),
)  # fmt: skip
def test_an_interval_that_can_not_follow(row):
    check("TG152", row)


@table(
    Row("no application was named", NO_APP, INFO, unknown=["application", "beat", "entries"]),
    Row("another scheduler", STOCK, OK),
    Row("below it", running(**following(29.0)), OK),
    Row(
        "at it", running(**following(30.0)), WARNING, ["of 1 entry is at its longest (refresh; refresh: 30 s)"],
        {"max_s": 30.0}, remedy="tidegate schedule set refresh --max 60 -A proj",
    ),
    Row("at it as declared is TG152's", running(**following(30.0, basis="declared")), OK),
    Row("ten times the declared one, by default", running(**following(10.0, most_s=None)), WARNING, remedy="--max 20"),
    Row("can't be read", running(**following() | {"paced": HIDDEN}), INFO, unknown=["interval_s"]),
)  # fmt: skip
def test_an_interval_at_its_longest(row):
    check("TG153", row)


@table(
    Row("no application was named", NO_APP, INFO, unknown=["application", "beat", "entries"]),
    Row("another scheduler", STOCK, OK),
    Row("not paused", running(), OK, ["0 paused"], {"paused": 0}),
    Row("for an hour", running(**paused(3600.0)), OK, ["1 paused, none of them for longer than a day"], {"paused": 1}),
    Row(
        "for three days", running(**paused(3 * DAY_S)), WARNING,
        ["1 entry paused for longer than a day (refresh): refresh for 3 days, by ann@ops"], {"ordered_by": "ann@ops"},
        remedy="tidegate schedule resume refresh -A proj",
    ),
    Row("can't be read", running(orders=HIDDEN), INFO, unknown=["paused"]),
)  # fmt: skip
def test_a_pause_that_was_forgotten(row):
    check("TG154", row)


@table(
    Row("no application was named", NO_APP, INFO, unknown=["application", "beat", "entries"]),
    Row("another scheduler", STOCK, OK),
    Row("none has one", running(), OK, ["No entry has an overlap"]),
    Row("the gate holds it", running(rules=GUARDED), OK, ["The gate holds the overlap of 1 entry"]),
    Row(
        "without it the results do", running(rules=Rules(name="shop", ours=True, results=True, overlaps={"refresh": "skip"})),
        OK, ["The results of runs hold the overlap of 1 entry"],
    ),
    Row(
        "the gate is off", running(rules=Rules(name="shop", ours=True, overlaps={"refresh": "skip"})), WARNING,
        ["Nobody holds the overlap of 1 entry (refresh)", "every due time is sent"], {"overlap": "skip"},
        remedy="tidegate.install(app)",
    ),
)  # fmt: skip
def test_an_overlap_that_nobody_holds(row):
    check("TG155", row)
