"""What an undo is: a part of Dargah that makes it quick, replaced in the process by what most would write instead.

The product itself has no switches. `used` is called whenever the part in its place is: an undo that was never used
would have measured nothing. Benchmarks only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Used = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Undo:
    """All of `parts` at once. `each` when every create must come to them, and not the start alone."""

    parts: Sequence[Callable[[Used], None]]
    each: bool = True


def replace(owner: object, name: str, part: object) -> None:
    """Puts `part` in the place of what is called so. Raises AttributeError when nothing is."""
    getattr(owner, name)
    setattr(owner, name, part)
