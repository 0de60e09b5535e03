"""`python -m tests.supply.licences`: whether what runs may be given on under Apache-2.0. Part of `make check`."""

import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError

from .lock import Locked, locked

# Permissive, and MPL-2.0, whose copyleft ends at its own files, which we do not change.
ALLOWED = frozenset(
    ("Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0", "Unlicense", "Zlib")
)


def allowed(expression: str) -> bool:
    """Every part joined by AND, of which one of those joined by OR. Brackets are what SPDX says they are."""
    expression = expression.strip()
    while (inner := re.search(r"\(([^()]*)\)", expression)) is not None:
        verdict = "MIT" if allowed(inner[1]) else "refused"
        expression = expression[: inner.start()] + verdict + expression[inner.end() :]
    return any(all(part.strip() in ALLOWED for part in each.split(" AND ")) for each in expression.split(" OR "))


def objections(libraries: Iterable[Locked]) -> Iterator[str]:
    """A line for each library that may not be given on, or does not say."""
    for library in libraries:
        try:
            licence = library.licence
        except PackageNotFoundError:
            yield f"{library.name} is not installed, so its licence is not known"
        except ValueError as error:
            yield str(error)
        else:
            if not allowed(licence):
                yield f"{library.name}: {licence} is not among those allowed in tests/supply/licences.py"


if __name__ == "__main__":
    problems = list(objections(locked()))
    print("\n".join(problems) or f"{len(list(locked()))} licences are allowed ones")  # noqa: T201  a command's output
    sys.exit(bool(problems))
