"""Claims share a process's places among merchants, whatever one of them has piled up."""

import asyncio
from dataclasses import dataclass, field
from typing import cast

import pytest

from proxy.gateways.circuit_breaker import CircuitBreaker
from proxy.gateways.concurrency_limiter import ConcurrencyLimiter, ConcurrencyLimits
from proxy.gateways.port import InvoiceIssued
from proxy.kernel.background import FairShares
from proxy.kernel.ids import EVENT
from proxy.merchants.merchant import Mode
from proxy.payments.change import Change
from proxy.payments.checkout import Checkout
from proxy.payments.payment import Payment
from proxy.payments.poller import LEASE, Poller
from proxy.payments.settlement import Settlement
from proxy.payments.storage.writes import LEAST_LOOK
from proxy.payments.transitions import apply
from proxy.stores.store import Store
from proxy.webhooks.delivery import Lease
from proxy.webhooks.event import Event
from proxy.webhooks.storage.claims import LEAST_LOOK as ENDPOINTS_LOOKED_AT
from store.records import IDS, NOW, add_endpoint, add_merchant, new_intent, new_payment, new_watch

LEASED = Lease(NOW + 30_000, "claim-1")


@pytest.fixture
def merchants() -> list[str]:
    return [IDS.merchant() for _ in range(3)]


async def owe_checks(store: Store, merchant_id: str, count: int, due_at: int) -> list[str]:
    """Payments of the merchant whose check is due, each a millisecond after the one before."""
    made = [new_payment(IDS.random(8), merchant_id=merchant_id) for _ in range(count)]
    await asyncio.gather(
        *(
            store.payments.create_payment(payment, new_intent(), new_watch(payment, due_at + number))
            for number, payment in enumerate(made)
        )
    )
    issued = [Change(each, apply(each, InvoiceIssued(IDS.random(8)), NOW)[0]) for each in made]
    await asyncio.gather(*map(store.payments.transition, issued))
    return [payment.id for payment in made]


async def owe_webhooks(store: Store, merchant_id: str, endpoints: int, events: int = 1, at: int = NOW) -> None:
    """Deliveries that wait at the merchant's endpoints."""
    await add_merchant(store, merchant_id)
    for _ in range(endpoints):
        await add_endpoint(store, merchant_id)
    for _ in range(events):
        event_id = IDS.record(EVENT, merchant_id, at)
        await store.webhooks.add_event(Event(event_id, merchant_id, None, Mode.LIVE, "ping", None, at, {}))


def held(total: int, **counts: int) -> FairShares:
    shares = FairShares(total)
    for merchant_id, count in counts.items():
        for _ in range(count):
            shares.take(merchant_id)
    return shares


async def test_watches_are_claimed_by_merchant_in_turn(store: Store, merchants: list[str]) -> None:
    first = await owe_checks(store, merchants[0], 10, NOW - 1000)
    second = await owe_checks(store, merchants[1], 2, NOW - 500)
    claimed = await store.payments.claim_due_checks(NOW, NOW + LEASE, 4, FairShares(100))
    assert [payment.id for payment, _ in claimed.checks] == [first[0], second[0], first[1], second[1]]


async def test_a_merchant_claims_no_more_watches_than_its_share(store: Store, merchants: list[str]) -> None:
    await owe_checks(store, merchants[0], 10, NOW - 1000)
    claimed = await store.payments.claim_due_checks(NOW, NOW + LEASE, 6, held(8, **{merchants[0]: 2}))
    assert len(claimed.checks) == 4
    assert claimed.reached is None


async def test_watches_behind_another_merchants_backlog_are_found(store: Store, merchants: list[str]) -> None:
    await owe_checks(store, merchants[0], LEAST_LOOK + 20, NOW - 1000)
    [mine] = await owe_checks(store, merchants[1], 1, NOW)
    full = held(8, **{merchants[0]: 6})
    nothing = await store.payments.claim_due_checks(NOW, NOW + LEASE, 2, full)
    assert (nothing.checks, nothing.reached) == ([], NOW - 1000 + LEAST_LOOK - 1)
    found = await store.payments.claim_due_checks(NOW, NOW + LEASE, 2, full, nothing.reached or 0)
    assert [payment.id for payment, _ in found.checks] == [mine]
    assert found.reached is None


async def test_watches_that_are_due_at_one_moment_do_not_hold_up_the_look(store: Store, merchants: list[str]) -> None:
    made = [new_payment(IDS.random(8), merchant_id=merchants[0]) for _ in range(LEAST_LOOK + 1)]
    await asyncio.gather(
        *(store.payments.create_payment(each, new_intent(), new_watch(each, NOW - 9)) for each in made)
    )
    [mine] = await owe_checks(store, merchants[1], 1, NOW)
    full = held(8, **{merchants[0]: 6})
    since, found = 0, list[str]()
    for _ in range(3):
        claimed = await store.payments.claim_due_checks(NOW, NOW + LEASE, 2, full, since)
        found += [payment.id for payment, _ in claimed.checks]
        since = claimed.reached or NOW
    assert found == [mine]


async def test_webhooks_are_claimed_by_merchant_in_turn(store: Store, merchants: list[str]) -> None:
    await owe_webhooks(store, merchants[0], endpoints=10)
    await owe_webhooks(store, merchants[1], endpoints=1)
    claims = await store.webhooks.claim_deliveries(NOW, LEASED, 4, FairShares(100))
    assert sorted(claim.merchant_id for claim in claims) == sorted([merchants[0]] * 3 + [merchants[1]])


async def test_a_merchant_claims_no_more_webhooks_than_its_share(store: Store, merchants: list[str]) -> None:
    await owe_webhooks(store, merchants[0], endpoints=3, events=4)
    await owe_webhooks(store, merchants[1], endpoints=1, events=4, at=NOW + 1)
    claims = await store.webhooks.claim_deliveries(NOW + 1, LEASED, 8, FairShares(8))
    counts = [sum(claim.merchant_id == merchant_id for claim in claims) for merchant_id in merchants]
    assert 1 <= counts[0] <= 5
    assert counts[1] >= 1
    assert sum(counts) < 8


async def test_webhooks_behind_a_full_merchants_endpoints_are_found(store: Store, merchants: list[str]) -> None:
    await owe_webhooks(store, merchants[0], endpoints=ENDPOINTS_LOOKED_AT + 8)
    await owe_webhooks(store, merchants[1], endpoints=1, at=NOW + 1)
    claims = await store.webhooks.claim_deliveries(NOW + 1, LEASED, 2, held(8, **{merchants[0]: 6}))
    assert [claim.merchant_id for claim in claims] == [merchants[1]]


@dataclass
class Asked:
    """A gateway that hangs: checks begin and never end."""

    payments: list[str] = field(default_factory=list)

    async def check(self, payment: Payment, _schedule: object) -> None:
        self.payments.append(payment.merchant_id)
        await asyncio.Event().wait()


async def test_a_watcher_finds_a_check_behind_a_backlog_of_hanging_ones(store: Store, merchants: list[str]) -> None:
    await owe_checks(store, merchants[0], 3 * LEAST_LOOK, NOW - 5000)
    await owe_checks(store, merchants[1], 1, NOW - 1)
    asked, now = Asked(), [NOW]
    limiter = ConcurrencyLimiter(ConcurrencyLimits())
    breaker = CircuitBreaker(lambda: now[0])
    poller = Poller(
        store.payments,
        cast("Checkout", asked),
        cast("Settlement", None),
        limiter,
        breaker,
        lambda: now[0],
        max_at_once=8,
    )
    steps = 0
    while await poller.step() == now[0]:
        steps += 1
    assert steps <= 4
    await asyncio.sleep(0)
    assert [asked.payments.count(merchant_id) for merchant_id in merchants[:2]] == [6, 1]
    # What comes due later is found at once: the backlog is not read again for it.
    await owe_checks(store, merchants[2], 1, NOW + 10)
    now[0] = NOW + 10
    for _ in range(2):
        await poller.step()
    await asyncio.sleep(0)
    assert asked.payments.count(merchants[2]) == 1
    for task in list(poller.tasks._running):
        task.cancel()
    await asyncio.gather(*poller.tasks._running, return_exceptions=True)
