"""Waiting that ends: for work that knows no deadline of its own, such as looking up a name or a handshake over TLS."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


def _nothing() -> None:
    pass


def bounded(
    work: Callable[[], T],
    timeout_s: float,
    *,
    give_up: Callable[[], None] = _nothing,
    close: Callable[[T], None] = lambda _: None,
) -> T:
    """What the work returns or raises; TimeoutError where it takes longer than `timeout_s`.

    It runs in a thread of its own. Where it is late, `give_up` may tell it so, and `close` gets what it brings home.
    """
    outcome: Future[T] = Future()
    threading.Thread(target=_run, args=(work, outcome), daemon=True).start()
    try:
        return outcome.result(timeout_s)
    except BaseException:
        if not outcome.done():
            give_up()
            outcome.add_done_callback(lambda late: _closed(late, close))
        raise


def _run(work: Callable[[], T], outcome: Future[T]) -> None:
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001  it is raised again where the result is waited for
        outcome.set_exception(error)
    else:
        outcome.set_result(result)


def _closed(late: Future[T], close: Callable[[T], None]) -> None:
    with suppress(Exception):
        close(late.result())
