"""Callers whose items one step takes all at once: those that come while it runs share the next one.

Group commit shares the transaction between steps; here the step itself is shared, so that what it must read for one
item it reads once for all that are like it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Generic, TypeVar

from proxy.adapters.store.steps import MAX_WAITING, Lane
from proxy.adapters.store.transaction import Transaction
from proxy.errors import Overloaded, StoreUnavailable

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_ITEMS: Final = 256


class Together(Generic[Item, Result]):
    """`step` gives, in the items' order, each one's result, or the error that its caller is to see."""

    def __init__(
        self,
        lane: Lane,
        step: Callable[[Transaction, Sequence[Item]], Coroutine[Any, Any, Sequence[Result | Exception]]],
    ) -> None:
        self._lane = lane
        self._step = step
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def do(self, item: Item) -> Result:
        """The item's result once it is committed. Raises its error, Overloaded, and what Lane.do raises.

        A caller that is cancelled before the step begins takes its item back; later, the item is done all the same.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise Overloaded
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, future))
        if self._task is None:
            self._task = loop.create_task(self._work(), name="store-together")
        return await future

    async def _work(self) -> None:
        while self._waiting:
            taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_ITEMS))]
            await self._run([(item, future) for item, future in taken if not future.done()])
        self._task = None

    async def _run(self, taken: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        results = await self._results([item for item, _ in taken])
        for (_, future), result in zip(taken, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

    async def _results(self, items: Sequence[Item]) -> Sequence[Result | Exception]:
        try:
            return await self._lane.do(lambda transaction: self._step(transaction, items))
        except (StoreUnavailable, Overloaded) as error:
            return [error] * len(items)
        except Exception as error:  # noqa: BLE001  its waiter gets it
            if len(items) == 1:
                return [error]
            # One that cannot be done must not take the others with it, each time that they come together.
            return [result for item in items for result in await self._results([item])]
