"""TG120 to TG133: what workers hold, and what the application says of itself."""

from builders import HIDDEN, a_flow, a_label, a_look, a_queue, an_app, an_entry, some_workers, unacked
from rule_table import CRITICAL, INFO, OK, WARNING, Row, check, table
from simulated import FLUSH, REFRESH

from tidegate.facts.unknown import Unknown

HOUR = 3600.0
GROWS = a_queue().with_flow(a_flow(10, 5, depth=100)).with_census()
LATE = a_queue().with_flow(a_flow(5, 5, depth=100)).with_census()


def holding(count=5, **changes):
    return a_look(unacked=unacked(count, **changes))


def sent_by(*origins, **changes):
    labels = [a_label(from_beat=True, origin=origin) for origin in origins]
    return a_look(a_queue().with_flow(a_flow(1, 0, window_s=len(labels), labels=labels)), **changes)


@table(
    Row("nothing is held", a_look(), OK, ["longer than the visibility timeout of 60 minutes"]),
    Row("what is held is new", holding(), OK),
    Row(
        "a message due in two hours is delivered again after one, and runs twice",
        holding(furthest_eta_s=2 * HOUR), WARNING, ["deferred for 2 hours", "more than once"], {"held_s": 2 * HOUR},
        remedy='"visibility_timeout": 14400',
    ),
    Row("one due within the hour is not", holding(furthest_eta_s=HOUR), OK),
    Row("a task that has run for 61 minutes", holding(oldest_running_age_s=HOUR + 60), WARNING, ["61 minutes ago"]),
    Row(
        "the application gives it three hours",
        a_look(unacked=unacked(5, furthest_eta_s=2 * HOUR), app=an_app(visibility_timeout_s=3 * HOUR)), OK, ["3 hours"],
    ),
    Row("HLEN is refused", a_look(unacked=unacked(HIDDEN)), INFO, unknown=["unacked"]),
    Row(
        "some are held, and when they are due could not be read",
        holding(furthest_eta_s=HIDDEN), INFO, ["how long messages are held"], unknown=["furthest_eta_s"],
    ),
)  # fmt: skip
def test_messages_held_longer_than_the_visibility_timeout(row):
    check("TG120", row)


@table(
    Row("none are held", a_look(), OK, ["it does not grow"]),
    Row("prefetching makes it go up and down by a few", holding(20, growth_per_s=0.9), OK),
    Row(
        "ten more in ten seconds is no prefetching",
        holding(20, growth_per_s=1.0, deferred=15), WARNING, ["grow by 1/s: 20 messages by now, 15 of them deferred"],
        {"unacked": 20, "growth_per_s": 1.0}, remedy="countdowns",
    ),
    Row("of a thousand, a tenth in the window", holding(1000, growth_per_s=9.9), OK),
    Row("a little more", holding(1000, growth_per_s=10.1), WARNING),
    Row("HLEN is refused", a_look(unacked=unacked(HIDDEN)), INFO, unknown=["unacked"]),
    Row(
        "the window was too short",
        holding(growth_per_s=Unknown("not watched long enough")), INFO, unknown=["growth_per_s"],
    ),
)  # fmt: skip
def test_unacknowledged_messages_that_grow(row):
    check("TG121", row)


@table(
    Row("they are off", a_look(), OK, ["Task events are off"]),
    Row(
        "a hundred in ten seconds",
        a_look(workers=some_workers(task_events=100)), INFO, ["(10/s)", "Flower"], {"per_s": 10.0}, remedy="disable_events",
    ),
    Row("the channel is refused", a_look(workers=some_workers(task_events=HIDDEN)), INFO, unknown=["task_events"]),
)  # fmt: skip
def test_task_events(row):
    check("TG122", row)


@table(
    Row("it is off", a_look(), OK, ["DEBUG is off"]),
    Row("there is no Django", a_look(app=an_app(debug=None)), OK, ["does not use Django"]),
    Row(
        "the story's first suspect: it leaks, but not into Redis",
        a_look(app=an_app(debug=True)), WARNING, ["not what fills Redis"], remedy="TG101",
    ),
    Row("no application was named", a_look(app=None), INFO, ["-A"], unknown=["debug"]),
    Row("its settings could not be read", a_look(app=an_app(debug=HIDDEN)), INFO, unknown=["debug"]),
)  # fmt: skip
def test_debug(row):
    check("TG130", row)


@table(
    Row("no schedule, nothing that lasts", a_look(), OK, ["No periodic entries"]),
    Row("all of them expire", a_look(app=an_app(an_entry())), OK, ["expires"]),
    Row(
        "one of two waits for ever", a_look(app=an_app(an_entry(), an_entry("slow", expires=False))), WARNING,
        ["1 of 2 periodic entries", "(slow)"], {"entries": ["slow"]}, remedy='"options": {"expires": 1}',
    ),
    Row(
        "an hourly one",
        a_look(app=an_app(an_entry(every_s=3600.0, expires=False))), WARNING, remedy='{"expires": 3600}',
    ),
    Row(
        "a crontab has no interval",
        a_look(app=an_app(an_entry(every_s=None, expires=False))), WARNING, remedy='{"expires": 60}',
    ),
    Row("no application was named", a_look(app=None), INFO, unknown=["entries"]),
    Row(
        "a scheduler of ours gives each an expires", a_look(app=an_app(an_entry(expires=False), ours=True)), OK, ["expires"],
    ),
    Row("its schedule is in a database", a_look(app=an_app(entries=HIDDEN)), INFO, unknown=["entries"]),
)  # fmt: skip
def test_periodic_entries_without_expires(row):
    check("TG131", row)


@table(
    Row("no schedule", a_look(), OK, ["leaves the workers room"]),
    Row(
        "ten a second where five can be done",
        a_look(GROWS, app=an_app(an_entry(every_s=0.1))), CRITICAL,
        ["refresh sends", "every 0.1 s, below the edge", "0.2 s is the edge, 0.25 s is safe"],
        {"edge_interval_s": 0.2, "min_safe_interval_s": 0.25}, remedy='"schedule": 0.25',
    ),
    Row(
        "at the edge a hiccup leaves a backlog for ever",
        a_look(LATE, app=an_app(an_entry(every_s=0.21))), WARNING, ["below what is safe"],
    ),
    Row("a little above what is safe", a_look(LATE, app=an_app(an_entry(every_s=0.26))), OK),
    Row(
        "the workers keep up, so what they could do does not show",
        a_look(app=an_app(an_entry())), INFO, ["capacity"], unknown=["refresh"],
    ),
    Row(
        "its messages were not seen",
        a_look(app=an_app(an_entry(task=REFRESH))), INFO, ["none of its messages"], unknown=["refresh"],
    ),
    Row("a crontab has no interval to judge", a_look(app=an_app(an_entry(every_s=None))), OK),
    Row(
        "the task is queued twice: the queue that shows its capacity decides",
        a_look(GROWS, a_queue("idle"), app=an_app(an_entry(every_s=0.1))), CRITICAL,
    ),
    Row("no application was named", a_look(app=None), INFO, unknown=["entries"]),
)  # fmt: skip
def test_an_interval_below_the_edge(row):
    check("TG132", row)


@table(
    Row("nothing from beat was seen", a_look(), INFO, ["how many beats run"], unknown=["origins"]),
    Row("one beat", sent_by("gen1@a", "gen1@a", "gen1@a"), OK, ["One beat sends"]),
    Row(
        "two take turns: everything comes twice",
        sent_by("gen1@a", "gen2@b", "gen1@a", "gen2@b"), CRITICAL, [f"2 beats send {FLUSH} (gen1@a, gen2@b)", "2 times"],
        {"origins": ["gen1@a", "gen2@b"]}, remedy="one beat only",
    ),
    Row("a restart in the window is one change and no more", sent_by("gen1@a", "gen1@a", "gen2@a", "gen2@a"), OK),
    Row("the second has sent once so far, between two of the first", sent_by("gen1@a", "gen2@b", "gen1@a"), CRITICAL),
)  # fmt: skip
def test_two_beats(row):
    check("TG133", row)
