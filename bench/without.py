"""`dargah serve` without one of the things that make it quick: `python -m bench.without NAME FILE serve …`.

How often what was put in its place has been used is in FILE when the process has ended: of several parts, the least.
"""

import atexit
import itertools
import sys
from pathlib import Path
from types import ModuleType
from typing import cast

from bench.undos import UNDOS


def main(name: str, file: Path, arguments: list[str]) -> None:
    """Undoes it and runs the command."""
    # As `dargah serve` does, before anything imports structlog: so both have loaded the same.
    for module in ("rich", "greenlet"):
        sys.modules.setdefault(module, cast("ModuleType", None))
    undo = UNDOS[name]
    uses = [itertools.count() for _ in undo.parts]
    undo.do(each.__next__ for each in uses)
    atexit.register(lambda: file.write_text(str(min(map(next, uses)))))
    from proxy.__main__ import main as dargah  # noqa: PLC0415  one of the undos must come before the product

    sys.argv = ["dargah", *arguments]
    dargah()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
