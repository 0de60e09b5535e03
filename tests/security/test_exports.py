"""A spreadsheet runs no cell of an export, whatever separates its columns and however the sign is written."""

import csv
import io
from itertools import product
from pathlib import Path

import pytest
from web.browsing import Browser, operator
from web.lab import Lab

from proxy.console.payments import _cell

SIGNS = "=+-@＝＋－＠﹦﹢﹣﹫"
# What may stand before a cell's own first sign, and what begins another cell in some language of a spreadsheet.
UNSEEN = ("", " ", "  ", "\t", "\r", "\n", "\u00a0", "\u200c", "\u200f", "\ufeff", '"', '" ')
SEPARATORS = ("", "x;", "x؛", "x,", "x،", "x|", "x\t", "x\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With SQLite's file: a page is the same whatever the store."""
    return tmp_path


@pytest.mark.parametrize("separator", SEPARATORS)
def test_no_sign_of_a_formula_begins_a_cell(separator: str) -> None:
    for unseen, sign in product(UNSEEN, SIGNS):
        assert str(_cell(f"{separator}{unseen}{sign}1+1")).startswith(f"{separator}'"), (separator, unseen, sign)


@pytest.mark.parametrize("plain", ["A-1700", "سفارش ۱۲", "a=b", "x+y", "1,5", "علی؛ رضا", "a@b.example"])
def test_what_is_no_formula_stays_as_it_is(plain: str) -> None:
    assert _cell(plain) == plain
    assert _cell(-5) == -5


async def test_an_exported_order_is_text(lab: Lab) -> None:
    orders = ["x;=1+1", "x؛=1+1", "＝1+1", "=cmd|' /C calc'!A0", "@SUM(1)"]
    for order in orders:
        await lab.created(order_id=order)
    browser: Browser = await operator(lab)
    answer = await browser.get("/console/payments.csv?lang=en")
    rows = csv.DictReader(io.StringIO(answer.body.decode("utf-8-sig"), newline=""))
    shown = {row["order_id"] for row in rows}
    assert shown == {"x;'=1+1", "x؛'=1+1", "'＝1+1", "'=cmd|' /C calc'!A0", "'@SUM(1)"}
