"""Payments and their changes as the use-cases would hand them to a store. Benchmarks only."""

import os
import secrets
from typing import Any, Final

from proxy.clock import MINUTE
from proxy.facts import Fact
from proxy.ids import EVENT, PAYMENT, Ids
from proxy.merchant import Mode
from proxy.money import Currency
from proxy.payment import Payment, apply
from proxy.records import Change, Entry
from proxy.views import payment_data
from proxy.webhook import Event

IDS: Final = Ids(os.urandom)


def new_payment(merchant_id: str, now: int) -> Payment:
    """One of an order that nobody else has."""
    return Payment(
        id=IDS.record(PAYMENT, merchant_id, now),
        merchant_id=merchant_id,
        storefront="main",
        terminal_id=f"trm_{merchant_id[4:]}000000000000000001",
        mode=Mode.LIVE,
        order_id=f"order-{secrets.token_hex(6)}",
        amount_rials=150_000,
        currency=Currency.IRT,
        description=None,
        metadata={},
        return_url="https://shop.example/back",
        link=IDS.link(merchant_id, now),
        expires_at=now + 30 * MINUTE,
        created_at=now,
        updated_at=now,
    )


def changed(before: Payment, fact: Fact, now: int, **more: Any) -> Change:
    """What comes of a fact, with its events; `more` are other fields of the change."""
    after, types = apply(before, fact, now)
    events = [
        Event(
            IDS.record(EVENT, before.merchant_id, now),
            before.merchant_id,
            before.storefront,
            kind.value,
            before.id,
            now,
            payment_data(after),
            before.mode,
        )
        for kind in types
    ]
    return Change(before, after, events, **more)


def line(now: int, kind: str = "gateway.request", outcome: str = "issued") -> Entry:
    """A payment's timeline has it of each call of the gateway."""
    return Entry(now, kind, 40, {"outcome": outcome})
