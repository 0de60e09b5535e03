"""What one replica tells the others by NOTIFY: that there may be something for them to do. Polling is the truth.

A hint is sent after its commit on a connection of its own, many in one: a NOTIFY inside the transactions themselves
would let only one of them commit at a time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import asyncpg
import orjson
import structlog

from proxy.adapters.postgresql.connections import Server, connect

log = structlog.get_logger()

CHANNEL: Final = "dargah"
# The most that a hint waits for others to go with it: shorter than a look-up of a name, longer than a commit.
GATHER_SECONDS: Final = 0.03
LOOK_SECONDS: Final = 30.0
MERCHANTS_IN_ONE: Final = 300  # of 8000 bytes that a NOTIFY takes
MAX_MERCHANTS: Final = 3000
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 15.0
CLOSE_SECONDS: Final = 5.0

Looks = Callable[[Any], Awaitable[None]]


class Hints:
    """`happened` and `planned` tell the others; `on_event` and `on_watch` hear what they tell. Lost hints are no loss.

    `on_event` is called with the merchants that have new events; `on_watch` with the earliest time that a watch is due.
    """

    def __init__(self, server: Server, look: Looks) -> None:
        self._server = server
        self._look = look
        self._merchants: dict[str, None] = {}
        self._watch_at: int | None = None
        self._pending = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._pid = 0
        self._looked_at = asyncio.get_running_loop().time()
        self.on_event: Callable[[Sequence[str]], None] = lambda _merchants: None
        self.on_watch: Callable[[int], None] = lambda _due_at: None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="store-hints")

    def happened(self, merchant_id: str) -> None:
        """There is a new event of the merchant's."""
        if len(self._merchants) < MAX_MERCHANTS:
            self._merchants[merchant_id] = None
            self._pending.set()

    def planned(self, due_at: int) -> None:
        """There is a new watch."""
        if self._watch_at is None or due_at < self._watch_at:
            self._watch_at = due_at
            self._pending.set()

    async def close(self) -> None:
        """Tells what is to be told, and ends."""
        self._closing.set()
        self._pending.set()
        if self._task is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._task, CLOSE_SECONDS)

    async def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._closing.is_set():
            try:
                await self._serve()
                pause = FIRST_PAUSE_SECONDS
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                log.warning("store_hints_lost", error=type(error).__name__)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _serve(self) -> None:
        """Tells and listens for as long as the connection holds."""
        connection = await connect(self._server)
        try:
            self._pid = connection.get_server_pid()
            connection.add_termination_listener(lambda _connection: self._pending.set())
            if not self._server.pooler:
                await connection.add_listener(CHANNEL, self._heard)
            while not self._closing.is_set():
                await self._gather()
                if connection.is_closed():
                    raise ConnectionResetError
                await self._tell(connection)
                await self._look_again(connection)
        finally:
            connection.terminate()

    async def _gather(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._pending.wait(), LOOK_SECONDS)
            await asyncio.wait_for(self._closing.wait(), GATHER_SECONDS)
        self._pending.clear()

    async def _tell(self, connection: Any) -> None:
        while self._merchants or self._watch_at is not None:
            told, due_at = list(self._merchants)[:MERCHANTS_IN_ONE], self._watch_at
            payload = orjson.dumps({"merchants": told, "watch_at": due_at}).decode()
            if not self._server.pooler:
                await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, payload)
            for merchant_id in told:
                self._merchants.pop(merchant_id, None)
            self._watch_at = None

    async def _look_again(self, connection: Any) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - self._looked_at >= LOOK_SECONDS:
            self._looked_at = loop.time()
            await self._look(connection)

    def _heard(self, _connection: Any, pid: int, _channel: str, payload: str) -> None:
        if pid == self._pid:
            return
        with suppress(ValueError, KeyError, TypeError):  # anybody may write to the channel
            told = orjson.loads(payload)
            self.on_event([str(merchant_id) for merchant_id in told["merchants"]])
            if told["watch_at"] is not None:
                self.on_watch(int(told["watch_at"]))
