"""The moments of the load at which a kill hurts most, for the killer to wait for."""

import asyncio
from collections import defaultdict
from typing import Final

MOMENTS: Final = ("creating", "created", "paying", "returning", "returned", "checking", "webhook")


class Moments:
    """`tell` wakes who waits for that moment; nobody need be waiting."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[asyncio.Future[None]]] = defaultdict(list)

    def tell(self, moment: str) -> None:
        for future in self._waiting.pop(moment, ()):
            if not future.done():
                future.set_result(None)

    async def next(self, moment: str, seconds: float) -> bool:
        """Whether the moment came within `seconds`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[moment].append(future)
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            return False
        return True
