"""The world of a story: the clock, the bank with its ledger, the receivers, and the process that lives and dies."""

import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog

from proxy.checkout import Order
from proxy.errors import DargahError
from proxy.money import Currency
from proxy.records import Outgoing, Reply
from proxy.simulator.bank import Bank
from proxy.simulator.chaos import Chaos
from proxy.simulator.faults import Fault, Faults, Kind, Operation, Rule
from proxy.simulator.gateway import Gateway as SimulatedGateway
from proxy.simulator.gateway import Return
from proxy.simulator.ledger import ReturnExtra, ReturnMethod, Terminal

from .world_loop import Clock, this_loop
from .world_network import NetGateway, NetSender, Receiver
from .world_process import Process
from .world_setup import EPOCH, Cast, Shop, cast, scratch
from .world_turns import BankRandom, Dice, Trace, Turns

ALL: Final = 1_000_000
"""As many turns as it takes."""


ODD_MONEY_RATE: Final = 0.15


class Violation(Exception):
    """A promise was broken. `promise` is its short name."""

    def __init__(self, promise: str, what: str) -> None:
        super().__init__(f"{promise}: {what}")
        self.promise = promise


@dataclass(slots=True)
class Cart:
    """A purchase as the shop and its customer know it: `handed` are the invoices whose pages the customer got."""

    number: int
    shop: Shop
    order: Order
    key: str
    digest: bytes
    payment_id: str = ""
    link: str = ""
    reply: Reply | None = None
    handed: list[str] = field(default_factory=list)
    trips: list[Return] = field(default_factory=list)


class World:
    """Everything but the story. `crash` and `restart` are the process's; the bank and the receivers live on."""

    def __init__(
        self, seed: int, *, chaos_rate: float = 0.0, odd_money: bool = False, keep_trace: bool = False
    ) -> None:
        self.seed = seed
        self.cast: Cast = cast()
        self.clock = Clock(EPOCH)
        self.dice = Dice(seed)
        self.trace = Trace(self.clock, keep=keep_trace)
        self.bank = Bank(clock=self.clock, randomness=BankRandom(self.dice))
        self.gateway = SimulatedGateway(self.bank, _faults(seed, chaos_rate, odd_money=odd_money))
        self.terminals_down: set[str] = set()
        self.receivers = {hook.url: Receiver(hook.url, (hook.secret,)) for hook in self.cast.hooks}
        self.carts: dict[int, Cart] = {}
        self.counts: Counter[str] = Counter()
        self.broken: Violation | None = None
        self.ring_text = self.cast.ring_text
        self._folder = scratch()
        self._life = 0
        self._process: Process | None = None
        for shop in self.cast.shops:
            self.bank.put_terminal(terminal_of(shop.api_key, seed))

    @property
    def process(self) -> Process:
        assert self._process is not None
        return self._process

    @property
    def turns(self) -> Turns:
        return self.process.turns

    async def begin(self) -> None:
        path = self._path()
        path.parent.mkdir(parents=True)
        shutil.copyfile(self.cast.path, path)
        await self._start()

    async def crash(self) -> None:
        """The process dies in the midst of whatever it does, and another one starts on what it left."""
        self.counts["crashes"] += 1
        self.trace.note("crash")
        self._life += 1
        dying, self._process = self.process, None
        await dying.crash(self._path())
        await self._start()

    def turn_ring(self) -> None:
        """The operator puts the other key first; the next process seals with it."""
        self.ring_text = "\n".join(reversed(self.ring_text.splitlines()))

    async def end(self) -> None:
        """Ends it all; what is under way is dropped."""
        if self._process is not None:
            await self._process.crash(self._folder / "end" / "dargah.db")
            self._process = None

    def remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def break_promise(self, promise: str, what: str) -> None:
        """Notes the first broken promise; the driver raises it when the step under way has ended."""
        if self.broken is None:
            self.broken = Violation(promise, what)

    def raise_if_broken(self) -> None:
        if self.broken is not None:
            raise self.broken

    async def go(self, label: int | None, turns: int) -> None:
        """Lets the work of an action (None: all work) go on, a turn at a time, until it ends, waits, or had `turns`."""
        for _ in range(turns):
            await this_loop().idle()
            one = self.turns.first(label)
            if one is None:
                return
            self.turns.let_go(one)
        await this_loop().idle()

    def arrived(self, outgoing: Outgoing, wrong: str | None) -> None:
        """A receiver took a webhook: it must be right, and told of nothing that is not committed."""
        self.counts["webhooks arrived"] += 1
        event_id = outgoing.headers["webhook-id"]
        self.trace.note(f"webhook {event_id}")
        if wrong is not None:
            self.break_promise("webhook is right", wrong)
        row = self.process.file.raw.execute("SELECT body FROM events WHERE id = ?", (event_id,)).fetchone()
        if row is None or row[0] != outgoing.body:
            self.break_promise("webhook after commit", f"{event_id} arrived and is not stored so")

    def _path(self) -> Path:
        return self._folder / f"life{self._life}" / "dargah.db"

    async def _start(self) -> None:
        self._process = await Process.start(
            self._path(),
            self.clock,
            self.dice,
            Turns(self.clock, self.trace),
            self.ring_text,
            lambda turns: NetGateway(self.gateway, self.clock, turns, self.terminals_down),
            lambda turns: NetSender(self.receivers, self.clock, turns, self.dice, self.arrived),
        )


def _faults(seed: int, chaos_rate: float, *, odd_money: bool) -> Faults:
    """Chaos at a rate; odd money more often than chaos would have it, since most checks tell of no money at all."""
    faults = Faults(Chaos(seed, chaos_rate) if chaos_rate else None)
    if odd_money:
        for kind in (Kind.WRONG_AMOUNT, Kind.REUSED_BANK_CODE):
            faults.add(Rule(Operation.CHECK, Fault(kind), probability=ODD_MONEY_RATE, seed=seed))
    return faults


def terminal_of(api_key: str, seed: int, *, enabled: bool = True) -> Terminal:
    """The bank's side of a terminal: hosts differ in how they send the customer back."""
    extras = (ReturnExtra.STATUS, ReturnExtra.BANK_CODE) if seed % 3 == 0 else ()
    return Terminal(api_key, enabled, return_method=list(ReturnMethod)[seed % 2], return_extras=extras)


def new_order(amount_rials: int, order_id: str, expires_in: int) -> Order:
    return Order(amount_rials, Currency.IRR, order_id, None, {}, None, None, expires_in)


@contextmanager
def complaints_heard(world: World) -> Iterator[None]:
    """An error that a loop swallowed and logged is a broken promise, unless it says that the store or gate is full."""

    def listen(_logger: object, method: str, event: Any) -> Any:
        error = sys.exc_info()[1]
        if method in {"error", "exception"} and not isinstance(error, DargahError):
            world.break_promise("no unexpected error", f"{event.get('event')}: {error!r}")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[listen], cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)
