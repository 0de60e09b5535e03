"""The steps of payments' lives in one file, taken together and timed. Benchmarks only."""

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from bench.growth_fill import AT, MERCHANTS, OPEN_SHARE, SPREAD
from proxy.gateways.port import Captured, InvoiceIssued, NotPaid
from proxy.kernel.clock import MINUTE, SECOND
from proxy.merchants.merchant import Mode
from proxy.payments.change import Change, Entry, Intent
from proxy.payments.check_schedule import FROM_LINK, CheckSchedule, ScheduleChange, after, expect
from proxy.payments.payment import Payment, Status
from proxy.payments.scan import PaymentScan
from proxy.payments.search import Number, PaymentFilter
from proxy.stores.sqlite import SqliteStore, open_store
from proxy.webhooks.delivery import Attempt, AttemptReport, Claim, Lease
from tests.store.records import IDS, change, new_payment

T = TypeVar("T")
TOGETHER: Final = 25  # steps at once
OF_ANY_AGE: Final = "get by id, of any age"
SEARCH: Final = "search by a number, of any age"
_IO: Final = os.open("/proc/self/io", os.O_RDONLY)
RANDOM: Final = random.Random(20261124)


@dataclass(slots=True)
class Grown:
    """A file, and what a step took there in each round: microseconds by the clock and of this process's CPU, and calls
    of the kernel that read, which are pages that SQLite's cache does not hold.
    """

    payments: int
    megabytes: int
    fill_seconds: float
    store: SqliteStore = field(init=False)
    now: int = AT
    measured: bool = False
    clock_us: dict[str, list[float]] = field(default_factory=dict)
    cpu_us: dict[str, list[float]] = field(default_factory=dict)
    reads: dict[str, list[float]] = field(default_factory=dict)

    async def open(self, path: Path) -> None:
        """Opens the file with this bench's clock, by which none of the watches that it was filled with is due."""
        self.store = await open_store(path, now=lambda: self.now)

    async def timed(self, name: str, steps: Iterable[Awaitable[T]], count: int = TOGETHER) -> list[T]:
        """Takes the steps together; each is counted as its share of them."""
        read, cpu, began = _reads(), time.process_time(), time.perf_counter()
        found = await asyncio.gather(*steps)
        if self.measured:
            self.clock_us.setdefault(name, []).append((time.perf_counter() - began) / count * 1e6)
            self.cpu_us.setdefault(name, []).append((time.process_time() - cpu) / count * 1e6)
            self.reads.setdefault(name, []).append((_reads() - read - 1) / count)
        return found


def _reads() -> int:
    """Of this process before this one."""
    return int(os.pread(_IO, 200, 0).split()[5])


async def one_round(grown: Grown, number: int) -> None:
    """So many payments live in the file, each of a merchant of its own, and old ones are looked for."""
    grown.now = AT + number * SECOND
    merchants = [f"mer_{(number + at) % MERCHANTS:08}" for at in range(TOGETHER)]
    pending = await _begun(grown, [_fresh(merchant_id, grown.now) for merchant_id in merchants])
    await _read(grown, pending)
    await _looked_for(grown)
    watched = await _watched(grown)
    await _paid(grown, watched)
    await _delivered(grown)


def _fresh(merchant_id: str, now: int) -> Payment:
    """A payment of an order that nobody else has."""
    terminal_id = f"trm_{merchant_id[4:]}000000000000000001"
    return new_payment(f"order-{IDS.random(12)}", merchant_id=merchant_id, terminal_id=terminal_id, at=now)


async def _begun(grown: Grown, fresh: Sequence[Payment]) -> list[Payment]:
    store, now = grown.store, grown.now
    intents = [Intent(f"key-{_spread()}-{each.id[-10:]}", bytes(32), now + MINUTE) for each in fresh]
    watches = [expect(each, 0.5) for each in fresh]
    await grown.timed("create", map(store.payments.create_payment, fresh, intents, watches))
    changes = [change(each, InvoiceIssued(f"inv-{_spread()}-{each.id[-10:]}"), now) for each in fresh]
    await grown.timed("its invoice", map(store.payments.transition, changes))
    keys = [intent.key for intent in intents]
    replays = (
        store.payments.stored(each.merchant_id, "main", Mode.LIVE, key) for each, key in zip(fresh, keys, strict=True)
    )
    await grown.timed("replay", replays)
    return [each.after for each in changes]


async def _read(grown: Grown, pending: Sequence[Payment]) -> None:
    store = grown.store
    await grown.timed("get by id", (store.payments.payment(each.merchant_id, each.id) for each in pending))
    await grown.timed("get by link", (store.payments.payment_by_link(each.merchant_id, each.link) for each in pending))
    old = [(f"mer_{key}", f"pay_{key}{at:018}") for key, at in (_any(grown) for _ in pending)]
    await grown.timed(OF_ANY_AGE, (store.payments.payment(*each) for each in old))
    newest = PaymentFilter(limit=20)
    await grown.timed("newest 20", (store.payments.list_payments(each.merchant_id, newest) for each in pending))
    open_ones = PaymentFilter(limit=20, statuses=(Status.PENDING,))
    await grown.timed(
        "newest 20 that are open", (store.payments.list_payments(each.merchant_id, open_ones) for each in pending)
    )
    orders = [PaymentFilter(order_id=each.order_id) for each in pending]
    await grown.timed(
        "of an order", (store.payments.list_payments(p.merchant_id, o) for p, o in zip(pending, orders, strict=True))
    )


async def _looked_for(grown: Grown) -> None:
    """What the console asks for, over all merchants."""
    store, step = grown.store, SPREAD // (grown.payments // MERCHANTS)
    (_, first), (_, second), (_, third) = (_any(grown) for _ in range(3))
    number = {
        Number.BANK_CODE: f"bank-{first * step:011x}",
        Number.INVOICE_KEY: f"inv-{second * step:011x}",
        Number.ORDER_ID: f"order-{third:018}",
    }
    searches = (store.payments.find_ids(None, kind, text) for kind, text in number.items())
    await grown.timed(SEARCH, searches, len(number))
    await grown.timed(
        "newest 25, all merchants", [PaymentScan(store.payments, None, PaymentFilter(limit=25)).page()], 1
    )


async def _watched(grown: Grown) -> list[tuple[Payment, CheckSchedule]]:
    """Claims what this round began, and asks about it once in vain."""
    store, due = grown.store, grown.now + FROM_LINK[0] + MINUTE
    [found] = await grown.timed("claim of 25 watches", [store.payments.claim_due_checks(due, due + MINUTE, TOGETHER)])
    claimed = found.checks
    if len(claimed) != TOGETHER:
        raise SystemExit(f"{len(claimed)} watches were due: not a measurement")
    plans = [
        (payment, watch, after(watch, payment, NotPaid(payment.invoice_key or ""), due, 0.5))
        for payment, watch in claimed
    ]
    asked = Entry(due, "gateway.check", 40, {"outcome": "not_paid"})
    steps = [Change(each, each, (), (asked,), schedule=ScheduleChange(watch, plan)) for each, watch, plan in plans]
    await grown.timed("watch, asked in vain", map(store.payments.transition, steps))
    return [(payment, plan) for payment, _, plan in plans if plan is not None]


async def _paid(grown: Grown, watched: Sequence[tuple[Payment, CheckSchedule]]) -> None:
    def captured(payment: Payment) -> Captured:
        assert payment.invoice_key is not None
        return Captured(payment.invoice_key, payment.amount_rials, f"bank-{_spread()}-{payment.id[-10:]}")

    changes = [change(each, captured(each), grown.now, schedule=ScheduleChange(watch, None)) for each, watch in watched]
    await grown.timed("paid, with its event", map(grown.store.payments.transition, changes))


async def _delivered(grown: Grown) -> None:
    store, now = grown.store, grown.now
    [claims] = await grown.timed(
        "claim of 25 deliveries", [store.webhooks.claim_deliveries(now, Lease(now + MINUTE, "bench"), TOGETHER)]
    )
    if len(claims) != TOGETHER:
        raise SystemExit(f"{len(claims)} deliveries were due: not a measurement")
    await grown.timed(
        "its attempt recorded", (store.webhooks.record_attempt(_well(claim, now), None) for claim in claims)
    )


def _well(claim: Claim, now: int) -> AttemptReport:
    return AttemptReport(claim, Attempt(claim.attempt, now, 20, "delivered", 200, None, b"ok"), None, now, 0.0)


def _any(grown: Grown) -> tuple[str, int]:
    """A merchant's key, and the number of one of its payments that is paid."""
    count = grown.payments // MERCHANTS
    at = RANDOM.randrange(count)
    return f"{RANDOM.randrange(MERCHANTS):08}", at if at % OPEN_SHARE else at + 1


def _spread() -> str:
    return f"{RANDOM.randrange(SPREAD):011x}"
