"""`dargah serve` without one of the things that make it quick: `python -m bench.without NAME FILE serve …`.

How often what was put in its place has been used is in FILE when the process has ended: of several parts, the least.
"""

import atexit
import itertools
import sys
from pathlib import Path
from types import ModuleType
from typing import Final, cast

# As `dargah serve` does, before anything imports structlog: so both have loaded the same.
for _unused in ("rich", "greenlet"):
    sys.modules.setdefault(_unused, cast("ModuleType", None))

from bench.undo import Undo  # noqa: E402  see above
from bench.undone_gateway import by_session, own_connections, own_timers, parsed_answers  # noqa: E402
from bench.undone_process import (  # noqa: E402
    a_line_each,
    awaited_bodies,
    nothing,
    own_children,
    own_randomness,
    own_tasks,
    plain_loop,
    unkept_texts,
    usual_garbage,
)
from bench.undone_store import own_commits, own_savepoints, own_statements, unkept_rows  # noqa: E402
from proxy.__main__ import main  # noqa: E402

UNDOS: Final = {
    "nothing": Undo([nothing], each=False),
    "loop": Undo([plain_loop], each=False),
    "garbage": Undo([usual_garbage], each=False),
    "commits": Undo([own_commits]),
    "statements": Undo([own_statements]),
    "savepoints": Undo([own_savepoints]),
    "rows": Undo([unkept_rows]),
    "ordinary": Undo([by_session(form=True, cookies=True, timeouts=True)]),
    "session": Undo([by_session()]),
    "form": Undo([by_session(form=True)]),
    "cookies": Undo([by_session(cookies=True)]),
    "timeouts": Undo([by_session(timeouts=True)]),
    "connections": Undo([own_connections]),
    "answers": Undo([parsed_answers]),
    "timers": Undo([own_timers, own_tasks, awaited_bodies]),
    "metrics": Undo([own_children]),
    "texts": Undo([own_randomness, unkept_texts]),
    "lines": Undo([a_line_each]),
}


def serve(name: str, file: Path, arguments: list[str]) -> None:
    """Undoes it and runs the command."""
    uses = []
    for part in UNDOS[name].parts:
        uses.append(itertools.count())
        part(uses[-1].__next__)
    atexit.register(lambda: file.write_text(str(min(map(next, uses)))))
    sys.argv = ["dargah", *arguments]
    main()


if __name__ == "__main__":
    serve(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
