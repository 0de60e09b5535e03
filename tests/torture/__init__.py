"""The campaign that tries to lose a payment. Each stage is a command: `python -m tests.torture.STAGE`.

Here is what the stages share: the seed, folders in memory, and the tables of their runs in docs/reliability.md.
"""

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

ROOT: Final = Path(__file__).parents[2]
DOCUMENT: Final = ROOT / "docs" / "reliability.md"
# Where the machine has such a place: what is looked at is what SQLite is told, not how long a sync takes.
MEMORY: Final = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

# As commands the stages find the other tests' helpers (`e2e`, `store`) by the names that pytest gives them.
if (_TESTS := str(Path(__file__).parent.parent)) not in sys.path:
    sys.path.append(_TESTS)

seed_option = click.option(
    "--seed",
    type=int,
    default=lambda: int.from_bytes(os.urandom(3)),
    help="Draws every choice; a new one by default.",
)


def first_seed() -> int:
    """The same for everybody, so that a change is judged by what it changed; `make torture` looks where nobody has."""
    return int(os.environ.get("DARGAH_TORTURE_SEED") or 20261124)


@contextmanager
def scratch() -> Iterator[Path]:
    """A new folder, which goes away again."""
    with tempfile.TemporaryDirectory(prefix="dargah-torture-", dir=MEMORY) as folder:
        yield Path(folder)


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> list[str]:
    """A table; its columns are numbers, but for the first `texts`."""
    rule = ["---"] * texts + ["---:"] * (len(head) - texts)
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)]


def document(begin: str, end: str, lines: Sequence[str]) -> None:
    """Puts the lines of a run between its marks in docs/reliability.md."""
    head, _, rest = DOCUMENT.read_text("utf-8").partition(begin)
    block = "\n".join([begin, "", *lines, "", end])
    DOCUMENT.write_text(f"{head}{block}{rest.partition(end)[2]}", "utf-8")
