"""Counts what one operation of a Dargah costs, with no clock: what store, threads, network and log see."""

import asyncio
import gc
import sys
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import astuple, dataclass, fields
from typing import Any, Final

import asyncpg
import pytest
from aiohttp import web

Operation = Callable[[], Awaitable[None]]

# Of the turns of the loop that whatever an operation left behind may take: the end of a response, a line of the log.
TURNS: Final = 40
# Gathered over time for all who wait, so that their number tells of the clock.
GATHERED: Final = "pg_notify"
OURS: Final = ("proxy.", "asyncio.", "_asyncio.", "aiohttp.", "builtins.coroutine", "builtins.generator")
# asyncio keeps cancelled timers until their time, or until they are many.
OTHERS: Final = ("proxy.simulator.", "asyncio.events.TimerHandle")
JOURNAL: Final = "ledger"  # the simulator's thread


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one operation. `hops` are the times that a thread handed something back to the loop."""

    statements: int = 0
    commits: int = 0
    hops: int = 0
    requests: int = 0
    lines: int = 0

    def __sub__(self, other: "Counts") -> "Counts":
        return Counts(*(mine - theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


@dataclass(slots=True)
class Meter:
    """Everything so far; `blocks_at_request` is what all of Python held when the last request came out."""

    statements: int = 0
    commits: int = 0
    hops: int = 0
    requests: int = 0
    blocks_at_request: int = 0

    def statement(self, sql: str) -> None:
        if GATHERED not in sql:
            self.statements += 1
            self.commits += sql == "COMMIT"

    async def request(self, request: web.Request, _response: web.StreamResponse) -> None:
        """A signal of the gateway's and the shop's servers."""
        if not request.path.startswith("/control/"):
            self.blocks_at_request = sys.getallocatedblocks()
            self.requests += 1

    def watch_threads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.BaseEventLoop
        handed_back = loop.call_soon_threadsafe

        def counted(*arguments: Any, **more: Any) -> Any:
            # By its journal the simulator is a user of threads too.
            self.hops += not threading.current_thread().name.startswith(JOURNAL)
            return handed_back(*arguments, **more)

        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)

    def watch_postgresql(self, monkeypatch: pytest.MonkeyPatch) -> None:
        connect = asyncpg.connect

        async def counted(*arguments: Any, **more: Any) -> Any:
            connection = await connect(*arguments, **more)
            connection.add_query_logger(lambda record: self.statement(record.query))
            return connection

        monkeypatch.setattr(asyncpg, "connect", counted)

    def seen(self, lines: int) -> Counts:
        return Counts(self.statements, self.commits, self.hops, self.requests, lines)


async def settled() -> None:
    """Returns when what needs no more than the loop has been done."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


def complaint(name: str, found: Counts, wanted: Counts) -> str:
    """What to do about each count that is another one; empty when all are as written."""
    said = []
    for each in fields(Counts):
        now, before = getattr(found, each.name), getattr(wanted, each.name)
        if now > before:
            said.append(f"{name}: {each.name} grew from {before} to {now}")
        elif now < before:
            said.append(f"{name}: {each.name} fell from {before} to {now}; good: write the new figure")
    return "\n".join(said)


def objects() -> Counter[str]:
    """How many objects of Dargah's own kinds there are, and of those that work and connections are made of."""
    gc.collect()
    kinds = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects())
    return Counter({kind: n for kind, n in kinds.items() if kind.startswith(OURS) and not kind.startswith(OTHERS)})
