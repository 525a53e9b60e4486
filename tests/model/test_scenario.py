"""Scenario files: what is read, what is refused in one line, and what is written is read back the same."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.scenarios import a_scenario, a_task, at, outcome, streams
from model.test_simulate_conservation import scenarios
from tidegate.errors import UsageError
from tidegate.facts.laws import (
    LAWS,
    Bimodal,
    Constant,
    Exponential,
    Histogram,
    Lognormal,
    Pareto,
    Samples,
    Uniform,
)
from tidegate.facts.scenario import Retry
from tidegate.facts.sketch import Sketch
from tidegate.model.simulate.checking import check
from tidegate.model.simulate.drawing import draws, mean_s, scatter
from tidegate.model.simulate.measured import law_of
from tidegate.model.simulate.reading import read_scenario
from tidegate.model.simulate.writing import write_scenario

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "scenarios").glob("*.toml"))
SMALL = """
[[hosts]]
name = "w"

[[tasks]]
name = "refresh"

[[entries]]
task = "refresh"
every = 1.0
"""


def with_task(line):
    """The small scenario with a line more about its task."""
    return SMALL.replace('"refresh"\n\n[', f'"refresh"\n{line}\n\n[')


def refused(text):
    with pytest.raises(UsageError) as error:
        read_scenario(text, "s.toml")
    said = str(error.value)
    assert "\n" not in said
    return said


def test_a_small_scenario_has_celery_s_defaults():
    scenario = read_scenario(SMALL)
    [host], [task], [entry] = scenario.hosts, scenario.tasks, scenario.entries

    assert (host.slots, host.prefetch, host.queues) == (1, 4, ("celery",))
    assert (task.queue, task.acks_late, task.priority) == ("celery", False, 0)
    assert (entry.name, entry.every_s) == ("refresh", 1.0)
    assert (scenario.run.duration_s, scenario.run.warmup_s) == (600.0, 60.0)
    assert scenario.broker.visibility_timeout_s == 3600.0


def test_durations_and_sizes_may_carry_their_units():
    text = '[run]\nduration = "2h"\nwarmup = "90s"\n[broker]\nmemory_limit = "8GB"\n' + SMALL.replace("1.0", '"1m30s"')
    scenario = read_scenario(text)

    assert (scenario.run.duration_s, scenario.run.warmup_s) == (7200.0, 90.0)
    assert scenario.broker.memory_limit_bytes == 8 * 1024**3
    assert scenario.entries[0].every_s == 90.0


@pytest.mark.parametrize(("text", "said"), [
    ("", "s.toml is empty: it needs [[hosts]], [[tasks]], and [[entries]] or [[arrivals]]"),
    ("[[hosts", "s.toml is no TOML: "),
    ("nothing = 1", "s.toml: the section 'nothing' is not known: there are: "),
    ("[[host]]\nname = 'w'", "s.toml: the section 'host' is not known: did you mean 'hosts'?"),
    ("hosts = 3", "[[hosts]]: expected tables that begin with [[hosts]], got 3"),
    ("run = 3", "[run]: expected a table, got 3"),
    ('[[hosts]]\nname = "w"', "s.toml has no [[tasks]]"),
    ('[[hosts]]\nname = "w"\n[[tasks]]\nname = "t"', "s.toml has no [[entries]] and no [[arrivals]]: nothing would"),
    (SMALL.replace('name = "w"', "slots = 2"), "[[hosts]] 1: name must be given"),
    (SMALL.replace("every = 1.0", ""), "[[entries]] refresh: every, or gaps in its place, must be given"),
    (SMALL.replace("every = 1.0", "every = 0"), "[[entries]] refresh: every: expected a duration above 0, got 0"),
    (SMALL.replace("every = 1.0", "every = -1"), "[[entries]] refresh: every: expected a duration such as 1.2, 90s or"),
    (SMALL.replace("every = 1.0", "every = true"), "[[entries]] refresh: every: expected a duration such as 1.2, 90s or"),
    (SMALL.replace("every = 1.0", "every = nan"), "[[entries]] refresh: every: expected a duration such as 1.2, 90s or"),
    (SMALL.replace("every = 1.0", "evry = 1.0"), "[[entries]] refresh: the key 'evry' is not known: did you mean 'every'?"),
    (SMALL.replace('task = "refresh"', 'task = "refrsh"'), "[[entries]] refrsh: the task 'refrsh' is not known: did you mean '"),
    (SMALL + 'overlap = "skipp"', "[[entries]] refresh: overlap: 'skipp' is not known: did you mean 'skip'?"),
    (SMALL + "jitter = 2.0", "[[entries]] refresh: jitter: expected at most the interval, got 2.0"),
    (SMALL + '[[arrivals]]\ntask = "refresh"\nrate = 0', "[[arrivals]] refresh: rate: expected a number above 0, got 0"),
    (SMALL + '[[arrivals]]\ntask = "refresh"\nrate = -2', "[[arrivals]] refresh: rate: expected a number above 0, got -2"),
    (SMALL + '[[arrivals]]\ntask = "refresh"', "[[arrivals]] refresh: one of rate, rates, gaps and times must be given"),
    (SMALL + '[[arrivals]]\ntask = "refresh"\nrates = [[0, 0]]', "[[arrivals]] refresh: rates: expected at least one rate"),
    (SMALL + '[[arrivals]]\ntask = "refresh"\nrates = [[5, 1], [0, 1]]', "[[arrivals]] refresh: rates: expected pairs in ascen"),
    (SMALL + '[[arrivals]]\ntask = "refresh"\ntimes = [2, 1]', "[[arrivals]] refresh: times: expected moments in ascending"),
    (SMALL + '[[arrivals]]\ntask = "refresh"\ngaps = 0', "[[arrivals]] refresh: gaps: expected gaps above 0, got 0"),
    (SMALL + '[[events]]\nat = 1\nkill = "x"', "[[events]] at 1: the host 'x' is not known: there are: w"),
    (SMALL + "[[events]]\nat = 1", "[[events]] 1: at, and one of kill and return, must be given"),
    (SMALL + '[[events]]\nat = 1\nkil = "w"', "[[events]] 1: the key 'kil' is not known: did you mean 'kill'?"),
    (SMALL + '[[hosts]]\nname = "w"', "[[hosts]]: the name 'w' stands there twice"),
    (SMALL + "[run]\nduration = 0", "[run]: duration: expected a duration above 0, got 0"),
    (SMALL + '[run]\nduration = "9999999d"', "[run]: duration: expected a duration such as 1.2, 90s or 1m30s, at most ten year"),
    (SMALL + "[run]\nwarmup = 600", "[run]: warmup: expected less than the duration, got 600.0"),
    (SMALL.replace('name = "w"', 'name = "w"\ncount = 50001'), "s.toml has 50,001 hosts, more than the 50,000 that can be"),
    (SMALL.replace('name = "w"', 'name = "w"\nqueues = ["a", "a"]'), "[[hosts]] w: queues: expected every name once, got ["),
    (SMALL.replace('name = "w"', 'name = "w"\nqueues = []'), "[[hosts]] w: queues: expected a list of 1 or more, got []"),
    (SMALL + "[run]\nruns = 0", "[run]: runs: expected a whole number from 1 to 10,000, got 0"),
    (SMALL + '[run]\nmode = "event"', "[run]: mode: 'event' is not known: did you mean 'events'?"),
    (SMALL + '[broker]\nmemory_limit = "8 elephants"', "[broker]: memory_limit: expected a size such as 8589934592 or 8GB"),
    (with_task('run = { law = "exponental", mean = 1 }'), "[[tasks]] refresh: run: the law 'exponental' is not known: did you"),
    (with_task('run = { law = "lognormal", mean = 1 }'), "[[tasks]] refresh: run: cv must be given"),
    (with_task('run = { law = "pareto", mean = 1, shape = 1 }'), "[[tasks]] refresh: run: shape: expected a number above 1 and"),
    (with_task('run = { law = "uniform", low = 2, high = 1 }'), "[[tasks]] refresh: run: expected low to be at most high, got"),
    (with_task('run = { law = "histogram", edges = [1, 2], counts = [1, 1], mean = 1 }'),
     "[[tasks]] refresh: run: expected one edge more than the 2 counts, got 2"),
    (with_task('children = { refresh = 1 }'), "[[tasks]] refresh: its children publish it again without end"),
    (with_task('children = { refresh = 2 }'), "[[tasks]] refresh: its children never end: more than 10,000,000 come of one"),
    (with_task('retry = { shar = 1 }'), "[[tasks]] refresh: retry: the key 'shar' is not known: did you mean 'share'?"),
    (SMALL.replace("every = 1.0", "every = 1e-6") + '[run]\nduration = "10d"', "s.toml publishes 864,000,000,000 messages, mor"),
])  # fmt: skip
def test_what_is_wrong_is_said_in_one_line_with_what_to_change(text, said):
    assert refused(text).startswith(said)


def test_a_queue_that_nobody_consumes_is_no_error_for_it_is_what_one_wants_to_see():
    assert read_scenario(with_task('queue = "nowhere"'))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_read_and_written_and_read_back_the_same(path):
    scenario = read_scenario(path.read_text(), path.name)

    assert read_scenario(write_scenario(scenario)) == scenario


@settings(max_examples=100, deadline=None)
@given(scenarios(), st.text(min_size=1, max_size=20))
def test_what_is_written_is_read_back_the_same(scenario, name):
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        return  # no text that could stand in a file
    task = a_task(name=name, run=Histogram((0.1, 0.2, 0.4), (3, 1), 0.17), retry=Retry(share=0.25))
    taken = name in {task.name for task in scenario.tasks}
    scenario = scenario if taken else replace(scenario, tasks=(*scenario.tasks, task))
    check(scenario)

    assert read_scenario(write_scenario(scenario)) == scenario


def test_notes_are_written_as_comments():
    assert write_scenario(replace(a_scenario(at(1.0)), notes=("made from 12 runs",))).startswith(
        "# made from 12 runs\n"
    )


# Laws


EVERY_LAW = [
    Constant(0.3), Exponential(0.3), Uniform(0.1, 0.5), Lognormal(0.3, 0.8), Pareto(0.3, 3.5), Bimodal(0.1, 1.1, 0.2),
    Samples((0.1, 0.2, 0.6)), Histogram((0.1, 0.2, 0.4, 0.5), (5, 3, 2), 0.22),
]  # fmt: skip


def test_every_law_is_tried_here():
    assert {type(law) for law in EVERY_LAW} == set(LAWS.values())


@pytest.mark.parametrize("law", EVERY_LAW, ids=lambda law: type(law).__name__)
def test_what_is_drawn_has_the_mean_and_the_scatter_of_the_law(law):
    draw = draws(law, streams(1)(0)("law"))
    values = [draw() for _ in range(100_000)]
    mean = sum(values) / len(values)
    spread = sum((value - mean) ** 2 for value in values) / len(values) / mean**2

    assert mean == pytest.approx(mean_s(law), rel=0.02)
    # Inside a bucket a histogram is drawn with some width, which its scatter leaves out.
    assert spread == pytest.approx(scatter(law), rel=0.15, abs=0.02)
    assert min(values) >= 0


def test_recorded_samples_are_replayed_in_their_order_again_and_again():
    draw = draws(Samples((3.0, 1.0, 2.0), replay=True), streams(1)(0)("law"))

    assert [draw() for _ in range(5)] == [3.0, 1.0, 2.0, 3.0, 1.0]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1e-5, 1e4), min_size=2, max_size=60))
def test_a_sketch_becomes_a_law_of_its_exact_mean_that_draws_nothing_outside_what_was_measured(values):
    sketch = Sketch.of(values)
    law = law_of(sketch, sketch.mean_s)
    draw = draws(law, streams(1)(0)("law"))
    drawn = [draw() for _ in range(200)]

    assert mean_s(law) == pytest.approx(sketch.mean_s, rel=1e-6)
    assert min(values) * (1 - 1e-5) <= min(drawn)
    assert max(drawn) <= max(values) * (1 + 1e-5)


def test_the_quantiles_of_what_a_sketch_gives_are_those_of_the_sketch():
    draw = draws(Lognormal(0.1, 1.0), streams(1)(0)("x"))
    sketch = Sketch.of(draw() for _ in range(20_000))
    from_sketch = draws(law_of(sketch, sketch.mean_s), streams(2)(0)("y"))
    again = Sketch.of(from_sketch() for _ in range(50_000))

    for share in (0.1, 0.5, 0.9, 0.99):
        assert again.quantile(share) == pytest.approx(sketch.quantile(share), rel=0.06)
    assert again.mean_s == pytest.approx(sketch.mean_s, rel=0.02)


def test_the_mean_of_a_simulated_run_is_that_of_its_law():
    law = law_of(Sketch.of([0.1, 0.1, 0.2, 0.4, 1.0]), 0.36)
    answer = outcome(a_scenario(at(*[float(n) * 2 for n in range(2000)]), tasks=(a_task(run=law),), lasts_s=4000.0))

    assert answer.tasks[0].run.mean == pytest.approx(0.36, rel=0.05)


def test_every_sentence_of_a_refusal_names_the_place():
    assert re.match(r"\[\[tasks\]\] refresh: bytes: ", refused(with_task('bytes = "x"')))
