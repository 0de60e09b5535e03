"""Records that the store's tests write, with ids that a seed gives."""

import random
from dataclasses import replace
from typing import Any

from proxy.audit.log import AuditEntry
from proxy.gateways.port import Captured, InvoiceIssued
from proxy.kernel.ids import AUDIT, DELIVERY, ENDPOINT, EVENT, PAYMENT, TERMINAL, TOKEN, Ids, digest
from proxy.kernel.money import Currency
from proxy.merchants.merchant import DEFAULT_SCOPES, Merchant, Mode, Terminal, Token
from proxy.merchants.vault import SealedSecret
from proxy.payments.change import Change, Intent, StoredCreation
from proxy.payments.check_schedule import CheckSchedule, begin
from proxy.payments.payment import Fact, Payment
from proxy.payments.transitions import apply
from proxy.stores.store import Store
from proxy.webhooks.endpoint import Endpoint, EndpointState
from proxy.webhooks.event import Event

NOW = 1_795_600_000_000
LEASE = NOW + 30_000
IDS = Ids(random.Random(20261124).randbytes)
MERCHANT_ID = IDS.merchant()
TERMINAL_ID = IDS.record(TERMINAL, MERCHANT_ID, NOW)

__all__ = ["AUDIT", "DELIVERY", "ENDPOINT", "EVENT", "PAYMENT", "TERMINAL", "TOKEN"]


def new_payment(order_id: str = "order-1", **changes: Any) -> Payment:
    merchant_id = changes.pop("merchant_id", MERCHANT_ID)
    at = changes.pop("at", NOW)
    payment = Payment(
        id=IDS.record(PAYMENT, merchant_id, at),
        merchant_id=merchant_id,
        storefront="main",
        terminal_id=TERMINAL_ID,
        mode=Mode.LIVE,
        order_id=order_id,
        amount_rials=150_000,
        currency=Currency.IRT,
        description="چای",
        metadata={"basket": [1, 2], "note": "آ"},
        return_url="https://shop.example/back?order=1",
        link=IDS.link(merchant_id, at),
        expires_at=at + 1_800_000,
        created_at=at,
        updated_at=at,
    )
    return replace(payment, **changes)


def new_intent(key: str | None = None) -> Intent:
    return Intent(key or IDS.random(20), b"\x00\xff" * 16, LEASE)


async def create(store: Store, payment: Payment | None = None, key: str | None = None) -> Payment:
    payment = payment or new_payment()
    stored = await store.payments.create_payment(payment, new_intent(key), begin(payment))
    assert stored.fresh
    return stored.payment


async def create_with(store: Store, payment: Payment, key: str) -> StoredCreation:
    return await store.payments.create_payment(payment, new_intent(key), begin(payment))


def change(before: Payment, fact: Fact, now: int = NOW, **more: Any) -> Change:
    """What `fact` makes of the payment, with its events."""
    after, types = apply(before, fact, now)
    events = [
        Event(
            IDS.record(EVENT, before.merchant_id, now),
            before.merchant_id,
            before.storefront,
            before.mode,
            kind.value,
            before.id,
            now,
            {"payment_id": before.id, "version": after.version},
        )
        for kind in types
    ]
    return Change(before, after, events, fact=fact, **more)


async def step(store: Store, before: Payment, fact: Fact, now: int = NOW, **more: Any) -> Payment:
    """Writes what `fact` makes of the payment. The watch stays as it is unless `more` says otherwise."""
    written = change(before, fact, now, **more)
    await store.payments.transition(written)
    return written.after


async def pending(store: Store, order_id: str = "order-1", **changes: Any) -> Payment:
    invoice_key = changes.pop("invoice_key", None) or IDS.random(12)
    return await step(store, await create(store, new_payment(order_id, **changes)), InvoiceIssued(invoice_key))


def captured(payment: Payment, bank_code: str | None = None, **changes: Any) -> Captured:
    assert payment.invoice_key is not None
    return Captured(payment.invoice_key, payment.amount_rials, bank_code or IDS.random(12), **changes)


async def paid(store: Store, order_id: str = "order-1", bank_code: str | None = None, **changes: Any) -> Payment:
    before = await pending(store, order_id, **changes)
    return await step(store, before, captured(before, bank_code))


def new_watch(payment: Payment, due_at: int, version: int = 1) -> CheckSchedule:
    return replace(begin(payment), due_at=due_at, version=version)


def new_merchant(merchant_id: str = MERCHANT_ID) -> Merchant:
    return Merchant(merchant_id, "فروشگاه", ("https://shop.example",), NOW, NOW)


def new_audit(merchant_id: str = MERCHANT_ID, at: int = NOW, action: str = "test") -> AuditEntry:
    return AuditEntry(IDS.record(AUDIT, merchant_id, at), merchant_id, at, "operator", action, merchant_id, {"n": 1})


def new_terminal(merchant_id: str = MERCHANT_ID) -> Terminal:
    terminal_id = IDS.record(TERMINAL, merchant_id, NOW)
    return Terminal(terminal_id, merchant_id, "main", Mode.TEST, "https://pay.example/", None, True, NOW, NOW)


def new_token(merchant_id: str = MERCHANT_ID) -> Token:
    text = IDS.api_token(merchant_id, "live")
    return Token(
        id=IDS.record(TOKEN, merchant_id, NOW),
        merchant_id=merchant_id,
        storefront="main",
        mode=Mode.LIVE,
        prefix=text[:12],
        digest=digest(text),
        scopes=DEFAULT_SCOPES,
        terminal_id=None,
        created_at=NOW,
        expires_at=None,
        revoked_at=None,
    )


def new_endpoint(merchant_id: str = MERCHANT_ID, **changes: Any) -> Endpoint:
    endpoint = Endpoint(
        id=IDS.record(ENDPOINT, merchant_id, NOW),
        merchant_id=merchant_id,
        mode=Mode.LIVE,
        url="https://shop.example/hook",
        storefront=None,
        event_types=frozenset(),
        description="",
        header_names=("x-shop",),
        state=EndpointState.ENABLED,
        state_reason=None,
        state_since=NOW,
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(endpoint, **changes)


def sealed(owner_id: str, name: str = "secret", merchant_id: str = MERCHANT_ID, kek_id: str = "k1") -> SealedSecret:
    return SealedSecret(merchant_id, owner_id, name, kek_id, IDS.random(16).encode())


async def add_merchant(store: Store, merchant_id: str = MERCHANT_ID) -> Merchant:
    merchant = new_merchant(merchant_id)
    await store.merchants.add_merchant(merchant, [sealed(merchant_id, "return", merchant_id)], new_audit(merchant_id))
    return merchant


async def add_endpoint(store: Store, merchant_id: str = MERCHANT_ID, **changes: Any) -> Endpoint:
    endpoint = new_endpoint(merchant_id, **changes)
    await store.webhooks.add_endpoint(endpoint, [sealed(endpoint.id, "v1", merchant_id)], new_audit(merchant_id))
    return endpoint
