"""A whole Dargah with a gateway and a shop on loopback, whose pages a browser can walk through.

Every page that a customer can come to, and every page of the console and the portal with something on it: and how to
come there.
"""

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web
from support.clock import ManualClock
from support.dargah import OPERATOR_TOKEN, server
from support.eventually import eventually
from support.receiver import Receiver, receiver
from web.lab import Lab, lab_in, link_of

from proxy.gateways.family import WayThere
from proxy.kernel.clock import HOUR, MINUTE, parse_rfc3339
from proxy.kernel.errors import Overloaded
from proxy.merchants.merchant import Mode
from proxy.operators.saved_filters import FilteredList, SavedFilter
from proxy.payments.payment import Decision
from proxy.simulator.command import dialect_of
from proxy.webhooks.endpoint import Endpoint
from proxy.webhooks.resend import ResendActor, ResendChoice, ResendFilter, ResendRequest
from proxy.webhooks.retry_policy import DeliveryStatus

if TYPE_CHECKING:
    from browser.chromium import Reader  # with Playwright, which who needs a stage or a picture alone need not load

# A date that people can check the Jalali one against, and pictures that do not change from day to day.
NOW = parse_rfc3339("2026-11-24T10:00:00Z")


@dataclass
class Stage:
    """`lab` is the merchant's and the gateway's hands; customers come home to `shop_url`, which notes them."""

    lab: Lab
    shop_url: str
    visits: list[dict[str, str]] = field(default_factory=list)
    origins: list[str | None] = field(default_factory=list)

    @property
    def return_url(self) -> str:
        return f"{self.shop_url}/thanks"

    @property
    def services(self) -> Any:
        return self.lab.dargah.services


@asynccontextmanager
async def staged(folder: Path, **settings: Any) -> AsyncIterator[Stage]:
    """The stage, on SQLite in `folder`, with the clock at NOW."""
    visits: list[dict[str, str]] = []
    origins: list[str | None] = []
    async with server(_shop(visits, origins)) as shop_url, lab_in(folder, ManualClock(NOW), **settings) as lab:
        await lab.dargah.services.setup.change_merchant(
            lab.merchant_id, actor="test", name="Nemooneh Shop", name_fa="فروشگاه نمونه", return_origins=[shop_url]
        )
        yield Stage(lab, shop_url, visits, origins)


def _shop(visits: list[dict[str, str]], origins: list[str | None]) -> web.Application:
    async def thanks(request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        visits.append({**request.query, **form})
        origins.append(request.headers.get("Origin"))
        return web.Response(
            text="<!DOCTYPE html><title>shop</title><main data-state=shop>ok</main>", content_type="text/html"
        )

    async def nothing(_request: web.Request) -> web.Response:
        return web.Response(status=204)

    app = web.Application()
    app.router.add_route("*", "/thanks", thanks)
    app.router.add_get("/favicon.ico", nothing)
    return app


MESSENGER = "TelegramBot (like TwitterBot)"


@dataclass(frozen=True)
class State:
    """A page's name, its `data-state`, and what makes it: that gives its address. `agent` is who asks for it; one that
    `stays` is kept from going on.
    """

    name: str
    shows: str
    make: Callable[[Stage], Awaitable[str]]
    agent: str | None = None
    status: int = 200
    stays: bool = False


async def ordered(stage: Stage, **fields: Any) -> dict[str, Any]:
    """A payment with a shop to go back to."""
    order = {"amount": 1_250_000, "order_id": "A-10482", "return_url": stage.return_url} | fields
    return await stage.lab.created(**{name: value for name, value in order.items() if value is not None})


async def _invitation(stage: Stage) -> str:
    return str((await ordered(stage))["pay_url"])


async def _gateway_down(stage: Stage) -> str:
    payment = await ordered(stage)
    await stage.lab.fault("check", "http_500")
    for _ in range(5):
        await stage.lab.call("POST", f"/v1/payments/{payment['id']}/check")
    return str(payment["pay_url"])


async def _confirming(stage: Stage) -> str:
    payment = await ordered(stage)
    await stage.lab.fault("check", "http_500")
    return await stage.lab.act(payment, "pay")


async def _came_back(stage: Stage, act: str, **fields: Any) -> str:
    payment = await ordered(stage, **fields)
    await stage.lab.call("GET", await stage.lab.act(payment, act))
    return str(payment["pay_url"])


async def _paid(stage: Stage) -> str:
    return await _came_back(stage, "pay")


async def _canceled(stage: Stage) -> str:
    return await _came_back(stage, "cancel")


async def _with_contact(stage: Stage, made: Callable[[Stage], Awaitable[str]], contact: str) -> str:
    await stage.services.setup.change_merchant(stage.lab.merchant_id, actor="test", contact=contact)
    return await made(stage)


async def _canceled_without_a_shop(stage: Stage) -> str:
    return await _with_contact(stage, lambda on: _came_back(on, "cancel", return_url=None), "021-8888 1234")


async def _expired_without_a_shop(stage: Stage) -> str:
    return await _with_contact(stage, lambda on: _expired(on, return_url=None), "support@shop.example.ir")


async def _order_paid(stage: Stage) -> str:
    other = await ordered(stage)
    await _paid(stage)
    return str(other["pay_url"])


async def _onward(stage: Stage) -> str:
    """A page that would go on at once, kept by an address that is its own."""
    payment = await ordered(stage)
    stage.services.checkout.way_there = _nowhere
    return str(payment["pay_url"])


async def _nowhere(_payment: Any) -> WayThere:
    return WayThere("#gateway")


async def at_bank(stage: Stage, family: str, **settings: Any) -> dict[str, Any]:
    """A terminal of this family on both sides, with `settings` at the bank: the fields of an order that choose it."""
    credentials = dict(dialect_of(family).sample)
    terminal = {"api_key": next(iter(credentials.values())), "family": family, "credentials": credentials}
    await stage.lab.control("POST", "terminals", terminal | settings)
    added = await stage.services.setup.add_terminal(
        stage.lab.merchant_id,
        family,
        stage.lab.gateway_url,
        None,
        mode=Mode.LIVE,
        gateway=family,
        credentials=credentials,
        actor="test",
    )
    return {"terminal_id": added.id}


async def _onward_by_form(stage: Stage) -> str:
    """The same where the way there is a form."""
    return str((await ordered(stage, **await at_bank(stage, "sep")))["pay_url"])


async def _given_back_too_late(stage: Stage) -> str:
    """Sadad's money, which was not confirmed within 15 minutes. The shop has no page to go back to."""
    payment = await ordered(stage, return_url=None, **await at_bank(stage, "sadad"))
    await stage.lab.fault("confirm", "http_500", times=1)
    await _travel(stage, await _paid_at_bank(stage, payment))
    stage.lab.clock.forward(16 * MINUTE)
    await stage.lab.call("POST", f"/v1/payments/{payment['id']}/check")
    return str(payment["pay_url"])


async def _given_back_twice_paid(stage: Stage) -> str:
    """Zibal's money for an order that another payment has paid: it goes back within 20 minutes."""
    terminal = await at_bank(stage, "zibal")
    first, second = [await ordered(stage, **terminal) for _ in range(2)]
    trips = [await _paid_at_bank(stage, payment) for payment in (first, second)]
    for trip in trips:
        await _travel(stage, trip)
    return str(second["pay_url"])


async def _paid_at_bank(stage: Stage, payment: dict[str, Any]) -> dict[str, Any]:
    """The trip back of a customer who has paid."""
    listed = (await stage.lab.control("GET", "invoices"))["invoices"]
    [found] = [each for each in listed if each["return_url"].endswith(link_of(payment))]
    visit = await stage.lab.control("POST", f"invoices/{found['invoice_key']}/pay")
    return dict(visit["returns"][0])


async def _travel(stage: Stage, trip: dict[str, Any]) -> None:
    if trip["return_method"] == "get":
        await stage.lab.call("GET", trip["return_url"], token="")
    else:
        await stage.lab.call("POST", trip["return_url"], data=trip["params"], token="")


async def _nothing_here(stage: Stage) -> str:
    return f"{stage.lab.dargah.url}/"


async def _expired(stage: Stage, **fields: Any) -> str:
    payment = await ordered(stage, expires_in=300, **fields)
    stage.lab.clock.forward(6 * MINUTE)
    return str(payment["pay_url"])


async def _time_is_up(stage: Stage) -> str:
    await stage.lab.fault("check", "http_502")
    return await _expired(stage)


async def _needs_review(stage: Stage) -> str:
    await stage.lab.fault("check", "wrong_amount", amount_rials=11_000_000)
    return await _came_back(stage, "pay")


async def _failed(stage: Stage) -> str:
    await stage.lab.fault("request", "error", code=204, times=1)
    await stage.lab.create(key="refused", amount=1_250_000, order_id="A-10482", return_url=stage.return_url)
    [payment] = (await stage.lab.call("GET", "/v1/payments?status=failed")).json["data"]
    return str(payment["pay_url"])


async def _not_found(stage: Stage) -> str:
    return f"{stage.lab.dargah.url}/pay/{'0' * 30}"


async def _busy(stage: Stage) -> str:
    async def overloaded(*_link: str) -> Any:
        raise Overloaded(3)

    stage.services.checkout.opened = overloaded
    return await _invitation(stage)


async def _odd(stage: Stage) -> str:
    async def broken(_link: str) -> Any:
        raise ZeroDivisionError

    stage.services.checkout.opened = broken
    return await _invitation(stage)


async def _dressed(stage: Stage) -> str:
    """A paid page in a merchant's own colour and with its logo."""
    await stage.services.setup.change_merchant(stage.lab.merchant_id, actor="test", colour="#0f766e", logo=logo())
    return await _paid(stage)


STATES = (
    State("pay", "invitation", _invitation, MESSENGER),
    State("gateway-down", "gateway_down", _gateway_down),
    State("confirming", "pending", _confirming),
    State("paid", "paid", _paid),
    State("paid-own-looks", "paid", _dressed),
    State("canceled", "canceled", _canceled),
    State("expired", "expired", _expired),
    State("canceled-no-shop", "canceled", _canceled_without_a_shop),
    State("expired-no-shop", "expired", _expired_without_a_shop),
    State("order-paid", "order_paid", _order_paid),
    State("onward", "onward", _onward),
    State("onward-form", "onward", _onward_by_form, stays=True),
    State("given-back", "given_back", _given_back_too_late),
    State("given-back-order-paid", "given_back", _given_back_twice_paid),
    State("nothing-here", "nothing_here", _nothing_here, status=404),
    State("time-is-up", "time_is_up", _time_is_up),
    State("review", "needs_review", _needs_review),
    State("not-begun", "failed", _failed),
    State("not-found", "no_link", _not_found, status=404),
    State("busy", "busy", _busy, status=503),
    State("try-again", "odd", _odd, status=500),
)


def link(stage: Stage, payment: dict[str, Any], query: str = "") -> str:
    """The return link of a payment."""
    return f"{stage.lab.dargah.url}/return/{link_of(payment)}{query}"


WIDE = {"width": 1280, "height": 900}

FATAL = b"Fatal error: Allowed memory size of 134217728 bytes exhausted"


@dataclass
class Office:
    """A shop's morning: payments in every state, a webhook that fails, and a review."""

    stage: Stage
    shop: Receiver
    complaint: dict[str, Any]
    delivery_id: str
    endpoint_id: str
    review: dict[str, Any]
    decided: dict[str, Any]
    withdrawn: dict[str, Any]
    pending: dict[str, Any]
    resend_id: str

    @property
    def console(self) -> str:
        return f"{self.stage.lab.dargah.admin_url}/console"

    @property
    def portal(self) -> str:
        return f"{self.stage.lab.dargah.url}/portal"


@dataclass(frozen=True)
class ConsolePage:
    """`path` is of an office's page, below the console."""

    name: str
    path: Callable[[Office], str]
    status: int = 200


@asynccontextmanager
async def office(stage: Stage) -> AsyncIterator[Office]:
    """The stage after its morning, with the shop's receiver running."""
    async with receiver() as shop:
        endpoint, _ = await stage.services.endpoints.add_endpoint(
            stage.lab.merchant_id, shop.url, storefront="main", actor="sara"
        )
        for number in range(9):
            stage.lab.clock.forward(11 * MINUTE)
            await _settled(stage, "cancel" if number == 4 else "pay", f"A-{10470 + number}", 185_000 + 67_000 * number)
        await _told(stage, 9)
        shop.status, shop.body = 500, FATAL
        complaint = await _settled(stage, "pay", "A-10482", 1_250_000)
        delivery_id = await _failed_delivery(stage, complaint["id"])
        shop.status, shop.body = 204, b""
        review = await _settled(stage, "pay", "A-10483", 240_000, told_rials=1_100_000)
        decided = await _decided(stage)
        await _staffed(stage)
        withdrawn = await _paid_after_all(stage)
        await _filtered(stage)
        pending = await stage.lab.created(amount=95_000, order_id="A-10484")
        resend_id = await _resent(stage, endpoint)
        yield Office(stage, shop, complaint, delivery_id, endpoint.id, review, decided, withdrawn, pending, resend_id)


async def _resent(stage: Stage, endpoint: Endpoint) -> str:
    """A resend whose three webhooks got through by themselves before it came to them."""
    wanted = ResendFilter(stage.lab.clock.now - HOUR, stage.lab.clock.now, types=frozenset({"ping"}))
    asked = ResendRequest(ResendChoice(wanted, [(endpoint, 3)], []), ResendActor("sara"))
    resend, _ = await stage.services.resends.begin(asked)

    async def over() -> bool | None:
        return (await stage.services.resends.known(resend.id)).ended_at is not None or None

    await eventually(over)
    resend_id: str = resend.id
    return resend_id


async def _settled(
    stage: Stage, act: str, order_id: str, amount: int, *, told_rials: int | None = None
) -> dict[str, Any]:
    """A payment after a check, at which the gateway tells of `told_rials`, if they are given."""
    payment = await stage.lab.created(amount=amount, order_id=order_id)
    if told_rials is not None:  # for its own invoice: the poller may ask about another one meanwhile
        wrong = {"amount_rials": told_rials, "invoice_key": payment["invoice_key"]}
        await stage.lab.fault("check", "wrong_amount", **wrong)
    await stage.lab.act(payment, act)
    checked: dict[str, Any] = (await stage.lab.call("POST", f"/v1/payments/{payment['id']}/check")).json
    return checked


async def _decided(stage: Stage) -> dict[str, Any]:
    """A review that an operator has decided."""
    payment = await _settled(stage, "pay", "A-10481", 95_000, told_rials=900_000)
    url = f"{stage.lab.dargah.admin_url}/admin/v1/payments/{payment['id']}/resolve"
    decision = {"decision": Decision.REFUNDED.value, "note": "The customer has the money back, by card."}
    headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    async with stage.lab.session.post(url, json=decision, headers=headers) as answer:
        assert answer.ok
    return payment


async def _paid_after_all(stage: Stage) -> dict[str, Any]:
    """An order that the shop withdrew and whose customer paid at Zibal all the same. Its terminal is off since."""
    terminal = await at_bank(stage, "zibal")
    payment = await stage.lab.created(amount=310_000, order_id="A-10485", **terminal)
    await stage.lab.call("POST", f"/v1/payments/{payment['id']}/cancel")
    await _travel(stage, await _paid_at_bank(stage, payment))
    await stage.services.setup.change_terminal(stage.lab.merchant_id, **terminal, enabled=False, actor="sara")
    return payment


async def _staffed(stage: Stage) -> None:
    """The merchant has its own looks, and three people run its Dargah."""
    await stage.services.setup.change_merchant(stage.lab.merchant_id, actor="sara", colour="#0f766e", logo=logo())
    headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    url = f"{stage.lab.dargah.admin_url}/admin/v1/operators"
    ids = []
    for name, role in (("sara", "owner"), ("navid", "operate"), ("accountant", "read")):
        async with stage.lab.session.post(url, json={"name": name, "role": role}, headers=headers) as answer:
            ids.append((await answer.json())["id"])
    async with stage.lab.session.delete(f"{url}/{ids[-1]}", headers=headers) as answer:
        assert answer.ok


async def _filtered(stage: Stage) -> None:
    """The operator of the settings keeps a filter, and one of each list is for everyone."""
    store = stage.services.store.saved_filters
    for nth, (of, name, query) in enumerate(
        (
            (FilteredList.PAYMENTS, "پرداخت‌های امروز", "status=paid&range=today"),
            (FilteredList.PAYMENTS, "Large, unpaid", "status=expired&status=canceled&min=5000000"),
            (FilteredList.DELIVERIES, "Not there yet", "status=pending"),
            (FilteredList.ATTEMPTS, "No answer", "http=0"),
        )
    ):
        owner, now = ("admin" if nth == 0 else "sara"), stage.lab.clock.now
        await store.save(SavedFilter(f"flt_{nth}", owner, owner, of, name, query, nth > 0, now), None)


async def _told(stage: Stage, count: int) -> None:
    async def look() -> bool | None:
        due = await stage.services.store.statistics.due_statistics()
        return due.deliveries == 0 or None

    await asyncio.sleep(0)
    assert await eventually(look), count


async def _failed_delivery(stage: Stage, payment_id: str) -> str:
    """The delivery of the payment's event once it was tried in vain."""

    async def look() -> str | None:
        events = (await stage.lab.call("GET", f"/v1/events?payment_id={payment_id}")).json["data"]
        for delivery in await stage.services.store.webhooks.list_deliveries(stage.lab.merchant_id, events[0]["id"]):
            if delivery.attempts and delivery.status is DeliveryStatus.PENDING:
                found: str = delivery.id
                return found
        return None

    return await eventually(look)


PAGES: tuple[ConsolePage, ...] = (
    ConsolePage("today", lambda _: "/"),
    ConsolePage("payments", lambda _: "/payments"),
    ConsolePage("payment", lambda made: f"/payments/{made.complaint['id']}"),
    ConsolePage("review", lambda made: f"/payments/{made.review['id']}"),
    ConsolePage("decided", lambda made: f"/payments/{made.decided['id']}"),
    ConsolePage("given-back", lambda made: f"/payments/{made.withdrawn['id']}"),
    ConsolePage("reviews", lambda _: "/reviews"),
    ConsolePage("webhooks", lambda _: "/endpoints"),
    ConsolePage("webhook", lambda made: f"/endpoints/{made.endpoint_id}"),
    ConsolePage("deliveries", lambda _: "/deliveries"),
    ConsolePage("attempts", lambda _: "/attempts"),
    ConsolePage("resend", lambda _: "/resend"),
    ConsolePage("resent", lambda made: f"/resends/{made.resend_id}"),
    ConsolePage("delivery", lambda made: f"/deliveries/{made.delivery_id}"),
    ConsolePage("merchants", lambda _: "/merchants"),
    ConsolePage("merchant", lambda made: f"/merchants/{made.stage.lab.merchant_id}"),
    ConsolePage("archived", lambda _: "/merchants?archived=1"),
    ConsolePage("archive", lambda made: f"/merchants/{made.stage.lab.merchant_id}/archive"),
    ConsolePage("view-as", lambda made: f"/as/{made.stage.lab.merchant_id}/main/live/payments"),
    ConsolePage("portal-guide", lambda _: "/guide"),
    ConsolePage("guide", lambda _: "/merchants/new"),
    ConsolePage("question", lambda made: f"/endpoints/{made.endpoint_id}/rotate-secret"),
    ConsolePage("reconcile", lambda office: f"/merchants/{office.stage.lab.merchant_id}/reconcile"),
    ConsolePage("operators", lambda _: "/operators"),
    ConsolePage("sessions", lambda _: "/sessions"),
    ConsolePage("second-factor", lambda _: "/second-factor"),
    ConsolePage("audit", lambda _: "/audit"),
    ConsolePage("settings", lambda _: "/settings"),
    ConsolePage("sessions", lambda _: "/sessions"),
    ConsolePage("alerts", lambda _: "/alerts"),
    ConsolePage("totals", lambda _: "/payments/totals"),
    ConsolePage("settlement", lambda _: "/settlement"),
    ConsolePage("settlement-report", lambda _: "/settlement?from=1405/09/03"),
    ConsolePage("found", lambda _: "/search?q=A-104"),
    ConsolePage("nothing-found", lambda _: "/search?q=nothing"),
    ConsolePage("filtered", lambda _: "/payments?status=paid&range=today"),
    ConsolePage("filters", lambda _: "/filters"),
    ConsolePage("no-payments", lambda _: "/payments?status=failed"),
    ConsolePage("not-found", lambda _: "/payments/pay_x", 404),
)

# The same pages as a merchant sees them; `path` is below the portal.
PORTAL_PAGES: tuple[ConsolePage, ...] = tuple(
    page
    for page in PAGES
    if page.name
    in {
        "payments",
        "payment",
        "review",
        "reviews",
        "webhooks",
        "webhook",
        "delivery",
        "deliveries",
        "attempts",
        "resend",
        "decided",
        "totals",
        "found",
        "nothing-found",
        "not-found",
        "portal-guide",
    }
)


async def log_in(reader: "Reader", made: Office) -> None:
    """Through the form, as an operator does."""
    await reader.open(f"{made.console}/")
    await reader.page.fill("#token", OPERATOR_TOKEN)
    await reader.page.click("main button")
    await reader.page.wait_for_selector("nav")


async def enter_portal(reader: "Reader", made: Office) -> None:
    """By a link that the merchant's token asked for."""
    link = await made.stage.lab.call("POST", "/v1/portal-links", json={})
    await reader.open(link.json["url"])
    await reader.page.wait_for_selector("nav")


def logo(side: int = 88) -> bytes:
    """A PNG: a white bag on teal with rounded corners."""
    rows = []
    for y in range(side):
        row = bytearray([0])
        for x in range(side):
            corner = max(abs(x - side / 2), abs(y - side / 2)) > side * 0.49
            bag = side * 0.28 < x < side * 0.72 and side * 0.38 < y < side * 0.76
            handle = (
                side * 0.13 < ((x - side / 2) ** 2 + (y - side * 0.38) ** 2) ** 0.5 < side * 0.18 and y < side * 0.4
            )
            row += bytes((255, 255, 255) if bag or handle else (204, 229, 226) if corner else (15, 118, 110))
        rows.append(bytes(row))
    return png(side, side, b"".join(rows))


def png(width: int, height: int, rows: bytes) -> bytes:
    """An 8-bit RGB PNG of rows that each begin with their filter's number."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in chunks)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I4s", len(data), kind) + data + struct.pack(">I", zlib.crc32(kind + data))
