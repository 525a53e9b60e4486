"""Results of removed messages: whoever waits hears of it, and no workflow waits in silence."""

import pytest
from celery import Celery, chain, chord, group
from celery.exceptions import TaskRevokedError
from kombu import pools

from tidegate.act.relief.revoking import FAILED, REVOKED, SETTLED, UNREADABLE, revoke_results

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated")


def called(*args):
    """A task."""


@pytest.fixture
def app(backend_url):
    app = Celery("shop", broker=backend_url, backend=backend_url, set_as_current=False)
    app.task(called, name="t", shared=False)
    yield app
    # The test still holds the application when its fixtures end, so what it opened is closed here.
    app.backend.result_consumer.stop()
    app.backend.client.connection_pool.disconnect()
    pools.reset()
    app.close()


def waiting(client):
    return client.lrange("celery", 0, -1)


def test_whoever_waits_for_a_removed_task_hears_of_it_and_a_second_time_changes_nothing(app, redis_client):
    result = app.tasks["t"].delay()
    removed = waiting(redis_client)
    assert revoke_results(app, removed, "purged by ann") == {REVOKED: 1}
    with pytest.raises(TaskRevokedError, match=r"t\[.*\]: purged by ann"):
        result.get(timeout=5)
    assert revoke_results(app, removed) == {SETTLED: 1}


def test_a_result_that_is_there_stays(app, redis_client):
    result = app.tasks["t"].delay()
    app.backend.mark_as_done(result.id, 42)
    assert revoke_results(app, waiting(redis_client)) == {SETTLED: 1}
    assert result.get(timeout=5) == 42


def test_of_a_task_that_keeps_no_result_none_is_set(app, redis_client):
    app.tasks["t"].apply_async(ignore_result=True)
    assert revoke_results(app, waiting(redis_client)) == {SETTLED: 1}
    assert redis_client.keys("celery-task-meta-*") == []


def test_the_steps_that_would_have_followed_are_revoked_with_it(app, redis_client):
    step = app.tasks["t"].s
    result = chain(step(), step(), step(), app=app).apply_async()
    assert revoke_results(app, waiting(redis_client)) == {REVOKED: 1}
    with pytest.raises(TaskRevokedError):
        result.get(timeout=5)


def test_a_group_ends_with_its_removed_member(app, redis_client):
    result = group([app.tasks["t"].s(), app.tasks["t"].s()], app=app).apply_async()
    revoke_results(app, waiting(redis_client)[:1])
    with pytest.raises(TaskRevokedError):
        result.get(timeout=5)


def test_a_chord_fails_when_its_other_members_are_done(app, redis_client):
    result = chord([app.tasks["t"].s(1), app.tasks["t"].s(2)], app.tasks["t"].s(), app=app).apply_async()
    removed, other = waiting(redis_client)
    assert revoke_results(app, [removed]) == {REVOKED: 1}
    assert result.state == "PENDING"
    assert revoke_results(app, [other]) == {REVOKED: 1}
    assert result.state == "FAILURE"
    with pytest.raises(TaskRevokedError):
        result.get(timeout=5)


def test_the_body_of_a_chord_that_nobody_will_unlock_is_revoked(app, redis_client):
    body = app.tasks["t"].s().set(task_id="body-id")
    app.tasks["celery.chord_unlock"].apply_async(("group-id", dict(body)), {"result": []})
    assert revoke_results(app, waiting(redis_client)) == {REVOKED: 1}
    assert app.AsyncResult("body-id").state == "REVOKED"


def test_what_cant_be_read_or_set_is_counted(app, redis_client, monkeypatch):
    app.tasks["t"].delay()

    def fails(*args, **kwargs):
        raise ConnectionError("backend is gone")

    monkeypatch.setattr(app.backend, "mark_as_failure", fails)
    assert revoke_results(app, [b"{}", *waiting(redis_client)]) == {UNREADABLE: 1, FAILED: 1}


def test_where_no_results_are_kept_nothing_is_done(broker_url):
    with Celery("bare", broker=broker_url, set_as_current=False) as bare:
        assert revoke_results(bare, [b"{}"]) == {}
