"""Logs: one JSON line per event on standard output's sibling, with nothing in it but fields that are allowed.

An allow-list rather than a block-list: a field that nobody thought of is dropped, not leaked.
"""

import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

import orjson
import structlog
from structlog.tracebacks import ExceptionDictTransformer

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
        pairs = " ".join(f"{self._dim(f'{name}=')}{_show(value)}" for name, value in rest.items())
        line = f"{self._dim(at[_TIME])} {self._level(level)} {_show(event):{_EVENT_CHARS}} {pairs}".rstrip()
        return line if trace is None else f"{line}\n{trace}"

    def _level(self, level: str) -> str:
        return f"{_COLOURS.get(level, '')}{level:<8}{_END}" if self._colours else f"{level:<8}"

    def _dim(self, text: str) -> str:
        return f"{_DIM}{text}{_END}" if self._colours else text


def _show(value: object) -> str:
    """As it is where it is plain, else as a JSON string: nobody's text begins a line of its own or moves the cursor."""
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


ALLOWED: Final = frozenset(
    {
        "event",
        "level",
        "timestamp",
        "exception",
        "request_id",
        "trace_id",
        "method",
        "route",
        "status",
        "ms",
        "listener",
        "client",
        "merchant_id",
        "payment_id",
        "delivery_id",
        "endpoint_id",
        "terminal_id",
        "storefront",
        "usual_rials",
        "recent_rials",
        "operator",
        "roles",
        "unclear",
        "bytes",
        "longest_pause_ms",
        "loop",
        "error",
        "code",
        "url",
        "admin_url",
        "version",
        "sqlite_version",
        "database",
        "running",
        "kind",
        "milliseconds",
        "count",
        "why",
        "reason",
        "error_code",
        "excerpt",
        "host",
        "limit",
    }
)

# structlog's own dict_tracebacks shows every frame's locals, api_keys and tokens among them.
_TRACEBACKS: Final = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))


def configure(level: str, form: str) -> None:
    """Sets up structlog and the standard library's logging, to standard error; `form` is json or console."""
    threshold = getattr(logging, level.upper())
    colours = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    render = ConsoleRenderer(colours=colours) if form == "console" else structlog.processors.JSONRenderer(_dumps)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _TRACEBACKS if form == "json" else structlog.processors.format_exc_info,
            _only_allowed,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_RedactingFormatter("%(levelname)s %(name)s"))
    logging.basicConfig(level=max(threshold, logging.WARNING), handlers=[handler])


class _RedactingFormatter(logging.Formatter):
    """Log records of libraries without their messages: aiohttp's parse errors quote the malformed header, which may be
    somebody's token. The chain of errors is left out too.
    """

    def formatException(self, ei: Any) -> str:  # noqa: N802  the standard library's name
        kind, _error, trace = ei
        return "".join([*traceback.format_tb(trace), kind.__name__ if kind else ""])


def _only_allowed(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in fields.items() if name in ALLOWED}


def _dumps(fields: Any, **_options: Any) -> str:
    return orjson.dumps(fields, default=str).decode()
