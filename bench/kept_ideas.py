"""The ideas that make Dargah quick, as bench.kept measures them: the undo of each, and what it is measured beside."""

from dataclasses import dataclass
from typing import Final

KEPT: Final = ""


@dataclass(frozen=True, slots=True)
class Idea:
    """By the names of the undos: `beside` is what it was measured beside, where that is not Dargah as it is."""

    text: str
    without: str
    beside: str = KEPT


IDEAS: Final = (
    Idea("(nothing: the same twice)", "nothing"),
    Idea("uvloop", "loop"),
    Idea("steps that wait share a hop and a commit", "commits"),
    Idea("… and their statements", "statements"),
    Idea("… and need no savepoints", "savepoints", beside="statements"),
    Idea("token, merchant, opened api_key: kept for 2 s", "rows"),
    Idea("the gateway is asked without aiohttp's session", "ordinary"),
    Idea("in the session: its body as bytes", "form", beside="session"),
    Idea("in the session: no jar of cookies", "cookies", beside="session"),
    Idea("in the session: no timeout for each call", "timeouts", beside="session"),
    Idea("connections to the gateway are kept alive", "connections"),
    Idea("plain answers need no parser", "plain"),
    Idea("the garbage: frozen after the start, looked at less", "garbage"),
    Idea("counters: dicts, by keys made once", "metrics"),
    Idea("random bytes by the thousand, kept texts", "texts"),
    Idea("routes without a variable: one look-up", "ways"),
    Idea("answers leave in one write", "whole"),
    Idea("records frozen to mypy only", "records"),
    Idea("no task, no timer for a body, one for all calls", "timers"),
    Idea("no line for each request (a setting)", "lines"),
    Idea("with lines: those of one turn in one write", "apart", beside="lines"),
)
