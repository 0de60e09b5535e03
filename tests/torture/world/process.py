"""One life of the Dargah process: the real use-cases over the real store, from its start to its death.

The store is the SQLite one, its thread taken away, with turns around its steps, and with crashes that leave its files
as a kill would.
"""

import asyncio
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, TypeVar, cast

from proxy.database.repository import Repository
from proxy.database.sqlite import connection
from proxy.gateways.circuit_breaker import CircuitBreaker
from proxy.gateways.concurrency_limiter import ConcurrencyLimiter, ConcurrencyLimits
from proxy.gateways.port import Gateway
from proxy.kernel.clock import Now, WallClock
from proxy.kernel.ids import Ids
from proxy.merchants.cache import GuardedGateway, MerchantCache
from proxy.merchants.setup import MerchantSetup
from proxy.merchants.vault import KeyRing, Vault
from proxy.operations.clock_watch import ClockWatch
from proxy.operations.recovery import Recovery
from proxy.payments.checkout import Checkout
from proxy.payments.creation import PaymentCreation
from proxy.payments.payment import Payment
from proxy.payments.poller import Poller
from proxy.payments.settlement import Reviews, Settlement, ignore
from proxy.stores.sqlite import SqliteStore, open_store
from proxy.stores.store import Store
from proxy.webhooks.endpoint import EndpointSecrets
from proxy.webhooks.endpoint_setup import EndpointSetup
from proxy.webhooks.request import Sender
from proxy.webhooks.worker import DeliveryWorker

from .loop import ABOUT, About, Dice, Turns, this_loop

T = TypeVar("T")

# Rows that are read by every call and changed by none here: a turn before each would only cost time.
_NO_TURN: Final = frozenset(
    {
        "merchant",
        "terminal",
        "list_terminals",
        "token_by_digest",
        "secrets",
        "next_check_at",
        "next_delivery_at",
        "kek_ids",
        "ping",
        "last_heartbeat",
        "close",
    }
)
_READS: Final = frozenset(
    {
        "payment",
        "payment_by_link",
        "list_payments",
        "stored",
        "check_schedule",
        "timeline",
        "sealed_otherwise",
        "unsettled_since",
        "last_heartbeat",
    }
)


_TRACER: Final[list[Callable[[str], None] | None]] = [None]


@contextmanager
def traced(before: Callable[[str], None]) -> Iterator[None]:
    """While it lasts, connections that are opened tell each statement, those of a script too, before it runs."""
    _TRACER[0] = before
    try:
        yield
    finally:
        _TRACER[0] = None


class InlineConnection:
    """What the store uses of aiosqlite's connection, on the caller's thread: threads would order things by chance."""

    def __init__(self, path: Path, **options: Any) -> None:
        self._conn = sqlite3.connect(path, **options)
        self._conn.set_trace_callback(_TRACER[0])
        self._thread = SimpleNamespace()
        self._tx = SimpleNamespace(put_nowait=self._run)

    def __await__(self) -> Generator[None, None, "InlineConnection"]:
        yield from ()
        return self

    @staticmethod
    def _run(asked: tuple[asyncio.Future[T], Callable[[], T]]) -> None:
        future, function = asked
        try:
            future.set_result(function())
        except Exception as error:  # noqa: BLE001  whoever waits gets it
            future.set_exception(error)

    async def close(self) -> None:
        self._conn.close()


@contextmanager
def inline_sqlite() -> Iterator[None]:
    """While it lasts, stores that are opened have no thread. Everything else of the adapter is as it always is."""
    names = vars(connection)
    real = names["aiosqlite"]
    names["aiosqlite"] = SimpleNamespace(connect=InlineConnection, Connection=InlineConnection)
    try:
        yield
    finally:
        names["aiosqlite"] = real


class OpenFile:
    """An open store and its file. `crash` leaves the files as they are at that moment, and gives a copy of them."""

    def __init__(self, path: Path, store: SqliteStore) -> None:
        self.path = path
        self.store = store

    @classmethod
    async def open(cls, path: Path, now: Now, fault: Callable[[str], None] | None = None) -> "OpenFile":
        return cls(path, await open_store(path, now=now, fault=fault))

    @property
    def raw(self) -> sqlite3.Connection:
        """The store's own connection, to look at what is committed between two steps."""
        inline: Any = self.store._file._database._connection
        raw: sqlite3.Connection = inline._conn
        return raw

    def crash(self, copy: Path) -> None:
        """Copies the files, as a kill would leave them, and closes the originals, which nobody reads again."""
        copy_files(self.path, copy)
        checkpoints = self.store._file._database._checkpoints
        if checkpoints is not None:
            checkpoints.close()
        self.raw.close()
        self.store._file._lock.release()
        shutil.rmtree(self.path.parent)


def copy_files(path: Path, copy: Path) -> None:
    """The database and its WAL; the shared memory of a dead process is worth nothing."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, copy)
    wal = path.with_name(f"{path.name}-wal")
    if wal.exists():
        shutil.copyfile(wal, copy.with_name(f"{copy.name}-wal"))


class TurnStore:
    """The store as the use-cases see it: each of its repositories waits for turns."""

    def __init__(self, store: SqliteStore, turns: Turns) -> None:
        self._store = store
        self._turns = turns

    def __getattr__(self, name: str) -> "TurnRepository":
        repository = TurnRepository(getattr(self._store, name), self._turns)
        setattr(self, name, repository)
        return repository


class TurnRepository:
    """Reads wait for a turn before, writes before and after their commit."""

    def __init__(self, repository: Repository, turns: Turns) -> None:
        self._repository = repository
        self._turns = turns

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        step = self._step(name, getattr(self._repository, name))
        setattr(self, name, step)
        return step

    def _step(self, name: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        turns = self._turns

        async def untouched(*args: Any, **kwargs: Any) -> Any:
            turns.check_alive()
            return await method(*args, **kwargs)

        async def read(*args: Any, **kwargs: Any) -> Any:
            await turns.wait(name, about=_about(args))
            return await method(*args, **kwargs)

        async def write(*args: Any, **kwargs: Any) -> Any:
            about = _about(args)
            await turns.wait(f"{name}: before", about=about)
            try:
                result = await method(*args, **kwargs)
            except Exception as error:
                await turns.wait(f"{name}: {type(error).__name__}", about=about)
                raise
            await turns.wait(f"{name}: after", about=about)
            return result

        if name in _NO_TURN:
            return untouched
        return read if name in _READS or name.startswith("list_") else write


def _about(args: tuple[Any, ...]) -> About:
    """The state in which a step finds its payment, where it is given one."""
    payment = getattr(args[0], "before", None) if args else None
    return About(payment.status) if isinstance(payment, Payment) else ABOUT.get()


PUBLIC_URL: Final = "https://pay.dargah.example"
# Small, so that a story of a few dozen payments reaches every limit.
LIMITS = ConcurrencyLimits(per_terminal=3, total=5, waiting=4)
MAX_AT_ONCE = 6


class Process:
    """The parts, wired as `proxy.app` wires them. `crash` drops all that it has in memory."""

    def __init__(
        self, file: OpenFile, time: WallClock, dice: Dice, turns: Turns, gateway: Gateway, sender: Sender, ring: KeyRing
    ) -> None:
        self.now = clock = time.now
        self.file = file
        self.turns = turns
        self.store = cast("Store", TurnStore(file.store, turns))
        vault = Vault(ring, dice.bytes)
        ids = Ids(dice.bytes)
        self.merchant_cache = MerchantCache(self.store.merchants, vault, clock)
        self.setup = MerchantSetup(self.store.merchants, vault, clock, dice.bytes, changed=self.merchant_cache.forget)
        self.endpoint_secrets = EndpointSecrets(self.store.merchants, vault, clock)
        self.endpoints = EndpointSetup(
            self.store.merchants, self.store.webhooks, vault, clock, dice.bytes, changed=self.endpoint_secrets.forget
        )
        self.limiter, self.breaker = ConcurrencyLimiter(LIMITS), CircuitBreaker(time.steady)
        self.delivery = DeliveryWorker(
            self.store.webhooks,
            self.endpoint_secrets,
            sender,
            ids,
            clock,
            dice.jitter,
            max_in_flight=MAX_AT_ONCE,
            signing_time=time.wall,
        )
        self.on_event: Callable[[str], None] = ignore
        self.on_check_due: Callable[[int], None] = ignore
        self.settlement = Settlement(
            self.store.payments,
            ids,
            clock,
            dice.jitter,
            on_event=self._tell_of_event,
            on_check_due=self._tell_of_check,
            offer=self.delivery.offer,
            on_claimed=lambda begun: self.delivery.begin(begun.claims),
        )
        guarded = GuardedGateway(gateway, self.merchant_cache, self.limiter, self.breaker)
        shared = self.store.payments, guarded, self.settlement
        self.creation = PaymentCreation(*shared, ids=ids, now=clock, jitter=dice.jitter, public_url=PUBLIC_URL)
        self.checkout = Checkout(*shared, clock)
        self.reviews = Reviews(self.store.payments, self.settlement, ids, clock)
        self.recovery = Recovery(self.store.payments, self.checkout, clock)
        self.poller = Poller(
            self.store.payments,
            self.checkout,
            self.settlement,
            self.limiter,
            self.breaker,
            clock,
            max_at_once=MAX_AT_ONCE,
            skipped=time.skipped,
        )
        self.clocks = ClockWatch(self.store.heartbeat, self.store.due_times, time, time.look, time.wall)

    def _tell_of_event(self, merchant_id: str) -> None:
        self.on_event(merchant_id)

    def _tell_of_check(self, due_at: int) -> None:
        self.on_check_due(due_at)

    @classmethod
    async def start(
        cls,
        path: Path,
        time: WallClock,
        dice: Dice,
        turns: Turns,
        ring_text: str,
        gateway: Callable[[Turns], Gateway],
        sender: Callable[[Turns], Sender],
    ) -> "Process":
        """What starts on the files at `path`, as `proxy.app.running` would: the ring is looked at first."""
        file = await OpenFile.open(path, time.now)
        ring = KeyRing.parse(ring_text)
        ring.check(await file.store.merchants.kek_ids())
        process = cls(file, time, dice, turns, gateway(turns), sender(turns), ring)
        await process.clocks.begin()
        return process

    async def crash(self, copy: Path) -> None:
        """Dies here and now, between two instructions of whatever was under way, and leaves its files at `copy`."""
        self.turns.dead = True
        mine = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        self.file.crash(copy)
        for task in mine:
            task.cancel()
        await this_loop().idle()
        stubborn = [task for task in mine if not task.done()]
        if stubborn:
            raise RuntimeError(f"{stubborn} outlived the process")
        for task in mine:
            _forget(task)

    async def close(self) -> None:
        """The orderly end, when nothing is under way."""
        await self.file.store.close()


def _forget(task: asyncio.Task[Any]) -> None:
    """Looks at what a dead task came to, so that nobody complains about it later."""
    if not task.cancelled():
        task.exception()
