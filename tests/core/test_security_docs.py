"""docs/security.md names tests that there are, covers both OWASP lists, and says what the code does."""

import re
from functools import cache
from pathlib import Path

import pytest

from proxy.directory import MAX_AGE_SECONDS
from proxy.ids import TOKEN_PATTERN
from proxy.merchant import Scope
from proxy.operators.records import Role

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
