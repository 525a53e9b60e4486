"""What real workers send on belongs to a workflow: it enters a full queue, and what a task publishes of itself does not."""

import json
import time
from collections import Counter

import pytest
from celery import Celery, chain, chord, group

APP = """
from celery import Celery, group
import tidegate

app = Celery("proj")
app.conf.tidegate_queues = {"full": {"max_length": 1}}
app.conf.tidegate_tasks = {"tree": {"overlap": "buffer_one", "scope": "firing"}}
app.conf.task_create_missing_queues = True
tidegate.install(app)

@app.task(name="step")
def step(number=0, *more):
    return number + 1

@app.task(name="total")
def total(numbers):
    return sum(numbers)

@app.task(name="fails")
def fails():
    raise ValueError("on purpose")

@app.task(name="told")
def told(one):
    return "told"

@app.task(name="again", bind=True)
def again(self):
    if not self.request.retries:
        raise self.retry(countdown=0, queue="full")
    return "again"

@app.task(name="replaced", bind=True)
def replaced(self):
    return self.replace(step.si(6).set(queue="full"))

@app.task(name="children")
def children():
    said = []
    for publish in (step.si(1).set(queue="full").delay, group(step.si(1).set(queue="full")).delay):
        try:
            publish()
        except tidegate.QueueFull as full:
            said.append(full.queue)
    return said

@app.task(name="tree")
def tree():
    step.apply_async(queue="leaves")
    group(step.si(number) for number in range(2)).apply_async(queue="leaves")
    (step.si(1).set(queue="leaves") | step.si(2)).delay()
    step.apply((1,))
"""


@pytest.fixture
def sender(broker_url, backend_url):
    """An application that publishes, knows nothing of Tidegate, and reads results."""
    with Celery("sender", broker=broker_url, backend=backend_url, set_as_current=False) as app:
        yield app


def elements(client, queue):
    return [json.loads(element) for element in client.lrange(queue, 0, -1)]


def wait_for(look, expected, within_s=60.0):
    deadline = time.monotonic() + within_s
    while (found := look()) != expected and time.monotonic() < deadline:
        time.sleep(0.05)
    assert found == expected


def test_every_part_of_a_workflow_enters_a_full_queue_and_its_results_come(
    broker_url, redis_client, celery_worker, sender
):
    def step(queue, *args, task="step"):
        return sender.signature(task, args, queue=queue)

    environment = {"CELERY_RESULT_BACKEND": broker_url}
    celery_worker(APP, broker_url, "-c", "1", "-Q", "celery", environment=environment)
    sender.send_task("step", (100,), queue="full")
    results = {
        "chain": (chain(step("celery", 1), step("full"), step("full")).delay(), 4),
        "chord": (chord([step("celery", 1), step("celery", 2)], step("full", task="total")).delay(), 5),
        "chord of a chain": (chord([step("celery", 1)], chain(step("full", task="total"), step("full"))).delay(), 3),
        "group in a chain": (chain(step("celery", 1), group(step("full"), step("full"))).delay(), [3, 3]),
        "retry": (step("celery", task="again").delay(), "again"),
        "replaced": (step("celery", task="replaced").delay(), 7),
        "plain children": (step("celery", task="children").delay(), ["full", "full"]),
    }
    step("celery", 1).apply_async(link=[step("full", task="told"), step("full", task="told")])
    step("celery", 1).apply_async(link=chain(step("full"), step("full")))
    step("celery", task="fails").apply_async(link_error=step("full", task="told"))
    expected = Counter(step=1 + 1 + 2 + 1 + 1, total=2, told=3, again=1)

    wait_for(lambda: Counter(m["headers"]["task"] for m in elements(redis_client, "full")), expected)
    celery_worker(APP, broker_url, "-P", "solo", "-Q", "full", environment=environment)
    assert {name: result.get(timeout=60) for name, (result, _) in results.items()} == {
        name: value for name, (_, value) in results.items()
    }


def test_a_firing_is_handed_on_to_all_that_comes_of_it_and_a_header_that_somebody_made_up_is_not(
    broker_url, redis_client, celery_worker, sender
):
    # In a process that is spawned, tasks publish by a copy of the application.
    spawning = "app.conf.worker_pool_start_method = 'spawn'\n"
    celery_worker(APP + spawning, broker_url, "-c", "1", "-Q", "celery")
    for hostile in ({"firing": 5, "entry": "x"}, {"firing": "x" * 5000, "entry": "x"}, ["firing"], "firing", 5):
        sender.send_task("tree", headers={"tidegate": hostile})
    wait_for(lambda: len(elements(redis_client, "leaves")), 20)
    assert all("tidegate" not in m["headers"] for m in elements(redis_client, "leaves"))

    firing = {"key": "tree()", "overlap": "buffer_one", "scope": "firing", "entry": "tree()"}
    root = sender.send_task("tree", task_id="root", headers={"tidegate": {**firing, "firing": "root"}})
    wait_for(lambda: len(elements(redis_client, "leaves")), 24)
    leaves = elements(redis_client, "leaves")[:4]
    assert [m["headers"]["tidegate"] for m in leaves] == [{"firing": root.id, "entry": "tree()"}] * 4
