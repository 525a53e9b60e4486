"""Restores killed at random instants, and their server with them, while others publish and take: each message once.

`TIDEGATE_PROOF_KILLS` says how many kills of each kind; the proof takes about a second for each.
"""

import itertools
import json
import os
import random
import subprocess
import sys
import threading
import time

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tidegate.act.relief.acts import rows_of
from tidegate.backup.batch import Batch
from tidegate.backup.header import Header
from tidegate.backup.writer import BackupWriter
from tidegate.broker.address import parse_address
from tidegate.broker.client import connect
from tidegate.errors import CannotLook
from tidegate.facts.relief import State

pytestmark = [pytest.mark.proof, pytest.mark.timeout(900)]

KILLS = int(os.environ.get("TIDEGATE_PROOF_KILLS", "60"))
#: More than go in the time that all runs have together, so that every kill meets a restore.
QUEUE, MESSAGES = "celery", 400 * KILLS
GOING_ON = """
import sys
from pathlib import Path
from tidegate import relieving
from tidegate.act.relief import restoring
from tidegate.broker.address import parse_address

restoring._PORTION_BYTES = 4000
address, yes = parse_address(sys.argv[1]), relieving.How(yes=True)
print("ready", flush=True)
if sys.argv[3]:
    relieving.resume(address, sys.argv[3], yes)
else:
    relieving.restore(address, Path(sys.argv[2]), relieving.Wish(rate_per_s=1500), yes)
"""


def message(number, kind):
    properties = {"delivery_tag": f"{kind}-{number}", "delivery_info": {"exchange": "", "routing_key": QUEUE}}
    return json.dumps({"body": "W10=", "headers": {"task": kind, "id": str(number)}, "properties": properties}).encode()


class Others(threading.Thread):
    """Publishes and takes as producers and workers do; through a server's death, too."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self._url, self._ended = url, threading.Event()
        self._numbers, self.published, self.taken = itertools.count(), [], []
        self.maybe_published, self.maybe_taken = set(), set()

    def run(self):
        # Never twice of its own accord: a push whose answer was lost would be there twice.
        with redis.Redis.from_url(self._url, socket_timeout=5, retry=Retry(NoBackoff(), 0)) as client:
            self._work(client)

    def _work(self, client):
        while not self._ended.wait(0.002):
            one = message(next(self._numbers), "new")
            try:
                # Of a server that is away nothing is unsure: at most one command is, each time that it dies.
                client.ping()
                self.maybe_published.add(one)
                client.lpush(QUEUE, one)
                self.maybe_published.discard(one)
                self.published.append(one)
                # Peeked at first: what is popped in the instant in which the server dies can't be known.
                if random.random() < 0.5:
                    self._take(client)
            except redis.RedisError:
                time.sleep(0.05)

    def _take(self, client):
        oldest = client.lindex(QUEUE, -1)
        if oldest is None:
            return
        self.maybe_taken.add(oldest)
        if client.rpop(QUEUE) == oldest:
            self.maybe_taken.discard(oldest)
            self.taken.append(oldest)

    def end(self):
        self._ended.set()
        self.join()


def test_killed_ever_again_a_restore_loses_and_doubles_nothing(private_broker, tmp_path):
    _prove(private_broker(), tmp_path / "celery.tidegate", kills_server=False)


def test_a_server_that_dies_ever_again_loses_and_doubles_nothing(private_broker, tmp_path):
    server = private_broker(appendonly="yes", appendfsync="always")
    _prove(server, tmp_path / "celery.tidegate", kills_server=True)


def _prove(server, file, *, kills_server):
    back, chance = [message(number, "back") for number in range(MESSAGES)], random.Random(7)
    with BackupWriter.begin(file, Header(queue=QUEUE, act="purge")) as writer:
        for first in range(0, MESSAGES, 1000):
            own = back[first : first + 1000]
            writer.append(Batch(queue=QUEUE, step=0, positions=range(first, first + 1000), elements=own))
        writer.seal()
    others, id_, killed = Others(server.url), "", 0
    others.start()
    while killed < KILLS:
        child = subprocess.Popen([sys.executable, "-c", GOING_ON, server.url, str(file), id_], stdout=subprocess.PIPE)
        child.stdout.readline()
        time.sleep(chance.uniform(0, 0.3))
        over = child.poll() == 0
        if kills_server:
            server.kill()
            server.restart()
        else:
            child.kill()
        child.wait()
        child.stdout.close()
        killed += 1
        id_, state = _latest(server.url, id_)
        assert not over
    if state is not State.DONE and id_:
        subprocess.run([sys.executable, "-c", GOING_ON, server.url, str(file), id_], check=True)
    others.end()
    _hold(server.url, others, back)


def _latest(url, id_):
    deadline = time.monotonic() + 20
    while True:
        try:
            with connect(parse_address(url)) as broker:
                rows = rows_of(broker)
        except CannotLook:
            assert time.monotonic() < deadline
            continue
        return (rows[0].id, rows[0].state) if rows else (id_, None)


def _hold(url, others, back):
    with redis.Redis.from_url(url) as client:
        left = client.lrange(QUEUE, 0, -1)[::-1]
    found = others.taken + left
    assert len(found) == len(set(found))
    sure = [one for one in found if one not in others.maybe_taken]
    assert [one for one in sure if b'"back-' in one] == [one for one in back if one not in others.maybe_taken]
    new = {one for one in sure if b'"new-' in one}
    assert set(others.published) - others.maybe_taken <= new <= set(others.published) | others.maybe_published
    assert len(others.maybe_published | others.maybe_taken) <= KILLS
