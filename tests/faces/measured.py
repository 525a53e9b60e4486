"""What probes would have left in Redis: a cluster played in the mind, written as the probe writes."""

import time
from dataclasses import replace

from model.cluster import CHILD, PARENT, START, Cluster, Task, every
from tidegate.broker.keys import Layout
from tidegate.broker.ledger import Stretch, workers_key, writing
from tidegate.broker.records import encode_slice, encode_worker

MINUTES = 5
LAYOUT = Layout()


def two_hosts(interval_s=1.0):
    """Firings of a parent with 20 children of 60 ms each, on one slot on each of two hosts: the edge is at 0.63 s."""
    cluster = Cluster([Task(PARENT, lambda: 0.02, children={CHILD: 20}), Task(CHILD, lambda: 0.06)], slots=2,
                      nodes=("w1@one", "w2@two"))  # fmt: skip
    return cluster.play(every(interval_s, PARENT, lasts_s=MINUTES * 60), MINUTES * 60)


def leave(client, measured):
    """Writes it as if it had been measured up to now."""
    now = time.time()
    shift = int(now // 60 - MINUTES) * 60 - START
    for slice_ in measured.slices:
        moved = replace(slice_, start_s=slice_.start_s + shift)
        stretch = Stretch(moved.length_s, moved.start_s)
        for command in writing(LAYOUT, stretch, "one", encode_slice(moved), 86_400):
            client.execute_command(*command)
    for worker in measured.workers:
        here = replace(worker, at_s=now, started_at_s=now - 600)
        client.hset(workers_key(LAYOUT), worker.node, encode_worker(here))
