"""Every message is executed, pending or counted as dropped, and no queue is over its bound, whatever is killed meanwhile.

Workers and producers are killed by SIGKILL at random, and the server (AOF, appendfsync always) is killed and started
again. Half of the messages go to a queue that refuses them at its bound, half to one that drops the oldest.

`TIDEGATE_PROOF_SECONDS` is how long it is under fire (600), `TIDEGATE_PROOF_PRODUCERS` and `TIDEGATE_PROOF_WORKERS` how
many there are (8 and 4). The same for eight seconds is in the suite (tests/workers).
"""

import os

import pytest

from under_fire import Fire, judged

pytestmark = pytest.mark.proof

SECONDS = float(os.environ.get("TIDEGATE_PROOF_SECONDS", "600"))
PRODUCERS = int(os.environ.get("TIDEGATE_PROOF_PRODUCERS", "8"))
WORKERS = int(os.environ.get("TIDEGATE_PROOF_WORKERS", "4"))


@pytest.mark.timeout(SECONDS * 2 + 240)
def test_published_is_executed_and_pending_and_dropped_and_no_queue_is_over_its_bound(tmp_path, private_broker):
    with Fire(tmp_path, private_broker, producers=PRODUCERS, workers=WORKERS) as fire:
        fire.rage(SECONDS, restart_every_s=20.0)
        account = fire.account()
    print(*account.lines(), sep="\n")

    assert judged(account) == []
    assert account.killed >= SECONDS / 4
