"""The log's lines on their way out: those of one turn of the event loop leave together, once that turn is over.

An answer leaves before its line. Lines that cannot be written, as the log's disk is full or its reader has gone, are
lost, and nothing else is: no payment fails for want of a log.
"""

import asyncio
import contextlib
import threading
from typing import Final, TextIO

# More than a turn of the loop has, short of one that never ends.
MOST_WAITING: Final = 1000


class Lines:
    """A file of text to a logger. Where no event loop runs, and on other threads, a line leaves at once."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._waiting: list[str] = []
        self._due_on: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        """Takes the text. Gives how many characters it has."""
        with self._lock:
            self._waiting.append(text)
        return len(text)

    def flush(self) -> None:
        """Lets what waits leave, once this turn of the loop is over."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.leave()
            return
        if self._due_on is not loop:
            self._due_on = loop
            loop.call_soon(self.leave)
        elif len(self._waiting) >= MOST_WAITING:
            self.leave()

    def leave(self) -> None:
        """Writes all that waits, now."""
        with self._lock:
            self._due_on = None
            text = "".join(self._waiting)
            self._waiting.clear()
        with contextlib.suppress(OSError):
            self._file.write(text)
            self._file.flush()
