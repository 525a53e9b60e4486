"""What the guide to the gate says of an ACL is what the gate sends, and the outcomes it names are those there are."""

import re
from pathlib import Path

import pytest

from test_docs import first_cells, read, section
from tidegate.facts.gate import Outcome, Overflow

SOURCE = Path(__file__).resolve().parent.parent / "src/tidegate"
SCRIPTS = sorted((SOURCE / "broker/lua").glob("*.lua"))
#: Modules whose own commands the application's user sends.
SENDERS = [*sorted((SOURCE / "act/gate").glob("*.py")), SOURCE / "broker/scripts.py"]


def granted(user="proj", page="howto/bound-a-queue.md"):
    line = re.findall(rf"^ACL SETUSER {user} (.*)$", read(page), re.MULTILINE)[0]
    return set(re.findall(r"\+(\S+)", line))


def called_in(script):
    calls = re.findall(r"""redis\.p?call\(\s*["']([A-Z]+)["'](?:, ["']([A-Z]+)["'])?""", script.read_text())
    return {f"{name}|{more}".lower() if name == "MEMORY" else name.lower() for name, more in calls}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_command_of_a_script_is_granted(script):
    assert called_in(script) - granted() == set()


@pytest.mark.parametrize("script", sorted((SOURCE / "broker/lua/relief").glob("*.lua")), ids=lambda path: path.stem)
def test_every_command_of_a_script_of_relief_is_granted_to_the_operator(script):
    assert called_in(script) - granted("operator", "howto/production.md") == set()


def test_every_command_that_is_sent_without_a_script_is_granted_and_no_other_is():
    sent = {name.lower() for path in SENDERS for name in re.findall(r"""\(\s*"([A-Z]{3,})",""", path.read_text())}
    called = set().union(*map(called_in, SCRIPTS))

    assert sent - granted() == set()
    assert granted() - called - sent == set()


def test_every_outcome_and_every_overflow_is_explained():
    named = {outcome.value for outcome in Outcome} - {"admitted"}

    assert set(first_cells(section("reference/json.md", "outcomes"))) == named
    [_, *overflows] = first_cells(section("howto/bound-a-queue.md", "What callers see"))

    assert overflows == [each.value for each in Overflow]
