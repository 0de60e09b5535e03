"""What docs/security.md says is so, and no comparison of a secret tells by its time: `hmac.compare_digest` does it.

For that the whole of the package is read. A comparison by `==` or `in` of something that is named like a secret is one
of those below, whose reason stands beside it, or a mistake.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import proxy
from proxy.kernel.ids import TOKEN_PATTERN
from proxy.kernel.read_through_cache import MAX_AGE_SECONDS
from proxy.merchants.merchant import Scope
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


PACKAGE = Path(proxy.__file__).parent
SECRET = re.compile(r"secret|token|signature|digest|password|api_key|hmac|hashed|(^|_)mac$|bearer|otp", re.IGNORECASE)

HARMLESS = {
    "webhooks/storage/queue.py: claimed[1] != claim.token": "the fence of a claim, which nobody outside gives",
    "payments/creation.py: stored.intent.digest != digest": "of a create's body, which whoever asks has sent himself",
    "payments/creation.py: stored.intent.digest == request.digest": "the same",
    "webhooks/storage/resends.py: known[1] != asked.digest": "of a resend's request, the same",
    "cli/api.py: ' ' in token": "the operator's own, on his own machine",
    "cli/backup.py: _line(answer).get('sha256') != digest.hexdigest()": "of a file's bytes, which the operator has",
    "cli/options.py: ' ' in token": "the same",
    "cli/webhooks.py: digest != content_digest(body)": "of a body that the caller has",
    "config/values.py: name in tokens": "of operators' names",
    "config/values.py: token in (token + token)[1:-1]": "of a setting with itself, when it is read",
    "config/values.py: token in tokens.values()": "of settings, when they are read",
    "merchants/cache.py: hashed not in self._right": "of digests, in a set: its place tells nothing of a token",
    "operations/first_settings.py: name != SECRETS_DIR": "of a setting's name",
    "operators/operators.py: hashed not in self._right": "the same",
    "operators/sessions.py: hashed not in self._right": "the same",
    "operators/operators.py: token_kind(text) != 'op'": "of what stands in front of a token",
    "console/terminal_form.py: name not in secrets": "of fields' names, as are the next six",
    "merchants/setup/binding.py: secret not in given": "the same",
    "merchants/setup/families.py: API_KEY in given": "the same",
    "merchants/setup/families.py: credential == secret": "the same",
    "merchants/setup/terminals.py: name not in _SECRET": "the same",
    "gateways/sep/answers.py: said['Token'] not in {'', token}": "of a payment's name at a gateway",
    "merchants/vault.py: credential == API_KEY": "the same",
    "merchants/vault.py: secret in {API_KEY, HEADERS}": "the same",
    "api/v1/objects.py: V1A in endpoint.signatures": "of a scheme's name",
}


def in_the_package() -> Iterator[str]:
    for file in sorted(PACKAGE.rglob("*.py")):
        name = str(file.relative_to(PACKAGE))
        if not name.startswith(("simulator/", "gateways/simulation/", "demo/")) and not name.endswith("/simulator.py"):
            yield from (f"{name}: {found}" for found in comparisons(file.read_text("utf-8")))


def comparisons(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare) and _tells(node):
            yield ast.unparse(node)


def _tells(node: ast.Compare) -> bool:
    compares = any(isinstance(op, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for op in node.ops)
    return compares and any(SECRET.search(name) for side in (node.left, *node.comparators) for name in _names(side))


def _names(side: ast.expr) -> Iterator[str]:
    """The names of the values themselves: of `a.token` that is `token`, of `f(token)` it is `f`."""
    match side:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            yield name
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
            for part in parts:
                yield from _names(part)
        case ast.Call(func=func):
            yield from _names(func)
        case ast.Subscript(value=value, slice=ast.Constant(value=str(key))):
            yield key
            yield from _names(value)


def test_no_secret_is_compared_in_a_time_that_tells() -> None:
    found = set(in_the_package())
    assert found - set(HARMLESS) == set()
    assert set(HARMLESS) - found == set(), "it is gone; take it from the list"


@pytest.mark.parametrize(
    ("source", "finds"),
    [
        ("if token == given: pass", True),
        ("ok = self.admin_token != other", True),
        ("ok = given in (endpoint.secret, old)", True),
        ("ok = sha256(x).hexdigest() == y", True),
        ("ok = query['signature'] == expected", True),
        ("ok = hmac.compare_digest(signature, expected)", False),
        ("ok = token.mode == mode", False),
        ("ok = secret is None", False),
    ],
)
def test_the_search_sees_what_it_is_for(source: str, *, finds: bool) -> None:
    assert bool(list(comparisons(source))) is finds
