"""What every test may ask for: a real server that is its own, and real Celery processes on it."""

import gc
import itertools
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis
from hypothesis import settings
from kombu import pools

from quiet import CALM, ORDINARY, QUIET, in_the_room
from tidegate.demo.broker import PrivateBroker
from tidegate.demo.processes import BEAT_READY, WORKER_READY, Guarded, celery

STARTS_S = 30.0
FOREIGN = ("TIDEGATE_", "CELERY_", "DJANGO_", "SCREEN_")
#: Names the server under test (CI runs the suite on Valkey and on Redis), so it stays.
KEPT = "TIDEGATE_SERVER_BINARY"

#: In which order tests run, by the room that they ask for.
FIRST = (CALM, QUIET, ORDINARY)

StartCelery = Callable[..., Guarded]

# The suite says the same of the same code every time; `make explore` looks where it has not looked before.
settings.register_profile("suite", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A test marked `quiet` or `calm` waits for its room; outside the time that pytest-timeout gives a test."""
    if not hasattr(item.config, "workerinput"):  # one process: there is nobody else
        return (yield)
    with in_the_room(item.config.rootpath, _kind(item)):
        return (yield)


def _kind(item: pytest.Item) -> str:
    return next((kind for kind in (QUIET, CALM) if item.get_closest_marker(kind) is not None), ORDINARY)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What does not run beside everything comes first, so that the others are held up once; then what takes long.

    What is long starts early: at the end it would keep one core busy and leave the others idle.
    """
    items.sort(
        key=lambda item: (FIRST.index(_kind(item)), "demo" not in item.path.parts, "workers" not in item.path.parts)
    )


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_reaches_children() -> None:
    """A shell without job control starts what runs in the background with SIGINT ignored, and children inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(FOREIGN) and name != KEPT]:
            patch.delenv(name)
        yield


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    yield
    _uninstall()


def _uninstall() -> None:
    probe = sys.modules.get("tidegate.observe.probe.install")
    if probe is not None:
        probe.uninstall_probe()
    gate = sys.modules.get("tidegate.act.gate.install")
    if gate is not None:
        gate.uninstall_gate()


@pytest.fixture(scope="session")
def valkey() -> Iterator[PrivateBroker]:
    """The server of this test process; shared, so what changes its configuration takes `private_broker`."""
    with PrivateBroker() as broker:
        yield broker


@pytest.fixture
def broker_url(valkey: PrivateBroker) -> str:
    """The URL of an empty database; what the test before left there is gone."""
    valkey.ask("FLUSHALL")
    return valkey.url


@pytest.fixture
def backend_url(broker_url: str) -> Iterator[str]:
    """The same database as a result backend of applications in this process."""
    yield broker_url
    _uninstall()
    pools.reset()
    # Results and clients are in circles, and go when they are collected: results unsubscribe then, while their server
    # is there, and clients leave sockets to be closed.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


@pytest.fixture
def redis_client(broker_url: str) -> Iterator[redis.Redis]:
    """A client of the empty database behind `broker_url`."""
    with redis.Redis.from_url(broker_url) as client:
        yield client


@pytest.fixture
def private_broker() -> Iterator[Callable[..., PrivateBroker]]:
    """`private_broker(maxmemory="20mb", maxmemory_policy="noeviction")`: a server for this test alone."""
    with ExitStack() as brokers:

        def start(**config: str) -> PrivateBroker:
            directives = {name.replace("_", "-"): value for name, value in config.items()}
            return brokers.enter_context(PrivateBroker(config=directives))

        yield start


@pytest.fixture
def celery_worker(tmp_path: Path) -> Iterator[StartCelery]:
    """`celery_worker(project, broker_url, "-c", "1")`: a real worker process, ready for tasks.

    `project` is the source of a module that makes a Celery application, which then is imported as `proj`,
    or a project's directory, and then `application=` says what `-A` gets. `environment=` adds variables,
    `ready=False` does not wait. The broker is given by CELERY_BROKER_URL: it wins over the application's own
    setting.
    """
    with ExitStack() as running:
        numbers = itertools.count(1)

        def start(project: str | Path, broker_url: str, *arguments: str, **options: object) -> Guarded:
            name = f"w{next(numbers)}"
            own = [] if "-n" in arguments else ["-n", f"{name}@%h"]
            # The first one of a test has nobody to mingle with, and would wait a second for answers.
            alone = ["--without-mingle"] if name == "w1" else []
            command = ["worker", "--loglevel", "INFO", *own, *alone, *arguments]
            return _start(running, tmp_path / name, project, broker_url, command, WORKER_READY, **options)

        yield start


@pytest.fixture
def celery_beat(tmp_path: Path) -> Iterator[StartCelery]:
    """`celery_beat(project, broker_url, …)`: a real beat that has started; options as `celery_worker`."""
    with ExitStack() as running:
        numbers = itertools.count(1)

        def start(project: str | Path, broker_url: str, *arguments: str, **options: object) -> Guarded:
            place = tmp_path / f"b{next(numbers)}"
            schedule = [] if "-s" in arguments else ["-s", str(place / "schedule")]
            command = ["beat", "--loglevel", "INFO", "--pidfile=", *schedule, *arguments]
            return _start(running, place, project, broker_url, command, BEAT_READY, **options)

        yield start


def _start(
    running: ExitStack,
    place: Path,
    project: str | Path,
    broker_url: str,
    command: list[str],
    ready_line: str,
    *,
    application: str = "proj",
    environment: dict[str, str] | None = None,
    ready: bool = True,
) -> Guarded:
    place.mkdir()
    if isinstance(project, str):
        (place / "proj.py").write_text(project)
        project = place
    variables = {"CELERY_BROKER_URL": broker_url, **(environment or {})}
    process = celery(application, *command, project=project, log=place / "log", environment=variables)
    running.callback(_end, process)
    if ready:
        process.wait_for_line(ready_line, STARTS_S)
    return process


def _end(process: Guarded) -> None:
    """Ended at once: what a test has to say of a warm end it says itself, and another second or two prove nothing."""
    process.signal(signal.SIGKILL)
    process.stop()
