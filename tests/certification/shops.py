"""A right shop, as docs/webhooks.md wants it, and wrong ones with one fault each. None of them uses Dargah's code."""

# ruff: noqa: ARG002  what a wrong shop does not look at is its fault

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from support.dargah import server

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
TOLERANCE_SECONDS = 300
IGNORED = {"payment.failed", "ping"}


@dataclass
class OrderRow:
    """An order, as the shop's table has it."""

    rials: int
    state: str = "open"
    credits: int = 0
    version: int = 0
    payment: str = ""

    @property
    def shown(self) -> dict[str, Any]:
        return {"paid": self.state == "paid", "credits": self.credits, "state": self.state}


@dataclass
class RightShop:
    """Its endpoint is /hook; /orders makes an order, and /orders/{id} tells the state of one."""

    secret: str = SECRET
    public_key: str = ""
    mode: str = "live"
    orders: dict[str, OrderRow] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def app(self) -> web.Application:
        made = web.Application(client_max_size=1 << 20)
        made.router.add_post("/hook", self.hook)
        made.router.add_post("/orders", self.new_order)
        made.router.add_get("/orders/{id}", self.order_state)
        return made

    async def new_order(self, request: web.Request) -> web.Response:
        order_id = str(len(self.orders) + 17)
        self.orders[order_id] = OrderRow(int(request.query["rials"]))
        return web.json_response({"order_id": order_id})

    async def order_state(self, request: web.Request) -> web.Response:
        return web.json_response(self.orders[request.match_info["id"]].shown)

    async def hook(self, request: web.Request) -> web.Response:
        body = await request.read()
        if not self.verified(request.headers, body):
            return web.Response(status=401, text="no signature of ours")
        return await self.take(request.headers["webhook-id"], json.loads(body))

    def verified(self, headers: Mapping[str, str], body: bytes) -> bool:
        return self.signed(headers, body) and self.fresh(headers)

    def fresh(self, headers: Mapping[str, str]) -> bool:
        return abs(time.time() - int(headers["webhook-timestamp"])) <= TOLERANCE_SECONDS

    def signed(self, headers: Mapping[str, str], body: bytes) -> bool:
        content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        return any(self.matches(each, content) for each in headers.get("webhook-signature", "").split(" "))

    def matches(self, signature: str, content: bytes) -> bool:
        kind, _, text = signature.partition(",")
        if kind == "v1" and self.secret:
            expected = hmac.digest(base64.b64decode(self.secret[6:]), content, "sha256")
            return hmac.compare_digest(base64.b64encode(expected).decode(), text)
        if kind == "v1a" and self.public_key:
            try:
                Ed25519PublicKey.from_public_bytes(base64.b64decode(self.public_key[5:])).verify(
                    base64.b64decode(text), content
                )
            except InvalidSignature:
                return False
            return True
        return False

    async def take(self, event_id: str, event: dict[str, Any]) -> web.Response:
        if event_id not in self.seen:
            self.seen.add(event_id)
            self.apply(event["type"], event["data"])
        return web.Response(status=204)

    def apply(self, kind: str, data: dict[str, Any]) -> None:
        row = self.orders.get(data.get("order_id", ""))
        if row is None or not self.ours(data, row):
            return
        if self.credits(kind):
            self.credit(row, data)
        elif kind in {"payment.canceled", "payment.expired"}:
            self.close(row, data)

    def ours(self, data: dict[str, Any], row: OrderRow) -> bool:
        return self.of_mode(data) and data["storefront"] == "main" and self.costs(data, row)

    def of_mode(self, data: dict[str, Any]) -> bool:
        return bool(data["mode"] == self.mode and data["test"] == (self.mode == "test"))

    def costs(self, data: dict[str, Any], row: OrderRow) -> bool:
        return bool(data["amount_rials"] == row.rials)

    def credits(self, kind: str) -> bool:
        return kind == "payment.paid"

    def credit(self, row: OrderRow, data: dict[str, Any]) -> None:
        row.state, row.payment, row.version = "paid", data["id"], data["version"]
        row.credits += 1

    def close(self, row: OrderRow, _data: dict[str, Any]) -> None:
        if row.state == "open":
            row.state = "closed"


class ChecksNoSignature(RightShop):
    def signed(self, headers: Mapping[str, str], body: bytes) -> bool:
        return True


class ChecksPresence(RightShop):
    def signed(self, headers: Mapping[str, str], body: bytes) -> bool:
        return "webhook-signature" in headers


class ChecksParsedBody(RightShop):
    """Verifies what it has parsed and written anew, as behind a JSON middleware."""

    def signed(self, headers: Mapping[str, str], body: bytes) -> bool:
        anew = json.dumps(json.loads(body), ensure_ascii=False, separators=(",", ":")).encode()
        return super().signed(headers, anew)


class ComparesFirstSignature(RightShop):
    def signed(self, headers: Mapping[str, str], body: bytes) -> bool:
        first = headers.get("webhook-signature", "").split(" ")[0]
        return super().signed({**headers, "webhook-signature": first}, body)


class TakesAnyV1a(RightShop):
    def matches(self, signature: str, content: bytes) -> bool:
        return signature.startswith("v1a,") or super().matches(signature, content)


class ChecksNoTime(RightShop):
    def fresh(self, headers: Mapping[str, str]) -> bool:
        return True


class ChecksOnlyAge(RightShop):
    """Takes what is signed for the future."""

    def fresh(self, headers: Mapping[str, str]) -> bool:
        return time.time() - int(headers["webhook-timestamp"]) <= TOLERANCE_SECONDS


class JudgesAgeByBody(RightShop):
    """Refuses Dargah's replay of an old event."""

    async def take(self, event_id: str, event: dict[str, Any]) -> web.Response:
        if not event["timestamp"].startswith(time.strftime("%Y", time.gmtime())):
            return web.Response(status=400)
        return await super().take(event_id, event)


class CreditsTwice(RightShop):
    async def take(self, event_id: str, event: dict[str, Any]) -> web.Response:
        self.apply(event["type"], event["data"])
        return web.Response(status=204)


class KnowsRepeatsByTime(RightShop):
    """Its key is the id and the signature: a retry is another one."""

    async def hook(self, request: web.Request) -> web.Response:
        body = await request.read()
        if not self.verified(request.headers, body):
            return web.Response(status=401)
        return await self.take(request.headers["webhook-signature"], json.loads(body))


class LooksThenWrites(RightShop):
    """Two requests at one moment both find nothing."""

    async def take(self, event_id: str, event: dict[str, Any]) -> web.Response:
        if event_id not in self.seen:
            await asyncio.sleep(0.05)
            self.seen.add(event_id)
            self.apply(event["type"], event["data"])
        return web.Response(status=204)


class RefusesRepeats(RightShop):
    async def take(self, event_id: str, event: dict[str, Any]) -> web.Response:
        if event_id in self.seen:
            return web.Response(status=409)
        return await super().take(event_id, event)


class ComparesNoAmount(RightShop):
    def costs(self, data: dict[str, Any], row: OrderRow) -> bool:
        return True


class TakesMore(RightShop):
    def costs(self, data: dict[str, Any], row: OrderRow) -> bool:
        return bool(data["amount_rials"] >= row.rials)


class MixesUnits(RightShop):
    """Takes the order's number in either unit."""

    def costs(self, data: dict[str, Any], row: OrderRow) -> bool:
        return row.rials in {data["amount_rials"], data["amount_toman"]}


class RoundsToToman(RightShop):
    """Compares thousands, as a page shows them."""

    def costs(self, data: dict[str, Any], row: OrderRow) -> bool:
        return bool(round(data["amount_rials"] / 1000) == round(row.rials / 1000))


class ReadsCurrency(RightShop):
    """Takes amount_rials for toman where the currency says so."""

    def costs(self, data: dict[str, Any], row: OrderRow) -> bool:
        return bool(row.rials == data["amount_rials"] * (10 if data["currency"] == "IRR" else 1))


class IgnoresMode(RightShop):
    def of_mode(self, data: dict[str, Any]) -> bool:
        return True


class IgnoresTestEvents(RightShop):
    def of_mode(self, data: dict[str, Any]) -> bool:
        return bool(data["mode"] == self.mode)


class IgnoresStorefront(RightShop):
    def ours(self, data: dict[str, Any], row: OrderRow) -> bool:
        return super().ours(data | {"storefront": "main"}, row)


class CreditsReviews(RightShop):
    def credits(self, kind: str) -> bool:
        return kind in {"payment.paid", "payment.needs_review"}


class CreditsAllButCanceled(RightShop):
    """Looks at no type."""

    def credits(self, kind: str) -> bool:
        return kind not in {"payment.canceled", "payment.expired"}


class RefusesUnknownTypes(RightShop):
    async def take(self, event_id: str, event: dict[str, Any]) -> web.Response:
        known = {"paid", "failed", "canceled", "expired", "given_back", "needs_review", "review_resolved"}
        if event["type"] not in {f"payment.{name}" for name in known} | {"ping", "endpoint.disabled"}:
            return web.Response(status=422)
        return await super().take(event_id, event)


class ReadsOrderOfEveryEvent(RightShop):
    """A ping has no order."""

    async def take(self, event_id: str, event: dict[str, Any]) -> web.Response:
        if "order_id" not in event["data"]:
            return web.Response(status=500)
        return await super().take(event_id, event)


class RefusesUnknownFields(RightShop):
    async def take(self, event_id: str, event: dict[str, Any]) -> web.Response:
        if "risk" in event["data"]:
            return web.Response(status=422)
        return await super().take(event_id, event)


class FailsOnUnknownOrders(RightShop):
    async def take(self, event_id: str, event: dict[str, Any]) -> web.Response:
        if event["data"].get("order_id", "17") not in self.orders:
            return web.Response(status=500)
        return await super().take(event_id, event)


class LateCanceledWins(RightShop):
    def close(self, row: OrderRow, data: dict[str, Any]) -> None:
        row.state = "closed"


class KeepsNoPayments(RightShop):
    """Takes the end of another payment of the order for the order's end; it does compare versions."""

    def close(self, row: OrderRow, data: dict[str, Any]) -> None:
        if data["version"] >= row.version or data["id"] != row.payment:
            row.state = "closed"


class IgnoresLatePaid(RightShop):
    def credit(self, row: OrderRow, data: dict[str, Any]) -> None:
        if row.state == "open":
            super().credit(row, data)


class AsciiOnly(RightShop):
    async def take(self, event_id: str, event: dict[str, Any]) -> web.Response:
        if not event["data"].get("description", "").isascii():
            return web.Response(status=500)
        return await super().take(event_id, event)


class SmallBodies(RightShop):
    async def hook(self, request: web.Request) -> web.Response:
        if len(await request.read()) > 8192:
            return web.Response(status=413)
        return await super().hook(request)


class CreditsBeforeItVerifies(RightShop):
    """It refuses what is not signed, and has credited it already."""

    async def hook(self, request: web.Request) -> web.Response:
        body = await request.read()
        event = json.loads(body)
        answer = await self.take(request.headers["webhook-id"], event)
        return answer if self.verified(request.headers, body) else web.Response(status=401)


class AnswersForgeries(RightShop):
    """It ignores what is not signed, and says that it has it."""

    async def hook(self, request: web.Request) -> web.Response:
        answer = await super().hook(request)
        return web.Response(status=204) if answer.status == 401 else answer


class OneAtATime(RightShop):
    """It reads one request after the other, to its end."""

    turn: asyncio.Lock

    async def hook(self, request: web.Request) -> web.Response:
        self.__dict__.setdefault("turn", asyncio.Lock())
        async with self.turn:
            return await super().hook(request)


class CreditsLater(RightShop):
    """Right too: it stores the event, answers, and works through it afterwards."""

    async def take(self, event_id: str, event: dict[str, Any]) -> web.Response:
        asyncio.get_running_loop().call_later(
            0.05, lambda: asyncio.ensure_future(super(CreditsLater, self).take(event_id, event))
        )
        return web.Response(status=202)


class Redirects(RightShop):
    async def hook(self, request: web.Request) -> web.Response:
        return web.Response(status=308, headers={"Location": "https://shop.example.ir/hook"})


class TakesNothing(RightShop):
    """It has another secret than it was told."""

    def signed(self, headers: Mapping[str, str], body: bytes) -> bool:
        return False


class TellsItsSecret(RightShop):
    """As a page of a debugger does."""

    async def hook(self, request: web.Request) -> web.Response:
        return web.Response(status=500, text=f"debug: {self.secret} {self.secret[6:]}")


@dataclass
class Counts(RightShop):
    """Its state has this JSON for the number of credits."""

    count: str = ""

    async def order_state(self, request: web.Request) -> web.Response:
        return web.Response(text=f'{{"paid": false, "credits": {self.count}}}')


@dataclass
class NamesAmount(RightShop):
    """It says what a new order costs, in this JSON."""

    amount: str = ""

    async def new_order(self, request: web.Request) -> web.Response:
        return web.Response(text=f'{{"order_id": "17", "amount_rials": {self.amount}}}')


class CreditsNothing(RightShop):
    def credit(self, row: OrderRow, data: dict[str, Any]) -> None:
        pass


@asynccontextmanager
async def opened(shop: RightShop) -> AsyncIterator[str]:
    """The shop's address, while it is open."""
    async with server(shop.app()) as url:
        yield url
