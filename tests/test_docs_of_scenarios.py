"""The page on scenarios and the code say the same: every key, every law, and the example."""

import re

import pytest

from test_docs import ROOT, first_cells, read, section
from tidegate.facts.overlap import Overlap
from tidegate.model.simulate.reading import LISTS, TABLES
from tidegate.model.simulate.values import LAW_KEYS


@pytest.mark.parametrize(("name", "keys"), [(name, keys) for name, (_, keys) in {**TABLES, **LISTS}.items()])
def test_every_key_of_a_scenario_stands_in_its_section_and_no_other_does(name, keys):
    assert set(first_cells(section("howto/simulate.md", name))) - {f'"{word}"' for word in Overlap} == set(keys)


def test_every_law_of_a_scenario_stands_there_with_its_keys():
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", section("howto/simulate.md", "laws"), re.MULTILINE)

    assert {name: set(re.findall(r"`(\w+)`", cell)) for name, cell in rows} == {
        name: set(keys) for name, keys in LAW_KEYS.items()
    }


def test_the_scenario_on_the_page_is_the_example():
    assert (ROOT / "examples/scenarios/story.toml").read_text() in read("howto/simulate.md")
