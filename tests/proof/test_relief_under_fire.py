"""Whatever is killed while relief is at work, every message is in exactly one place, and what is kept stays in its order.

`TIDEGATE_PROOF_KILLS` is how many times an act, or the end of one, is killed at random (300). Some seconds of it are in
the suite (tests/act/test_relief_is_killed.py).
"""

import os

import pytest

from relief_steps import every_step, every_step_of_its_end
from relief_under_fire import ACTS, Fire

pytestmark = pytest.mark.proof

KILLS = int(os.environ.get("TIDEGATE_PROOF_KILLS", "300"))


@pytest.mark.timeout(3600)
def test_no_message_is_lost_or_doubled_whenever_an_act_is_killed(tmp_path, private_broker):
    fire = Fire(tmp_path, private_broker(), depth=20_000)
    while fire.kills < KILLS:
        fire.round()
        assert not fire.wrong, "\n".join(fire.wrong)
    print(*fire.lines(), sep="\n")


@pytest.mark.timeout(3600)
def test_nor_where_the_server_is_killed_and_comes_back(tmp_path, private_broker):
    fire = Fire(tmp_path, private_broker(appendonly="yes", appendfsync="always"), depth=20_000)
    while fire.restarts < 40:
        fire.round(kill_the_server=True)
        assert not fire.wrong, "\n".join(fire.wrong)
    print(*fire.lines(), sep="\n")


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("way", ["resume", "rollback"])
@pytest.mark.parametrize("kind", ACTS)
def test_nor_at_any_step_of_it(kind, way, tmp_path, private_broker):
    tried, wrong = every_step(kind, way, private_broker(), tmp_path)
    print(f"{kind}, {way}: killed at {tried} steps")

    assert tried > 50
    assert not wrong, "\n".join(wrong)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("way", ["resume", "rollback"])
@pytest.mark.parametrize("kind", ACTS)
def test_nor_at_any_step_of_its_end(kind, way, tmp_path, private_broker):
    tried, wrong = every_step_of_its_end(kind, way, private_broker(), tmp_path)
    print(f"{kind}, {way}: killed at {tried} steps of its end")

    assert tried > 20
    assert not wrong, "\n".join(wrong)
