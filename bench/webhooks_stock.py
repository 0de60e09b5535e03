"""A store with merchants and their endpoints, and the engine over it as `app.py` wires it. Benchmarks only."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver

from bench.lives import changed
from proxy.adapters.guard import Guard
from proxy.adapters.sender import TOTAL_SECONDS, HttpSender
from proxy.adapters.sqlite import open_store
from proxy.adapters.sqlite.store import SqliteStore
from proxy.adapters.vault import KeyRing, RingVault, generate_line
from proxy.clock import MINUTE, system_now
from proxy.delivery import Delivery
from proxy.directory import Directory
from proxy.facts import RequestRefused
from proxy.ids import PAYMENT, TERMINAL, Ids
from proxy.loops import Repeater
from proxy.merchant import Endpoint, Mode
from proxy.money import Currency
from proxy.payment import Payment
from proxy.ports import Sender
from proxy.records import Answer, Change, Intent, Outgoing
from proxy.setup import HttpPolicy, Setup
from proxy.watch import begin

IDS = Ids(os.urandom)
AT_ONCE = 512


def new_payment(merchant_id: str, number: int) -> Payment:
    now = system_now()
    return Payment(
        id=IDS.record(PAYMENT, merchant_id, now),
        merchant_id=merchant_id,
        storefront="main",
        terminal_id=IDS.record(TERMINAL, merchant_id, now),
        mode=Mode.LIVE,
        order_id=f"order-{number}",
        amount_rials=150_000,
        currency=Currency.IRT,
        description="چای سبز",
        metadata={"basket": number},
        return_url=f"https://shop.example/back?order={number}",
        link=IDS.link(merchant_id, now),
        expires_at=now + 30 * MINUTE,
        created_at=now,
        updated_at=now,
    )


def refused(before: Payment) -> Change:
    """The gateway refused: the one step that brings an event out of a payment that was just created."""
    return changed(before, RequestRefused(101), system_now(), watch=None)


class Timed:
    """A sender that notes when each message was answered, on the clock that all processes share."""

    def __init__(self, inner: Sender) -> None:
        self._inner = inner
        self.answered: dict[str, float] = {}

    async def send(self, outgoing: Outgoing) -> Answer:
        answer = await self._inner.send(outgoing)
        self.answered.setdefault(outgoing.headers["webhook-id"], time.monotonic())
        return answer


@dataclass(frozen=True, slots=True)
class Stock:
    """An open store with an endpoint per merchant, and the engine over it, not yet started."""

    store: SqliteStore
    endpoints: Sequence[Endpoint]
    delivery: Delivery
    engine: Repeater
    timed: Timed

    async def payments(self, count: int) -> list[Payment]:
        """Created payments, of one merchant after the other."""
        made = [
            new_payment(self.endpoints[number % len(self.endpoints)].merchant_id, number) for number in range(count)
        ]
        for at in range(0, count, AT_ONCE):
            await asyncio.gather(*(self._create(payment) for payment in made[at : at + AT_ONCE]))
        return made

    async def events(self, count: int) -> None:
        """So many events, each with its delivery, which is due."""
        made = await self.payments(count)
        for at in range(0, count, AT_ONCE):
            await asyncio.gather(*(self.store.transition(refused(payment)) for payment in made[at : at + AT_ONCE]))

    async def drained(self) -> None:
        """Returns when nothing is due or on its way."""
        # Asked for now and then: an event at each record would be work that the engine does not have.
        while len(self.delivery.tasks) or await self.store.next_delivery_at() is not None:  # noqa: ASYNC110  as above
            await asyncio.sleep(0.005)

    async def _create(self, payment: Payment) -> None:
        await self.store.create_payment(payment, Intent(payment.id, bytes(32), 0), begin(payment))


@asynccontextmanager
async def stock(
    folder: Path,
    urls: Sequence[str],
    *,
    endpoints: Sequence[int] | None = None,
    timed: bool = False,
    attempt_seconds: float = TOTAL_SECONDS,
    resolver: AbstractResolver | None = None,
) -> AsyncIterator[Stock]:
    """A new database in `folder`, with the engine at rest; all is closed at the end.

    Each URL is a merchant's, who has one endpoint there, or as many as `endpoints` says.
    """
    async with AsyncExitStack() as stack:
        store = await open_store(folder / "dargah.db", now=system_now)
        stack.push_async_callback(store.close)
        vault = RingVault(KeyRing.parse(generate_line("bench")), os.urandom)
        sender = HttpSender(Guard(development=True), total_seconds=attempt_seconds, resolver=resolver)
        stack.push_async_callback(sender.close)
        clock = Timed(sender)
        directory = Directory(store, vault, system_now)
        delivery = Delivery(
            store, directory, clock if timed else sender, IDS, system_now, lambda: random.uniform(-1, 1)
        )
        engine = Repeater("deliver", delivery.step, system_now)
        delivery.tasks.on_room = engine.wake
        stack.push_async_callback(delivery.tasks.drain)
        stack.callback(delivery.stop)
        stack.push_async_callback(engine.stop)
        setup = Setup(store, vault, system_now, http=_any_http(urls))
        made = [
            each
            for url, count in zip(urls, endpoints or [1] * len(urls), strict=True)
            for each in await _add(setup, url, count)
        ]
        yield Stock(store, made, delivery, engine, clock)


async def _add(setup: Setup, url: str, count: int) -> list[Endpoint]:
    merchant, _ = await setup.create_merchant("bench", ["https://shop.example"], actor="bench")
    return [(await setup.add_endpoint(merchant.id, url, actor="bench"))[0] for _ in range(count)]


def _any_http(urls: Sequence[str]) -> HttpPolicy:
    return HttpPolicy(loopback=True, targets=frozenset(urlsplit(url).netloc for url in urls))
