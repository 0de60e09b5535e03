"""The undos by their names. Benchmarks only."""

from typing import Final

from bench.undo import Undo
from bench.undone_gateway import by_session, own_connections, own_timers, parsed_answers
from bench.undone_process import (
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
from bench.undone_store import own_commits, own_savepoints, own_statements, unkept_rows

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
