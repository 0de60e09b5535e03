"""A log line for people: the time, the level, what happened, and its fields; a failure's trace on the lines below."""

import json
import re
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

_PLAIN: Final = re.compile(r"[\w./:{}@+*?=-]+", re.ASCII)
_COLOURS: Final[Mapping[str, str]] = {
    "error": "\x1b[31m",
    "critical": "\x1b[31m",
    "warning": "\x1b[33m",
    "info": "\x1b[32m",
}
_DIM, _END = "\x1b[2m", "\x1b[0m"
_TIME: Final = slice(11, 23)  # of 2026-11-24T10:00:00.123456Z
_EVENT_CHARS: Final = 28


class ConsoleRenderer:
    """The last processor of structlog's: gives the line. `colours` is for a terminal."""

    def __init__(self, *, colours: bool) -> None:
        self._colours = colours

    def __call__(self, _logger: Any, _method: str, fields: MutableMapping[str, Any]) -> str:
        rest = dict(fields)
        at, level, event = (str(rest.pop(name, "")) for name in ("timestamp", "level", "event"))
        trace = rest.pop("exception", None)
        told = " ".join(f"{self._dim(f'{name}=')}{_shown(value)}" for name, value in rest.items())
        line = f"{self._dim(at[_TIME])} {self._level(level)} {_shown(event):{_EVENT_CHARS}} {told}".rstrip()
        return line if trace is None else f"{line}\n{trace}"

    def _level(self, level: str) -> str:
        return f"{_COLOURS.get(level, '')}{level:<8}{_END}" if self._colours else f"{level:<8}"

    def _dim(self, text: str) -> str:
        return f"{_DIM}{text}{_END}" if self._colours else text


def _shown(value: object) -> str:
    """As it is where it is plain, else as a JSON string: nobody's text begins a line of its own or moves the cursor."""
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
