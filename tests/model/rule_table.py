"""How a rule's table is written and checked: one row a case, with a sentence that says what it tries and why it is right.

To add a case, add a row; never change an old one without saying in its sentence what was wrong with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from builders import said

from tidegate.facts.diagnosis import Finding, Level

OK, INFO, WARNING, CRITICAL = Level


@dataclass(frozen=True)
class Row:
    """What the rule must say of the look, first and worst: its level, words of the sentence, evidence, and the remedy.

    `remedy`: words in it; None where there must be none. `unknown`: the fields that could not be seen.
    """

    why: str
    look: Any
    level: Level
    words: Sequence[str] = ()
    evidence: Mapping[str, object] = field(default_factory=dict)
    remedy: str | None = ""
    unknown: Sequence[str] = ()


def table(*rows: Row) -> pytest.MarkDecorator:
    """The rows as parametrised cases, each named by its sentence."""
    return pytest.mark.parametrize("row", rows, ids=[row.why for row in rows])


def check(rule: str, row: Row) -> None:
    """The rule says exactly what the row expects of it."""
    hold(rule, row, said(row.look, rule))


def hold(rule: str, row: Row, findings: Sequence[Finding]) -> None:
    """What the rule said is exactly what the row expects."""
    assert findings, f"{rule} said nothing"
    worst = findings[0]
    assert worst.level is row.level, worst
    assert [word for word in row.words if word not in worst.sentence] == [], worst.sentence
    assert worst.sentence.endswith(".")
    assert {name: worst.evidence.get(name) for name in row.evidence} == {k: _nearly(v) for k, v in row.evidence.items()}
    assert set(row.unknown) == set(worst.unknown)
    if row.level is OK:
        assert len(findings) == 1
    if row.unknown:
        assert worst.sentence.startswith("Could not look at ")
    elif row.level is not OK:
        _check_remedy(worst.remedy, row.remedy)


def _nearly(value: object) -> object:
    return pytest.approx(value, rel=0.01) if isinstance(value, float) else value


def _check_remedy(remedy: str | None, expected: str | None) -> None:
    assert (remedy is None) is (expected is None), remedy
    assert (expected or "") in (remedy or "")
    assert "\n" not in (remedy or "")
