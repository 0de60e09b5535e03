"""Steps that wait together share a transaction: one BEGIN, one COMMIT, one flush of the server's log.

There is no savepoint on the way where all is well. When a step fails after it has written, or a statement of its does,
the transaction is undone and its caller is told whose fault it was, to do those alone and the others once more.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from proxy.adapters.postgresql.connections import SETTINGS, Server
from proxy.adapters.postgresql.failures import Failure, failure_of, is_of_database
from proxy.adapters.postgresql.transaction import PostgresqlTransaction
from proxy.adapters.store.steps import Outcome, Shared
from proxy.adapters.store.transaction import Step

# What may stand in a lock's statement as it is. No merchant's id has anything else, so others need no lock.
_PLAIN: Final = re.compile(r"[0-9A-Za-z_]{1,64}")
_LOCAL_SETTINGS: Final = "".join(
    f"; SET LOCAL {name} = '{SETTINGS[name]}'"
    for name in ("idle_in_transaction_session_timeout", "lock_timeout", "statement_timeout", "plan_cache_mode")
)


class Culprits(Exception):
    """Steps that failed and left something behind: nothing of the transaction is stored. `error` is what was raised."""

    def __init__(self, places: Sequence[int], error: Exception) -> None:
        super().__init__(str(error))
        self.places = places
        self.error = error


class CommitUnclear(Exception):
    """The connection was lost while a COMMIT was on its way: all of the transaction is stored, or nothing is."""


def begin(server: Server, merchant_id: str | None) -> str:
    """What opens a transaction, and with a merchant takes the lock that lets that merchant's steps come one by one.

    The lock is taken before the first statement, which therefore sees all that was stored under it.
    """
    text = f"BEGIN{_LOCAL_SETTINGS}" if server.pooler else "BEGIN"
    if merchant_id is not None and _PLAIN.fullmatch(merchant_id):
        text += f"; SELECT pg_advisory_xact_lock(hashtextextended('{merchant_id}', 0))"
    return text


async def commit_together(connection: Any, opening: str, steps: Sequence[Step[Any]]) -> list[Outcome]:
    """What came of each step, once all is committed.

    Raises Culprits, CommitUnclear, or what failed of the connection or the server; the transaction is still to be
    rolled back then, except after CommitUnclear.
    """
    await connection.execute(opening)
    outcomes = await _run(PostgresqlTransaction(connection), steps)
    try:
        await connection.execute("COMMIT")
    except BaseException as error:
        if failure_of(error) is Failure.LOST or not isinstance(error, Exception):
            raise CommitUnclear from error
        raise
    return outcomes


async def _run(transaction: PostgresqlTransaction, steps: Sequence[Step[Any]]) -> list[Outcome]:
    outcomes = [Outcome()] * len(steps)
    shared: dict[Callable[..., Any], list[int]] = {}
    for place, step in enumerate(steps):
        if isinstance(step, Shared):
            shared.setdefault(step.run, []).append(place)
            continue
        writes = transaction.writes
        try:
            outcomes[place] = Outcome(await step(transaction))
        except Exception as error:
            _raise_if_others(error)
            if is_of_database(error) or transaction.writes != writes:
                raise Culprits([place], error) from error
            outcomes[place] = Outcome(error=error)
    for places in shared.values():
        for place, outcome in zip(places, await _run_shared(transaction, steps, places), strict=True):
            outcomes[place] = outcome
    return outcomes


async def _run_shared(
    transaction: PostgresqlTransaction, steps: Sequence[Step[Any]], places: Sequence[int]
) -> Sequence[Outcome]:
    waiting = [step for step in map(steps.__getitem__, places) if isinstance(step, Shared)]
    try:
        return await waiting[0].run(transaction, [step.item for step in waiting])
    except Exception as error:
        _raise_if_others(error)
        raise Culprits(places, error) from error


def _raise_if_others(error: Exception) -> None:
    if failure_of(error) is not Failure.OWN:
        raise error
