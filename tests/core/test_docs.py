"""What docs/scaling.md and docs/security.md say is so."""

import random
import re
from functools import cache
from pathlib import Path

import pytest

from proxy.kernel.ids import DELIVERY, ENDPOINT, EVENT, PAYMENT, TERMINAL, TOKEN, TOKEN_PATTERN, Ids, merchant_key
from proxy.kernel.read_through_cache import MAX_AGE_SECONDS
from proxy.merchants.merchant import Scope
from proxy.operators.records import Role

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


ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "security.md").read_text("utf-8")
NAMED = re.compile(r"`((?:\w+/)+test_\w+\.py)(?:::(\w+))?`")
# A row that no test shows says why.
REASONS = ("not concerned", "not met")
CHAPTERS = 17


def section(title: str) -> str:
    return DOCUMENT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    """The cells of a table, without its two head lines."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@cache
def defined_in(file: str) -> set[str]:
    text = (ROOT / "tests" / file).read_text("utf-8")
    return set(re.findall(r"^(?:async )?def (test_\w+)\(", text, re.MULTILINE))


def test_every_test_that_is_named_exists() -> None:
    named = NAMED.findall(DOCUMENT)
    assert len(named) > 80
    missing = [
        f"{file}::{test}"
        for file, test in named
        if not (ROOT / "tests" / file).is_file() or (test and test not in defined_in(file))
    ]
    assert missing == []
    # What looks like a test is one that the line above has found.
    assert DOCUMENT.count("::test_") == sum(bool(test) for _, test in named)


@pytest.mark.parametrize("title", ["Threats", "OWASP API Security Top 10 (2023)", "OWASP ASVS 5.0, level 2"])
def test_every_row_has_a_test_or_a_reason(title: str) -> None:
    table = rows(title)
    assert len(table) >= 10
    for cells in table:
        assert NAMED.search(cells[-1]) or cells[-1].startswith(REASONS), cells


def test_each_of_the_ten_risks_and_each_chapter_has_its_row() -> None:
    risks = [cells[0].split()[0] for cells in rows("OWASP API Security Top 10 (2023)")]
    assert risks == [f"API{number}" for number in range(1, 11)]
    chapters = {
        int(number) for cells in rows("OWASP ASVS 5.0, level 2") for number in re.findall(r"\bV(\d+)", cells[0])
    }
    assert chapters == set(range(1, CHAPTERS + 1))


def test_tokens_and_roles_are_as_in_the_code() -> None:
    assert f"`{TOKEN_PATTERN.replace(chr(92) + 'b', '')}`" in section("Tokens")
    scopes = {cells[0].strip("`") for cells in rows("Tokens")}
    assert scopes == {*Scope, "terminal:ID"}
    assert [cells[0].strip("`") for cells in rows("Operators")] == list(Role)
    assert f"at most {MAX_AGE_SECONDS} seconds" in section("Tokens")
    assert f"within {MAX_AGE_SECONDS} seconds" in section("Operators")


def test_how_to_report_is_told() -> None:
    told = (ROOT / "SECURITY.md").read_text("utf-8")
    assert "private vulnerability report" in told
    assert "docs/security.md" in told
