"""Whether a queue may be given messages by its name, asked before anything is touched."""

from tidegate.broker.client import Broker
from tidegate.broker.keys import Layout, family_of, is_internal
from tidegate.broker.reads import types
from tidegate.errors import NotAQueue, UsageError


def must_be_able_to_receive(broker: Broker, queue: str) -> None:
    """Raises UsageError for a name that no queue can have, NotAQueue where a key of it is no list. Ten TYPE."""
    layout = broker.layout
    if why := _cant_be(layout, queue):
        raise UsageError(f"{queue!r} is no name for a queue ({why}): give the name that workers consume, as in -Q NAME")
    keys = [key for _, key in layout.lists(queue)]
    for key, kind in zip(keys, types(broker, keys), strict=True):
        if kind not in ("none", "list"):
            raise NotAQueue(f"{queue!r} is no queue: the key {key!r} is no list, but a {kind or 'key of unknown type'}")


def _cant_be(layout: Layout, queue: str) -> str:
    if not queue:
        return "it is empty"
    if layout.sep in queue:
        return "it is one priority list of another"
    if queue in (layout.unacked, layout.unacked_index) or family_of(queue) is not None or is_internal(queue):
        return "Celery or Tidegate keeps something else there"
    return ""
