"""Where a message goes: what is worked out against the list in which real Celery really puts it."""

import pytest
from celery import Celery
from kombu import Exchange, Queue

from tidegate.broker.keys import Layout
from tidegate.facts.unknown import Unknown
from tidegate.observe.schedule.routing import Routes

TOPIC, DIRECT = Exchange("topics", type="topic"), Exchange("jobs", type="direct")
QUEUES = [
    Queue("celery"),
    Queue("logs", TOPIC, routing_key="log.#"),
    Queue("errors", TOPIC, routing_key="log.*.error"),
    Queue("jobs", DIRECT, routing_key="job"),
]


def application(url, **conf):
    app = Celery("routes", broker=url, set_as_current=False)
    app.conf.update(task_ignore_result=True, **conf)
    return app


CASES = [
    ({}, "proj.add", {}),
    ({}, "proj.add", {"queue": "mail"}),
    ({}, "proj.add", {"queue": Queue("mail")}),
    ({"task_default_queue": "other"}, "proj.add", {}),
    ({"task_routes": {"proj.*": "fast"}}, "proj.add", {}),
    ({"task_routes": {"proj.*": {"queue": "fast"}}}, "proj.add", {"queue": "slow"}),
    ({"task_routes": {"other.*": "fast"}}, "proj.add", {}),
    ({"task_routes": [{"other.*": "x"}, ("proj.*", {"queue": "y"})][:1]}, "proj.add", {}),
    ({"task_routes": {"proj.add": {"priority": 3}}}, "proj.add", {}),
    ({"task_routes": {"proj.add": {"routing_key": "x"}}}, "proj.add", {}),
    ({"task_queues": QUEUES}, "proj.add", {"queue": "jobs"}),
    ({"task_queues": QUEUES}, "proj.add", {"exchange": "jobs", "routing_key": "job"}),
    ({"task_queues": QUEUES}, "proj.add", {"exchange": "topics", "routing_key": "log.a.error"}),
    ({"task_queues": QUEUES}, "proj.add", {"exchange": "topics", "routing_key": "log.a.b"}),
    ({"task_queues": QUEUES}, "proj.add", {"routing_key": "log.a.error"}),
    (
        {"task_queues": QUEUES, "task_routes": {"proj.*": {"queue": "errors", "routing_key": "log.b.error"}}},
        "proj.add",
        {},
    ),
    ({"task_queues": [Queue("new", alias="old"), Queue("celery")]}, "proj.add", {"queue": "old"}),
]


@pytest.mark.parametrize(("conf", "task", "options"), CASES, ids=str)
def test_the_queue_is_the_list_that_the_message_lands_in(conf, task, options, redis_client, broker_url):
    app = application(broker_url, **conf)
    worked_out = Routes(app).queues_of(task, options)
    with app.connection_for_write() as connection:
        # As every worker does that consumes them: on Redis a binding exists once somebody declared it.
        for queue in app.amqp.queues.values():
            queue(connection.default_channel).declare()
    app.send_task(task, **options)
    lists = {Layout().without_step(key.decode()) for key in redis_client.scan_iter(_type="list")}

    assert set(worked_out) == lists


def test_where_nothing_is_bound_the_message_goes_nowhere(broker_url):
    app = application(broker_url, task_queues=QUEUES)

    assert Routes(app).queues_of("proj.add", {"exchange": "jobs", "routing_key": "other"}) == ()


def route(name, args, kwargs, options, task=None, **kw):
    raise AssertionError("none of the application's code is run")


def test_a_router_that_is_a_function_is_not_called():
    app = application("redis://", task_routes=(route,))
    found = Routes(app).queues_of("proj.add", {})

    assert isinstance(found, Unknown)
    assert "function" in found.why


def test_what_stands_before_the_function_is_still_followed():
    app = application("redis://", task_routes=({"proj.*": "fast"}, route))

    assert Routes(app).queues_of("proj.add", {}) == ("fast",)


def test_asking_where_a_message_goes_declares_no_queue():
    app = application("redis://")
    Routes(app).queues_of("proj.add", {"queue": "mail"})

    assert list(app.amqp.queues) == ["celery"]


def test_a_fanout_goes_to_every_worker_so_to_no_queue_that_could_be_named():
    app = application("redis://", task_queues=[Queue("news", Exchange("news", type="fanout"))])

    assert isinstance(Routes(app).queues_of("proj.add", {"queue": "news"}), Unknown)
