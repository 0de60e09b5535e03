"""What happens to shops' orders at Dargah: the stories of the matrix, each for any client before any family behind."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientSession
from support.clock import ManualClock
from support.dargah import UNLIMITED, running_by, settings
from support.eventually import eventually
from web.lab import Lab, lab_in
from yarl import URL

from gateways.conftest import Counter, counter_at
from gateways.drop_in_shops import ORIGIN, Plugin, Shop, shop_on, verdict_of, verify_call
from gateways.public_clients import Front, Trip, form_of, front_of
from proxy.app import Dargah
from proxy.gateways.registry import FAMILIES
from proxy.kernel.clock import MINUTE, SECOND
from proxy.merchants.merchant import Mode, ReturnMethod, Scope
from proxy.payments.payment import Status
from proxy.payments.search import PaymentFilter
from proxy.webhooks.event import EventFilter

AMOUNT, OTHER, CHEAP = 150_000, 140_000, 20_000


@dataclass
class Stand:
    """Dargah, once or twice on one database, before a simulated gateway of one family, and the front of the hosts that
    the clients call. Requests reach the first Dargah, all else the last. The shops are those of the merchant, at the
    terminal; `counter` is where the money is taken.
    """

    counter: Counter
    dargahs: tuple[Dargah, ...]
    merchant_id: str
    terminal_id: str
    front: Front
    customers: "Browser"
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def lab(self) -> Lab:
        return self.counter.lab

    @asynccontextmanager
    async def trade_of(self, plugin: Plugin) -> AsyncIterator["Trade"]:
        """A shop on this client with a storefront of its own."""
        storefront = f"shop-{next(self._numbers)}"
        setup = self.dargahs[0].services.setup
        _, token = await setup.issue_token(
            self.merchant_id,
            storefront,
            Mode.LIVE,
            frozenset({Scope.FACADE}),
            self.terminal_id,
            return_method=ReturnMethod(plugin.method),
            protocol=plugin.protocol,
            actor="test",
        )
        bases = (self.dargahs[0].url, self.dargahs[-1].url)
        async with shop_on(plugin, token, bases, self.front) as shop:
            yield Trade(self, plugin, storefront, token, shop)


@asynccontextmanager
async def stand_of(folder: Path, family: str, *, replicas: int = 1) -> AsyncIterator[Stand]:
    """A stand whose database is `folder`'s."""
    clock = ManualClock()
    options: dict[str, Any] = {**UNLIMITED, "log_level": "error"}
    async with AsyncExitStack() as stack:
        lab = await stack.enter_async_context(lab_in(folder, clock, **options))
        others = [running_by(clock, settings(folder, **options)) for _ in range(replicas - 1)]
        dargahs = [lab.dargah, *[await stack.enter_async_context(other) for other in others]]
        urls = [dargah.url for dargah in dargahs]

        def behind(path: str) -> str:
            return urls[0] if "request" in path else urls[-1]

        front = await stack.enter_async_context(front_of(behind, folder))
        await lab.dargah.services.setup.change_merchant(lab.merchant_id, return_origins=[ORIGIN], actor="test")
        counter = await counter_at(lab, FAMILIES[family])
        browser = Browser(front, lab.session)
        yield Stand(counter, tuple(dargahs), lab.merchant_id, counter.terminal_id, front, browser)


@dataclass
class Browser:
    """A customer's browser, from the shop's link to the bank, and back to the shop."""

    front: Front
    session: ClientSession

    async def to_the_bank(self, there: Mapping[str, Any]) -> tuple[URL, dict[str, str]]:
        """The bank's page, and the fields of its form, after every redirect and form that leads there."""
        fields = {name: str(value) for name, value in (there["fields"] or {}).items()}
        method, url = there.get("method", "POST" if fields else "GET"), URL(there["url"])
        if method == "GET":
            url, fields = url.update_query(fields), {}
        for _ in range(6):
            async with self._go(method, url, fields) as page:
                text = await page.text()
                if page.status == 303:
                    method, url, fields = "GET", url.join(URL(page.headers["Location"], encoded=True)), {}
                    continue
                assert page.status == 200, text
            action, fields = form_of(text)
            if 'name="action"' in text:
                return url, fields
            method, url = "POST", url.join(URL(action, encoded=True))
        raise AssertionError(f"no bank behind {there}")

    async def presses(self, there: Mapping[str, Any], action: str) -> Trip:
        """The customer's act at the bank, and the trip back to Dargah."""
        url, fields = await self.to_the_bank(there)
        trip = await self._trip("POST", url, fields | {"action": action})
        assert trip is not None
        return trip

    async def comes_back(self, trip: Trip) -> Trip | None:
        """The trip back to the shop; None while Dargah has its customer wait."""
        there: Trip | None = trip
        for _ in range(3):  # a Dargah behind a Dargah has a trip of its own
            assert there is not None
            url, fields = URL(there.url, encoded=True), there.params if there.method == "POST" else {}
            there = await self._trip(there.method, url, fields)
            if there is None or there.url.startswith(ORIGIN):
                return there
        raise AssertionError(f"no way back from {trip.url}")

    async def _trip(self, method: str, url: URL, fields: Mapping[str, str]) -> Trip | None:
        async with self._go(method, url, fields) as sent:
            if sent.status == 303:
                back = URL(sent.headers["Location"], encoded=True)
                return Trip("GET", str(back), dict(back.query))
            text = await sent.text()
            assert sent.status == 200, text
            if "data-next=" in text:
                return None  # the page asks again by itself
            action, told = form_of(text)
            return Trip("POST", action, told)

    def _go(self, method: str, url: URL, fields: Mapping[str, str]) -> Any:
        through: Any = {"proxy": self.front.proxy, "ssl": self.front.trust} if url.scheme == "https" else {}
        data = fields if method == "POST" else None
        headers = {"Accept": "text/html"}
        return self.session.request(method, url, data=data, headers=headers, allow_redirects=False, **through)


@dataclass
class Trade:
    """A shop at a stand."""

    stand: Stand
    plugin: Plugin
    storefront: str
    token: str
    shop: Shop
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(17))

    async def order(self, rials: int = AMOUNT) -> tuple[int, dict[str, Any]]:
        """A new order's number, and its customer's way."""
        number = next(self._numbers)
        there = await self.shop.order(number, rials)
        assert "reference" in there, there
        return number, there

    async def acts(self, there: Mapping[str, Any], action: str) -> Trip:
        """What the customer brings to the shop after that act at the bank."""
        trip = await self.stand.customers.presses(there, action)
        back = await self.stand.customers.comes_back(trip)
        assert back is not None
        return back

    async def settles(self, number: int, back: Trip | None = None) -> tuple[str, str]:
        """The client's verdicts when the shop asks, and when it asks again."""
        return await self.shop.asks(number, back), await self.shop.asks(number, back)

    def credited(self, number: int, times: int = 1) -> None:
        assert self.shop.credits.count(number) == times, (number, self.shop.credits)


async def paid(trade: Trade) -> None:
    number, there = await trade.order()
    verdicts = await trade.settles(number, await trade.acts(there, "pay"))
    trade.credited(number)
    assert verdicts[0] == trade.plugin.first, verdicts


async def canceled(trade: Trade) -> None:
    number, there = await trade.order()
    verdicts = await trade.settles(number, await trade.acts(there, "cancel"))
    trade.credited(number, 0)
    assert not {"paid", "again"} & set(verdicts), verdicts


async def failed(trade: Trade) -> None:
    number, there = await trade.order()
    verdicts = await trade.settles(number, await trade.acts(there, "fail"))
    trade.credited(number, 0)
    assert not {"paid", "again"} & set(verdicts), verdicts


async def closed_browser(trade: Trade) -> None:
    """The customer pays and never returns. Where the family can be asked the shop is paid, else the money goes back."""
    number, there = await trade.order()
    await trade.stand.customers.presses(there, "pay")
    trade.stand.lab.clock.forward(2 * MINUTE)
    await trade.settles(number)
    trade.credited(number, 0 if trade.stand.counter.family.traits.needs_return else 1)


async def wrong_amount(trade: Trade) -> None:
    """The shop verifies another amount than it asked for: no credit. By the right one it is credited."""
    number, there = await trade.order()
    back = await trade.acts(there, "pay")
    if trade.plugin.sends_amount:
        verdict = await trade.shop.asks(number, back, OTHER)
        assert verdict not in ("paid", "again"), verdict
        trade.credited(number, 0)
    await trade.settles(number, back)
    trade.credited(number)


async def verified_twice(trade: Trade) -> None:
    """The customer comes back twice, and the shop verifies at each."""
    number, there = await trade.order()
    trip = await trade.stand.customers.presses(there, "pay")
    for _ in range(2):
        back = await trade.stand.customers.comes_back(trip)
        assert back is not None
        await trade.settles(number, back)
    trade.credited(number)
    verdict = await trade.shop.asks(number, back)
    assert verdict != "paid" or trade.plugin.program == "banks", verdict


async def verified_at_once(trade: Trade) -> None:
    """Many verifies of one payment at once, at every Dargah: exactly one is told that it is the first."""
    number, there = await trade.order()
    trip = await trade.stand.customers.presses(there, "pay")
    if trade.stand.counter.family.traits.needs_return:
        assert await trade.stand.customers.comes_back(trip) is not None
    name = there["url"].rpartition("/")[2]
    path, fields = verify_call(trade.plugin.protocol, trade.token, name, AMOUNT, toman=trade.plugin.toman)
    urls = [dargah.url for dargah in trade.stand.dargahs for _ in range(4 // len(trade.stand.dargahs))]

    async def verdict(url: str) -> str:
        async with trade.stand.lab.session.post(url + path, json=fields) as answer:
            return verdict_of(trade.plugin.protocol, await answer.json())

    verdicts = await asyncio.gather(*(verdict(url) for url in urls))
    if trade.plugin.protocol == "invoice_script":
        assert set(verdicts) == {"paid"}, verdicts  # it has no word for a second time
    else:
        assert sorted(verdicts) == ["again", "again", "again", "paid"], verdicts
    await trade.settles(number)
    trade.credited(number, 0 if trade.plugin.loses_again else 1)


async def replayed(trade: Trade) -> None:
    """A customer pays a cheap order, and comes with its key to the callback of a dear one."""
    cheap, there = await trade.order(CHEAP)
    dear, _ = await trade.order()
    back = await trade.acts(there, "pay")
    if trade.plugin.sends_amount:
        verdict = await trade.shop.asks_with_key_of(dear, cheap, back)
        assert verdict not in ("paid", "again"), verdict
    verdict = await trade.shop.asks(dear)
    assert verdict not in ("paid", "again"), verdict
    trade.credited(dear, 0)
    await trade.settles(cheap, back)
    trade.credited(cheap)


async def down_and_back(trade: Trade) -> None:
    """The gateway is down at the request, and again after the payment: nothing is taken for canceled."""
    lab, customers, number = trade.stand.lab, trade.stand.customers, next(trade._numbers)
    await lab.fault("request", "http_500", processed=False)
    assert "reference" not in await trade.shop.order(number, AMOUNT)
    await up_again(lab)
    number, there = await trade.order()
    trip = await customers.presses(there, "pay")
    for operation in trade.stand.counter.operations:
        await lab.fault(operation, "http_500", processed=False)
    assert await customers.comes_back(trip) is None
    verdicts = await trade.settles(number)
    assert not {"paid", "again"} & set(verdicts), verdicts
    assert "cancel" not in trade.shop.said.lower(), trade.shop.said
    await up_again(lab)

    async def back_at_the_shop() -> Trip | None:
        lab.clock.forward(30 * SECOND)
        return await customers.comes_back(trip)

    await trade.settles(number, await eventually(back_at_the_shop))
    trade.credited(number)


async def up_again(lab: Lab) -> None:
    await lab.control("DELETE", "faults")
    lab.clock.forward(MINUTE)


async def books(trade: Trade) -> None:
    """Of the stories before: what the shop credited, Dargah has as paid and told by webhook, and the bank
    captured are as many, one by one.
    """
    lab, storefront = trade.stand.lab, trade.storefront
    store = trade.stand.dargahs[-1].services.store
    wanted = PaymentFilter(storefront, statuses=(Status.PAID,), limit=100)
    found = await store.payments.list_payments(lab.merchant_id, wanted)
    told = await store.webhooks.list_events(lab.merchant_id, EventFilter(storefront, "payment.paid", limit=100))
    captured = [await trade.stand.counter.invoice({"pay_url": f"/pay/{payment.link}"}) for payment in found.payments]
    assert [each["state"] for each in captured] == ["captured"] * len(found.payments)
    assert sorted(event.payment_id or "" for event in told) == sorted(payment.id for payment in found.payments)
    credited = trade.shop.credits
    assert len(credited) == len(set(credited)) == len(found.payments) - trade.plugin.loses_again, credited


async def reversed_for_the_shop(trade: Trade) -> None:
    """The shop has a credited order reversed, in the one protocol that can: where the family can, the money is back."""
    stand, plugin = trade.stand, trade.plugin
    if plugin.protocol != "zarinpal":
        return
    if stand.counter.family.name == "zarinpal":  # it reverses for a registered IP alone
        terminal = {"api_key": stand.counter.key, "family": "zarinpal", "credentials": stand.counter.credentials}
        await stand.lab.control("POST", "terminals", terminal | {"registered_ip": "127.0.0.1"})
    number, there = await trade.order()
    await trade.settles(number, await trade.acts(there, "pay"))
    trade.credited(number)
    reference = there["url"].rpartition("/")[2]
    fields = {"merchant_id": trade.token, "authority": reference}
    async with stand.lab.session.post(f"{stand.dargahs[-1].url}/pg/v4/payment/reverse.json", json=fields) as answer:
        told = verdict_of("zarinpal", await answer.json())
    invoice = await stand.counter.invoice({"pay_url": f"/pay/{reference.removeprefix('A')}"})
    expected = ("paid", "reversed") if stand.counter.family.traits.reverses_paid else ("-60", "captured")
    assert (told, invoice["state"]) == expected
    assert (await trade.shop.asks(number) in ("paid", "again")) == (told != "paid")


Story = Callable[[Trade], Awaitable[None]]
STORIES: Final[Mapping[str, Story]] = {
    "paid": paid,
    "canceled": canceled,
    "failed": failed,
    "closed browser": closed_browser,
    "wrong amount": wrong_amount,
    "verified twice": verified_twice,
    "verified at once": verified_at_once,
    "replayed key": replayed,
    "down and back": down_and_back,
    "books": books,
    "reversed": reversed_for_the_shop,
}


async def tell(trade: Trade, story: Story) -> str:
    """Plays the story: empty when it went as it must, else what was found instead."""
    try:
        await story(trade)
    except Exception as error:  # noqa: BLE001  whatever a story ends of is its cell
        await up_again(trade.stand.lab)
        return f"{type(error).__name__}: {error}".partition("\n")[0][:300]
    return ""
