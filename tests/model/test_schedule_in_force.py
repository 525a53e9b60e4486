"""The schedule as it is in force: what is ordered, what follows the workers, and what is declared."""

from dataclasses import replace

import pytest
from cluster import an_entry

from tidegate.facts.beat import AUTO, EntryPolicy, Order, Paced
from tidegate.facts.scheduled import BeatSeen, Rules
from tidegate.facts.unknown import Unknown
from tidegate.model.scheduled import as_in_force

PACED = {"refresh": Paced(interval_s=2.5, why="so", basis="plan")}
SEEN = BeatSeen(name="shop", at_s=1.0, orders={}, paced=PACED)


def in_force(beat, policy=None):
    rules = Rules(name="shop", ours=True, policies={"refresh": policy or EntryPolicy()})
    [entry] = as_in_force([an_entry("refresh", interval_s=1.0)], rules, beat)
    return entry.interval_s


@pytest.mark.parametrize(
    ("beat", "policy", "interval_s"),
    [
        (SEEN, EntryPolicy(auto=True), 2.5),
        (replace(SEEN, orders={"refresh": Order(every=AUTO)}), None, 2.5),
        (replace(SEEN, orders={"refresh": Order(every=4.0)}), EntryPolicy(auto=True), 4.0),
        (SEEN, None, 1.0),
        (replace(SEEN, paced={}), EntryPolicy(auto=True), 1.0),
        (replace(SEEN, paced=Unknown("refused")), EntryPolicy(auto=True), 1.0),
        (replace(SEEN, orders=Unknown("refused")), EntryPolicy(auto=True), 1.0),
    ],
)
def test_the_interval_is_the_one_that_beats_go_by_and_the_declared_one_where_that_is_not_known(
    beat, policy, interval_s
):
    assert in_force(beat, policy) == interval_s


def test_a_crontab_stays_one():
    entry = an_entry("refresh", interval_s=None)
    assert as_in_force([entry], Rules(name="shop", ours=True), SEEN) == (entry,)
