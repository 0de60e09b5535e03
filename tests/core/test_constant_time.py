"""Where a secret or what proves one is compared, the time that it takes tells nothing: `hmac.compare_digest` does it.

The whole of the package is read. A comparison by `==` or `in` of something that is named like a secret is one of those
below, whose reason stands beside it, or a mistake.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import proxy

ROOT = Path(proxy.__file__).parent
SECRET = re.compile(r"secret|token|signature|digest|password|api_key|hmac|hashed|(^|_)mac$|bearer|otp", re.IGNORECASE)

HARMLESS = {
    "webhooks/storage/queue.py: claimed[1] != claim.token": "the fence of a claim, which nobody outside gives",
    "payments/creation.py: stored.intent.digest != digest": "of a create's body, which whoever asks has sent himself",
    "cli/api.py: ' ' in token": "the operator's own, on his own machine",
    "cli/backup.py: _line(answer).get('sha256') != digest.hexdigest()": "of a file's bytes, which the operator has",
    "cli/options.py: ' ' in token": "the same",
    "cli/webhooks.py: digest != content_digest(body)": "of a body that the caller has",
    "config/values.py: name in tokens": "of operators' names",
    "config/values.py: token in (token + token)[1:-1]": "of a setting with itself, when it is read",
    "config/values.py: token in tokens.values()": "of settings, when they are read",
    "merchants/cache.py: hashed not in self._right": "of digests, in a set: its place tells nothing of a token",
    "operators/operators.py: hashed not in self._right": "the same",
    "operators/sessions.py: hashed not in self._right": "the same",
    "operators/operators.py: token_kind(text) != 'op'": "of what stands in front of a token",
    "merchants/setup/terminals.py: name == API_KEY": "of a field's name",
    "api/v1/objects.py: V1A in endpoint.signatures": "of a scheme's name",
}


def in_the_package() -> Iterator[str]:
    for file in sorted(ROOT.rglob("*.py")):
        name = str(file.relative_to(ROOT))
        if not name.startswith(("simulator/", "demo/")):
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
