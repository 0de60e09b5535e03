"""A whole Dargah with a gateway and a shop on loopback, whose pages a browser can walk through.

And every page that a customer can come to, with how to come there.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from support.clock import ManualClock
from support.dargah import server
from web.lab import Lab, lab_in, link_of

from browser.pictures import logo
from proxy.kernel.clock import MINUTE, parse_rfc3339
from proxy.kernel.errors import Overloaded

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
    """A page's name, its `data-state`, and what makes it: that gives its address. `agent` is who asks for it."""

    name: str
    shows: str
    make: Callable[[Stage], Awaitable[str]]
    agent: str | None = None
    status: int = 200


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
    stage.services.checkout.gateway_pay_url = _nowhere
    return str(payment["pay_url"])


async def _nowhere(_payment: Any) -> str:
    return "#gateway"


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
