"""A live Dargah on real ports, on a thread of its own, with real payments, links, endpoints and tokens to ask about."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
from browser.pictures import logo
from support.dargah import API_KEY, OPERATOR_TOKEN, UNLIMITED, gateway, settings
from support.receiver import receiver
from support.shop import RETURN_ORIGIN, Shop, open_shop

from proxy.app import Dargah, Outside, running
from proxy.http.static_assets import ASSETS
from proxy.merchants.merchant import ALL_SCOPES, Mode

START_SECONDS: Final = 30
MAX_ENDPOINTS: Final = 60  # of 100: enough is left for those that the generated calls add
# Those of the payments whose amount the gateway gets wrong.
REVIEWED: Final = 4
THANKS: Final = f"{RETURN_ORIGIN}/thanks?order=17"


@dataclass(slots=True)
class Live:
    """Where it listens, whom it lets in, and what is there. `pick` gives one of a kind, by any number."""

    url: str
    admin_url: str
    token: str
    things: dict[str, list[str]] = field(default_factory=dict)
    cursors: dict[str, list[str]] = field(default_factory=dict)

    def pick(self, kind: str, number: int) -> str | None:
        found = self.things.get(kind, [])
        return found[number % len(found)] if found else None


@contextmanager
def live(folder: Path) -> Iterator[Live]:
    """Everything running, until the context ends."""
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    made: list[Live] = []
    ready = threading.Event()

    def serve() -> None:
        try:
            loop.run_until_complete(_serve(folder, made.append, ready.set, stop))
        finally:
            loop.close()
            ready.set()

    thread = threading.Thread(target=serve, name="live", daemon=True)
    thread.start()
    assert ready.wait(START_SECONDS)
    assert made, "it did not start"
    try:
        yield made[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(START_SECONDS)


async def _serve(folder: Path, give: Callable[[Live], None], ready: Callable[[], None], stop: asyncio.Event) -> None:
    # No jitter: it would draw from the randomness that Hypothesis watches from another thread.
    outside = Outside(jitter=lambda: 0.0)
    async with AsyncExitStack() as stack:
        gateway_url = await stack.enter_async_context(gateway())
        hook = await stack.enter_async_context(receiver())
        dargah = await stack.enter_async_context(running(settings(folder, drain_seconds=2, **UNLIMITED), outside))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        give(await _furnished(await open_shop(dargah, gateway_url, hook, session), dargah))
        ready()
        await stop.wait()


async def _furnished(shop: Shop, dargah: Dargah) -> Live:
    """Payments in every state that a bank can bring about, and one of everything else."""
    setup = dargah.services.setup
    _, text = await setup.issue_token(shop.merchant_id, "main", scopes=ALL_SCOPES, actor="test")
    shop.token = text
    made = Live(dargah.url, dargah.admin_url, text)
    payments = await _payments(shop)
    _, events = await shop.call("GET", "/v1/events")
    endpoints = await dargah.services.store.webhooks.list_endpoints(shop.merchant_id)
    endpoint_ids = [endpoint.id for endpoint in endpoints]
    for number in range(MAX_ENDPOINTS):
        endpoint, *_ = await dargah.services.endpoints.add_endpoint(
            shop.merchant_id, _nowhere(number), storefront="main", event_types=["ping"], actor="test"
        )
        endpoint_ids.append(endpoint.id)
    store = dargah.services.store
    deliveries = [
        delivery.id
        for event in events["data"]
        for delivery in await store.webhooks.list_deliveries(shop.merchant_id, event["id"])
    ]
    made.things = {
        "delivery_id": deliveries,
        "invoice_key": [await _drop_in(shop) for _ in range(3)],
        "query:merchant_id": [shop.merchant_id],
        "resolvePayment:payment_id": [payment["id"] for payment in payments[REVIEWED:]],
        "payment_id": [payment["id"] for payment in payments],
        "link": [payment["pay_url"].rsplit("/", 1)[-1] for payment in payments],
        "event_id": [event["id"] for event in events["data"]],
        "endpoint_id": endpoint_ids,
        # Not the one whose deliveries are asked about.
        "deleteWebhookEndpoint:endpoint_id": endpoint_ids[1:],
        "name": [*ASSETS],
    }
    await _logo(made, shop, dargah)
    await _operators(made, shop)
    await _second_merchant(made, shop, dargah)
    return made


async def _payments(shop: Shop) -> list[dict[str, Any]]:
    acts: tuple[str | None, ...] = (None, "pay", "cancel", "fail", *["pay"] * 12)
    payments = [await shop.created(return_url=THANKS if number % 2 else None) for number in range(len(acts))]
    for number, (payment, act) in enumerate(zip(payments, acts, strict=True)):
        if act is None:
            continue
        if number >= REVIEWED:
            await shop.fault("check", "wrong_amount", amount_rials=1000)
        await shop.come_back(await shop.act(payment, act))
        await shop.control("DELETE", "/faults")
    return payments


async def _drop_in(shop: Shop) -> str:
    """The key of an invoice that a shop got by the gateway's own protocol."""
    fields = {"api_key": shop.token, "amount": "150000", "return_url": THANKS}
    async with shop.session.post(f"{shop.url}/invoice/request", data=fields) as answer:
        said = await answer.json(content_type=None)
        assert said["status"] == 1, said
        return str(said["invoice_key"])


async def _logo(made: Live, shop: Shop, dargah: Dargah) -> None:
    """The address of a merchant's picture has its digest in it."""
    merchant = await dargah.services.setup.change_merchant(shop.merchant_id, actor="test", logo=logo())
    assert merchant.branding.logo is not None
    made.things |= {"logo:merchant_id": [merchant.id], "digest": [merchant.branding.logo]}


async def _operators(made: Live, shop: Shop) -> None:
    """Some to be revoked, and others whose tokens are made anew."""
    ids = []
    for number in range(MAX_ENDPOINTS):
        body = {"name": f"shift-{number}", "role": "read"}
        url, headers = f"{made.admin_url}/admin/v1/operators", {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
        async with shop.session.post(url, json=body, headers=headers) as answer:
            said = await answer.json()
            assert answer.status == 201, said
            ids.append(said["id"])
    made.things["admin:operator_id"] = ids
    made.things |= {"revokeOperator:operator_id": ids[::2], "rotateOperator:operator_id": ids[1::2]}


def _nowhere(number: int) -> str:
    return f"http://127.0.0.1:9/hook?{number}"


async def _second_merchant(made: Live, shop: Shop, dargah: Dargah) -> None:
    """Whom the operator's calls change: the first one must go on working."""
    setup = dargah.services.setup
    merchant, _ = await setup.create_merchant("دومی", [RETURN_ORIGIN], actor="test")
    terminal = await setup.add_terminal(merchant.id, "main", shop.gateway_url, API_KEY, mode=Mode.LIVE, actor="test")
    tokens = [(await setup.issue_token(merchant.id, "main", actor="test"))[0].id for _ in range(MAX_ENDPOINTS)]
    endpoints = [
        (
            await dargah.services.endpoints.add_endpoint(
                merchant.id, f"{shop.receiver.url}?{number}", event_types=["ping"], actor="test"
            )
        )[0].id
        for number in range(MAX_ENDPOINTS)
    ]
    made.things |= {
        "admin:merchant_id": [merchant.id],
        "admin:terminal_id": [terminal.id],
        "admin:token_id": tokens,
        "admin:endpoint_id": endpoints,
        "admin:payment_id": made.things["payment_id"],
    }


__all__ = ["OPERATOR_TOKEN", "THANKS", "Live", "live"]
