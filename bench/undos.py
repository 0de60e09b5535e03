"""The undos by their names. Benchmarks only."""

from typing import Final

from bench.undo import Undo

UNDOS: Final = {
    "nothing": Undo(["process:nothing"], each=False),
    "loop": Undo(["process:plain_loop"], each=False),
    "garbage": Undo(["process:usual_garbage"], each=False),
    "records": Undo(["records:frozen"], each=False),
    "commits": Undo(["store:own_commits"]),
    "statements": Undo(["store:own_statements"]),
    "savepoints": Undo(["store:own_savepoints"]),
    "rows": Undo(["store:unkept_rows"]),
    "ordinary": Undo(["gateway:ordinary"]),
    "session": Undo(["gateway:session"]),
    "form": Undo(["gateway:form"]),
    "cookies": Undo(["gateway:cookies"]),
    "timeouts": Undo(["gateway:timeouts"]),
    "connections": Undo(["gateway:own_connections"]),
    "plain": Undo(["gateway:parsed_answers"]),
    "ways": Undo(["process:matched_routes"]),
    "whole": Undo(["process:answers_in_parts"]),
    "timers": Undo(["gateway:own_timers", "process:own_tasks", "process:awaited_bodies"]),
    "metrics": Undo(["process:own_children"]),
    "texts": Undo(["process:own_randomness", "process:unkept_texts"]),
    "lines": Undo(["process:a_line_each"]),
    "apart": Undo(["process:a_line_each", "process:lines_at_once"]),
    "sync": Undo(["disk:sync"], each=False),
    "copying": Undo(["disk:copying"], each=False),
}
