"""The drop-in in Zibal's protocol: what a shop with any plugin of it gets, whatever gateway is behind."""

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from proxy.merchants.merchant import Mode
from web.clients import facade_token
from web.lab import Answer, Lab
from web.test_zarinpal_shops import unanswered

CALLBACK = "https://shop.example.ir/cb?order=17"


@dataclass(frozen=True)
class ZibalShop:
    lab: Lab
    merchant: Any

    async def call(self, name: str, *, prefix: str = "", **fields: Any) -> dict[str, Any]:
        body = {"merchant": self.merchant} | fields
        answer = await self.lab.call("POST", f"{prefix}/v1/{name}", json=body, token="")
        assert answer.status == 200
        said: dict[str, Any] = answer.json
        return said

    async def track_id(self, **fields: Any) -> int:
        order: dict[str, Any] = {"amount": 150_000, "callbackUrl": CALLBACK} | fields
        said = await self.call("request", **order)
        assert said["result"] == 100, said
        assert isinstance(said["trackId"], int)
        return int(said["trackId"])

    async def verify(self, track_id: int) -> int:
        return int((await self.call("verify", trackId=track_id))["result"])

    async def status(self, track_id: int) -> int:
        return int((await self.call("inquiry", trackId=track_id))["status"])

    async def act(self, track_id: int, act: str = "pay") -> str:
        payment = await self.lab.dargah.services.store.payments.payment_by_number(track_id)
        return await self.lab.act({"invoice_key": payment.invoice_key}, act)

    async def come_back(self, track_id: int, act: str = "pay") -> dict[str, str]:
        """What the customer brings to the shop, beside what its callbackUrl had."""
        answer: Answer = await self.lab.call("GET", await self.act(track_id, act))
        assert answer.status == 303
        query = dict(parse_qsl(urlsplit(answer.location).query))
        assert query.pop("order") == "17"
        return query


async def shop_of(lab: Lab, **choices: Any) -> ZibalShop:
    return ZibalShop(lab, await facade_token(lab, protocol="zibal", **choices))


@pytest.fixture
async def shop(lab: Lab) -> ZibalShop:
    return await shop_of(lab)


async def test_a_paid_order_is_100_once_and_201_for_ever_after(shop: ZibalShop) -> None:
    track_id = await shop.track_id(orderId="A-17", description="سفارش ۱۷")
    assert 1 << 52 <= track_id < 1 << 53
    assert (await shop.verify(track_id), await shop.status(track_id)) == (202, -1)
    back = {"trackId": str(track_id), "success": "1", "status": "2", "orderId": "A-17"}
    assert await shop.come_back(track_id) == back
    assert await shop.status(track_id) == 2
    told = await shop.call("verify", trackId=track_id)
    payment = await shop.lab.dargah.services.store.payments.payment_by_number(track_id)
    assert (told["result"], told["amount"], told["orderId"]) == (100, 150_000, "A-17")
    assert (told["refNumber"], told["status"]) == (int(payment.bank_code or 0), 1)
    again = await shop.call("verify", trackId=str(track_id))
    assert again == told | {"result": 201, "message": again["message"]}
    assert await shop.status(track_id) == 1


async def test_the_start_page_leads_to_the_gateway(shop: ZibalShop) -> None:
    track_id = await shop.track_id()
    for end in ("", "/", "/direct"):
        answer = await shop.lab.call("GET", f"/start/{track_id}{end}")
        assert answer.status == 303
        assert "/invoice/pay/" in (await shop.lab.call("GET", answer.location)).location
    for unknown in (track_id ^ 1, 0, 10**16, "x", "%D9%A3"):
        answer = await shop.lab.call("GET", f"/start/{unknown}", headers={"Accept": "text/html"})
        assert answer.status == 404
        assert "text/html" in answer.headers["Content-Type"]


@pytest.mark.parametrize("act", ["cancel", "fail"])
async def test_canceled_is_0_and_202(shop: ZibalShop, act: str) -> None:
    track_id = await shop.track_id()
    back = await shop.come_back(track_id, act)
    assert (back["success"], back["status"]) == ("0", "3")
    assert (await shop.verify(track_id), await shop.status(track_id)) == (202, 3)


async def test_what_is_not_known_is_no_answer_and_never_202(shop: ZibalShop) -> None:
    unclear, odd = await shop.track_id(), await shop.track_id()
    await shop.act(unclear)
    await shop.lab.fault("check", "http_500", times=1)
    await unanswered(shop.lab, "/v1/verify", {"merchant": shop.merchant, "trackId": unclear})
    assert await shop.verify(unclear) == 100
    await shop.act(odd)
    await shop.lab.fault("check", "wrong_amount", amount_rials=1000)
    assert (await shop.verify(odd), await shop.status(odd)) == (-2, -2)


async def test_another_shops_track_id_is_unknown_and_settles_nothing(shop: ZibalShop) -> None:
    track_id = await shop.track_id()
    await shop.come_back(track_id)
    other = await shop_of(shop.lab, storefront="other")
    test = ZibalShop(shop.lab, await facade_token(shop.lab, protocol="zibal", mode=Mode.TEST))
    for each in (other, test):
        assert await each.verify(track_id) == 203
        assert (await each.call("inquiry", trackId=track_id))["result"] == 203
    script, zarinpal = await facade_token(shop.lab), await facade_token(shop.lab, protocol="zarinpal")
    for merchant in (script, zarinpal, shop.lab.token, shop.merchant[:-1], "zibal", "", None, 7, ["x"]):
        assert await ZibalShop(shop.lab, merchant).verify(track_id) == 102
    for number in (track_id ^ 1, -track_id, 0, 1 << 53, 10**18, str(10**30), 1.5, "x", None, True, [track_id]):
        assert (await shop.call("verify", trackId=number))["result"] == 203
    assert await shop.verify(track_id) == 100


@pytest.mark.parametrize(
    ("fields", "result"),
    [
        ({"amount": None}, 105),
        ({"amount": 999}, 105),
        ({"amount": "1,000,000"}, 105),
        ({"amount": 10**19}, 113),
        ({"callbackUrl": "shop.example.ir"}, 106),
        ({"callbackUrl": None}, 106),
        ({"callbackUrl": "https://other.example.ir/cb"}, 106),
        ({"orderId": "x" * 101}, -2),
    ],
)
async def test_a_call_that_is_wrong_is_refused(shop: ZibalShop, fields: dict[str, Any], result: int) -> None:
    order: dict[str, Any] = {"amount": 150_000, "callbackUrl": CALLBACK} | fields
    said = await shop.call("request", **order)
    assert (said["result"], "trackId" in said) == (result, False)
    assert said["message"]


@pytest.mark.parametrize("prefix", ["/any/path", "/sandbox"])
async def test_its_paths_stand_under_any_prefix(shop: ZibalShop, prefix: str) -> None:
    made = await shop.call("request", prefix=prefix, amount=150_000, callbackUrl=CALLBACK)
    assert (await shop.lab.call("GET", f"{prefix}/start/{made['trackId']}")).status == 303
    await shop.come_back(made["trackId"])
    assert (await shop.call("verify", prefix=prefix, trackId=made["trackId"]))["result"] == 100


async def test_verifies_at_once_are_one_100(shop: ZibalShop) -> None:
    track_id = await shop.track_id()
    await shop.act(track_id)
    results = await asyncio.gather(*(shop.verify(track_id) for _ in range(8)))
    assert sorted(results) == [100, *[201] * 7]
