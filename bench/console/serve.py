"""`dargah serve`, which notes in a file how long it holds its event loop and SQLite's thread: `serve.py FILE SECONDS`.

A beat asks to be called each millisecond; how late it comes, and how much CPU the loop's thread took since the last, is
how long everybody else on the loop waited. SQLite's thread is held by a batch of reads. SECONDS are those in which a
client must read some of its answer.
"""

import asyncio
import mmap
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from proxy.cli.entry import main
from proxy.database.sqlite import store
from proxy.http import connections
from proxy.observability.metrics.metrics import LagProbe

PERIOD_SECONDS: Final = 0.001
LOOP, LOOP_CPU, THREAD, THREAD_CPU = range(4)
FIGURES: Final = 4
_DOUBLE: Final = 8


class Holds:
    """The longest holds since the last `reset`, in seconds, in a file that two processes share."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            file.truncate(FIGURES * _DOUBLE)
            self._longest = memoryview(mmap.mmap(file.fileno(), FIGURES * _DOUBLE)).cast("d")

    def note(self, place: int, seconds: float) -> None:
        self._longest[place] = max(self._longest[place], seconds)

    def reset(self) -> None:
        for place in range(FIGURES):
            self._longest[place] = 0.0

    def milliseconds(self) -> list[float]:
        return [seconds * 1000 for seconds in self._longest]


class Beat:
    def __init__(self, holds: Holds) -> None:
        self._holds = holds
        self._loop = asyncio.get_running_loop()
        self._due, self._cpu = self._loop.time(), time.thread_time()
        self()

    def __call__(self) -> None:
        now, cpu = time.monotonic(), time.thread_time()
        self._holds.note(LOOP, now - self._due)
        self._holds.note(LOOP_CPU, cpu - self._cpu)
        self._due, self._cpu = now + PERIOD_SECONDS, cpu
        self._loop.call_later(PERIOD_SECONDS, self)


def timed(holds: Holds, read: Callable[..., Any]) -> Callable[..., Any]:
    def run(connection: Any, steps: Sequence[Any]) -> Any:
        began, cpu = time.monotonic(), time.thread_time()
        try:
            return read(connection, steps)
        finally:
            holds.note(THREAD, time.monotonic() - began)
            holds.note(THREAD_CPU, time.thread_time() - cpu)

    return run


def watch(holds: Holds) -> None:
    start = LagProbe.start

    def started(probe: LagProbe) -> None:
        start(probe)
        Beat(holds)

    LagProbe.start = started  # type: ignore[method-assign,assignment]
    vars(store)["read_together"] = timed(holds, vars(store)["read_together"])


if __name__ == "__main__":
    path, seconds = sys.argv[1:]
    vars(connections)["WRITE_SECONDS"] = float(seconds)
    watch(Holds(Path(path)))
    sys.argv = ["dargah", "serve"]
    main()
