"""Which step of a create a profile's stack belongs to: the innermost frame that tells decides. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

LOOP = "the event loop and its sockets (libuv)"
SERVER = "the HTTP server: requests parsed, routed, answers written"
CALLER = "who asks: token, limits, headers"
ORDER = "the order read and validated"
PAYMENT = "the payment, its states and its watch"
GATEWAY = "the gateway's call: api_key opened, asked, understood"
STEPS = "two durable steps, on the loop's side"
TOLD = "metrics and log lines"
ANSWER = "the answer to the shop"
DATABASE = "two durable steps: SQLite, on its own thread"
OTHER = "the rest"
ORDERED: Final = (LOOP, SERVER, CALLER, ORDER, PAYMENT, GATEWAY, STEPS, DATABASE, TOLD, ANSWER, OTHER)

# Files that are used from everywhere (clock, money, ids of requests, the standard library) tell nothing: whoever called
# them does.
_PLACES: Final[Mapping[str, tuple[str, ...]]] = {
    TOLD: ("proxy/metrics/", "proxy/logs", "structlog/", "prometheus_client/"),
    STEPS: ("proxy/adapters/store", "proxy/adapters/sqlite", "aiosqlite/", "sqlite3/"),
    GATEWAY: (
        *("proxy/adapters/", "proxy/gate", "proxy/directory", "proxy/outgoing"),
        *("aiohttp/client", "aiohttp/connector", "cryptography/"),
    ),
    ORDER: ("proxy/web/parsing", "proxy/web/schemas", "proxy/web/field_errors", "pydantic/"),
    ANSWER: ("proxy/web/payments", "proxy/web/answers", "proxy/web/timelines", "proxy/views"),
    SERVER: ("aiohttp/web", "proxy/web/server", "proxy/web/ways", "proxy/web/whole"),
    CALLER: ("proxy/web/", "proxy/rate_limits", "proxy/last_used", "proxy/addresses"),
    PAYMENT: (
        *("proxy/checkout", "proxy/payment", "proxy/settlement", "proxy/watch", "proxy/timeline", "proxy/ids"),
        *("proxy/facts", "proxy/records", "proxy/verdict", "proxy/merchant", "proxy/loops"),
    ),
    LOOP: ("uvloop/",),
}
_FILE: Final = re.compile(r"\(([^()]*?)(?::\d+)?\)$")
# Threads that wait, which the profiler takes for busy ones.
_WAITS: Final = ("_connection_worker_thread (aiosqlite", "_run_safe_shutdown_loop (pycares", "wait (threading")
_DATABASE_THREAD: Final = "_connection_worker_thread"


def steps_of(profile: Iterable[str]) -> Counter[tuple[bool, str]]:
    """Samples by whether they are the first thread's, and by step, of lines `thread;frame;…;frame COUNT`."""
    counted: Counter[tuple[bool, str]] = Counter()
    for line in profile:
        stack, _, count = line.rpartition(" ")
        thread, *frames = stack.split(";")
        if not frames or any(wait in frames[-1] for wait in _WAITS):
            continue
        if "MainThread" in thread:
            counted[True, _step(frames)] += int(count)
        elif _DATABASE_THREAD in thread:
            counted[False, DATABASE] += int(count)
        else:
            counted[False, OTHER] += int(count)
    return counted


def costs(counted: Counter[tuple[bool, str]], loop_us: float, other_us: float) -> dict[str, float]:
    """Microseconds of each step, in the order of a create: samples say how a thread's CPU time was shared.

    Raises ValueError when one of the two threads has no samples.
    """
    made = dict.fromkeys(ORDERED, 0.0)
    for first, cpu_us in ((True, loop_us), (False, other_us)):
        mine = {step: count for (is_first, step), count in counted.items() if is_first is first}
        if not mine:
            raise ValueError("a thread has no samples: the profile is too short")
        for step, count in mine.items():
            made[step] += cpu_us * count / sum(mine.values())
    return made


def _step(frames: list[str]) -> str:
    for frame in reversed(frames):
        named = _FILE.search(frame)
        if named is not None:
            for step, places in _PLACES.items():
                if named[1].startswith(places):
                    return step
    return OTHER
