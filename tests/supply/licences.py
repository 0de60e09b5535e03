"""`python -m tests.supply.licences`: the lock of what runs, and whether that may be given on under Apache-2.0.

Part of `make check`.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.metadata import PackageNotFoundError
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
LOCK = REPOSITORY / "requirements.txt"

_ENTRY = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^\s;\\]+)(.*?)(?=^[a-z0-9]|\Z)", re.MULTILINE | re.DOTALL)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_VIA = re.compile(r"^ +#(?: via)? +([a-z0-9._-]+)(?: \(.*)?$", re.MULTILINE)
# Metadata of before SPDX expressions, in the words that the libraries of the lock use.
_OLD_WORDS = {
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
    "BSD License": "BSD-3-Clause",
    "Python Software Foundation License": "PSF-2.0",
}


@dataclass(frozen=True, slots=True)
class Locked:
    """A library as it is locked. `wanted_by` are names; `dargah` is ourselves."""

    name: str
    version: str
    hashes: tuple[str, ...]
    wanted_by: tuple[str, ...]

    @property
    def purl(self) -> str:
        return f"pkg:pypi/{self.name}@{self.version}"

    @property
    def licence(self) -> str:
        """Its SPDX expression, from what is installed. Raises PackageNotFoundError; ValueError when it says none."""
        told = metadata.metadata(self.name)
        for expression in told.get_all("License-Expression", []):
            return str(expression)
        classes = [each.rpartition(" :: ")[2] for each in told.get_all("Classifier", []) if each.startswith("License")]
        for words in (classes, told.get_all("License", [])):
            found = sorted({_OLD_WORDS.get(each, each) for each in words if each})
            if found:
                return " OR ".join(found)
        raise ValueError(f"{self.name} says nothing about its licence")


def locked(text: str | None = None) -> Iterator[Locked]:
    """What requirements.txt names, in its order."""
    for name, version, rest in _ENTRY.findall(LOCK.read_text("utf-8") if text is None else text):
        yield Locked(name, version, tuple(_HASH.findall(rest)), tuple(_VIA.findall(rest)))


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
