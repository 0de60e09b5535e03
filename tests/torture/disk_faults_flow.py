"""Disk faults under a whole Dargah: a payment from its create to its webhook, with a fault at each statement.

Whatever fails, every caller gets a 503 problem with Retry-After, /readyz says it while it lasts, and when it has
ended the same payment is had, paid and told of once, with nobody restarting anything.
"""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import aiohttp
from aiohttp import web
from standardwebhooks import Webhook
from support.dargah import API_KEY, gateway, server, settings
from support.receiver import Receiver
from support.shop import Shop, open_shop

from proxy.app import Dargah, Outside, running
from proxy.kernel.clock import SECOND, system_now

from . import met
from .disk_faults_store import CODES, FOR_GOOD, MODES, ONCE, Disk

T = TypeVar("T")
PATIENCE_SECONDS: Final = 30
PROBLEM: Final = "application/problem+json"
# What waits for the end of a lease waits on this clock, not on ours.
JUMP: Final = 5 * SECOND
GROUP: Final = 32
# The longest there is: the clock that jumps must not take the link from a customer on a slow machine.
ENDS: Final = ("watch", "return", "check")
EXPIRES_IN_SECONDS: Final = 3 * 24 * 3600


class PatientReceiver(Receiver):
    """Verifies by the specification's library as of when it was sent: that clock is not this machine's."""

    async def handle(self, request: web.Request) -> web.Response:
        body, headers = await request.read(), dict(request.headers)
        sent_at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
        right = Webhook(self.secret).sign(headers["webhook-id"], sent_at, body.decode())
        if right not in headers["webhook-signature"].split():
            return web.Response(status=400)
        self.requests.append((headers, body))
        return web.Response(status=204)


@dataclass(slots=True)
class Scene:
    """A whole Dargah on a disk that can fail, its shop and its clock."""

    shop: Shop
    dargah: Dargah
    disk: Disk
    database: Path
    offset: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    statements: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    operation: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        self.disk.on_strike = self._met

    def _met(self, sql: str) -> None:
        """Counts that the fault struck what is under way; one payment is, so its state is the one that matters."""
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)
        try:
            by_key = "SELECT status FROM payments WHERE idempotency_key = ?"
            row = connection.execute(by_key, (self.key,)).fetchone()
        finally:
            connection.close()
        operation = "deliver" if "attempts" in sql else self.operation
        self.counts[met.key(operation, met.DISK, "none" if row is None else row[0])] += 1

    def now(self) -> int:
        return system_now() + self.offset

    async def eventually(self, look: Callable[[], Awaitable[T | None]]) -> T:
        """What `look` gives once it gives something. The clock jumps between two looks, so leases end soon."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (found := await look()) is None:
                self.offset += JUMP
                self.dargah.poller.tasks.on_room()
                self.dargah.delivery.tasks.on_room()
                await asyncio.sleep(0.01)
            return found

    async def ask(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, form: Any = None
    ) -> tuple[int, Any, Mapping[str, str]]:
        """An API call or a page; an answer that tells of a fault must tell it as the API promises."""
        headers = {"Authorization": f"Bearer {self.shop.token}"} | ({} if key is None else {"Idempotency-Key": key})
        async with self.shop.session.request(
            method, self.dargah.url + path, json=body, data=form, headers=headers, allow_redirects=False
        ) as answer:
            document = await answer.json() if "json" in answer.content_type else None
            self.counts[f"answered {answer.status}"] += 1
            assert answer.status in {200, 201, 303, 409, 503}, (method, path, answer.status, document)
            if answer.status in {409, 503} and path != "/readyz":
                assert int(answer.headers["Retry-After"]) >= 1, (method, path, answer.headers)
                assert answer.content_type == (PROBLEM if path.startswith("/v1") else "text/html"), path
            return answer.status, document, answer.headers


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    disk = Disk()
    async with AsyncExitStack() as stack:
        gateway_url = await stack.enter_async_context(gateway())
        made = PatientReceiver()
        app = web.Application()
        app.router.add_post("/hook", made.handle)
        made.url = await stack.enter_async_context(server(app)) + "/hook"
        session = await stack.enter_async_context(aiohttp.ClientSession())
        played: list[Scene] = []
        outside = Outside(now=lambda: played[0].now() if played else system_now(), fault=disk)
        dargah = await stack.enter_async_context(running(settings(folder), outside))
        shop = await open_shop(dargah, gateway_url, made, session)
        played.append(Scene(shop, dargah, disk, folder / "dargah.db"))
        yield played[0]
        disk.heal()


async def payment_with_fault(played: Scene, at: int, code: str, mode: str) -> bool:
    """One payment whose `at`-th statement fails. Gives whether the fault struck: False when there were fewer."""
    key = f"{code}-{mode}-{at}".replace(" ", "-")
    played.disk.arm(at, CODES[code], MODES[mode])
    played.key = key
    going = asyncio.create_task(_payment(played, key, ENDS[at % len(ENDS)]))
    if MODES[mode] == FOR_GOOD:
        await _outage(played, going, key)
    payment = await going
    struck = played.disk.struck > 0
    played.statements |= played.disk.struck_at
    played.disk.heal()
    await told_once(played, payment)
    played.counts[f"{mode}: {code}"] += struck
    return struck


async def group_with_fault(played: Scene, name: str, at: int, code: str) -> bool:
    """Many creates at once while a statement fails: what each caller is told stays true. Gives whether one failed."""
    orders = {f"{name}-{number}": {"amount": 150_000, "currency": "IRR", "order_id": name} for number in range(GROUP)}
    played.operation, played.key = "create", f"{name}-0"
    played.disk.arm(at, CODES[code], ONCE)
    answers = await asyncio.gather(
        *(played.ask("POST", "/v1/payments", order, key=key) for key, order in orders.items())
    )
    struck = played.disk.struck > 0
    played.disk.heal()
    for (status, payment, _), (key, order) in zip(answers, orders.items(), strict=True):
        again = await played.eventually(partial(_created, played, order, key))
        assert status == 503 or again == payment, (key, payment, again)
        played.counts[f"in a group, answered {status}"] += struck
    _, page, _ = await played.ask("GET", f"/v1/payments?order_id={name}&limit=100")
    assert len(page["data"]) == GROUP
    return struck


async def nothing_was_lost(played: Scene) -> None:
    """The ledger and Dargah at the end: each captured invoice is paid, and nothing else is."""
    ledger = await played.shop.control("GET", f"/invoices?api_key={API_KEY}&state=captured&limit=10000")
    captured = {invoice["invoice_key"]: invoice["bank_code"] for invoice in ledger["invoices"]}
    paid: dict[str, str] = {}
    cursor = ""
    while True:
        _, page, _ = await played.ask("GET", f"/v1/payments?status=paid&limit=100{cursor}")
        paid |= {payment["invoice_key"]: payment["bank_code"] for payment in page["data"]}
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert paid == captured
    played.counts["paid, as the ledger says"] = len(paid)


async def _payment(played: Scene, key: str, end: str) -> dict[str, Any]:
    """The payment, paid: found by the customer's return, by the storefront's check or by the poller alone."""
    shop, played.operation = played.shop, "create"
    order = {
        "amount": 150_000,
        "currency": "IRR",
        "order_id": key,
        "return_url": "https://shop.example/back",
        "expires_in": EXPIRES_IN_SECONDS,
    }
    created = await played.eventually(lambda: _created(played, order, key))
    assert created == await played.eventually(lambda: _created(played, order, key))
    played.operation = "open the pay link"
    location = await played.eventually(lambda: _led(played, "GET", "/pay/" + created["pay_url"].rpartition("/")[2]))
    assert location.endswith(created["invoice_key"])
    visit = await shop.act(created, "pay")
    played.operation = end
    if end == "return":
        await played.eventually(lambda: _led(played, "GET", "/return/" + visit["return_url"].partition("/return/")[2]))
    elif end == "check":
        await played.eventually(lambda: _checked(played, created["id"]))
    return await played.eventually(lambda: _paid(played, created["id"]))


async def _created(played: Scene, order: dict[str, Any], key: str) -> dict[str, Any] | None:
    status, payment, _ = await played.ask("POST", "/v1/payments", order, key=key)
    if status == 409:
        assert payment["code"] == "request_in_progress", payment
    return payment if status == 201 else None


async def _led(played: Scene, method: str, path: str) -> str | None:
    status, _, headers = await played.ask(method, path)
    return headers["Location"] if status == 303 else None


async def _paid(played: Scene, payment_id: str) -> dict[str, Any] | None:
    status, payment, _ = await played.ask("GET", f"/v1/payments/{payment_id}")
    return payment if status == 200 and payment["status"] == "paid" else None


async def _checked(played: Scene, payment_id: str) -> bool | None:
    status, payment, _ = await played.ask("POST", f"/v1/payments/{payment_id}/check")
    return True if status == 200 and payment["status"] == "paid" else None


async def _outage(played: Scene, going: asyncio.Task[Any], key: str) -> None:
    """While the disk fails for good: not ready, nothing taken, nothing shown. Ends it, and all is well at once."""

    async def struck() -> bool | None:
        return True if played.disk.struck or going.done() else None

    await played.eventually(struck)
    if not played.disk.struck:
        return
    order = {"amount": 150_000, "currency": "IRR", "order_id": f"refused-{key}"}
    checks, (created, _, _) = await asyncio.gather(
        _unready(played), played.ask("POST", "/v1/payments", order, key=f"refused-{key}")
    )
    assert created == 503
    assert checks["checks"] == {"store": False, "keys": True, "accepting": True}
    played.disk.heal()
    ready, checks, _ = await played.ask("GET", "/readyz")
    assert (ready, checks["status"]) == (200, "ready")
    _, listed, _ = await played.ask("GET", f"/v1/payments?order_id=refused-{key}")
    assert listed["data"] == []
    played.counts["outages that readyz told of"] += 1


async def _unready(played: Scene) -> Any:
    """What /readyz says once it says no: a check that passed is believed for a second. The clock stays."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (answer := await played.ask("GET", "/readyz"))[0] != 503:  # noqa: ASYNC110  a server is asked
            await asyncio.sleep(0.02)
    return answer[1]


async def told_once(played: Scene, payment: dict[str, Any]) -> None:
    def arrived() -> list[str]:
        events = zip(played.shop.receiver.requests, played.shop.receiver.events, strict=True)
        return [headers["webhook-id"] for (headers, _), event in events if event["data"]["id"] == payment["id"]]

    async def look() -> list[str] | None:
        return arrived() or None

    ids = await played.eventually(look)
    assert len(set(ids)) == 1, ids
    status, events, _ = await played.ask("GET", f"/v1/events?payment_id={payment['id']}")
    assert status == 200
    assert [(event["id"], event["type"]) for event in events["data"]] == [(ids[0], "payment.paid")]
