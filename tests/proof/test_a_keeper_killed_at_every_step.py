"""A keeper is killed by SIGKILL before and after every commit to its disk and every script on the server, one step further each
time; workers go on with what the gate lets them have. Every message comes once, and in its order; also where the server is
killed and started again with it (AOF, appendfsync always).
"""

import os
import random
import signal
import subprocess
import sys

import pytest
import redis

from tidegate.act.spill import keeping
from tidegate.act.spill.keeper import Keeper
from tidegate.broker.address import parse_address

pytestmark = pytest.mark.proof

QUEUE = "celery"
SIDE, FRONT, KEPT = (f"tidegate:gate:1:{kind}:{QUEUE}" for kind in ("spill", "front", "kept"))
ROUNDS = 4
KEEP = """
import os, signal, sys
from pathlib import Path
from tidegate.act.spill import keeper, keeping, store
from tidegate.broker.address import parse_address

keeping.RESERVE, keeping._PORTION = 50, 30
left = int(sys.argv[3])

def step():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def between(name, at):
    inner = getattr(at, name)
    def call(*args, **more):
        step()
        answer = inner(*args, **more)
        step()
        return answer
    setattr(at, name, call)

one = keeper.Keeper(parse_address(sys.argv[1]), Path(sys.argv[2]))
for name in ("append", "forget_before", "forget_from", "note"):
    between(name, store.Store)
between("_run", keeping.Kept)
for _ in range(3):
    one.turn()
one.close()
"""


@pytest.fixture
def smaller(monkeypatch):
    monkeypatch.setattr(keeping, "RESERVE", 50)
    monkeypatch.setattr(keeping, "_PORTION", 30)


def taken(client, most):
    """What workers get by the rule of the gate: the front first, the side list only while nothing is on disk."""
    found = []
    while len(found) < most:
        said = client.hgetall(KEPT)
        on_disk = int(said.get(b"taken", 0)) > int(said.get(b"fed", 0))
        element = client.rpop(FRONT) or (None if on_disk else client.rpop(SIDE))
        if element is None:
            break
        found.append(element)
    return found


def killed_at(step, url, directory):
    """Whether the keeper came so far."""
    done = subprocess.run([sys.executable, "-c", KEEP, url, str(directory), str(step)], check=False)
    assert done.returncode in (0, -signal.SIGKILL)
    return done.returncode != 0


@pytest.mark.timeout(600)
@pytest.mark.parametrize("server_too", [False, True])
def test_a_keeper_killed_at_every_step_neither_loses_nor_doubles(private_broker, tmp_path, smaller, server_too):
    broker = private_broker(appendonly="yes", appendfsync="always")
    client = redis.Redis.from_url(broker.url)
    seed = int(os.environ.get("TIDEGATE_SEED", random.randrange(10**6)))
    chance, kills = random.Random(seed), 0
    for step in range(1, 10_000):
        client.flushall()
        client.sadd(f"_kombu.binding.{QUEUE}", f"{QUEUE}\x06\x16\x06\x16{QUEUE}")
        directory, got, published, went_on = tmp_path / f"disk{step}", [], 0, False
        for _ in range(ROUNDS):
            more = chance.randrange(60, 260)
            client.lpush(SIDE, *range(published, published + more))
            published += more
            hit = killed_at(step, broker.url, directory)
            kills, went_on = kills + hit, went_on or hit
            if server_too and chance.random() < 0.5:
                broker.kill()
                broker.restart()
            got += taken(client, chance.choice((0, 1, 29, 30, 70, 1000)))
        last = Keeper(parse_address(broker.url), directory)
        while last.turn() and (some := taken(client, 1000)):
            got += some
        last.close()
        assert [int(one) for one in got] == list(range(published)), f"step {step}, TIDEGATE_SEED={seed}"
        if not went_on:
            break
    print({"kills": kills, "steps": step, "seed": seed})
    assert kills > 20
