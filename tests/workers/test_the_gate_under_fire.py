"""A few seconds of `tests/proof/test_nothing_is_lost_under_fire.py`, which says what is tried."""

import pytest

from under_fire import Fire, judged


@pytest.mark.quiet
def test_no_message_is_lost_whoever_is_killed(tmp_path, private_broker):
    with Fire(tmp_path, private_broker, producers=2, workers=2) as fire:
        fire.rage(6.0, restart_every_s=3.0)
        account = fire.account()

    assert judged(account) == [], "\n".join(account.lines())
    assert account.restarts
