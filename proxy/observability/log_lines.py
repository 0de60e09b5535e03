"""The writer of a process's text to standard output or error: a logging thread never waits for the reader.

A pipe without a reader, a terminal that was stopped by Ctrl-S or a disk that hangs keeps one thread waiting, and
nothing else. Lines are dropped and counted once so many wait; they are lost, and nothing else is, where they cannot be
written: no payment fails for want of a log.
"""

import io
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Final, TextIO, cast

# Some seconds of a busy process.
MOST_LINES: Final = 5000
MOST_BYTES: Final = 2 * 1024 * 1024
# How long the end of a process waits for who reads its lines.
END_SECONDS: Final = 2.0
_LOOK_SECONDS: Final = 1.0


class LineWriter(io.TextIOBase):
    """Text to a file descriptor, a line per `write`; `write` never blocks. Its thread begins with the first line.

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
        self._flushed = threading.Event()
        self._flushed.set()
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
            self._flushed.clear()
        self._queue.put(line)
        return len(text)

    def drain(self, seconds: float) -> bool:
        """Whether all that was written has left, or could not, within so long."""
        return self._flushed.wait(seconds)

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
                    self._flushed.set()

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
