"""Makes Python's clocks and the event loop's timers FACTOR times slower in a process that has this folder in its path.

Valgrind is some fifty times slower than the processor. Without this, work that is done every second would weigh fifty
times more beside a request than it does in production, and differently on a busy machine.
"""

import sys
import time
from collections.abc import Callable
from contextvars import Context
from typing import Any, Final

import uvloop

FACTOR: Final = 100


def slowed(clock: Callable[[], Any]) -> Callable[[], Any]:
    began = clock()
    return lambda: began + type(began)((clock() - began) / FACTOR)


for name in ("time", "time_ns", "monotonic", "monotonic_ns"):
    setattr(time, name, slowed(getattr(time, name)))


# How long a thread keeps the interpreter while another one waits for it.
sys.setswitchinterval(sys.getswitchinterval() * FACTOR)


class SlowLoop(uvloop.Loop):
    """`call_at` and `asyncio.timeout` come here too; `time` stays as it is."""

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Any:
        return super().call_later(delay * FACTOR, callback, *args, context=context)


uvloop.Loop = SlowLoop  # type: ignore[misc]
