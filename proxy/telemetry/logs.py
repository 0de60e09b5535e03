"""Logs: one JSON line per event on standard output's sibling, with nothing in it but fields that are allowed.

An allow-list rather than a block-list: a field that nobody thought of is dropped, not leaked.
"""

import logging
import os
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, TextIO, cast

import orjson
import structlog
from structlog.tracebacks import ExceptionDictTransformer

from proxy.telemetry.console import ConsoleRenderer
from proxy.telemetry.lines import Lines

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
    }
)

# structlog's own dict_tracebacks shows every frame's locals, api_keys and tokens among them.
_TRACEBACKS: Final = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))


def configure(level: str, form: str) -> None:
    """Sets up structlog and the standard library's logging; `form` is json or console."""
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
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", Lines(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Wordless("%(levelname)s %(name)s"))
    logging.basicConfig(level=max(threshold, logging.WARNING), handlers=[handler])


class _Wordless(logging.Formatter):
    """What libraries log, without what they say: aiohttp's parse errors quote the header that they failed at, which may
    be somebody's token. The chain of errors is left out too.
    """

    def formatException(self, ei: Any) -> str:  # noqa: N802  the standard library's name
        kind, _error, trace = ei
        return "".join([*traceback.format_tb(trace), kind.__name__ if kind else ""])


def _only_allowed(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in fields.items() if name in ALLOWED}


def _dumps(fields: Any, **_options: Any) -> str:
    return orjson.dumps(fields, default=str).decode()
