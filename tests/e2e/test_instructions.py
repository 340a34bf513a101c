"""Instructions: a push costs no more than it did, whatever else the machine does meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

import instructions
from instructions import Cost


@pytest.mark.timeout(600)
def test_a_push_costs_no_more_than_it_did(tmp_path: Path) -> None:
    """From the server's call to the answer: signature, document, verdict, rows."""
    instructions.require()

    found = instructions.count(tmp_path)

    assert "" == found.cost.excess(instructions.kept()), "\n".join(found.statements)


@pytest.mark.parametrize(
    ("cost", "told"),
    [
        (Cost(times=5.0, statements=20), ""),
        (Cost(times=4.0, statements=12), ""),
        (Cost(times=5.149, statements=20), ""),
        (
            Cost(times=5.25, statements=20),
            "a push costs 5.0 % more instructions (5.250 times the least, 5.000 before); ",
        ),
        (Cost(times=5.0, statements=21), "a push costs more statements (21, 20 before); "),
    ],
)
def test_what_costs_more_is_told_with_what_to_do(cost: Cost, told: str) -> None:
    """A gain is no fault; other builds of Python differ a little."""
    assert told + (instructions.RENEWAL if told else "") == cost.excess(Cost(times=5.0, statements=20))
