"""The meaning of an error of PostgreSQL or of the connection for the transaction that it ended."""

from enum import Enum, auto
from typing import Final

import asyncpg


class ReadOnlyServer(OSError):
    """The server answers and is a standby, or is set to read-only. Its data may be long out of date."""

    def __init__(self) -> None:
        super().__init__("it takes no writes: it is a standby, or default_transaction_read_only is on")


class Failure(Enum):
    OWN = auto()
    """The statement's or the step's own: nobody else has to do with it, and it would come again."""
    AGAIN = auto()
    """Of others that ran at the same time: nothing is stored, and the same may work now."""
    LOST = auto()
    """The connection is gone: another one may do."""
    MOVED = auto()
    """The connection leads to a server that takes no writes any more: those to another one may do."""
    REFUSED = auto()
    """The server cannot: its disk is full, or it took too long."""


# Deadlock, serialization failure, and a prepared statement that a migration made stale.
_AGAIN: Final = frozenset({"40001", "40P01", "0A000"})
# A shutdown or a crash, a server that starts, and transactions that were idle for too long.
_LOST: Final = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "25P04"})
_READ_ONLY: Final = "25006"
_OWN_CLASSES: Final = frozenset({"21", "22", "23", "42", "P0"})
UNIQUE_VIOLATION: Final = "23505"


def failure_of(error: BaseException) -> Failure:
    """The failure for `error`, from a step, a statement or a connection."""
    if isinstance(error, asyncpg.PostgresError):
        return _of_state(error.sqlstate or "")
    if isinstance(error, ReadOnlyServer):
        return Failure.MOVED
    if isinstance(error, ValueError):
        return Failure.OWN  # asyncpg's own, about a parameter
    if isinstance(error, TimeoutError):
        return Failure.REFUSED
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError | OSError | EOFError):
        return Failure.LOST
    return Failure.OWN


def is_of_database(error: BaseException) -> bool:
    """Whether a statement failed, which ends the transaction for every step in it."""
    return failure_of(error) is not Failure.OWN or isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError)


def _of_state(state: str) -> Failure:
    if state in _AGAIN:
        return Failure.AGAIN
    if state == _READ_ONLY:
        return Failure.MOVED
    if state in _LOST or state.startswith("08"):
        return Failure.LOST
    return Failure.OWN if state[:2] in _OWN_CLASSES else Failure.REFUSED
