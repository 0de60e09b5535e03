"""Each pair of operation, fault and state has been met, or has a reason; the document shows all of them."""

import re
from collections import Counter
from typing import Final

import pytest

from . import DOCUMENT, met
from .__main__ import MET_BEGIN, MET_END

EVERY: Final = [
    (operation, fault, state) for operation, states in met.ROWS.items() for state in states for fault in met.FAULTS
]


def test_a_pair_that_was_never_met_is_named() -> None:
    counts = Counter({met.key(*pair): 1 for pair in EVERY if met.why_left_out(pair) is None})
    assert met.never_met(counts) == []
    del counts[met.key("return", met.CRASH, "canceled")]
    assert met.never_met(counts) == ["return × crash × canceled"]


def test_most_pairs_must_be_met() -> None:
    asked = [pair for pair in EVERY if met.why_left_out(pair) is None]
    assert len(asked) > len(EVERY) / 2


@pytest.mark.parametrize("number", range(1, len(met.LEFT_OUT) + 1))
def test_each_reason_leaves_something_out(number: int) -> None:
    assert any(met.why_left_out(pair) == number for pair in EVERY)


def test_the_document_shows_every_pair_met_or_with_its_reason() -> None:
    shown = DOCUMENT.read_text("utf-8").partition(MET_BEGIN)[2].partition(MET_END)[0]
    made = met.table(Counter({met.key(*pair): 7 for pair in EVERY if met.why_left_out(pair) is None}))
    without_counts = re.sub(r"[0-9,]+(?= \|)", "7", shown.strip()).splitlines()[2:]  # after whose counts they are
    # A count may stand where a reason would: what is left out is not forbidden.
    for line, expected in zip(without_counts, made, strict=True):
        assert [cell for cell in line.split("|") if cell.strip() != "7"] == [
            cell for cell, mine in zip(expected.split("|"), line.split("|"), strict=True) if mine.strip() != "7"
        ]
        assert " 0 " not in line
