"""A shop that speaks the gateway's protocol, at Dargah's drop-in."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
from yarl import URL

from proxy.merchants.merchant import AmountUnit, Mode, ReturnMethod, Scope
from proxy.payments.payment import Payment
from proxy.payments.search import PaymentFilter
from web.lab import Answer, Lab
from web.openapi_check import check_answer

FACADE = frozenset({Scope.FACADE})
FORM = "application/x-www-form-urlencoded"
RETURN_URL = "https://shop.example.ir/cb?order=17&_token=a%20b"


@dataclass(frozen=True)
class DropIn:
    lab: Lab
    token: str

    async def send(
        self, path: str, body: bytes = b"", content_type: str | None = FORM, method: str = "POST", **headers: str
    ) -> Answer:
        """Exactly these bytes; the answer, as it came."""
        sent = headers if content_type is None else {"Content-Type": content_type, **headers}
        # aiohttp would add a type of its own.
        skipped = ["Content-Type"] if content_type is None else []
        url = URL(self.lab.dargah.url + path, encoded=True)
        async with self.lab.session.request(
            method, url, data=body, headers=sent, skip_auto_headers=skipped, allow_redirects=False
        ) as response:
            answer = Answer(response.status, response.headers, await response.read())
        plain = urlsplit(path).path
        if plain == "/invoice/request" or re.fullmatch("/invoice/check/[^/]+", plain):
            documented = method if method in {"GET", "POST"} else "GET"
            if method != "HEAD":
                check_answer(documented, plain, answer.status, answer.headers, answer.body)
        return answer

    async def request(self, path: str = "/invoice/request", **fields: Any) -> dict[str, Any]:
        form = {"api_key": self.token, "amount": 150_000, "return_url": RETURN_URL} | fields
        answer = await self.send(path, orjson.dumps(form), "application/json")
        assert answer.status == 200
        said: dict[str, Any] = answer.json
        return said

    async def invoice(self, **fields: Any) -> str:
        said = await self.request(**fields)
        assert said["status"] == 1, said
        return str(said["invoice_key"])

    async def check(self, invoice_key: str, token: str | None = None) -> dict[str, Any]:
        body = f"api_key={self.token if token is None else token}".encode()
        answer = await self.send(f"/invoice/check/{invoice_key}", body)
        assert answer.status == 200
        said: dict[str, Any] = answer.json
        return said

    async def payment(self, invoice_key: str) -> Payment:
        return await self.lab.dargah.services.store.payments.payment_by_link(self.lab.merchant_id, invoice_key)

    async def payments(self) -> list[Payment]:
        wanted = PaymentFilter(limit=100)
        return list(
            (await self.lab.dargah.services.store.payments.list_payments(self.lab.merchant_id, wanted)).payments
        )

    async def act(self, invoice_key: str, act: str) -> str:
        """The customer at the gateway; gives where they are sent, which is Dargah's return."""
        payment = await self.payment(invoice_key)
        return await self.lab.act({"invoice_key": payment.invoice_key}, act)

    async def come_back(self, invoice_key: str, act: str = "pay") -> Answer:
        return await self.lab.call("GET", await self.act(invoice_key, act))


async def drop_in(lab: Lab, **choices: Any) -> DropIn:
    return DropIn(lab, await facade_token(lab, **choices))


async def facade_token(
    lab: Lab,
    *,
    merchant_id: str | None = None,
    storefront: str = "main",
    mode: Mode = Mode.LIVE,
    unit: AmountUnit = AmountUnit.RIAL,
    method: ReturnMethod = ReturnMethod.GET,
    any_https_return: bool = False,
) -> str:
    _, text = await lab.dargah.services.setup.issue_token(
        merchant_id or lab.merchant_id,
        storefront,
        mode,
        FACADE,
        amount_unit=unit,
        return_method=method,
        any_https_return=any_https_return,
        actor="test",
    )
    return text


def added(url: str, return_url: str) -> Mapping[str, str]:
    """The parameters of `url` that `return_url` has not."""
    before, after = (parse_qsl(urlsplit(each).query, keep_blank_values=True) for each in (return_url, url))
    assert after[: len(before)] == before
    return dict(after[len(before) :])
