"""What the settings of the gate mean, and what is wrong with those that are refused."""

import string

import pytest
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st
from kombu import Exchange, Queue

from tidegate import install
from tidegate.act.gate.bounds import Bounds
from tidegate.act.gate.install import CheckStep
from tidegate.act.gate.settings import Policies, check_early, entries_in, memory_of, policies
from tidegate.errors import UsageError
from tidegate.facts.gate import Bound, Overflow
from tidegate.facts.overlap import Overlap, Payload, Scope

MIB = 1 << 20


def an_app(**settings) -> Celery:
    app = Celery("proj", set_as_current=False, broker="redis://localhost:1/0")
    app.conf.update(settings)
    return app


def bound(queue: str, queues: object, *declared: Queue) -> Bound | None:
    return Bounds(queues, {one.name: one for one in declared}).of(queue)


BOUNDS = [
    ("nothing is said", None, None),
    ("the default holds for every queue", {"*": {"max_length": 9}}, Bound(max_length=9)),
    ("a queue's own limit wins", {"*": {"max_length": 9}, "q": {"max_length": 5}}, Bound(max_length=5)),
    (
        "field by field",
        {"*": {"max_length": 9, "max_length_bytes": 900}, "q": {"x-overflow": "drop-head"}},
        Bound(max_length=9, max_length_bytes=900, overflow=Overflow.DROP_HEAD),
    ),
    ("a limit can be lifted", {"*": {"max_length": 9}, "q": {"max_length": None}}, None),
    (
        "RabbitMQ's names",
        {"q": {"x-max-length": 5, "x-max-length-bytes": 50, "x-overflow": "reject-publish"}},
        Bound(max_length=5, max_length_bytes=50),
    ),
    (
        "dead letters go to a queue of their own",
        {"q": {"max_length": 5, "overflow": "reject-publish-dlx"}},
        Bound(max_length=5, overflow=Overflow.REJECT_PUBLISH_DLX, dead_letter="q.dead"),
    ),
    (
        "or to the one that is named",
        {"q": {"max_length": 5, "overflow": "reject-publish-dlx", "x-dead-letter-routing-key": "morgue"}},
        Bound(max_length=5, overflow=Overflow.REJECT_PUBLISH_DLX, dead_letter="morgue"),
    ),
    (
        "a dead-letter queue means nothing with another overflow",
        {"q": {"max_length": 5, "overflow": "drop-head", "dead_letter": "morgue"}},
        Bound(max_length=5, overflow=Overflow.DROP_HEAD),
    ),
    (
        "block waits as long as it is told",
        {"q": {"max_length": 5, "overflow": "block", "block_s": 2}},
        Bound(max_length=5, overflow=Overflow.BLOCK, block_s=2.0),
    ),
]


@pytest.mark.parametrize(("queues", "expected"), [row[1:] for row in BOUNDS], ids=[row[0] for row in BOUNDS])
def test_the_bound_of_a_queue(queues, expected):
    assert bound("q", queues) == expected


DECLARED = [
    ("limits of its own", Queue("q", max_length=5, max_length_bytes=50), Bound(max_length=5, max_length_bytes=50)),
    (
        "arguments as RabbitMQ names them",
        Queue("q", queue_arguments={"x-max-length": 5, "x-overflow": "drop-head", "x-max-priority": 9}),
        Bound(max_length=5, overflow=Overflow.DROP_HEAD),
    ),
    (
        "dead letters",
        Queue(
            "q", max_length=5, queue_arguments={"x-overflow": "reject-publish-dlx", "x-dead-letter-routing-key": "m"}
        ),
        Bound(max_length=5, overflow=Overflow.REJECT_PUBLISH_DLX, dead_letter="m"),
    ),
    ("an overflow without a limit", Queue("q", queue_arguments={"x-overflow": "drop-head"}), None),
    ("nothing", Queue("q"), None),
]


@pytest.mark.parametrize(("queue", "expected"), [row[1:] for row in DECLARED], ids=[row[0] for row in DECLARED])
def test_a_declaration_of_kombu_is_a_bound_with(queue, expected):
    assert bound("q", None, queue) == expected


def test_what_the_settings_say_of_a_queue_wins_over_its_declaration_and_that_over_the_default():
    declared = Queue("q", max_length=5, queue_arguments={"x-overflow": "drop-head"})

    assert bound("q", {"*": {"max_length": 9}}, declared) == Bound(max_length=5, overflow=Overflow.DROP_HEAD)
    assert bound("q", {"q": {"x-overflow": "reject-publish"}}, declared) == Bound(max_length=5)
    assert bound("q", {"q": {"max_length": 7}}, declared) == Bound(max_length=7, overflow=Overflow.DROP_HEAD)


def test_a_queue_that_is_declared_later_has_its_bound():
    app = an_app()
    known = policies(app)
    app.amqp.queues.add(Queue("late", Exchange("late"), max_length=5))

    assert known.bound_of("late") == Bound(max_length=5)


@pytest.mark.parametrize("queue", ["w1@host.celery.pidbox", "1f.reply.celery.pidbox", "celeryev.a"])
def test_the_queues_of_celery_itself_have_no_bound(queue):
    assert bound(queue, {"*": {"max_length": 9}}) is None


def test_dead_letters_of_the_default_go_no_further_than_one_queue():
    queues = {"*": {"max_length": 9, "overflow": "reject-publish-dlx"}, "a": {"dead_letter": "morgue"}}

    assert bound("q", queues).dead_letter == "q.dead"
    assert bound("q.dead", queues) == bound("morgue", queues) == Bound(max_length=9)


REFUSED = [
    ("tidegate_queues", ["celery"], "expected tidegate_queues to be a mapping of names to mappings"),
    ("tidegate_queues", {"q": 10}, r"expected tidegate_queues\['q'\] to be a mapping such as .*, got 10"),
    ("tidegate_queues", {5: {}}, "names in tidegate_queues to be text, got 5"),
    ("tidegate_queues", {"q": {"maxlength": 5}}, r"unknown 'maxlength': did you mean 'max_length'\?"),
    ("tidegate_queues", {"q": {"max_length": 0}}, "max_length to be a whole number above 0, or None .*, got 0"),
    ("tidegate_queues", {"q": {"max_length": -1}}, "got -1"),
    ("tidegate_queues", {"q": {"max_length": "10"}}, "got '10'"),
    ("tidegate_queues", {"q": {"max_length": True}}, "got True"),
    ("tidegate_queues", {"q": {"max_length_bytes": 1.5}}, "expected max_length_bytes .* got 1.5"),
    (
        "tidegate_queues",
        {"q": {"max_length": 5, "x-max-length": 6}},
        "says max_length twice, and not the same: 5 and 6",
    ),
    ("tidegate_queues", {"q": {"overflow": "drop_head", "max_length": 5}}, r"did you mean 'drop-head'\?"),
    ("tidegate_queues", {"q": {"overflow": 5, "max_length": 5}}, "unknown overflow 5: there are 'reject-publish'"),
    ("tidegate_queues", {"q": {"max_length": 5, "block_s": -1}}, "block_s to be seconds from 0 to 86400, got -1"),
    ("tidegate_queues", {"q": {"max_length": 5, "dead_letter": ""}}, "dead_letter to be the name of a queue, got ''"),
    ("tidegate_tasks", {"t": {"overlap": "bufer_one"}}, r"unknown overlap 'bufer_one': did you mean 'buffer_one'\?"),
    (
        "tidegate_tasks",
        {"t": {"overlap": "skip", "payload": "replace"}},
        "goes with overlap 'buffer_one', not with 'skip'",
    ),
    ("tidegate_tasks", {"t": {"overlap": "allow_all", "payload": "replace"}}, "not with 'allow_all'"),
    ("tidegate_tasks", {"t": {"overlaps": "skip"}}, r"unknown 'overlaps': did you mean 'overlap'\?"),
    (
        "tidegate_tasks",
        {"t": {"overlap": "skip", "scope": "tree"}},
        "unknown scope 'tree': there are 'message', 'firing'",
    ),
    ("tidegate_tasks", {"t": {"overlap": "skip", "key": 5}}, "expected key to be text .* got 5"),
    ("tidegate_tasks", {"t": {"overlap": "skip", "every": 5}}, "unknown 'every'"),
    ("tidegate_tasks", {"t": "skip"}, "expected .* to be a mapping such as"),
    (
        "tidegate_entries",
        {"e": {"every": "sometimes"}},
        "expected every to be 'auto' or seconds above 0, got 'sometimes'",
    ),
    ("tidegate_entries", {"e": {"min": 0}}, "expected min to be seconds above 0, got 0"),
    ("tidegate_entries", {"e": {"min": 5, "max": 1}}, "min 5 is above max 1"),
    ("tidegate_entries", {"e": {"evry": 5}}, r"unknown 'evry': did you mean 'every'\?"),
    ("tidegate_gate_memory", 0, "expected tidegate_gate_memory to be a share .*, got 0"),
    ("tidegate_gate_memory", 1.5, "got 1.5"),
    ("tidegate_gate_memory", -1, "got -1"),
    ("tidegate_gate_memory", "6 pigs", "got '6 pigs'"),
    ("tidegate_gate_memory", "140%", "got '140%'"),
    ("tidegate_gate_memory", True, "got True"),
    ("tidegate_gate_timeout_s", 0, "number from 0.1 to 3600, got 0"),
    ("tidegate_gate_block_s", "long", "got 'long'"),
    ("tidegate_gate", "off", "expected tidegate_gate to be True or False, got 'off'"),
    ("tidegate_queue", {}, r"unknown setting 'tidegate_queue': did you mean 'tidegate_queues'\?"),
]


@pytest.mark.parametrize(("name", "value", "said"), REFUSED)
def test_a_wrong_setting_is_refused_in_one_line_when_the_gate_is_installed(name, value, said):
    with pytest.raises(UsageError, match=said) as refused:
        install(an_app(**{name: value}))

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("name", "value", "said"), REFUSED)
def test_a_wrong_setting_that_is_made_later_is_refused_at_the_first_publish(name, value, said):
    app = an_app()
    install(app)
    app.conf.update({name: value})

    for _ in range(2):
        with pytest.raises(UsageError, match=said):
            app.send_task("t")


CIRCLES = [
    ("itself", {"q": {"max_length": 5, "overflow": "reject-publish-dlx", "dead_letter": "q"}}, "q → q"),
    (
        "two of them",
        {
            "a": {"max_length": 5, "overflow": "reject-publish-dlx", "dead_letter": "b"},
            "b": {"max_length": 5, "overflow": "reject-publish-dlx", "dead_letter": "a"},
        },
        "a → b → a",
    ),
]


@pytest.mark.parametrize(("queues", "way"), [row[1:] for row in CIRCLES], ids=[row[0] for row in CIRCLES])
def test_dead_letters_that_would_go_round_in_a_circle_are_refused(queues, way):
    with pytest.raises(UsageError, match=f"in a circle: {way}"):
        Policies(an_app(tidegate_queues=queues))


def test_an_overflow_without_a_limit_is_refused_unless_the_declaration_has_one():
    queues = {"q": {"overflow": "drop-head"}}
    check_early(an_app(tidegate_queues=queues))

    assert bound("q", queues, Queue("q", max_length=5)) == Bound(max_length=5, overflow=Overflow.DROP_HEAD)
    with pytest.raises(UsageError, match="says overflow, and no limit: add max_length"):
        bound("q", queues)


@pytest.mark.parametrize(
    ("queue", "said"),
    [
        (Queue("q", max_length=5, queue_arguments={"x-max-length": 6}), "says max_length twice"),
        (Queue("q", max_length=0), "above 0"),
        (Queue("q", max_length=5, queue_arguments={"x-overflow": "drop-tail"}), "unknown x-overflow 'drop-tail'"),
    ],
)
def test_a_wrong_declaration_is_refused_with_its_name(queue, said):
    with pytest.raises(UsageError, match=rf"Queue\('q'\).*{said}"):
        Policies(an_app(task_queues=[queue]))


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, 0), (0.8, 0.8), ("0.8", 0.8), ("80%", 0.8), (1, 1.0), ("6gb", 6 << 30), (MIB, MIB), (str(MIB), MIB)],
)
def test_the_ceiling_is_a_share_or_bytes(value, expected):
    ceiling = memory_of(value)

    assert (ceiling, type(ceiling)) == (expected, type(expected))


def test_what_entries_say_to_schedulers_is_taken_and_has_no_effect_yet():
    fields = {"every": "auto", "min": 1.0, "max": 30, "catchup_s": 60, "jitter_s": 1, "expires": 5, "overlap": "skip"}

    assert entries_in({"refresh": fields})["refresh"].overlap is Overlap.SKIP


def overlap_of(app: Celery, task: str, entry: str = "", **call):
    guard = policies(app).guard_for(task, entry, call, (1,), {})
    return None if guard is None else (guard.overlap, guard.payload, guard.scope)


SKIP, ONE, KEEP, REPLACE = Overlap.SKIP, Overlap.BUFFER_ONE, Payload.KEEP, Payload.REPLACE
MESSAGE, FIRING = Scope.MESSAGE, Scope.FIRING

LAYERS = [
    ("nothing is said", {}, {}, {}, None),
    ("by the default", {"*": {"overlap": "skip"}}, {}, {}, (SKIP, KEEP, MESSAGE)),
    ("by the task", {"*": {"overlap": "skip"}, "t": {"overlap": "buffer_one"}}, {}, {}, (ONE, KEEP, MESSAGE)),
    (
        "by the entry, which leaves the payload to the task",
        {"t": {"overlap": "buffer_one", "payload": "replace"}},
        {"e": {"scope": "firing"}},
        {},
        (ONE, REPLACE, FIRING),
    ),
    (
        "by the entry, with another overlap that has no payload",
        {"t": {"overlap": "buffer_one", "payload": "replace"}},
        {"e": {"overlap": "skip"}},
        {},
        (SKIP, KEEP, MESSAGE),
    ),
    ("by the default of entries", {}, {"*": {"overlap": "skip"}}, {}, (SKIP, KEEP, MESSAGE)),
    (
        "by the task rather than by the default of entries",
        {"t": {"overlap": "buffer_one"}},
        {"*": {"overlap": "skip"}},
        {},
        (ONE, KEEP, MESSAGE),
    ),
    ("by the call", {"t": {"overlap": "skip"}}, {}, {"overlap": "buffer_one"}, (ONE, KEEP, MESSAGE)),
    ("a call lets it in", {"t": {"overlap": "skip"}}, {}, {"overlap": "allow_all"}, None),
]


@pytest.mark.parametrize(
    ("tasks", "entries", "call", "expected"), [row[1:] for row in LAYERS], ids=[row[0] for row in LAYERS]
)
def test_the_overlap_of_a_run_that_an_entry_sends(tasks, entries, call, expected):
    assert overlap_of(an_app(tidegate_tasks=tasks, tidegate_entries=entries), "t", "e", **call) == expected


def test_the_default_of_entries_is_for_what_entries_send():
    assert overlap_of(an_app(tidegate_entries={"*": {"overlap": "skip"}}), "t") is None


def test_a_task_can_say_it_itself_and_the_settings_win():
    app = an_app(tidegate_tasks={"b": {"overlap": "skip"}})

    @app.task(name="a", shared=False, overlap="buffer_one", overlap_payload="replace", overlap_scope="firing")
    def a(x):
        """Guarded."""

    @app.task(name="b", shared=False, overlap="buffer_one", overlap_payload="replace")
    def b(x):
        """Guarded otherwise."""

    assert overlap_of(app, a.name) == (ONE, REPLACE, FIRING)
    assert overlap_of(app, b.name) == (SKIP, KEEP, MESSAGE)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"overlap": "skp"}, r"task 't': unknown overlap 'skp': did you mean 'skip'\?"),
        ({"overlap_payload": "replace"}, "task 't' says payload, and no overlap"),
        (
            {"overlap": "skip", "overlap_key": "{usr}"},
            r"asks for 'usr', which the task does not take: did you mean 'user'\?",
        ),
        ({"overlap": "skip", "overlap_key": "{user"}, "can't be read as a format"),
        ({"overlap": "skip", "overlap_key": "{}"}, "has to name its arguments"),
    ],
)
def test_a_task_that_says_something_wrong_of_itself_ends_the_worker_at_its_start(options, said):
    app = an_app()

    @app.task(name="t", shared=False, **options)
    def t(user):
        """Guarded, or so it seems."""

    class Worker:
        pass

    Worker.app = app
    with pytest.raises(UsageError, match=said):
        CheckStep(Worker)


def test_a_wrong_option_of_a_call_is_refused_to_its_caller():
    app = an_app()
    install(app)
    with pytest.raises(UsageError, match=r"'t': unknown payload 'replce': did you mean 'replace'\?"):
        app.send_task("t", overlap="buffer_one", payload="replce")


def test_settings_of_a_namespace_as_django_has_it_hold():
    class Settings:
        CELERY_TIDEGATE_QUEUES = {"*": {"max_length": 7}}  # noqa: RUF012
        CELERY_TIDEGATE_GATE_MEMORY = "80%"

    app = Celery("proj", set_as_current=False)
    install(app)
    app.config_from_object(Settings, namespace="CELERY")

    assert policies(app).bound_of("q") == Bound(max_length=7)
    assert policies(app).ceiling == 0.8


names = st.text(string.ascii_lowercase + "-_", min_size=1, max_size=8)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | names | st.sampled_from(["drop-head", "skip", "*"]),
    lambda inside: (
        st.dictionaries(names | st.sampled_from(["max_length", "overflow", "overlap", "q"]), inside)
        | st.lists(inside, max_size=2)
    ),
    max_leaves=6,
)


@given(
    name=st.sampled_from(["tidegate_queues", "tidegate_tasks", "tidegate_entries", "tidegate_gate_memory"]),
    value=anything,
)
def test_whatever_a_setting_holds_it_is_taken_or_refused_in_one_line(name, value):
    try:
        known = Policies(an_app(**{name: value}))
    except UsageError as refused:
        assert "\n" not in str(refused)
        return
    assert known.bound_of("q") is None or known.bound_of("q").max_length or known.bound_of("q").max_length_bytes
    assert known.rule_for("q") is None or known.rule_for("q").said.overlap
