"""Every page that a customer can come to, and how to come there."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from web.lab import link_of

from browser.pictures import logo
from browser.stage import Stage
from proxy.clock import MINUTE
from proxy.errors import Overloaded

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


async def _expired(stage: Stage) -> str:
    payment = await ordered(stage, expires_in=300)
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
    async def overloaded(_link: str) -> Any:
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
