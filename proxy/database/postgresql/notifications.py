"""Notifications between replicas by NOTIFY: there may be work for the others. Polling stays the source of truth.

A notification is sent after its commit on a connection of its own, many in one: a NOTIFY inside the transactions
themselves would let only one of them commit at a time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import orjson
import structlog

from proxy.database.postgresql.connections import GREATEST_AGE_SECONDS
from proxy.database.postgresql.primary import CALL_ERRORS, Primary, ReadOnlyServer

log = structlog.get_logger()

CHANNEL: Final = "dargah"
# The most that a hint waits for others to go with it: shorter than a look-up of a name, longer than a commit.
GATHER_SECONDS: Final = 0.03
LOOK_SECONDS: Final = 5.0
# A server that was frozen or cut off says nothing, and one that became a standby goes on answering: so it is asked.
ASK_SECONDS: Final = 2.0
ANSWER_SECONDS: Final = 3.0
MERCHANTS_IN_ONE: Final = 300  # of 8000 bytes that a NOTIFY takes
MAX_MERCHANTS: Final = 3000
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 5.0

Probe = Callable[[Any], Awaitable[None]]


class ReplicaNotifications:
    """`tell_event` and `tell_check` notify the other replicas; `hear` registers the listeners. A lost notification
    is harmless.
    """

    def __init__(self, primary: Primary, look: Probe) -> None:
        self._primary = primary
        primary.on_left(self._left)
        self._look = look
        self._merchants: dict[str, None] = {}
        self._watch_at: int | None = None
        self._pending = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._connection: Any = None
        self._pid = 0
        self._time = asyncio.get_running_loop().time
        self._looked_at = self._checked_at = self._time()
        self._on_event: Callable[[Sequence[str]], None] = lambda _merchants: None
        self._on_check: Callable[[int], None] = lambda _due_at: None

    def hear(self, on_event: Callable[[Sequence[str]], None], on_check: Callable[[int], None]) -> None:
        """They are called with the merchants that have new events, and the earliest time that a check is due."""
        self._on_event, self._on_check = on_event, on_check

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="store-hints")

    def notify_event(self, merchant_id: str) -> None:
        """There is a new event of the merchant's."""
        if len(self._merchants) < MAX_MERCHANTS:
            self._merchants[merchant_id] = None
            self._pending.set()

    def notify_check(self, due_at: int) -> None:
        """There is a new check."""
        if self._watch_at is None or due_at < self._watch_at:
            self._watch_at = due_at
            self._pending.set()

    async def close(self) -> None:
        """Sends the waiting notifications, and ends."""
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
            except CALL_ERRORS as error:
                log.warning("store_hints_lost", error=type(error).__name__)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _serve(self) -> None:
        """Sends and receives notifications for as long as the connection holds."""
        connection = self._connection = await self._primary.connect()
        self._looked_at = self._time() - LOOK_SECONDS  # another server may have another clock
        until = self._time() + GREATEST_AGE_SECONDS[0]
        try:
            self._pid = connection.get_server_pid()
            connection.add_termination_listener(lambda _connection: self._pending.set())
            if not self._primary.pooler:
                await connection.add_listener(CHANNEL, self._heard)
            while not self._closing.is_set() and self._time() < until:
                await self._gather()
                if connection.is_closed():
                    raise ConnectionResetError
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._ask(connection)
                    await self._notify(connection)
                    await self._look_again(connection)
        finally:
            self._connection = None
            connection.terminate()

    def _left(self, _at_once: bool) -> None:
        if self._connection is not None:
            self._connection.cut()

    async def _gather(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._pending.wait(), ASK_SECONDS)
            await asyncio.wait_for(self._closing.wait(), GATHER_SECONDS)
        self._pending.clear()

    async def _ask(self, connection: Any) -> None:
        """Has everybody leave a server that takes no writes any more, before a write finds out."""
        now = self._time()
        if now - self._checked_at < ASK_SECONDS:
            return
        self._checked_at = now
        generation = self._primary.generation
        async with connection.transaction():  # of which a pooler keeps all parts on one server
            read_only = await connection.fetchval("SELECT current_setting('transaction_read_only')::boolean")
        if read_only:
            self._primary.leave(generation, at_once=True)
            raise ReadOnlyServer

    async def _notify(self, connection: Any) -> None:
        while self._merchants or self._watch_at is not None:
            merchants, due_at = list(self._merchants)[:MERCHANTS_IN_ONE], self._watch_at
            payload = orjson.dumps({"merchants": merchants, "watch_at": due_at}).decode()
            if not self._primary.pooler:
                await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, payload)
            for merchant_id in merchants:
                self._merchants.pop(merchant_id, None)
            self._watch_at = None

    async def _look_again(self, connection: Any) -> None:
        if self._time() - self._looked_at >= LOOK_SECONDS:
            self._looked_at = self._time()
            async with connection.transaction():  # as above
                await self._look(connection)

    def _heard(self, _connection: Any, pid: int, _channel: str, payload: str) -> None:
        if pid == self._pid:
            return
        with suppress(ValueError, KeyError, TypeError):  # anybody may write to the channel
            message = orjson.loads(payload)
            self._on_event([str(merchant_id) for merchant_id in message["merchants"]])
            if message["watch_at"] is not None:
                self._on_check(int(message["watch_at"]))
