"""Group commit: all steps that wait share one transaction and one sync of the disk, and are answered after it.

A lane takes the steps that wait, up to a limit, and runs them as one closure on the connection's thread, each to its
end before the next, so that a busy store makes one hop between threads and one commit for many steps, and an idle one
adds no wait.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final

from proxy.adapters.sqlite.transaction import SqliteTransaction, finished
from proxy.adapters.store.steps import Outcome, Shared
from proxy.adapters.store.transaction import Step

BatchRunner = Callable[[sqlite3.Connection, Sequence[Step[Any]]], list[Outcome]]


class BatchFailed(Exception):
    """The disk or the database could not: nothing of the batch is stored. `broken` when the connection is of no use."""

    def __init__(self, broken: bool) -> None:
        super().__init__("the transaction failed as a whole")
        self.broken = broken


# What SQLite says of a statement that is wrong in itself, whoever else shares the transaction.
_OWN_CODES: Final = frozenset({sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH})
_PRIMARY_CODE_MASK: Final = 0xFF


def commit_together(connection: sqlite3.Connection, steps: Sequence[Step[Any]]) -> list[Outcome]:
    """Runs the steps in one transaction and commits.

    A step that raises is undone alone and its error is its outcome. Raises BatchFailed when the storage fails, a
    failed commit included: then every step is undone. A step may be run twice, the first time undone.
    """
    transaction = SqliteTransaction(connection)
    try:
        connection.execute("BEGIN IMMEDIATE")
        outcomes = _unguarded(connection, transaction, steps)
        if outcomes is None:
            connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
            outcomes = [_guarded(connection, transaction, step) for step in steps]
        connection.execute("COMMIT")
    except BaseException as error:
        raise BatchFailed(broken=not _rolled_back(connection)) from error
    return outcomes


def read_together(connection: sqlite3.Connection, steps: Sequence[Step[Any]]) -> list[Outcome]:
    """Runs steps that only read. Between two batches of writes, so none sees what is not committed."""
    transaction = SqliteTransaction(connection)
    outcomes = []
    try:
        for step in steps:
            try:
                outcomes.append(Outcome(finished(step(transaction))))
            except Exception as error:  # noqa: BLE001  the waiter gets it
                _raise_if_storage(error)
                outcomes.append(Outcome(error=error))
    except sqlite3.Error as error:
        raise BatchFailed(broken=False) from error
    return outcomes


def _unguarded(
    connection: sqlite3.Connection, transaction: SqliteTransaction, steps: Sequence[Step[Any]]
) -> list[Outcome] | None:
    """The steps without savepoints, which cost a sixth of a batch; None once one raised after it had written."""
    outcomes: list[Outcome] = [Outcome()] * len(steps)
    shared: dict[Any, list[tuple[int, Any]]] = {}
    before = connection.total_changes
    for place, step in enumerate(steps):
        if isinstance(step, Shared):
            shared.setdefault(step.run, []).append((place, step.item))
            continue
        try:
            outcomes[place] = Outcome(finished(step(transaction)))
        except Exception as error:  # noqa: BLE001  the waiter gets it
            _raise_if_storage(error)
            if connection.total_changes != before:
                return None
            outcomes[place] = Outcome(error=error)
        before = connection.total_changes
    for run, waiting in shared.items():
        try:
            results = finished(run(transaction, [item for _, item in waiting]))
        except Exception as error:  # noqa: BLE001  each one then tells its own
            _raise_if_storage(error)
            return None
        for (place, _), outcome in zip(waiting, results, strict=True):
            outcomes[place] = outcome
    return outcomes


def _guarded(connection: sqlite3.Connection, transaction: SqliteTransaction, step: Step[Any]) -> Outcome:
    connection.execute("SAVEPOINT step")
    try:
        outcome = Outcome(finished(step(transaction)))
    except Exception as error:  # noqa: BLE001  the waiter gets it
        # Some errors (a full disk, a failed read) roll the transaction back inside SQLite; all of them end it here.
        _raise_if_storage(error)
        connection.execute("ROLLBACK TO step")
        outcome = Outcome(error=error)
    connection.execute("RELEASE step")
    return outcome


def _raise_if_storage(error: Exception) -> None:
    if isinstance(error, sqlite3.Error) and not _own(error):
        raise error


def _own(error: sqlite3.Error) -> bool:
    if not isinstance(error, sqlite3.DatabaseError):
        return True
    if isinstance(error, sqlite3.ProgrammingError | sqlite3.IntegrityError | sqlite3.DataError):
        return True
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & _PRIMARY_CODE_MASK in _OWN_CODES


def _rolled_back(connection: sqlite3.Connection) -> bool:
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except sqlite3.Error:
        return False
    return not connection.in_transaction
