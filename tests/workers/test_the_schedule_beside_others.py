"""Sentry, OpenTelemetry and the probe see every firing of beat once, whatever keeps the schedule."""

import json
from collections import Counter

import pytest

from projects import django_project, python, rows, write
from tidegate.facts.gate import HEADER

FIRINGS = 5
SETTINGS = """
import tidegate
app.conf.result_expires = None
tidegate.install(app)
"""
#: Sentry takes no interval of seconds, so a minute is declared.
SCHEDULE = """
app.conf.beat_schedule = {"quick": {"task": "t.quick", "schedule": 60, "options": {"tidegate": {"every": 0.2}}}}
"""
#: What beat's process does, with both watchers in it; prints what they saw.
BEAT = """
import json, sys, time
import proj
if sys.argv[2] == "database":
    import django
    django.setup()
import sentry_sdk
from sentry_sdk.integrations.celery import CeleryIntegration
from sentry_sdk.transport import Transport
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from celery import signals
from celery.utils.imports import symbol_by_name
from tidegate.act.beat.signals import beat_decided

envelopes, spans, sent = [], InMemorySpanExporter(), []

class Memory(Transport):
    def capture_envelope(self, envelope):
        envelopes.append(envelope)

sentry_sdk.init(
    dsn="http://key@127.0.0.1:1/1", transport=Memory, default_integrations=False, auto_enabling_integrations=False,
    integrations=[CeleryIntegration(monitor_beat_tasks=True)],
)
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
CeleryInstrumentor().instrument(tracer_provider=provider)

service = proj.app.Beat().Service(app=proj.app, scheduler_cls=symbol_by_name(sys.argv[1]), schedule_filename="beat")
scheduler = service.get_scheduler()
service.__dict__["scheduler"] = scheduler
signals.beat_init.send(sender=service)
note = lambda outcome, many, **_: sent.append((str(outcome), many))
beat_decided.connect(note)
until = time.monotonic() + 20
while len([one for one in sent if one[0] == "sent"]) < FIRINGS and time.monotonic() < until:
    time.sleep(min(scheduler.tick(), 0.05))
items = [item for envelope in envelopes for item in envelope.items if item.type == "check_in"]
print(json.dumps({
    "sent": len([one for one in sent if one[0] == "sent"]),
    "check_ins": [item.payload.json["status"] for item in items],
    "spans": [span.name for span in spans.get_finished_spans()],
}))
"""
KINDS = {
    "persistent": "tidegate.act.beat.scheduler:PersistentScheduler",
    "database": "tidegate.act.beat.database:DatabaseScheduler",
    "redbeat": "tidegate.act.beat.redbeat:RedBeatScheduler",
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_firing_is_one_check_in_one_span_and_one_message(
    kind, tmp_path, private_broker, broker_url, redis_client
):
    place = tmp_path / "site"
    if kind == "database":
        django_project(place, application=SETTINGS)
        every = 'IntervalSchedule.objects.create(every=1, period="minutes")'
        said = json.dumps(json.dumps({"tidegate": {"every": "200ms"}}))
        rows(place, f'PeriodicTask.objects.create(name="quick", task="t.quick", interval={every}, headers={said})')
    else:
        redbeat = f'app.conf.redbeat_redis_url = "{private_broker().url}"\napp.conf.redbeat_redis_options = {{}}\n'
        write(place, proj='from celery import Celery\napp = Celery("proj")\n' + SETTINGS + SCHEDULE + redbeat)
    write(place, beating=BEAT.replace("FIRINGS", str(FIRINGS)))
    ran = python(place, "-W", "ignore", "beating.py", KINDS[kind], kind, CELERY_BROKER_URL=broker_url)
    assert ran.code == 0, ran.said
    seen = json.loads(ran.shown.splitlines()[-1])
    messages = [json.loads(one) for one in redis_client.lrange("celery", 0, -1)]

    assert seen["sent"] == len(messages) >= FIRINGS
    assert Counter(seen["check_ins"]) == {"in_progress": len(messages)}
    assert len(seen["spans"]) == len(messages)
    for message in messages:
        headers = message["headers"]
        assert headers["sentry-monitor-slug"] == headers["periodic_task_name"] == "quick"
        assert headers["traceparent"]
        assert "enqueued_at" in json.dumps(headers)
        assert "every" not in json.dumps(headers.get(HEADER, {}))
    assert len({message["headers"]["sentry-monitor-check-in-id"] for message in messages}) == len(messages)
