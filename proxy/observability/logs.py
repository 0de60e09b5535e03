"""Logs: one JSON line per event on standard output's sibling, with nothing in it but fields that are allowed.

An allow-list rather than a block-list: a field that nobody thought of is dropped, not leaked.
"""

import io
import json
import logging
import os
import re
import select
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, Final, TextIO, cast

import orjson
import structlog
from structlog.tracebacks import ExceptionDictTransformer

from proxy.kernel import log_context
from proxy.kernel.clock import utc_second

# Some seconds of a busy process.
MOST_LINES: Final = 5000
MOST_BYTES: Final = 2 * 1024 * 1024
# How long the end of a process waits for who reads its lines.
END_SECONDS: Final = 2.0
_LOOK_SECONDS: Final = 1.0


class LineWriter(io.TextIOBase):
    """Text to standard output or error, a line per `write`: a logging thread never waits for the reader.

    A pipe without a reader, a terminal that was stopped by Ctrl-S or a disk that hangs keeps one thread waiting, and
    nothing else. It begins with the first line. Lines are dropped and counted once so many wait; they are lost, and
    nothing else is, where they cannot be written: no payment fails for want of a log.

    `on_flow` is called, on that thread, with the number of lost lines when lines flow again; it may write one.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.on_flow: Callable[[int], None] = lambda _count: None
        self.dropped = 0
        self._descriptor = descriptor
        self._queue: SimpleQueue[bytes] = SimpleQueue()
        self._waiting = self._bytes = 0
        self._unreported = 0
        self._torn = False
        self._lock = threading.Lock()
        self._empty = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None

    @property
    def encoding(self) -> str:  # type: ignore[override] # TextIOBase has it as an attribute
        return "utf-8"

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def fileno(self) -> int:
        return self._descriptor

    def write(self, text: str, /) -> int:
        """Takes the text, or drops it where too much waits. Gives how many characters it has."""
        line = text.encode("utf-8", "backslashreplace")
        if not line:
            return 0
        with self._lock:
            if self._thread is None and not self._start():
                os.write(self._descriptor, line)
                return len(text)
            full = self._waiting >= MOST_LINES or self._bytes + len(line) > MOST_BYTES
            if full and threading.current_thread() is not self._thread:
                self._drop()
                return len(text)
            self._waiting += 1
            self._bytes += len(line)
        self._queue.put(line)
        return len(text)

    def drain(self, seconds: float) -> bool:
        """Whether all that was written has left, or could not, within so long."""
        with self._empty:
            return self._empty.wait_for(lambda: not self._waiting, seconds)

    def _start(self) -> bool:
        thread = threading.Thread(target=self._run, name=f"lines-{self._descriptor}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # there is no memory for one: this line says so
            return False
        self._thread = thread
        return True

    def _run(self) -> None:
        while True:
            line = self._queue.get()
            if not self._write(line):
                with self._lock:
                    self._drop()
            elif self._unreported:
                self._report_drops()
            with self._lock:
                self._waiting -= 1
                self._bytes -= len(line)
                if not self._waiting:
                    self._empty.notify_all()

    def _write(self, line: bytes) -> bool:
        """Whether the whole line was written: in one call, so that processes that share a pipe do not mix theirs."""
        data = b"\n" + line if self._torn else line
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:  # another process that has the same pipe made it so
                with suppress(OSError):
                    select.select([], [self._descriptor], [], _LOOK_SECONDS)
            except OSError:
                break
        written = len(data) - len(left)
        if written:
            self._torn = not data[:written].endswith(b"\n")
        return not left

    def _drop(self) -> None:
        self.dropped += 1
        self._unreported += 1

    def _report_drops(self) -> None:
        with self._lock:
            count, self._unreported = self._unreported, 0
        self.on_flow(count)


@contextmanager
def standard_lines() -> Iterator[tuple[LineWriter, LineWriter]]:
    """Standard output and error of this process are LineWriters for as long as the context lasts.

    At its end the waiting lines have END_SECONDS. Unread ones are discarded afterwards: Python would wait for their
    reader.
    """
    before = sys.stdout, sys.stderr
    out, err = LineWriter(1), LineWriter(2)
    sys.stdout, sys.stderr = cast("TextIO", out), cast("TextIO", err)
    try:
        yield out, err
    finally:
        ends_at = time.monotonic() + END_SECONDS
        flowed = [lines.drain(max(0.0, ends_at - time.monotonic())) for lines in (out, err)]
        # Python writes nothing where it is None.
        sys.stdout, sys.stderr = (file if flows else None for file, flows in zip(before, flowed, strict=True))


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
        "gateway",
        "operation",
        "outcome",
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
        "file",
        "running",
        "unfinished",
        "seconds",
        "kind",
        "milliseconds",
        "count",
        "attempts",
        "why",
        "reason",
        "error_code",
        "excerpt",
        "host",
        "limit",
        "worker",
    }
)

# structlog's own dict_tracebacks shows every frame's locals, api_keys and tokens among them.
_TRACEBACKS: Final = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))


def configure(level: str, form: str) -> None:
    """Sets up structlog and the standard library's logging, to standard error; `form` is json or console."""
    threshold = getattr(logging, level.upper())
    colours = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    render = ConsoleRenderer(colours=colours) if form == "console" else _as_json
    render_trace = _TRACEBACKS if form == "json" else structlog.processors.format_exc_info
    structlog.configure(
        # Each processor costs every line a call, so these are few.
        processors=[partial(_complete, render_trace), _only_allowed, render],
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


def _complete(
    render_trace: structlog.processors.ExceptionRenderer,
    logger: Any,
    method: str,
    line: MutableMapping[str, Any],
) -> MutableMapping[str, Any]:
    """The line with what its work is about, its level, its time and its traceback."""
    log_context.add_context(logger, method, line)
    line["level"] = method
    second, microsecond = divmod(time.time_ns() // 1000, 1_000_000)
    line["timestamp"] = f"{utc_second(second)}.{microsecond:06}Z"
    return render_trace(logger, method, line) if "exc_info" in line else line


def _only_allowed(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in fields.items() if name in ALLOWED}


def _as_json(_logger: Any, _method: str, fields: Mapping[str, Any]) -> str:
    try:
        return orjson.dumps(fields, default=str).decode()
    except TypeError:  # half of a surrogate pair: a file's name that is not of this locale
        return json.dumps(fields, default=str)
