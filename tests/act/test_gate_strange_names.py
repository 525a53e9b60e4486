"""Names in the settings that nothing has are told to whoever starts a worker, and are no error."""

from types import SimpleNamespace

from celery import Celery

from tidegate.act.gate.install import CheckStep


def test_a_worker_names_the_tasks_and_entries_that_nothing_has(caplog):
    app = Celery("proj", broker="redis://localhost:1/0", set_as_current=False)

    @app.task(name="proj.refresh", shared=False)
    def refresh():
        """One that it has."""

    app.conf.tidegate_tasks = {"proj.refesh": {"overlap": "skip"}, "proj.refresh": {"overlap": "skip"}, "*": {}}
    app.conf.tidegate_entries = {"evry-minute": {"overlap": "skip"}, "other": {"overlap": "skip"}}
    app.conf.beat_schedule = {"every-minute": {"task": "proj.refresh", "schedule": 60}}
    CheckStep(SimpleNamespace(app=app))

    assert [record.message for record in caplog.records] == [
        "tidegate_tasks['proj.refesh']: this worker has no such task: did you mean 'proj.refresh'?",
        "tidegate_entries['evry-minute']: beat_schedule has no such entry: did you mean 'every-minute'?",
        "tidegate_entries['other']: beat_schedule has no such entry",
    ]


def test_entries_that_another_scheduler_keeps_are_not_called_unknown(caplog):
    app = Celery("proj", broker="redis://localhost:1/0", set_as_current=False)
    app.conf.tidegate_entries = {"in the database": {"overlap": "skip"}}
    app.conf.beat_schedule = {"every-minute": {"task": "proj.refresh", "schedule": 60}}
    app.conf.beat_scheduler = "django_celery_beat.schedulers:DatabaseScheduler"
    CheckStep(SimpleNamespace(app=app))

    assert caplog.records == []
