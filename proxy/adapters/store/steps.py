"""Steps on their way through a lane: what is shared between them, and what came of each."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Protocol, TypeVar

from proxy.adapters.store.transaction import Step, Transaction
from proxy.frozen import dataclass

T = TypeVar("T")

MAX_WAITING: Final = 10_000
"""How many callers may wait for a lane before the next one is told Overloaded."""


class Lane(Protocol):
    """Where steps wait for their transaction."""

    async def do(self, step: Step[T], merchant_id: str | None = None) -> T:
        """What `step` gives, once it is done: committed, on a lane that writes.

        Where several write at once, no two steps that were given the same `merchant_id` do.

        Raises what the step raised; Overloaded when too many wait; StoreUnavailable when the storage failed or the
        store is closed. A step may be run twice, the first time undone.
        """


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a step: its value, or the error that it raised itself."""

    value: Any = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Shared:
    """A step that is done for all that wait with the same `run`, which gives each item's outcome in the items' order.

    An item whose outcome is an error has written nothing that matters.
    """

    run: Callable[[Transaction, Sequence[Any]], Coroutine[Any, Any, Sequence[Outcome]]]
    item: Any

    async def __call__(self, transaction: Transaction) -> Any:
        [outcome] = await self.run(transaction, [self.item])
        if outcome.error is not None:
            raise outcome.error
        return outcome.value


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction did, for metrics: how many steps it took and how long it ran, commit and all."""

    steps: int
    seconds: float
    failed: bool
