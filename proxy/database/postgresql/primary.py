"""The server that takes writes, of those that the URL names, and what it means for a transaction when one fails.

Hosts are tried side by side, each begun a little after the one before it: a host that hangs, which no failover can
prevent, costs that little and not the whole time. Which host was the last one is tried first.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import field
from enum import Enum, auto
from random import Random
from typing import Any, Final

import asyncpg
import structlog

from proxy.database.libpq import Host, Target, parse_target
from proxy.database.postgresql.driver import CACHED_STATEMENTS, open_connection, ways
from proxy.kernel.frozen import dataclass


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


CALL_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, EOFError, OSError)
"""What a call of the driver raises where a server or the connection to it is at fault. Its internal error is of a
connection that broke off under a statement.
"""


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
    if isinstance(error, CALL_ERRORS):
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


log = structlog.get_logger()

APPLICATION: Final = "dargah"
STAGGER_SECONDS: Final = 0.5
# A paused process must not hold a merchant's lock for long: the server ends its transaction, and others wait no longer
# than a lock's wait lasts. All are shorter than the leases.
SETTINGS: Final = {
    "idle_in_transaction_session_timeout": "4000",
    "lock_timeout": "8000",
    "statement_timeout": "10000",
    # A statement is planned once for a connection: planning it for each call costs as much as running it.
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
}
# A standby's transactions only read, as do those of a server that was told so. Its start tells it from its successor.
_WHO: Final = "SELECT current_setting('transaction_read_only')::boolean, pg_postmaster_start_time()::text"


class NoPrimary(OSError):
    """No host led to a server that takes writes; the message says of each why."""


class NoPrimaryInTime(NoPrimary, TimeoutError):
    """As NoPrimary, and one of the hosts took all of its time."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where the database is and how it is reached. `url` has the password, so it is kept out of every repr.

    `pooler`: a pooler in transaction mode stands before it, so that nothing may outlive a transaction: no prepared
    statement, no setting, no LISTEN. `name` is our application_name at the server, unless the URL has another one.
    """

    url: str = field(repr=False)
    pooler: bool = False
    name: str = APPLICATION

    @property
    def target(self) -> Target:
        """Raises ValueError."""
        return parse_target(self.url)


class Primary:
    """Connects to the primary, and tells the holders of its connections when it is lost: `on_left` gets whether to end
    them at once.

    A connection belongs to the generation in which it was made. When the server is left another generation begins, and
    connections of an older generation are not used any more.
    """

    def __init__(self, server: Server, random: Random | None = None) -> None:
        """Raises ValueError where the URL or its files cannot be used."""
        self.pooler = server.pooler
        self.generation = 0
        self._target = server.target
        self._settings = _settings(server, self._target)
        self._ways = tuple(ways(self._target.tls))
        self._hosts = list(self._target.hosts)
        if self._target.any_order:
            (random or Random()).shuffle(self._hosts)  # noqa: S311  it spreads load, it keeps no secret
        self._known_as: str | None = None
        self._listeners: list[Callable[[bool], None]] = []

    def on_left(self, listener: Callable[[bool], None]) -> None:
        self._listeners.append(listener)

    def leave(self, generation: int, *, at_once: bool = False) -> None:
        """The server of that generation is lost, or read-only: `at_once` also ends running statements.

        Later reports about the same generation are ignored. Behind a pooler another transaction may be at another
        server, so none of them is ended.
        """
        at_once = at_once and not self.pooler
        if generation < self.generation and not at_once:
            return
        self.generation = max(self.generation, generation + 1)
        for listener in self._listeners:
            listener(at_once)

    async def connect(self) -> Any:
        """A new connection to the server that takes writes.

        Raises OSError, TimeoutError or an error of asyncpg: of several hosts, an error that would refuse us at every
        one.
        """
        trying, waiting = dict[asyncio.Task[tuple[Any, str]], Host](), deque(self._hosts)
        failures: list[tuple[Host, BaseException]] = []
        try:
            while trying or waiting:
                if waiting:
                    host = waiting.popleft()
                    trying[asyncio.create_task(self._open(host), name="store-connect")] = host
                some = STAGGER_SECONDS if waiting else None
                done, _ = await asyncio.wait(trying, timeout=some, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    error = task.exception()
                    if error is None:
                        return self._chosen(trying.pop(task), *task.result())
                    failures.append((trying.pop(task), error))
            raise _worst(failures)
        finally:
            for task in trying:
                task.add_done_callback(_end)
                task.cancel()

    async def _open(self, host: Host) -> tuple[Any, str]:
        async with asyncio.timeout(self._target.connect_seconds):
            connection = await open_connection(
                self._target,
                host,
                self._ways,
                server_settings=self._settings,
                statement_cache_size=0 if self.pooler else CACHED_STATEMENTS,
            )
            connection.pooled = self.pooler
            try:
                return connection, await _who(connection)
            except BaseException:
                connection.terminate()
                raise

    def _chosen(self, host: Host, connection: Any, known_as: str) -> Any:
        """Another server than before has taken over, so that nobody needs the one from before: not even to read."""
        if host != self._hosts[0]:
            self._hosts.remove(host)
            self._hosts.insert(0, host)
        # Which servers a pooler leads to, and when it changes them, is its own business.
        if self._known_as not in {None, known_as} and not self.pooler:
            log.warning("store_server_changed", host=str(host))
            self.leave(self.generation, at_once=True)
        self._known_as = known_as
        return connection


def _settings(server: Server, target: Target) -> dict[str, str]:
    """The settings of a session at the server. Every name of ours has the same prefix, so that a running Dargah is
    seen.
    """
    said = dict(target.settings)
    name = said.pop("application_name", server.name)
    name = name if name.startswith(APPLICATION) else f"{APPLICATION} {name}"
    return {"application_name": name, **({} if server.pooler else SETTINGS), **said}


async def _who(connection: Any) -> str:
    """By what the server is known. Raises ReadOnlyServer."""
    async with connection.transaction():  # of which a pooler keeps all parts on one server
        read_only, known_as = await connection.fetchrow(_WHO)
    if read_only:
        raise ReadOnlyServer
    return str(known_as)


def _end(task: "asyncio.Task[tuple[Any, str]]") -> None:
    """One that came too late is not needed."""
    if not task.cancelled() and task.exception() is None:
        task.result()[0].terminate()


def _worst(failures: Sequence[tuple[Host, BaseException]]) -> BaseException:
    """A server that answered and does not let us in says more than those that did not answer."""
    telling = [error for _, error in failures if _keeps_us_out(error) or len(failures) == 1]
    if telling:
        return telling[0]
    late = any(isinstance(error, TimeoutError) for _, error in failures)
    reasons = "; ".join(f"{host}: {reason(error)}" for host, error in failures)
    return NoPrimaryInTime(reasons) if late else NoPrimary(reasons)


def _keeps_us_out(error: BaseException) -> bool:
    return isinstance(error, asyncpg.PostgresError) and not isinstance(error, asyncpg.CannotConnectNowError)


def reason(error: BaseException) -> str:
    """Why a connection could not be made, on one line and without a password."""
    late = isinstance(error, TimeoutError) and not isinstance(error, NoPrimary)
    return "it did not answer in time" if late else " ".join(str(error).split())
