"""Hosts that die and come back, and what becomes of the messages in their hands.

What a dead host had reserved lies unacknowledged in Redis, and so does what it was running with late acknowledgement:
any worker puts it back once the visibility timeout has passed. What it was running with early acknowledgement is lost.
The timeout asks nobody whether the worker still lives: what a live one holds for longer is put back as well, and then
runs twice.
"""

from typing import TYPE_CHECKING

from tidegate.model.simulate.messages import Message

if TYPE_CHECKING:
    from tidegate.model.simulate.cluster import Cluster


def kill(cluster: "Cluster", now: float, group: str, count: int | None) -> None:
    """So many hosts of the group that live die, as by SIGKILL."""
    for host in [host for host in cluster.hosts if host.group.name == group and host.alive][:count]:
        running, reserved = host.fall(now)
        for message in running:
            _orphaned(cluster, message, started=True)
        for message in reserved:
            _orphaned(cluster, message, started=False)


def _orphaned(cluster: "Cluster", message: Message, *, started: bool) -> None:
    """It comes back where it is still unacknowledged; where it was put back before, its duplicate lives on or has run."""
    message.host = None
    held = cluster.unacked.get(message.tag)
    if held is None or held[1] is not message:
        message.kind.lost += 1
        cluster.ended(message, started=started)
    elif started:
        for mark in message.marks:
            mark.waiting += 1


def come_back(cluster: "Cluster", now: float, group: str, count: int | None) -> None:
    """So many hosts of the group that died start anew; a worker that starts looks for overdue messages at once."""
    for host in [host for host in cluster.hosts if host.group.name == group and not host.alive][:count]:
        host.rise(now)
        restore(cluster, now)
        cluster.poll(now, host)


def restore(cluster: "Cluster", now: float) -> None:
    """Puts back what was taken longer ago than the visibility timeout; some worker has to live for that.

    As Kombu the last taken first, so that the longest held leaves next.
    """
    if not any(host.alive for host in cluster.hosts):
        return
    overdue = []
    for taken_at, message in cluster.unacked.values():
        if taken_at + cluster.visibility_timeout_s > now:
            break
        overdue.append(message)
    for message in reversed(overdue):
        del cluster.unacked[message.tag]
        message.kind.line.unacked.down(now)
        _put_back(cluster, now, message)


def _put_back(cluster: "Cluster", now: float, message: Message) -> None:
    """RPUSH: it leaves next. Whoever still has it does not know."""
    again = message.again()
    if message.host is not None:
        message.kind.duplicated += 1
        for mark in message.marks:
            mark.waiting += 1
            mark.alive += 1
    else:
        for mark in message.marks:
            mark.replaced(message, again)
    line = message.kind.line
    if line.blocked:
        cluster.offer(now, again)
    else:
        line.put_back(now, again)
