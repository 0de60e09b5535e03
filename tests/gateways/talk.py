"""Calls of a family's client to a server that plays scripts, and what the server was sent."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from adapters.servers import RawServer, Script, answer

from proxy.gateways.answers import HttpAnswer
from proxy.gateways.family import Family
from proxy.gateways.port import Account, CheckResult, GatewayClient, Inquiry, Purchase, RequestResult
from proxy.http.outbound.connector import ClientOptions

T = TypeVar("T")
AMOUNT = 150_000
TOKEN = "8Zq0000000000000000000000000000000000001"
RETURN_URL = f"https://pay.example.ir/return/{TOKEN}"
PURCHASE = Purchase(17, "سفارش ۱۷", "09121234567")


def told(body: Any, status: int = 200) -> HttpAnswer:
    """An answer of that JSON, or of those bytes."""
    return HttpAnswer(status, body if isinstance(body, bytes) else json.dumps(body).encode())


def plays(body: Any, status: str = "200 OK") -> Script:
    return answer(told(body).body, status)


@dataclass
class Talk:
    """One family's client and its credentials. `sent` has the path and the fields of each request of the last call."""

    client: GatewayClient
    credentials: Mapping[str, str]
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @classmethod
    def of(cls, family: Family, **credentials: str) -> "Talk":
        return cls(family.make(ClientOptions(), request_seconds=5, check_seconds=5), credentials)

    async def request(self, *scripts: Script, purchase: Purchase = PURCHASE) -> RequestResult:
        return await self._over(scripts, lambda account: self.client.request(account, AMOUNT, RETURN_URL, purchase))

    async def check(self, key: str, *scripts: Script) -> CheckResult:
        return await self._over(scripts, lambda account: self.client.check(account, key))

    async def confirm(self, key: str, *scripts: Script) -> CheckResult:
        return await self._over(scripts, lambda account: self.client.confirm(account, Inquiry(key, AMOUNT)))

    async def reverse(self, key: str, *scripts: Script) -> CheckResult:
        return await self._over(scripts, lambda account: self.client.reverse(account, Inquiry(key, AMOUNT)))

    async def _over(self, scripts: tuple[Script, ...], call: Callable[[Account], Awaitable[T]]) -> T:
        async with RawServer(scripts) as server:
            result = await call(Account("trm_1", server.url, self.credentials))
        heads_and_bodies = [request.split(b"\r\n\r\n", 1) for request in server.requests]
        self.sent = [(head.split(b" ")[1].decode(), json.loads(body)) for head, body in heads_and_bodies]
        assert all(head.startswith(b"POST ") and b"application/json" in head for head, _ in heads_and_bodies)
        return result
