"""The patterns of docs/scaling.md find a merchant's key in what a router sees."""

import random
import re
from pathlib import Path

import pytest

from proxy.ids import DELIVERY, ENDPOINT, EVENT, PAYMENT, TERMINAL, TOKEN, Ids, merchant_key

PAGE = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text("utf-8")
IDS = Ids(random.Random(1).randbytes)  # the cases must have the same names in every worker
MERCHANT = IDS.merchant()


def patterns() -> list[re.Pattern[str]]:
    """As a router writes them, in a table whose bars are escaped."""
    found = re.findall(r"\| `(\S[^`]*\(\?<key>[^`]*)` \|", PAGE)
    return [re.compile(text.replace("\\|", "|").replace("(?<key>", "(?P<key>")) for text in found]


@pytest.mark.parametrize(
    ("row", "seen"),
    [
        (0, f"/pay/{IDS.link(MERCHANT, 1)}"),
        (0, f"/return/{IDS.link(MERCHANT, 1)}?status=1"),
        (0, f"/invoice/pay/{IDS.link(MERCHANT, 1)}"),
        (1, f"Bearer {IDS.api_token(MERCHANT, 'live')}"),
        (1, f"Bearer {IDS.api_token(MERCHANT, 'test')}"),
        (2, f"/admin/v1/merchants/{MERCHANT}/tokens"),
        *(
            (2, f"/v1/records/{IDS.record(kind, MERCHANT, 1)}")
            for kind in (PAYMENT, TERMINAL, TOKEN, ENDPOINT, DELIVERY, EVENT)
        ),
    ],
)
def test_a_router_finds_the_cell_without_a_look_up(row: int, seen: str) -> None:
    found = patterns()[row].search(seen)
    assert found is not None, seen
    assert found["key"] == merchant_key(MERCHANT)


def test_the_page_has_a_pattern_for_each_way_in() -> None:
    assert len(patterns()) == 3
    assert not patterns()[1].search("Bearer dg_op_" + "0" * 36)
