"""The drop-in in ZarinPal's protocol: what a shop with any plugin of it gets, whatever gateway is behind."""

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest

from proxy.kernel.clock import MINUTE
from proxy.merchants.merchant import AmountUnit, Mode
from proxy.payments.payment import Status
from web.clients import facade_token
from web.lab import Answer, Lab, lab_in

CALLBACK = "https://shop.example.ir/cb?order=17"
UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class ZarinPalShop:
    lab: Lab
    merchant_id: Any

    async def call(self, name: str, *, prefix: str = "", **fields: Any) -> dict[str, Any]:
        body = {"merchant_id": self.merchant_id} | fields
        answer = await self.lab.call("POST", f"{prefix}/pg/v4/payment/{name}.json", json=body, token="")
        said: dict[str, Any] = answer.json
        assert answer.status == (200 if said["data"] else 422)
        assert said["errors"] == [] or said["data"] == []
        return said

    async def authority(self, **fields: Any) -> str:
        order: dict[str, Any] = {"amount": 150_000, "description": "order 17", "callback_url": CALLBACK} | fields
        said = await self.call("request", **order)
        assert said["data"]["code"] == 100, said
        return str(said["data"]["authority"])

    def order_of(self, authority: str) -> dict[str, Any]:
        return {"merchant_id": self.merchant_id, "authority": authority, "amount": 150_000}

    async def verify(self, authority: str, amount: int = 150_000) -> int:
        return code_of(await self.call("verify", authority=authority, amount=amount))

    async def status(self, authority: str) -> str:
        return str((await self.call("inquiry", authority=authority))["data"]["status"])

    async def act(self, authority: str, act: str = "pay") -> str:
        store = self.lab.dargah.services.store.payments
        payment = await store.payment_by_link(self.lab.merchant_id, authority[1:])
        return await self.lab.act({"invoice_key": payment.invoice_key}, act)

    async def come_back(self, authority: str, act: str = "pay") -> dict[str, str]:
        """What the customer brings to the shop, beside what its callback_url had."""
        answer: Answer = await self.lab.call("GET", await self.act(authority, act))
        assert answer.status == 303
        query = dict(parse_qsl(urlsplit(answer.location).query))
        assert query.pop("order") == "17"
        return query


async def unanswered(lab: Lab, path: str, body: dict[str, Any], status: int = 503) -> Answer:
    """The answer to a call of which nothing is known: none of the protocol's, in any form."""
    answer = await lab.call("POST", path, json=body, token="")
    assert answer.status == status
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "{" not in answer.text
    return answer


def code_of(said: dict[str, Any]) -> int:
    return int(said["data"]["code"] if said["data"] else said["errors"]["code"])


async def shop_of(lab: Lab, **choices: Any) -> ZarinPalShop:
    return ZarinPalShop(lab, await facade_token(lab, protocol="zarinpal", **choices))


@pytest.fixture
async def shop(lab: Lab) -> ZarinPalShop:
    return await shop_of(lab)


async def test_a_paid_order_is_100_once_and_101_for_ever_after(shop: ZarinPalShop) -> None:
    authority = await shop.authority()
    assert UUID.fullmatch(shop.merchant_id)
    assert re.fullmatch("A[0-9A-Za-z]{35}", authority)
    assert await shop.verify(authority) == -51
    assert await shop.come_back(authority) == {"Authority": authority, "Status": "OK"}
    assert await shop.status(authority) == "PAID"
    told = (await shop.call("verify", authority=authority, amount=150_000))["data"]
    payment = await shop.lab.dargah.services.store.payments.payment_by_link(shop.lab.merchant_id, authority[1:])
    assert (told["code"], str(told["ref_id"]), told["order_id"]) == (100, payment.bank_code, payment.order_id)
    assert isinstance(told["ref_id"], int)
    assert [await shop.verify(authority), await shop.verify(authority)] == [101, 101]
    assert await shop.status(authority) == "VERIFIED"


async def test_a_customer_who_never_came_back_is_found_by_verify(shop: ZarinPalShop) -> None:
    authority = await shop.authority()
    await shop.act(authority)
    assert await shop.verify(authority) == 100


async def test_the_pay_page_leads_to_the_gateway_and_knows_what_was_pasted_to_its_link(shop: ZarinPalShop) -> None:
    authority = await shop.authority()
    for end in ("", "/", ".", "&x=1"):
        answer = await shop.lab.call("GET", f"/pg/StartPay/{authority}{end}")
        assert answer.status == 303, end
        assert "/invoice/pay/" in answer.location
    unknown = await shop.lab.call("GET", f"/pg/StartPay/A{'0' * 35}")
    assert unknown.status == 404
    assert "text/html" in unknown.headers["Content-Type"]


@pytest.mark.parametrize("amount", [149_999, 15_000, 1_500_000, 0, -150_000, "x", None, [], True])
async def test_another_amount_at_verify_is_minus_50_and_settles_nothing(shop: ZarinPalShop, amount: Any) -> None:
    authority = await shop.authority()
    await shop.come_back(authority)
    assert code_of(await shop.call("verify", authority=authority, amount=amount)) == -50
    assert await shop.status(authority) == "PAID"
    assert await shop.verify(authority) == 100


@pytest.mark.parametrize("act", ["cancel", "fail"])
async def test_canceled_is_nok_and_minus_51(shop: ZarinPalShop, act: str) -> None:
    authority = await shop.authority()
    assert await shop.come_back(authority, act) == {"Authority": authority, "Status": "NOK"}
    assert await shop.verify(authority) == -51
    assert await shop.status(authority) == "FAILED"


@pytest.mark.parametrize("expired", [False, True])
async def test_a_gateway_that_does_not_answer_is_no_answer_to_a_verify(shop: ZarinPalShop, expired: bool) -> None:
    """Some plugins cancel the order at any answer of the protocol but 100 and 101."""
    authority = await shop.authority()
    await shop.act(authority)
    await shop.lab.fault("check", "http_500")
    if expired:
        shop.lab.clock.now += 31 * MINUTE
    await unanswered(shop.lab, "/pg/v4/payment/verify.json", shop.order_of(authority))
    assert await shop.status(authority) in {"IN_BANK", "FAILED"}
    await shop.lab.control("DELETE", "faults")
    shop.lab.clock.now += MINUTE
    assert await shop.verify(authority) == 100


async def test_too_many_verifies_are_no_answer_either(folder: Path) -> None:
    async with lab_in(folder, address_calls_per_minute=1, token_calls_per_minute=1) as lab:
        shop = await shop_of(lab)
        order = shop.order_of(await shop.authority())
        await lab.call("POST", "/pg/v4/payment/verify.json", json=order, token="")
        answer = await unanswered(lab, "/pg/v4/payment/verify.json", order, status=429)
        assert int(answer.headers["Retry-After"]) > 0
        refused = await lab.call("POST", "/pg/v4/payment/inquiry.json", json=order, token="")
        assert (refused.status, refused.json["errors"]["code"]) == (422, -12)


async def test_money_under_review_is_never_not_paid_and_never_paid(shop: ZarinPalShop) -> None:
    authority = await shop.authority()
    await shop.lab.fault("check", "wrong_amount", amount_rials=1000)
    await shop.act(authority)
    assert await shop.verify(authority) == -52
    assert await shop.status(authority) == "IN_BANK"


async def test_another_shops_authority_is_unknown_and_settles_nothing(shop: ZarinPalShop) -> None:
    authority = await shop.authority()
    await shop.come_back(authority)
    script = await facade_token(shop.lab)
    other = await shop_of(shop.lab, storefront="other")
    test = ZarinPalShop(shop.lab, await facade_token(shop.lab, protocol="zarinpal", mode=Mode.TEST))
    for each in (other, test):
        for name in ("verify", "inquiry", "reverse"):
            assert code_of(await each.call(name, authority=authority, amount=150_000)) == -54
        assert (await each.call("unVerified"))["data"]["authorities"] == []
    for merchant_id in (script, shop.lab.token, shop.merchant_id[:-1] + "0", "0" * 36, "", None, 7, {"a": 1}, "۱" * 36):
        stranger = ZarinPalShop(shop.lab, merchant_id)
        assert code_of(await stranger.call("verify", authority=authority, amount=150_000)) == -10
    assert await shop.verify(authority) == 100


async def test_a_script_shop_and_the_api_do_not_take_a_merchant_id(shop: ZarinPalShop) -> None:
    answer = await shop.lab.call("GET", "/v1/payments", token=shop.merchant_id)
    assert answer.status == 403
    body = orjson.dumps({"api_key": shop.merchant_id, "amount": 150_000, "return_url": CALLBACK})
    said = await shop.lab.call("POST", "/invoice/request", data=body, headers={"Content-Type": "application/json"})
    assert said.json["errorCode"] == 101


async def test_what_was_paid_and_never_verified_is_listed_until_it_is(shop: ZarinPalShop) -> None:
    forgotten, verified, canceled = [await shop.authority() for _ in range(3)]
    for authority, act in ((forgotten, "pay"), (verified, "pay"), (canceled, "cancel")):
        await shop.come_back(authority, act)
    await shop.verify(verified)
    [listed] = (await shop.call("unVerified"))["data"]["authorities"]
    assert (listed["authority"], listed["amount"], listed["callback_url"]) == (forgotten, 150_000, CALLBACK)
    await shop.verify(forgotten)
    assert (await shop.call("unVerified"))["data"]["authorities"] == []


async def test_amounts_are_in_the_calls_currency_or_the_tokens(lab: Lab) -> None:
    toman = await shop_of(lab, unit=AmountUnit.TOMAN)
    for fields, amount, rials in (
        ({}, 15_000, 150_000),
        ({"currency": "IRR"}, 150_000, 150_000),
        ({"currency": "irt"}, 15_000, 150_000),
    ):
        authority = await toman.authority(amount=amount, **fields)
        payment = await lab.dargah.services.store.payments.payment_by_link(lab.merchant_id, authority[1:])
        assert payment.amount_rials == rials
        await toman.come_back(authority)
        assert await toman.verify(authority, amount * 10) == -50
        assert await toman.verify(authority, amount) == 100


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"amount": None}, -9, "amount"),
        ({"amount": 999}, -9, "amount"),
        ({"amount": "1,000,000"}, -9, "amount"),
        ({"amount": 1500.5}, -9, "amount"),
        ({"amount": 10**19}, -9, "amount"),
        ({"currency": "USD"}, -9, "currency"),
        ({"description": ""}, -9, "description"),
        ({"description": "x" * 501}, -9, "description"),
        ({"callback_url": "shop.example.ir"}, -9, "callback_url"),
        ({"callback_url": None}, -9, "callback_url"),
        ({"callback_url": "https://shop.example.ir/" + "x" * 5000}, -9, "callback_url"),
        ({"metadata": {"order_id": "x" * 101}}, -9, "order_id"),
        ({"metadata": {"order_id": ["17"]}}, -9, "order_id"),
        ({"callback_url": "https://other.example.ir/cb"}, -14, None),
    ],
)
async def test_a_call_that_is_wrong_is_told_the_field(
    shop: ZarinPalShop, fields: dict[str, Any], code: int, field: str | None
) -> None:
    order: dict[str, Any] = {"amount": 150_000, "description": "order 17", "callback_url": CALLBACK} | fields
    said = await shop.call("request", **order)
    assert said["errors"]["code"] == code
    assert [list(each) for each in said["errors"]["validations"]] == ([] if field is None else [[field]])


async def test_an_order_id_of_the_metadata_is_the_payments_and_is_paid_once(shop: ZarinPalShop) -> None:
    first = await shop.authority(metadata={"order_id": 17, "mobile": "09120000000"})
    second = await shop.authority(metadata={"order_id": "17"})
    await shop.come_back(first)
    answer = await shop.lab.call("GET", f"/pg/StartPay/{second}")
    assert (answer.status, "303" in str(answer.status)) == (200, False)
    order: dict[str, Any] = {
        "amount": 150_000,
        "description": "x",
        "callback_url": CALLBACK,
        "metadata": {"order_id": "17"},
    }
    assert code_of(await shop.call("request", **order)) == -52


@pytest.mark.parametrize("prefix", ["", "/any/path", "/sandbox"])
async def test_its_paths_stand_under_any_prefix(shop: ZarinPalShop, prefix: str) -> None:
    order: dict[str, Any] = {"amount": 150_000, "description": "order 17", "callback_url": CALLBACK}
    authority = (await shop.call("request", prefix=prefix, **order))["data"]["authority"]
    assert (await shop.lab.call("GET", f"{prefix}/pg/StartPay/{authority}")).status == 303
    await shop.come_back(authority)
    assert code_of(await shop.call("verify", prefix=prefix, authority=authority, amount=150_000)) == 100


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"", "application/json"), (b"{", "application/json"), (b"[]", "application/json"), (b"\xff", "text/plain"),
     (b"x" * 70_000, "application/json"), (b"--", "multipart/form-data; boundary=x"), (b"{}", "x" * 300)],
)  # fmt: skip
async def test_a_body_that_says_nothing_is_a_wrong_merchant_id(lab: Lab, body: bytes, content_type: str) -> None:
    answer = await lab.call(
        "POST", "/pg/v4/payment/verify.json", data=body, headers={"Content-Type": content_type}, token=""
    )
    assert (answer.status, answer.json["errors"]["code"]) == (422, -10)


async def test_late_money_is_100_when_the_shop_asks_again(shop: ZarinPalShop) -> None:
    authority = await shop.authority()
    shop.lab.clock.now += 31 * MINUTE
    assert await shop.verify(authority) == -51
    await shop.act(authority)
    assert await shop.verify(authority) == 100
    payment = await shop.lab.dargah.services.store.payments.payment_by_link(shop.lab.merchant_id, authority[1:])
    assert (payment.status, payment.late) == (Status.PAID, True)


async def test_verifies_at_once_are_one_100(shop: ZarinPalShop) -> None:
    authority = await shop.authority()
    await shop.act(authority)
    codes = await asyncio.gather(*(shop.verify(authority) for _ in range(8)))
    assert sorted(codes) == [100, *[101] * 7]


async def test_reverse_is_refused_as_the_bank_would(shop: ZarinPalShop) -> None:
    authority = await shop.authority()
    await shop.come_back(authority)
    assert code_of(await shop.call("reverse", authority=authority)) == -60
