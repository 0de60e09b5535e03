"""The world of a story: the clock, the bank with its ledger, the receivers, and the process that lives and dies."""

import logging
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog

from proxy.gateways.invoice_script.simulator import InvoiceScriptSimulator, ReturnExtra
from proxy.gateways.port import INVOICE_SCRIPT
from proxy.gateways.simulation.bank import Bank
from proxy.gateways.simulation.chaos import Chaos
from proxy.gateways.simulation.faults import Fault, FaultKind, Faults, GatewayOperation, Rule
from proxy.gateways.simulation.gateway import Return, SimulatedGateway
from proxy.gateways.simulation.ledger import HostReturnMethod, SimulatedTerminal
from proxy.kernel.clock import WallClock
from proxy.kernel.errors import DargahError
from proxy.kernel.money import Currency
from proxy.payments.change import Reply
from proxy.payments.payment import Order
from proxy.webhooks.request import WebhookRequest

from .. import MEMORY, met
from .chronicle import Chronicle
from .families import Wire, confirming
from .loop import LABEL, About, BankRandom, Clock, Dice, Trace, Turns, this_loop
from .network import NetSender, Receiver, net_gateway
from .process import Process
from .setup import EPOCH, Cast, Shop, cast

ALL: Final = 1_000_000
"""As many turns as it takes."""


_ODD_MONEY: Final = (
    (GatewayOperation.CHECK, FaultKind.WRONG_AMOUNT, 0.15),
    (GatewayOperation.CHECK, FaultKind.REUSED_BANK_CODE, 0.15),
    (GatewayOperation.CONFIRM, FaultKind.WRONG_AMOUNT, 0.15),
    (GatewayOperation.CONFIRM, FaultKind.REUSED_BANK_CODE, 0.15),
    (GatewayOperation.PAY, FaultKind.PAID_AMOUNT, 0.4),
)


class Violation(Exception):
    """A promise was broken. `promise` is its short name."""

    def __init__(self, promise: str, what: str) -> None:
        super().__init__(promise, what)  # as they are: it is pickled on its way to the process that reports it
        self.promise = promise
        self.what = what

    def __str__(self) -> str:
        return f"{self.promise}: {self.what}"


@dataclass(slots=True)
class Cart:
    """A purchase as the shop and its customer know it: `handed` are the invoices whose pages the customer
    got, and `brought` what came with the last return."""

    number: int
    shop: Shop
    order: Order
    expires_in: int
    key: str
    digest: bytes
    payment_id: str = ""
    link: str = ""
    reply: Reply | None = None
    handed: list[str] = field(default_factory=list)
    trips: list[Return] = field(default_factory=list)
    brought: dict[str, str] = field(default_factory=dict)


class World:
    """Everything but the story. `crash` and `restart` are the process's; the bank and the receivers live on.

    `judged_alone` has nothing count but the judge's word on the history. `families` are those of the first storefronts'
    terminals; without one it is the invoice script's.
    """

    def __init__(
        self,
        seed: int,
        *,
        chaos_rate: float = 0.0,
        odd_money: bool = False,
        keep_trace: bool = False,
        judged_alone: bool = False,
        families: Sequence[str] = (),
    ) -> None:
        self.seed = seed
        self.cast: Cast = cast()
        self.shops = self.cast.shops_at(families)
        self.clock = Clock(EPOCH)
        self.wrong = 0
        self.dice = Dice(seed)
        self.trace = Trace(self.clock, keep=keep_trace)
        self.bank = Bank(clock=self.clock, randomness=BankRandom(self.dice))
        self.gateway = SimulatedGateway(self.bank, _faults(seed, chaos_rate, odd_money=odd_money))
        self.script = InvoiceScriptSimulator(self.gateway)
        self.wires = {name: Wire(name, self.gateway) for name in confirming(families)}
        self.terminals_down: set[str] = set()
        self.receivers = {hook.url: Receiver(hook.url, (hook.secret,)) for hook in self.cast.hooks}
        self.carts: dict[int, Cart] = {}
        self.counts: Counter[str] = Counter()
        # Of each action that is under way: what it is, and whose payment it is about.
        self.operations: dict[int, str] = {}
        self.subjects: dict[int, int] = {}
        self.broken: Violation | None = None
        self.history = Chronicle(self.cast, self.shops)
        self._judged_alone = judged_alone
        self.ring_text = self.cast.ring_text
        self._folder = Path(tempfile.mkdtemp(prefix="dargah-torture-", dir=MEMORY))
        self._life = 0
        self._process: Process | None = None
        for shop in self.shops:
            self.bank.put_terminal(terminal_of(shop, seed))

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

    def time_of_day(self) -> int:
        """What the machine's clock says, which is `wrong` by so much."""
        return self.clock.now + self.wrong

    def jump(self, wrong: int) -> None:
        """The time of day is wrong by so much from now on; what is under way when it jumps is counted."""
        if wrong != self.wrong:
            self.counts["jumps of the clock"] += 1
            for one in self.turns.parked:
                self.meet(met.CLOCK_AHEAD if wrong > self.wrong else met.CLOCK_BACK, one.label, one.about)
            self._set_clock(wrong)

    def _set_clock(self, wrong: int) -> None:
        self.wrong = wrong
        self.history.clock(wrong, self.clock.now)

    async def crash(self, wrong: int | None = None) -> None:
        """The process dies in the midst of whatever it does, and another one starts on what it left.

        With `wrong` the time of day is wrong by so much when it starts.
        """
        self.counts["crashes"] += 1
        self.trace.note("crash")
        self._life += 1
        died_at = [] if self.turns.died_at is None else [self.turns.died_at]
        for one in (*self.turns.parked, *died_at):
            self.meet(met.CRASH, one.label, one.about)
            if wrong not in (None, self.wrong):
                self.meet(met.CLOCK_AT_START, one.label, one.about)
        dying, self._process = self.process, None
        await dying.crash(self._path())
        if wrong not in (None, self.wrong):
            self._set_clock(wrong)
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

    def meet(self, fault: str, label: int, about: About) -> None:
        """Counts that a fault struck what an action had begun."""
        operation = about.operation or self.operations.get(label, "")
        state = about.state or self._state_of(label)
        if operation and state:
            self.counts[met.key(operation, fault, state)] += 1

    def met(self, fault: str, about: About) -> None:
        self.meet(fault, LABEL.get(), about)

    def state_of_invoice(self, invoice_key: str) -> str:
        row = self.process.file.raw.execute(
            "SELECT status FROM payments WHERE invoice_key = ?", (invoice_key,)
        ).fetchone()
        return "" if row is None else str(row[0])

    def _state_of(self, label: int) -> str:
        """Of the payment that the action is about, as it is stored; "none" before there is one."""
        cart = self.carts.get(self.subjects.get(label, 0))
        if cart is None:
            return ""
        by_key = "SELECT status FROM payments WHERE idempotency_key = ? AND merchant_id = ?"
        row = self.process.file.raw.execute(by_key, (cart.key, cart.shop.merchant_id)).fetchone()
        return "none" if row is None else str(row[0])

    def break_promise(self, promise: str, what: str) -> None:
        """Notes the first broken promise; the driver raises it when the step under way has ended."""
        if self.broken is None and not self._judged_alone:
            self.broken = Violation(promise, what)

    def judge(self) -> None:
        """Raises Violation for what the judge of the history finds."""
        for promise, what in self.history.broken():
            raise Violation(promise, what)

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

    def arrived(self, request: WebhookRequest, wrong: str | None, status: int) -> None:
        """A receiver took a webhook: it must be right, and told of nothing that is not committed."""
        self.counts["webhooks arrived"] += 1
        self.history.webhook(request.url, dict(request.headers), request.body, status)
        event_id = request.headers["webhook-id"]
        self.trace.note(f"webhook {event_id}")
        if wrong is not None:
            self.break_promise("webhook is right", wrong)
        row = self.process.file.raw.execute("SELECT body FROM events WHERE id = ?", (event_id,)).fetchone()
        if row is None or row[0] != request.body:
            self.break_promise("webhook after commit", f"{event_id} arrived and is not stored so")

    def _path(self) -> Path:
        return self._folder / f"life{self._life}" / "dargah.db"

    async def _start(self) -> None:
        self._process = await Process.start(
            self._path(),
            WallClock(self.time_of_day, self.clock),
            self.dice,
            Turns(self.clock, self.trace),
            self.ring_text,
            lambda turns: net_gateway(self.script, self.wires, self.clock, turns, self.terminals_down, self),
            lambda turns: NetSender(self.receivers, self.clock, turns, self.dice, self.arrived, self),
        )


def _faults(seed: int, chaos_rate: float, *, odd_money: bool) -> Faults:
    """Chaos at a rate; odd money more often than chaos would have it, since most checks tell of no money at all."""
    faults = Faults(Chaos(seed, chaos_rate) if chaos_rate else None)
    if odd_money:
        for operation, kind, rate in _ODD_MONEY:
            faults.add(Rule(operation, Fault(kind), probability=rate, seed=seed))
    return faults


def terminal_of(shop: Shop, seed: int) -> SimulatedTerminal:
    """The bank's side of a terminal: hosts differ in how they send the customer back."""
    extras = (ReturnExtra.STATUS, ReturnExtra.BANK_CODE) if seed % 3 == 0 else ()
    method = list(HostReturnMethod)[seed % 2]
    if shop.family != INVOICE_SCRIPT:
        return SimulatedTerminal(shop.api_key, return_method=method, family=shop.family, credentials=shop.credentials)
    return SimulatedTerminal(shop.api_key, return_method=method, return_extras=extras)


def new_order(amount_rials: int, order_id: str) -> Order:
    return Order(order_id=order_id, amount_rials=amount_rials, currency=Currency.IRR)


@contextmanager
def complaints_heard(world: World) -> Iterator[None]:
    """An error that a loop swallowed and logged is a broken promise, unless it says that the store or gate is full."""

    def listen(_logger: object, method: str, event: Any) -> Any:
        error = sys.exc_info()[1]
        if method in {"error", "exception"} and not isinstance(error, DargahError):
            world.break_promise("no unexpected error", f"{event.get('event')}: {error!r}")
        raise structlog.DropEvent

    before = structlog.get_config()
    # Whatever a campaign has silenced: what is not logged is not heard.
    heard = structlog.make_filtering_bound_logger(logging.ERROR)
    structlog.configure(processors=[listen], wrapper_class=heard, cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)
