"""The small parts of the probe: clock, machine, overhead, settings, connection."""

import logging
import time

import pytest
from celery import Celery

from tidegate import install
from tidegate.broker.address import parse_address
from tidegate.config import APP_SETTINGS
from tidegate.errors import UsageError
from tidegate.observe.probe.clock import BrokerClock
from tidegate.observe.probe.link import Away, Link
from tidegate.observe.probe.machine import Machine
from tidegate.observe.probe.overhead import Overhead
from tidegate.observe.probe.queues import QueueNames, lists_of
from tidegate.observe.probe.settings import probe_settings


def test_of_several_answers_the_one_with_the_shortest_round_trip_is_believed():
    clock = BrokerClock()
    clock.learn(100.0, 100.4, 1000.3)
    clock.learn(110.0, 110.002, 1010.101)
    clock.learn(120.0, 120.3, 1020.4)

    assert clock.anchor_s == pytest.approx(900.1)
    assert clock.at(50_000_000) == pytest.approx(950.1)
    assert clock.known


def test_a_broker_whose_clock_is_set_is_followed_at_once():
    clock = BrokerClock()
    clock.learn(100.0, 100.001, 1000.0)
    clock.learn(110.0, 110.4, 2010.0)

    assert clock.anchor_s == pytest.approx(1899.8)


def test_a_wall_clock_that_jumps_changes_nothing_but_what_is_said_of_it(monkeypatch):
    clock = BrokerClock()
    clock.learn(time.monotonic(), time.monotonic(), time.time())
    before = clock.now()
    wall = time.time
    monkeypatch.setattr(time, "time", lambda: wall() + 3600)

    assert clock.now() == pytest.approx(before, abs=1)
    assert clock.ahead_s() == pytest.approx(3600, abs=1)


def test_before_the_first_answer_the_clock_is_the_machines_own():
    clock = BrokerClock()

    assert clock.now() == pytest.approx(time.time(), abs=1)
    assert not clock.known


def a_machine(root, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("DOT", ".").replace("COMMA", ",")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8.0),
        ({"proc__self__cgroup": "0::/\n", "sys__fs__cgroup__cpuDOTmax": "max 100000\n"}, 8.0),
        ({"proc__self__cgroup": "0::/\n", "sys__fs__cgroup__cpuDOTmax": "150000 100000\n"}, 1.5),
        ({"proc__self__cgroup": "0::/a/b\n", "sys__fs__cgroup__a__cpuDOTmax": "50000 100000\n"}, 0.5),
        ({"proc__self__cgroup": "0::/\n", "sys__fs__cgroup__cpuDOTmax": "9900000 100000\n"}, 8.0),
        ({"proc__self__cgroup": "0::/../..\n", "sys__fs__cgroup__cpuDOTmax": "rubbish"}, 8.0),
        (
            {
                "proc__self__cgroup": "3:cpuCOMMAcpuacct:/x\n".replace("COMMA", ","),
                "sys__fs__cgroup__cpuCOMMAcpuacct__x__cpuDOTcfs_quota_us": "200000\n",
                "sys__fs__cgroup__cpuCOMMAcpuacct__x__cpuDOTcfs_period_us": "100000\n",
            },
            2.0,
        ),
        (
            {
                "proc__self__cgroup": "3:cpu:/\n",
                "sys__fs__cgroup__cpu__cpuDOTcfs_quota_us": "-1\n",
                "sys__fs__cgroup__cpu__cpuDOTcfs_period_us": "100000\n",
            },
            8.0,
        ),
    ],
    ids=["none", "v2 max", "v2", "v2 above", "v2 wide", "v2 odd", "v1", "v1 none"],
)
def test_the_cores_of_a_worker_are_those_it_may_run_on_or_its_quota(tmp_path, monkeypatch, files, cores):
    monkeypatch.setattr("tidegate.observe.probe.machine._affinity", lambda: 8)
    a_machine(tmp_path, **files)

    assert Machine(tmp_path).cores == cores


def test_busy_cores_are_those_of_the_machine_without_idling_and_waiting(tmp_path, monkeypatch):
    now = iter([100.0, 110.0])
    monkeypatch.setattr("tidegate.observe.probe.machine.time.monotonic", lambda: next(now))
    a_machine(tmp_path, proc__stat="cpu  100 0 100 5000 300 0 0 0 0 0\ncpu0 1 2 3\n")
    machine = Machine(tmp_path)
    a_machine(tmp_path, proc__stat="cpu  900 100 500 9000 900 50 50 7 0 0\ncpu0 1 2 3\n")

    assert machine.busy_cores() == pytest.approx(1.4)


def test_busy_cores_are_those_of_the_control_group_where_it_has_a_quota(tmp_path, monkeypatch):
    now = iter([100.0, 110.0])
    monkeypatch.setattr("tidegate.observe.probe.machine.time.monotonic", lambda: next(now))
    monkeypatch.setattr("tidegate.observe.probe.machine._affinity", lambda: 8)
    quota = {"proc__self__cgroup": "0::/\n", "sys__fs__cgroup__cpuDOTmax": "100000 100000\n"}
    a_machine(tmp_path, **quota, sys__fs__cgroup__cpuDOTstat="usage_usec 1000000\nuser_usec 5\n")
    machine = Machine(tmp_path)
    a_machine(tmp_path, sys__fs__cgroup__cpuDOTstat="usage_usec 9000000\nuser_usec 5\n")

    assert machine.busy_cores() == pytest.approx(0.8)


def test_where_the_system_does_not_tell_busy_cores_are_unknown(tmp_path):
    assert Machine(tmp_path).busy_cores() is None


def test_the_overhead_of_a_run_is_what_is_spent_beside_it_without_what_idling_costs(monkeypatch):
    now = iter(range(0, 1000, 10))
    monkeypatch.setattr("tidegate.observe.probe.overhead.time.monotonic", lambda: next(now))
    overhead = Overhead()

    # Idle folds cost 0.1 s each, busy ones as much and a millisecond a run.
    assert overhead.per_run_s(0, 0.0) is None
    assert overhead.per_run_s(0, 0.1) is None
    assert overhead.per_run_s(20, 0.22) is None
    assert overhead.per_run_s(120, 0.42) == pytest.approx(0.001)


def an_app(**conf: object) -> Celery:
    app = Celery("proj", set_as_current=False)
    app.conf.update(conf)
    return app


def test_every_setting_has_its_default():
    settings = probe_settings(an_app().conf)

    assert (settings.on, settings.every_s, settings.keep_s) == (True, 10.0, 90_000)
    assert (settings.max_bytes, settings.max_keys) == (4_000_000, 2000)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (
            "tidegate_probe_evry_s",
            5,
            r"unknown setting 'tidegate_probe_evry_s': did you mean 'tidegate_probe_every_s'\?",
        ),
        (
            "tidegate_xylophone_quartz",
            5,
            "unknown setting 'tidegate_xylophone_quartz': there are tidegate_probe, tidegate_probe_every_s",
        ),
        ("tidegate_probe_every_s", 0, "expected tidegate_probe_every_s to be a number from 1 to 30, got 0"),
        ("tidegate_probe_every_s", "fast", "got 'fast'"),
        ("tidegate_probe_keep_s", None, "from 3600 to "),
        ("tidegate_probe_max_bytes", True, "got True"),
        ("tidegate_probe", "off", "expected tidegate_probe to be True or False, got 'off'"),
    ],
)
@pytest.mark.parametrize("ready", [True, False], ids=["configuration loaded", "not yet"])
def test_a_wrong_setting_is_refused_when_the_probe_is_installed(name, value, said, ready):
    app = an_app(**{name: value})
    if ready:
        assert app.conf.task_default_queue == "celery"
    with pytest.raises(UsageError, match=said):
        install(app)


def test_installing_does_not_load_a_configuration_that_imports_the_project():
    app = Celery("proj", set_as_current=False, config_source="a.module.that.is.not.there")
    install(app)

    assert not app.configured


def test_settings_of_a_namespace_as_django_has_it_are_read_and_checked():
    class Settings:
        CELERY_TIDEGATE_PROBE_EVERY_S = 5
        TIDEGATE_SOMETHING_OF_OURS_AND_NOT_CELERYS = 1

    app = Celery("proj", set_as_current=False)
    app.config_from_object(Settings, namespace="CELERY")
    assert probe_settings(app.conf).every_s == 5.0

    Settings.CELERY_TIDEGATE_PROBE_EVRY_S = 5
    other = Celery("proj", set_as_current=False)
    other.config_from_object(Settings, namespace="CELERY")
    with pytest.raises(UsageError, match="did you mean 'tidegate_probe_every_s'"):
        probe_settings(other.conf)


def test_every_setting_says_what_it_is():
    assert all(setting.sentence.endswith(".") and setting.name.startswith("tidegate_") for setting in APP_SETTINGS)


def test_the_queue_of_a_message_is_the_one_that_its_exchange_and_key_lead_to():
    from kombu import Exchange, Queue

    app = an_app(
        task_queues=[
            Queue("mail", Exchange("post", "direct"), routing_key="letters"),
            Queue("parcels", Exchange("post", "direct"), routing_key="boxes"),
            Queue("all", Exchange("topics", "topic"), routing_key="shop.#"),
        ]
    )
    names = QueueNames(app)

    assert names.queue_of("", "celery") == "celery"
    assert names.queue_of("post", "boxes") == "parcels"
    assert names.queue_of("topics", "shop.orders") == "all"
    assert names.queue_of("post", "nobody") == "nobody"


def test_the_lists_of_a_queue_are_those_of_the_applications_priority_steps():
    app = an_app(broker_transport_options={"priority_steps": [0, 5], "global_keyprefix": "shop:"})
    layout = parse_address("redis://localhost/0", app.conf.broker_transport_options).layout

    assert lists_of(app, layout) == {"celery": ["shop:celery", "shop:celery\x06\x165"]}


def test_a_server_that_is_away_is_tried_again_after_a_while_and_said_once(private_broker, caplog):
    broker = private_broker()
    link = Link(parse_address(broker.url))
    assert link.ask(("PING",)) == [b"PONG"]
    link.works()
    broker.kill()
    with pytest.raises(Away) as lost:
        link.ask(("PING",))
    with pytest.raises(Away) as early:
        link.ask(("PING",))
    broker.restart()
    deadline = time.monotonic() + 20
    with caplog.at_level(logging.INFO, "tidegate.probe"):
        while True:
            try:
                assert link.ask(("PING",)) == [b"PONG"]
                break
            except Away:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        link.works()
        link.works()
    link.close()

    assert (lost.value.in_doubt, early.value.in_doubt) == (True, False)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_a_frozen_server_holds_nobody_for_longer_than_the_timeout(private_broker):
    broker = private_broker()
    link = Link(parse_address(broker.url), timeout_s=0.3)
    link.ask(("PING",))
    broker.pause()
    began = time.monotonic()
    with pytest.raises(Away):
        link.ask(("PING",))
    took = time.monotonic() - began
    broker.resume()

    assert took < 5
