"""Waits for what another server, process or task does, which tells the test nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

# A safety net, and no part of what a test shows: a machine with much else to do takes many times as long.
PATIENCE_SECONDS: Final = 60

T = TypeVar("T")


async def eventually(look: Callable[[], Awaitable[T | None]], seconds: float = PATIENCE_SECONDS) -> T:
    """The first result of `look` that is neither None nor False; fails after a while."""
    async with asyncio.timeout(seconds):
        while (found := await look()) is None or found is False:  # noqa: ASYNC110  what it looks at is another's
            await asyncio.sleep(0.01)
        return found


async def until(holds: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Returns once `holds` is true; fails after a while."""

    async def look() -> bool:
        return bool(holds())

    await eventually(look, seconds)


async def listening(
    port: int, runs: Callable[[], bool], log: Path | None = None, seconds: float = PATIENCE_SECONDS
) -> None:
    """Returns once the program takes connections at the port; fails with its log when it ended."""

    async def look() -> bool | None:
        assert runs(), log and log.read_text()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return None
        writer.close()
        return True

    await eventually(look, seconds)
