"""Some seconds of `tests/proof/test_relief_under_fire.py`, and what else may come between an act and its end."""

import os
import signal
from pathlib import Path

import pytest

from act.taking import until
from faces.shell import run
from relief_books import ELSEWHERE, HIDDEN, OUT_OF_ORDER, QUEUE, TASKS, task_of
from relief_steps import DEPTH, Site, every_step
from relief_under_fire import Child, Fire, Happening, on_a_full_disk
from tidegate.demo.broker import PrivateBroker
from tidegate.facts.relief import State


@pytest.fixture(scope="module")
def broker():
    with PrivateBroker() as one:
        yield one


@pytest.fixture
def site(broker, tmp_path):
    return Site(broker, tmp_path)


def test_an_act_that_is_killed_at_any_instant_loses_and_doubles_nothing(tmp_path, private_broker):
    fire = Fire(tmp_path, private_broker(), depth=5000)
    while fire.kills < 5:
        fire.round()

    assert fire.wrong == [], "\n".join(fire.lines())


@pytest.mark.parametrize(("kind", "way", "first"), [("purge", "rollback", 29), ("dedupe", "resume", 67)])
def test_nor_where_it_is_killed_at_a_step(kind, way, first, broker, tmp_path):
    tried, wrong = every_step(kind, way, broker, tmp_path, first, by=61)

    assert tried > 2
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("way", ["resume", "rollback"])
@pytest.mark.parametrize("step", [90, 150])
def test_ctrl_c_leaves_the_queue_whole_and_the_act_to_be_ended(step, way, site):
    child = site.act("purge", Happening(step, signal.SIGINT))

    assert child.said.startswith("KeyboardInterrupt")
    assert site.row.state is State.INTERRUPTED
    assert site.set_aside() == 0
    assert_all_there(site, way)


@pytest.mark.parametrize("way", ["resume", "rollback"])
def test_a_disk_that_fills_up_is_said_and_once_there_is_room_it_goes_on(way, site):
    arguments = ("purge", site.broker.url, site.file)
    child = Child.in_steps(site.broker.socket_path, Happening(0), on_a_full_disk, 1200, *arguments).wait()

    assert child.said.startswith("Refused: can't write"), child.said
    assert "the disk is full" in child.said
    assert site.row.state is State.INTERRUPTED
    assert site.set_aside() == 0
    assert_all_there(site, way)


def assert_all_there(site, way):
    """Every message once, and those that the act was never to take in their order: others went behind as it stopped."""
    wrong = but_for_order(site.ended(way))
    stay = [one for one in (*site.books.taken, *site.books.waiting()) if one <= DEPTH and task_of(one) != TASKS[0]]

    assert wrong == []
    assert stay == sorted(stay)


def but_for_order(wrong):
    return [one for one in wrong if OUT_OF_ORDER not in one]


def test_a_queue_that_somebody_renames_meanwhile_loses_nothing(site):
    child = site.act("purge", Happening(120, command=("RENAME", QUEUE, ELSEWHERE)))

    assert child.said == ""
    assert site.client.llen(ELSEWHERE) > 0
    assert sorted(site.books.waiting()) == sorted(set(site.books.waiting()))
    assert but_for_order(site.ended("resume")) == []


def test_what_is_set_aside_and_renamed_is_missed_in_one_line(site):
    aside = HIDDEN.format("aside")
    child = site.act("purge", Happening(130, command=("RENAME", aside, ELSEWHERE)))

    assert child.said.startswith(f"Refused: somebody else changed {aside}: "), child.said
    assert site.row.state is State.INTERRUPTED
    assert but_for_order(site.ended("resume")) == []


def test_of_two_acts_on_a_queue_the_second_is_refused(site):
    child = site.begun("purge", Happening(120, signal.SIGSTOP))
    until(lambda: _is_stopped(child.process.pid))
    ran = run("purge", QUEUE, site.broker.url, "--task", TASKS[1], "--yes", "--backup", str(site.file) + "2")
    os.kill(child.process.pid, signal.SIGCONT)

    assert ran.code == 4, ran.said
    assert f"{QUEUE} is in the hand of another act, purge-" in ran.said
    assert child.wait().said == ""
    assert site.wrong() == []


def _is_stopped(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "T"


def test_the_backup_of_another_act_is_never_touched_and_nothing_begins(site):
    site.act("purge")
    whole, begun = site.file.read_bytes(), site.row.id
    for step in range(2, 40, 3):
        site.act("purge", Happening(step, signal.SIGKILL))

        assert site.row.id == begun

    assert site.file.read_bytes() == whole
