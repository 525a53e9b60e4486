"""What holds for an entry beside its schedule: where it may be said, what wins, and what a wrong word does."""

import pytest
from celery import Celery
from celery.beat import ScheduleEntry

from tidegate.act.beat.policies import options_of, policy_of, trouble_of
from tidegate.errors import UsageError
from tidegate.facts.beat import EntryPolicy
from tidegate.facts.overlap import Overlap


def an_app(**settings):
    app = Celery("t", set_as_current=False)
    app.conf.update(settings)
    return app


def an_entry(app, name="refresh", **options):
    return ScheduleEntry(name=name, task="t.refresh", schedule=10, options=options, app=app)


def policy(settings=None, **options):
    app = an_app(tidegate_entries=settings)
    return policy_of(app, an_entry(app, **options))


def test_an_entry_of_which_nothing_is_said_goes_by_its_schedule():
    assert policy() == policy(queue="mail", expires=5) == EntryPolicy()


def test_settings_for_all_give_way_to_those_of_the_entry_and_these_to_what_it_says_itself():
    settings = {"*": {"jitter_s": 1, "catchup_s": 60, "min": 1}, "refresh": {"jitter_s": 2, "every": "auto"}}

    assert policy(settings) == EntryPolicy(jitter_s=2, catchup_s=60, min_s=1, auto=True)
    assert policy(settings, tidegate={"jitter_s": 3}).jitter_s == 3
    assert policy(settings, tidegate={"jitter_s": 3}, headers={"tidegate": {"jitter_s": 4}}).jitter_s == 4
    assert policy(settings, headers={"tidegate": {"jitter_s": 4}}, jitter_s=5).jitter_s == 5
    assert policy(settings, every=5) == EntryPolicy(jitter_s=2, catchup_s=60, min_s=1, every_s=5)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"every": "1.2s"}, EntryPolicy(every_s=1.2)),
        ({"every": 0.1}, EntryPolicy(every_s=0.1)),
        ({"min": "500ms", "max": "1m"}, EntryPolicy(min_s=0.5, max_s=60)),
        ({"expires": False}, EntryPolicy(expires_s=0)),
        ({"expires": 0}, EntryPolicy(expires_s=0)),
        ({"expires": "2m"}, EntryPolicy(expires_s=120)),
        ({"catchup_s": 0}, EntryPolicy(catchup_s=0)),
        ({"spread": False}, EntryPolicy(spread=False)),
        ({"overlap": "buffer_one", "payload": "replace"}, EntryPolicy(overlap=Overlap.BUFFER_ONE)),
    ],
)
def test_every_word_is_read_in_the_settings_and_in_the_entry(said, expected):
    assert policy({"refresh": said}) == policy(tidegate=said) == policy(headers={"tidegate": said}) == expected


WRONG = [
    ({"min": 5, "max": 1}, "min 5 is above max 1"),
    ({"every": -1}, "expected every to be 'auto' or seconds above 0, got -1"),
    ({"every": float("nan")}, "got nan"),
    ({"every": True}, "got True"),
    ({"catchup_s": "soon"}, "expected catchup_s to be seconds from 0 on, got 'soon'"),
    ({"jitter_s": -0.5}, "expected jitter_s to be seconds from 0 on, got -0.5"),
    ({"expires": []}, r"expected expires to be seconds, or False for never, got \[\]"),
    ({"spread": "yes"}, "expected spread to be True or False, got 'yes'"),
    ({"overlap": "skipp"}, "unknown overlap 'skipp': did you mean 'skip'"),
    ({"jiter_s": 1}, "unknown 'jiter_s': did you mean 'jitter_s'"),
    ("skip", "to be a mapping"),
]


@pytest.mark.parametrize(("said", "message"), WRONG)
def test_a_wrong_word_is_named_with_the_right_one_wherever_it_stands(said, message):
    for place in ({"settings": {"refresh": said}}, {"tidegate": said}, {"headers": {"tidegate": said}}):
        with pytest.raises(UsageError, match=message) as refused:
            policy(**place)
        assert "\n" not in str(refused.value)
        assert "refresh" in str(refused.value)


def test_bounds_from_two_places_that_leave_nothing_between_them_are_refused():
    with pytest.raises(UsageError, match="entry 'refresh': min 9 is above max 3"):
        policy({"*": {"max": 3}}, min=9)


def test_trouble_is_what_is_wrong_and_only_of_the_entry_that_it_concerns():
    app = an_app(tidegate_entries={"refresh": {"evry": 5}})

    assert trouble_of(app, an_entry(app)).startswith("tidegate_entries['refresh']: unknown 'evry'")
    assert trouble_of(app, an_entry(app, name="other")) == ""


def test_nothing_of_ours_reaches_the_message():
    app = an_app()
    entry = an_entry(
        app, queue="mail", expires=0, tidegate={"jitter_s": 1}, every="auto", min=1, max=5, overlap="skip",
        headers={"tidegate": {"catchup_s": 1}, "trace": "x"},
    )  # fmt: skip

    assert options_of(entry, gated=False) == {"queue": "mail", "headers": {"trace": "x"}}
    assert options_of(entry, gated=True) == {
        "queue": "mail", "headers": {"trace": "x"}, "overlap": "skip", "overlap_key": "entry refresh",
    }  # fmt: skip
    assert entry.options["headers"]["tidegate"] == {"catchup_s": 1}


def test_what_an_entry_says_of_overlap_is_left_to_the_gate_with_its_own_key():
    app = an_app()
    said = {"overlap": "buffer_one", "payload": "replace", "scope": "firing", "key": "{user_id}"}
    expected = {"overlap": "buffer_one", "payload": "replace", "scope": "firing", "overlap_key": "{user_id}"}

    assert options_of(an_entry(app, tidegate=said), gated=True) == expected
    assert options_of(an_entry(app, **expected), gated=True) == expected


def test_a_wrong_word_leaves_nothing_for_the_gate():
    app = an_app()

    assert options_of(an_entry(app, overlap="skipp", queue="mail"), gated=True) == {"queue": "mail"}
