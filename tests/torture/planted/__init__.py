"""What a planted bug is: edits of the source, and the stage that must notice them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """`old` stands exactly once in the file `path` of the package; `new` takes its place."""

    path: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Planted:
    """One wrong version. `catcher` is the stage that must notice it; `tests` are what it runs of the contract tests."""

    name: str
    edits: tuple[Edit, ...]
    catcher: str = "simulation"
    tests: str = ""


def bug(name: str, *edits: Edit, by: str = "simulation", part: str = "") -> Planted:
    """`by` is the stage that must notice it (`part` is one of the machines'), or the tests, by their paths."""
    return Planted(name, edits, "contract tests", by) if by.startswith("tests/") else Planted(name, edits, by, part)
