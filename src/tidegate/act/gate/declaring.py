"""The queues of the channel as such: declared, bound, purged, deleted. Kombu's own, with what the gate keeps beside them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tidegate.act.gate import letters, stock
from tidegate.act.gate.publication import current
from tidegate.broker.scripts import EMPTY, is_out_of_memory


class Declaring(stock.Channel):  # type: ignore[misc]
    """Mixin: a publisher learns from the first command that the server is full, and what was spilled goes with its queue."""

    def queue_declare(self, queue: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Stock's; raises BrokerFull where a publish declares its queue on a server without memory."""
        with self._minding_memory(queue):
            return super().queue_declare(queue, *args, **kwargs)

    def queue_bind(self, queue: Any, *args: Any, **kwargs: Any) -> Any:
        """Stock's; raises BrokerFull where a publish binds its queue on a server without memory."""
        with self._minding_memory(queue):
            return super().queue_bind(queue, *args, **kwargs)

    @contextmanager
    def _minding_memory(self, queue: str) -> Iterator[None]:
        try:
            yield
        except self.ResponseError as error:
            # A worker that declares its queues gets stock's error, and goes on as it does.
            if current() is not None and is_out_of_memory(error):
                raise letters.broker_full(queue) from error
            raise

    def _purge(self, queue: str) -> int:
        return int(super()._purge(queue)) + self._purge_spilled(queue)

    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:
        super()._delete(queue, *args, **kwargs)
        self._purge_spilled(queue)

    def _purge_spilled(self, queue: str) -> int:
        """How many spilled messages went, those on a keeper's disk among them; what is no list of ours stays."""
        prefix = self.global_keyprefix
        lists = [prefix + self._q_for_pri(queue, step) for step in self.priority_steps]
        with self.conn_or_acquire() as client:
            try:
                return int(EMPTY.run(client, [], [prefix, *lists]))
            except self.ResponseError:
                return 0
