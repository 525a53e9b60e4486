"""What intervals aim at: the shortest that those who live now can take together, shared as they are declared."""

from dataclasses import replace

import pytest
from cluster import CHILD, Cluster, Task, a_worker, an_entry, at_random, every

from tidegate.facts.planned import Question
from tidegate.facts.unknown import known
from tidegate.model.pacing.aims import Bounds, aims_of

OTHER = "screen.tasks.mail"


def bounds(declared_s=1.0, min_s=0.01, max_s=100.0):
    return Bounds(declared_s=declared_s, min_s=min_s, max_s=max_s)


def measured(*sends, tasks=None):
    tasks = tasks or [Task(CHILD, lambda: 0.4), Task(OTHER, lambda: 0.1)]
    return Cluster(tasks, slots=2, nodes=("a@host1", "b@host2")).play([one for part in sends for one in part], 600.0)


def aims(seen, *entries, living=2, limits=None, **changes):
    workers = tuple(a_worker(f"{name}@host{number}") for number, name in enumerate("ab"[:living], 1))
    question = Question(
        at="now", url="redis://x/0", measured=replace(seen, workers=workers), entries=entries, **changes
    )
    return aims_of(question, limits or {entry.name: bounds(entry.interval_s) for entry in entries})


@pytest.mark.parametrize(("living", "interval_s"), [(2, 0.25), (1, 0.5)])
def test_the_aim_is_the_work_of_a_firing_over_the_slots_that_may_be_busy(living, interval_s):
    aim = aims(measured(every(0.5, CHILD)), an_entry(interval_s=0.5), living=living)["refresh"]
    assert aim.interval_s == pytest.approx(interval_s, rel=0.03)
    assert aim.why.startswith(f"{living} host")
    assert f"a firing takes {aim.work['celery']:.3g} s of work" in aim.why


def test_it_does_not_depend_on_the_interval_in_force():
    seen = measured(every(0.5, CHILD))
    found = [
        aims(seen, an_entry(interval_s=now_s), limits={"refresh": bounds()})["refresh"].interval_s
        for now_s in (0.3, 2.0)
    ]
    assert found[0] == pytest.approx(found[1])


def test_the_others_keep_their_slots():
    aim = aims(measured(every(0.5, CHILD), at_random(5, OTHER)), an_entry(interval_s=0.5))["refresh"]
    assert aim.interval_s == pytest.approx(0.4 / (1.6 - 0.5), rel=0.1)


def test_a_wait_target_widens_it():
    seen = measured(every(0.5, CHILD), at_random(1, OTHER))
    free = aims(seen, an_entry(interval_s=0.5))["refresh"]
    bound = aims(seen, an_entry(interval_s=0.5), wait_target_s=0.05)["refresh"]
    assert bound.interval_s > 1.5 * free.interval_s


def test_two_entries_share_the_room_in_the_ratio_of_their_declared_intervals():
    seen = measured(every(2.0, CHILD, "one"), every(2.0, CHILD, "two"))
    limits = {"one": bounds(1.0), "two": bounds(3.0)}
    found = aims(seen, an_entry("one", interval_s=2.0), an_entry("two", interval_s=2.0), limits=limits)
    one_s, two_s = found["one"].interval_s, found["two"].interval_s
    assert two_s / one_s == pytest.approx(3.0)
    assert 0.4 / one_s + 0.4 / two_s == pytest.approx(1.6, rel=0.03)


def test_what_one_leaves_at_its_bound_the_other_takes():
    seen = measured(every(2.0, CHILD, "one"), every(2.0, CHILD, "two"))
    limits = {"one": bounds(1.0, min_s=1.0), "two": bounds(1.0)}
    found = aims(seen, an_entry("one", interval_s=2.0), an_entry("two", interval_s=2.0), limits=limits)
    assert found["one"].interval_s == 1.0
    assert 0.4 + 0.4 / found["two"].interval_s == pytest.approx(1.6, rel=0.03)


def test_without_a_worker_it_is_the_longest_interval():
    aim = aims(measured(every(0.5, CHILD)), an_entry(interval_s=0.5), living=0, limits={"refresh": bounds(max_s=7)})[
        "refresh"
    ]
    assert (aim.interval_s, aim.why) == (7, "no worker lives: the longest interval")


def test_without_measurements_there_is_no_aim():
    aim = aims(measured(at_random(5, OTHER)), an_entry(interval_s=0.5))["refresh"]
    assert not known(aim.interval_s)
    assert aim.why.startswith("no measurements yet (no run of it was measured") and not aim.work


def test_others_that_are_too_much_leave_the_longest_interval():
    seen = measured(every(2.0, CHILD), at_random(19.5, OTHER))
    aim = aims(seen, an_entry(interval_s=2.0), living=1, limits={"refresh": bounds(max_s=9)})["refresh"]
    assert aim.interval_s == 9
