"""What Celery does with Redis as its broker is the same through the gate: order, time, return, results, control."""

import os
import signal

import kombu.pools
import pytest
from celery import Celery, chain, chord, group
from guarded import eventually

import tidegate

PROJECT = """
import os
import redis
from celery import Celery

import tidegate

app = Celery("proj", backend=os.environ["RESULTS"])
app.conf.broker_transport_options = {options}
app.conf.result_backend_transport_options = {{"global_keyprefix": "results:"}}
app.conf.update({settings})
tidegate.install(app)
notes = redis.Redis.from_url(os.environ["NOTES"])

@app.task(name="add")
def add(*numbers):
    return sum(numbers[0] if isinstance(numbers[0], list) else numbers)

@app.task(name="note", ignore_result=True)
def note(name):
    notes.rpush("ran", name)

@app.task(name="held", ignore_result=True)
def held(name):
    notes.rpush("ran", name)
    notes.blpop("go", timeout=30)

@app.task(name="late", ignore_result=True, acks_late=True, reject_on_worker_lost=True)
def late(name):
    notes.rpush("ran", name)
    notes.blpop("go", timeout=30)
"""
QUICK = ("--without-mingle", "--without-gossip")


@pytest.fixture
def notes(valkey, redis_client):
    """What the tasks write down, in another database than the broker's."""
    import redis

    with redis.Redis.from_url(valkey.url.removesuffix("0") + "1", decode_responses=True) as client:
        yield client


@pytest.fixture
def proj(broker_url, notes, celery_worker):
    """`app, start = proj(settings, **transport_options)`; `start("-c", "1")` starts a worker of it."""
    kombu.pools.reset()
    made = []
    url = f"redis://127.0.0.1:{notes.connection_pool.connection_kwargs['port']}/1"

    def make(settings=None, **options):
        source = PROJECT.format(options=options, settings=settings or {})

        def start(*arguments):
            return celery_worker(
                source, broker_url, *QUICK, *arguments, environment={"RESULTS": broker_url, "NOTES": url}
            )

        app = Celery("publisher", broker=broker_url, backend=broker_url, set_as_current=False)
        app.conf.broker_transport_options = options
        app.conf.result_backend_transport_options = {"global_keyprefix": "results:"}
        tidegate.install(app)
        made.append(app)
        return app, start

    yield make
    for app in made:
        app.close()
    kombu.pools.reset()


def ran(notes, count):
    """The first so many names that the tasks wrote down."""
    eventually(lambda: notes.llen("ran") >= count)
    return notes.lrange("ran", 0, -1)


def test_results_times_broadcasts_and_queues_that_come_and_go(proj, notes, redis_client):
    app, start = proj(global_keyprefix="shop:")
    start("-c", "2", "-n", "one@here")
    add, note = app.signature("add"), app.signature("note")

    assert chord([add.clone((n, n)) for n in range(4)], add.clone()).delay().get(timeout=20) == 12
    assert chain(add.clone((1, 2)), add.clone((3,))).delay().get(timeout=20) == 6
    assert group(add.clone((n, 1)) for n in range(3)).delay().get(timeout=20) == [1, 2, 3]

    note.apply_async(("later",), countdown=0.6)
    note.apply_async(("now",))
    assert ran(notes, 2) == ["now", "later"]

    control = app.control
    assert [*control.ping(timeout=5, limit=1)[0]] == ["one@here"]
    assert control.rate_limit("note", "1000/s", reply=True, limit=1, timeout=5)[0]["one@here"] == {
        "ok": "new rate limit set successfully"
    }
    assert control.add_consumer("more", reply=True, limit=1, timeout=5)
    note.apply_async(("of another queue",), queue="more")
    assert ran(notes, 3)[2] == "of another queue"
    assert control.cancel_consumer("more", reply=True, limit=1, timeout=5)
    note.apply_async(("of a queue that was given up",), queue="more")
    note.apply_async(("of the first queue",))
    assert ran(notes, 4)[3] == "of the first queue"
    assert redis_client.llen("shop:more") == 1

    assert {
        key for key in redis_client.scan_iter() if not key.startswith((b"shop:", b"results:", b"tidegate:probe"))
    } == set()
    assert redis_client.exists("shop:unacked", "shop:unacked_index") == 0


def test_what_is_urgent_goes_first_and_no_more_is_taken_than_the_prefetch_allows(proj, notes, redis_client):
    app, start = proj({"worker_prefetch_multiplier": 1})
    start("-c", "1")
    held = app.signature("held")
    held.apply_async(("first",))
    held.apply_async(("taken beside it",))
    eventually(lambda: redis_client.hlen("unacked") == 1 and notes.llen("ran") == 1)
    for priority in (9, 0, 5, 3, 6):
        held.apply_async((f"priority {priority}",), priority=priority)
    assert (redis_client.hlen("unacked"), redis_client.llen("celery")) == (1, 1)

    notes.rpush("go", *range(7))
    assert ran(notes, 7)[2:] == ["priority 0", "priority 5", "priority 3", "priority 6", "priority 9"]


def test_a_message_of_a_killed_worker_comes_back_when_the_visibility_timeout_is_over(proj, notes, redis_client):
    options = {"visibility_timeout": 1, "unacked_restore_interval": 0.3, "unacked_restore_throttle": 1}
    app, start = proj(**options)
    first = start("-P", "solo")
    app.signature("late").delay("it")
    ran(notes, 1)
    os.kill(first.pid, signal.SIGKILL)
    start("-P", "solo")
    notes.rpush("go", "1")

    assert ran(notes, 2) == ["it", "it"]
    eventually(lambda: redis_client.hlen("unacked") == 0)


@pytest.mark.parametrize("settings", [{"worker_disable_prefetch": True}, {}], ids=["no prefetch", "autoscale"])
def test_a_pool_takes_as_many_as_it_runs(settings, proj, notes, redis_client):
    if settings and Celery(set_as_current=False).conf.get("worker_disable_prefetch") is None:
        pytest.skip("this Celery always takes one more")
    app, start = proj({**settings, "worker_prefetch_multiplier": 1})
    start(*(["-c", "2"] if settings else ["--autoscale", "2,1"]))
    for number in range(4):
        app.signature("held").delay(str(number))
    assert sorted(ran(notes, 2)) == ["0", "1"]
    if settings:
        eventually(lambda: redis_client.llen("celery") == 2)

    notes.rpush("go", *range(4))
    assert sorted(ran(notes, 4)) == ["0", "1", "2", "3"]
