"""What an undo is: a part of Dargah that makes it quick, replaced in the process by what most would write instead.

The product itself has no switches. `used` is called whenever what is in the part's place is: an undo that was never
used would have measured nothing. Benchmarks only.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pkgutil import resolve_name

Used = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Undo:
    """All of `parts` at once, by the names of their modules and functions: they are imported when they are wanted, as
    one of them must come before the product. `each` when every create must come to them, and not the start alone.
    """

    parts: Sequence[str]
    each: bool = True

    def do(self, used: Iterable[Used]) -> None:
        """Undoes them; `used` has one for each part."""
        for part, each in zip(self.parts, used, strict=False):
            resolve_name(f"bench.undone_{part}")(each)


def replace(owner: object, name: str, part: object) -> None:
    """Puts `part` in the place of what is called so. Raises AttributeError when nothing is."""
    getattr(owner, name)
    setattr(owner, name, part)
