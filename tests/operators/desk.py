"""An operator's desk before a whole running Dargah: its API, whose answers openapi.yaml must have, and its command."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.playground import OPERATOR_TOKEN, Shop, eventually, playground
from web.openapi_check import check_answer

from operators.command import Cli
from proxy.app import Dargah, Outside
from proxy.clock import system_now


@dataclass
class ShiftedClock:
    """The system's time, and as much later as a test says."""

    shift: int = 0

    def __call__(self) -> int:
        return system_now() + self.shift


@dataclass
class Desk:
    shop: Shop
    dargah: Dargah
    clock: ShiftedClock
    cli: Cli

    async def call(self, method: str, path: str, body: Any = None, **query: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
        url = f"{self.dargah.admin_url}/admin/v1{path}"
        async with self.shop.session.request(method, url, json=body, params=query, headers=headers) as answer:
            raw = await answer.read()
            check_answer(method, f"/admin/v1{path}", answer.status, answer.headers, raw)
            return answer.status, await answer.json(content_type=None)

    async def odd(self, **fields: Any) -> dict[str, Any]:
        """A payment of which another amount was taken than was asked."""
        payment = await self.shop.created(**fields)
        await self.shop.fault("check", "wrong_amount", amount_rials=1000, invoice_key=payment["invoice_key"], times=1)
        await self.shop.act(payment, "pay")
        return await self.check(payment)

    async def canceled_then_paid(self, **fields: Any) -> dict[str, Any]:
        """A payment that Dargah knows as canceled, and of which the bank has the money since."""
        payment = await self.shop.created(**fields)
        await self.shop.act(payment, "cancel")
        assert (await self.check(payment))["status"] == "canceled"
        await self.shop.act(payment, "pay")
        return payment

    async def check(self, payment: dict[str, Any]) -> dict[str, Any]:
        status, checked = await self.shop.call("POST", f"/v1/payments/{payment['id']}/check")
        assert status == 200, checked
        return checked

    async def timeline(self, payment: dict[str, Any]) -> list[dict[str, Any]]:
        status, answer = await self.call("GET", f"/payments/{payment['id']}/timeline")
        assert (status, answer["truncated"]) == (200, False)
        entries: list[dict[str, Any]] = answer["data"]
        return entries

    async def timeline_with(self, payment: dict[str, Any], kind: str, **data: Any) -> list[dict[str, Any]]:
        """The timeline once it has such an entry."""

        async def look() -> list[dict[str, Any]] | None:
            entries = await self.timeline(payment)
            fits = [entry for entry in entries if entry["kind"] == kind and entry["data"].items() >= data.items()]
            return entries if fits else None

        return await eventually(look)


@asynccontextmanager
async def desk(folder: Path, **more: Any) -> AsyncIterator[Desk]:
    clock = ShiftedClock()
    async with playground(folder, outside=Outside(now=clock), **more) as (shop, dargah):
        variables = {"DARGAH_ADMIN_URL": dargah.admin_url, "DARGAH_ADMIN_TOKEN": OPERATOR_TOKEN}
        yield Desk(shop, dargah, clock, Cli(variables, folder))
