"""A master, its replica, and a sentinel that knows both."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from tidegate.demo.broker import HOST, PrivateBroker, free_port
from tidegate.demo.processes import Guarded

CONFIG = """
port {port}
bind 127.0.0.1
dir {directory}
sentinel monitor tide 127.0.0.1 {master} 1
sentinel down-after-milliseconds tide 300
sentinel failover-timeout tide 2000
"""


@contextmanager
def sentinel_of(master: PrivateBroker, directory: Path) -> Iterator[str]:
    """The URL of a sentinel that watches this master under the name `tide`."""
    port = free_port()
    config = directory / "sentinel.conf"
    config.write_text(CONFIG.format(port=port, directory=directory, master=master.port))
    process = Guarded([str(master.binary), str(config), "--sentinel"], directory / "log")
    try:
        with redis.Redis(port=port) as client:
            await_that(lambda: client.sentinel_master("tide")["ip"] == HOST)
        yield f"sentinel://{HOST}:{port}/0"
    finally:
        process.stop()


def await_that(holds: Callable[[], bool], within_s: float = 30.0) -> None:
    """Waits until it holds; a server that does not answer yet is waited for."""
    until = time.monotonic() + within_s
    while True:
        try:
            if holds():
                return
        except redis.RedisError:
            pass
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.02)
