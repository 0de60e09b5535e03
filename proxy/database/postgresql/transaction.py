"""A transaction on PostgreSQL: each query is a round trip, a query for many rows is one for all of them."""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import asyncpg

from proxy.database.postgresql.primary import SETTINGS, Failure, ReadOnlyServer, failure_of, is_of_database
from proxy.database.transaction import Outcome, Row, SharedStep, Step, WholeStep, load_queries

SQL: Final = load_queries("postgresql")
# Appended where the driver would not tell how many rows a query for many has written.
_COUNTED: Final = {name: f"{text}\nRETURNING 1" for name, text in SQL.items()}
_READS: Final = frozenset(name for name, text in SQL.items() if text.lstrip().startswith("SELECT"))


class PostgresqlTransaction:
    """Implements proxy.database.transaction.Transaction within the open transaction of its connection.

    `writes` counts the queries that may have written something.
    """

    __slots__ = ("_connection", "writes")

    def __init__(self, connection: Any) -> None:
        self._connection: asyncpg.Connection = connection
        self.writes = 0

    async def row(self, query: str, parameters: Row = ()) -> Row | None:
        if _is_nowhere(parameters):
            return None
        self.writes += query not in _READS
        row: Row | None = await self._connection.fetchrow(SQL[query], *parameters)
        return row

    async def rows(self, query: str, parameters: Row = ()) -> Sequence[Row]:
        if _is_nowhere(parameters):
            return []
        self.writes += query not in _READS
        rows: Sequence[Row] = await self._connection.fetch(SQL[query], *parameters)
        return rows

    async def run(self, query: str, parameters: Row = ()) -> int:
        self.writes += 1
        status: str = await self._connection.execute(SQL[query], *parameters)
        return int(status.rpartition(" ")[2])

    async def run_all(self, query: str, rows: Sequence[Row]) -> int:
        if len(rows) <= 1:
            return await self.run(query, rows[0]) if rows else 0
        self.writes += 1
        return len(await self._connection.fetchmany(_COUNTED[query], rows))


def _is_nowhere(parameters: Row) -> bool:
    """Whether no row can match: PostgreSQL's text holds no zero byte, and an id in a URL may contain one."""
    return any(type(each) is str and "\0" in each for each in parameters)


# What may stand in a lock's statement as it is. No merchant's id has anything else, so others need no lock.
_PLAIN: Final = re.compile(r"[0-9A-Za-z_]{1,64}")
_LOCAL_SETTINGS: Final = "".join(
    f"; SET LOCAL {name} = '{SETTINGS[name]}'"
    for name in ("idle_in_transaction_session_timeout", "lock_timeout", "statement_timeout", "plan_cache_mode")
)


class FailedSteps(Exception):
    """Steps that failed and left something behind: nothing of the transaction is stored. `error` is the first error."""

    def __init__(self, places: Sequence[int], error: Exception) -> None:
        super().__init__(str(error))
        self.places = places
        self.error = error


class CommitUnclear(Exception):
    """The connection was lost while a COMMIT was on its way: all of the transaction is stored, or nothing is."""


def begin(merchant_id: str | None, *, pooler: bool) -> str:
    """Opens a transaction; with a merchant it takes the lock that serializes that merchant's steps.

    The lock is taken before the first statement, which therefore sees everything stored under it.
    """
    text = f"BEGIN{_LOCAL_SETTINGS}" if pooler else "BEGIN"
    if merchant_id is not None and _PLAIN.fullmatch(merchant_id):
        text += f"; SELECT pg_advisory_xact_lock(hashtextextended('{merchant_id}', 0))"
    return text


async def commit_together(connection: Any, opening: str, steps: Sequence[Step[Any]]) -> list[Outcome]:
    """The outcome of each step, once all is committed.

    Raises FailedSteps, CommitUnclear, or the error of the connection or the server; the transaction must be rolled back
    then, except after CommitUnclear.
    """
    await connection.execute(opening)
    outcomes = await _run(PostgresqlTransaction(connection), steps)
    if not connection.takes_writes:
        raise ReadOnlyServer  # what the steps have read may be long past
    try:
        await connection.execute("COMMIT")
    except BaseException as error:
        if failure_of(error) in {Failure.LOST, Failure.MOVED} or not isinstance(error, Exception):
            raise CommitUnclear from error
        raise
    return outcomes


async def run_whole(connection: Any, opening: str | None, steps: Sequence[WholeStep]) -> list[bool]:
    """Which of the steps are done, after one commit for all of them.

    Without `opening` the one query that they share is a transaction by itself. Raises the error of the connection or
    the server, which leaves open whether they were done.
    """
    if opening is None and len(steps) == 1:
        return [bool(await connection.fetchval(SQL[steps[0].query], *steps[0].parameters))]
    done = [False] * len(steps)
    places: dict[str, list[int]] = {}
    for place, step in enumerate(steps):
        places.setdefault(step.query, []).append(place)
    if opening is not None:
        await connection.execute(opening)
    for query, those in places.items():
        rows = await connection.fetchmany(SQL[query], [steps[place].parameters for place in those])
        for place, (count,) in zip(those, rows, strict=True):
            done[place] = bool(count)
    if opening is not None:
        await connection.execute("COMMIT")
    return done


async def _run(transaction: PostgresqlTransaction, steps: Sequence[Step[Any]]) -> list[Outcome]:
    outcomes = [Outcome()] * len(steps)
    shared: dict[Callable[..., Any], list[int]] = {}
    for place, step in enumerate(steps):
        if isinstance(step, SharedStep):
            shared.setdefault(step.run, []).append(place)
            continue
        writes = transaction.writes
        try:
            outcomes[place] = Outcome(await step(transaction))
        except Exception as error:
            _raise_if_others(error)
            if is_of_database(error) or transaction.writes != writes:
                raise FailedSteps([place], error) from error
            outcomes[place] = Outcome(error=error)
    for places in shared.values():
        for place, outcome in zip(places, await _run_shared(transaction, steps, places), strict=True):
            outcomes[place] = outcome
    return outcomes


async def _run_shared(
    transaction: PostgresqlTransaction, steps: Sequence[Step[Any]], places: Sequence[int]
) -> Sequence[Outcome]:
    waiting = [step for step in map(steps.__getitem__, places) if isinstance(step, SharedStep)]
    try:
        return await waiting[0].run(transaction, [step.item for step in waiting])
    except Exception as error:
        _raise_if_others(error)
        raise FailedSteps(places, error) from error


def _raise_if_others(error: Exception) -> None:
    if failure_of(error) is not Failure.OWN:
        raise error
