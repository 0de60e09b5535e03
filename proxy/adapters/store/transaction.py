"""What a step of the store sees of a database: one transaction, which runs queries by their names in `sql/`."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Row = Sequence[Any]
"""A row of a result, or the parameters of a query: str, int, bytes and None, which every driver takes as they are."""


class Transaction(Protocol):
    """One transaction of one database. Everything in it is stored together, or nothing is."""

    async def row(self, query: str, parameters: Row = ()) -> Row | None:
        """The first row, or None."""

    async def rows(self, query: str, parameters: Row = ()) -> Sequence[Row]:
        """All rows."""

    async def run(self, query: str, parameters: Row = ()) -> int:
        """Runs a query that gives no rows: how many it wrote."""

    async def run_all(self, query: str, rows: Sequence[Row]) -> int:
        """Runs it with each of the parameters in turn: how many rows were written in all, 0 for none."""


Step = Callable[[Transaction], Coroutine[Any, Any, T]]
"""A whole act of the store. It awaits nothing but its transaction: on SQLite the thread of the database runs it."""
