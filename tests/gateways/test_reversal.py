"""reverse.json of the ZarinPal drop-in: each row of its table in docs/drop-in.md, on both stores."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from databases.places import database_in
from support.clock import ManualClock
from support.dargah import running_by, settings
from support.eventually import eventually
from web.clients import FACADE, OPERATOR_TOKEN, RETURN_URL, operator, words
from web.lab import Answer, Lab, lab_in

from gateways.conftest import Counter, counter_at
from gateways.test_confirmation import called
from proxy.api.drop_in import calls
from proxy.gateways.registry import FAMILIES
from proxy.kernel.clock import MINUTE, SECOND
from proxy.locale.day_ranges import tehran_day
from proxy.merchants.merchant import Mode
from proxy.payments.confirmation import CALL_LEASE
from proxy.payments.payment import GatewayStep, Payment

AMOUNT = 150_000
UNCLEAR = 0
"""No answer of ZarinPal's: HTTP 503 and a line of text."""


@pytest.fixture
async def lab(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    monkeypatch.setattr(calls, "UNDER_WAY_SECONDS", 0.3)
    async with lab_in(folder, ManualClock()) as made:
        yield made


@dataclass
class Reversing:
    """A shop of the ZarinPal drop-in before a terminal of one family."""

    counter: Counter
    token: str

    @property
    def lab(self) -> Lab:
        return self.counter.lab

    async def call(self, name: str, fields: dict[str, Any], base: str = "") -> Answer:
        url = f"{base}/pg/v4/payment/{name}.json"
        return await self.lab.call("POST", url, json={"merchant_id": self.token, **fields}, token="")

    async def code(self, name: str, authority: str, base: str = "", **fields: Any) -> int:
        answer = await self.call(name, {"authority": authority, "amount": AMOUNT, **fields}, base)
        if not answer.headers["Content-Type"].startswith("application/json"):
            assert answer.status == 503, answer.body
            return UNCLEAR
        return int((answer.json["data"] or answer.json["errors"])["code"])

    async def order(self, order_id: str = "17") -> str:
        """A new payment's authority."""
        asked = {"amount": AMOUNT, "description": "order", "callback_url": RETURN_URL}
        answer = await self.call("request", asked | {"metadata": {"order_id": order_id}})
        return str(answer.json["data"]["authority"])

    async def paid(self, order_id: str = "17") -> str:
        authority = await self.order(order_id)
        await self.counter.pay({"pay_url": f"/pay/{authority[1:]}"})
        assert (await self.payment(authority)).status == "paid"
        return authority

    async def payment(self, authority: str) -> Payment:
        return await self.lab.dargah.services.store.payments.payment_by_link(self.lab.merchant_id, authority[1:])

    async def bank(self, authority: str) -> str:
        return str((await self.counter.invoice({"pay_url": f"/pay/{authority[1:]}"}))["state"])

    async def events(self, authority: str) -> list[str]:
        return await self.counter.events({"id": (await self.payment(authority)).id})


async def shop_before(lab: Lab, family: str = "zarinpal") -> Reversing:
    counter = await counter_at(lab, FAMILIES[family])
    if family == "zarinpal":
        body = {"api_key": counter.key, "family": family, "credentials": counter.credentials}
        await lab.control("POST", "terminals", body | {"registered_ip": "127.0.0.1"})
    setup = lab.dargah.services.setup
    _, token = await setup.issue_token(
        lab.merchant_id, "main", Mode.LIVE, FACADE, counter.terminal_id, protocol="zarinpal", actor="test"
    )
    return Reversing(counter, token)


@pytest.mark.parametrize("family", ["zarinpal", "sep"])
async def test_a_paid_payment_is_reversed_once_however_often_it_is_asked(lab: Lab, family: str) -> None:
    shop = await shop_before(lab, family)
    authority = await shop.paid()
    assert authority in str((await shop.call("unVerified", {})).json)
    assert [await shop.code("reverse", authority) for _ in range(3)] == [100, 100, 100]
    assert (await called(shop.counter, "reverse"), await shop.bank(authority)) == (1, "reversed")
    payment = await shop.payment(authority)
    assert (payment.status, payment.is_reversed, payment.intent) == ("paid", True, None)
    assert await shop.events(authority) == ["payment.paid", "payment.given_back"]
    [told] = (await lab.call("GET", "/v1/events?type=payment.given_back")).json["data"]
    assert (told["data"]["status"], told["data"]["given_back"]["reason"]) == ("paid", "merchant_reversed")
    assert await shop.code("verify", authority) == -51
    assert (await shop.call("inquiry", {"authority": authority})).json["data"]["status"] == "REVERSED"
    assert authority not in str((await shop.call("unVerified", {})).json)
    page = await lab.call("GET", f"/pay/{authority[1:]}?lang=en", token="")
    assert "The shop gave your money back" in page.body.decode()


async def test_what_was_reversed_is_in_no_sum_of_paid_money(lab: Lab) -> None:
    """SEP keeps the fee to itself, and the amount of both payments is the same."""
    shop = await shop_before(lab, "sep")
    kept, back = await shop.paid("kept"), await shop.paid("back")
    assert await shop.code("reverse", back) == 100
    day = tehran_day(lab.clock.now).isoformat()
    admin = f"{lab.dargah.admin_url}/admin/v1"
    totals = (await lab.call("GET", f"{admin}/payments/totals", token=OPERATOR_TOKEN)).json
    assert (totals["paid_rials"], totals["reversed"]) == (AMOUNT, {"count": 1, "rials": AMOUNT})
    assert totals["statuses"]["paid"] == {"count": 2, "rials": 2 * AMOUNT}, "both stand as paid"
    [row] = (await lab.call("GET", f"{admin}/settlement?first_day={day}&last_day={day}", token=OPERATOR_TOKEN)).json[
        "data"
    ]
    assert (row["paid"], row["given_back"]) == ({"count": 1, "rials": AMOUNT}, {"count": 1, "rials": AMOUNT})
    assert row["net_rials"] == AMOUNT - row["fees_rials"]
    browser = await operator(lab)

    async def whole() -> str | None:
        said = " ".join(words(await browser.get("/console/?lang=en")).split())
        return said if "Payments paid" in said else None

    home = await eventually(whole)
    assert "Paid 15,000 toman without 15,000 toman of 1 that their shop had reversed" in home
    assert "Payments paid 1" in home
    assert "Success rate 100" in home
    assert "Paid, then reversed for the shop 1" in home
    page = await browser.followed(await browser.get("/console/payments/totals?lang=en"))
    assert "Paid 15,000 toman without 15,000 toman of 1 that" in " ".join(words(page).split())
    assert (await shop.payment(kept)).is_reversed is False


async def test_the_order_of_a_reversed_payment_may_be_paid_anew(lab: Lab) -> None:
    shop = await shop_before(lab)
    first = await shop.paid()
    assert (await shop.call("request", {"amount": AMOUNT})).status == 422
    assert await shop.code("reverse", first) == 100
    second = await shop.paid()
    assert await shop.code("verify", second) == 100
    assert (await lab.dargah.services.store.statistics.audit(None, 0, 10)).violations == {}


async def test_a_verified_payment_is_reversed_too(lab: Lab) -> None:
    shop = await shop_before(lab)
    authority = await shop.paid()
    assert [await shop.code(name, authority) for name in ("verify", "reverse", "verify")] == [100, 100, -51]


@pytest.mark.parametrize("family", [name for name, each in FAMILIES.items() if not each.traits.reverses_paid])
async def test_what_cannot_be_reversed_behind_stays_paid(lab: Lab, family: str) -> None:
    shop = await shop_before(lab, family)
    authority = await shop.paid()
    assert [await shop.code(name, authority) for name in ("reverse", "verify")] == [-60, 100]
    assert await called(shop.counter, "reverse") == 0


@pytest.mark.parametrize("waited", [FAMILIES["zarinpal"].traits.reverse_within, None], ids=["here", "at the gateway"])
async def test_it_is_too_late(lab: Lab, waited: int | None) -> None:
    shop = await shop_before(lab)
    authority = await shop.paid()
    if waited is None:
        await lab.fault("reverse", "error", code=-63)
    else:
        lab.clock.forward(waited)
    assert [await shop.code(name, authority) for name in ("reverse", "verify")] == [-63, 100]
    assert await called(shop.counter, "reverse") == (1 if waited is None else 0)
    payment = await shop.payment(authority)
    assert (payment.status, payment.given_back, payment.intent) == ("paid", None, None)
    assert await shop.events(authority) == ["payment.paid"]


async def test_a_refusal_that_the_gateway_stands_by_leaves_it_paid_and_may_be_asked_again(lab: Lab) -> None:
    shop = await shop_before(lab)
    authority = await shop.paid()
    await lab.fault("reverse", "error", code=-62, times=1)
    assert await shop.code("reverse", authority) == -60
    assert (await shop.payment(authority)).given_back is None
    assert await shop.code("reverse", authority) == 100


async def test_what_is_not_paid_is_not_reversed(lab: Lab) -> None:
    shop = await shop_before(lab)
    assert await shop.code("reverse", await shop.order("1")) == -61
    canceled = await shop.order("2")
    await shop.counter.act_and_return({"pay_url": f"/pay/{canceled[1:]}"}, "cancel")
    assert await shop.code("reverse", canceled) == -61
    unseen = await shop.order("3")
    await shop.counter.act({"pay_url": f"/pay/{unseen[1:]}"}, "pay")
    assert await shop.code("reverse", unseen) == 100, "the customer has paid, and nobody knew it so far"
    assert await shop.bank(unseen) == "reversed"


async def test_nothing_is_said_while_the_gateway_does_not_answer_and_it_is_done_when_it_does(lab: Lab) -> None:
    shop = await shop_before(lab)
    authority = await shop.paid()
    await lab.fault("reverse", "http_500", processed=False)
    assert [await shop.code(name, authority) for name in ("reverse", "reverse", "verify")] == [UNCLEAR] * 3
    assert (await shop.call("inquiry", {"authority": authority})).json["data"]["status"] == "IN_BANK"
    assert authority not in str((await shop.call("unVerified", {})).json)
    intent = (await shop.payment(authority)).intent
    assert intent is not None
    assert intent.step is GatewayStep.REVERSE
    await lab.control("DELETE", "faults")

    lab.clock.forward(MINUTE)

    async def done() -> bool | None:  # nobody asks any more: the poller does
        lab.clock.forward(SECOND)
        return (await shop.payment(authority)).is_reversed or None

    await eventually(done)
    assert await shop.events(authority) == ["payment.paid", "payment.given_back"]
    payments, payment = lab.dargah.services.store.payments, await shop.payment(authority)
    assert await payments.check_schedule(lab.merchant_id, payment.id) is None


@pytest.mark.parametrize("answer", ["http_500", "error"])
async def test_a_lost_answer_of_what_was_reversed_is_found_out(lab: Lab, answer: str) -> None:
    shop = await shop_before(lab)
    authority = await shop.paid()
    code = {"code": -10} if answer == "error" else {}
    await lab.fault("reverse", answer, times=1, processed=True, **code)
    first = await shop.code("reverse", authority)
    assert first in (UNCLEAR, 100)
    lab.clock.forward(CALL_LEASE)
    assert await shop.code("reverse", authority) == 100
    assert (await shop.events(authority)).count("payment.given_back") == 1


async def test_two_at_once_and_at_two_replicas_make_one_call(lab: Lab) -> None:
    shop = await shop_before(lab)
    authority = await shop.paid()
    async with AsyncExitStack() as stack:
        urls = [lab.dargah.url]
        if isinstance(database_in(lab.folder), str):
            other = running_by(lab.clock, settings(lab.folder, log_level="error"))
            urls.append((await stack.enter_async_context(other)).url)
        codes = await asyncio.gather(*(shop.code("reverse", authority, url) for url in urls * 3))
    assert set(codes) <= {100, UNCLEAR}
    assert 100 in codes
    assert await called(shop.counter, "reverse") == 1
    assert (await shop.events(authority)).count("payment.given_back") == 1


async def test_it_is_the_tokens_own_payment_or_none(lab: Lab) -> None:
    shop = await shop_before(lab)
    authority = await shop.paid()
    merchant, _ = await lab.dargah.services.setup.create_merchant("another", [], actor="test")
    _, foreign = await lab.dargah.services.setup.issue_token(
        merchant.id, "main", Mode.LIVE, FACADE, protocol="zarinpal", actor="test"
    )
    assert await replace(shop, token=foreign).code("reverse", authority) == -54
    assert await replace(shop, token="5d7e1c3a-7b52-4c0e-9a41-0242ac120002").code("reverse", authority) == -10
    assert await shop.code("reverse", "A" * 36) == -54
    assert (await shop.bank(authority), await called(shop.counter, "reverse")) == ("captured", 0)


async def test_money_under_review_is_not_the_shops_to_reverse(lab: Lab) -> None:
    shop = await shop_before(lab)
    authority = await shop.order()
    await lab.call("POST", f"/v1/payments/{(await shop.payment(authority)).id}/cancel")
    await shop.counter.act({"pay_url": f"/pay/{authority[1:]}"}, "pay")
    lab.clock.forward(5 * MINUTE)
    await shop.counter.check({"id": (await shop.payment(authority)).id})
    assert (await shop.payment(authority)).status == "needs_review"
    assert await shop.code("reverse", authority) == -52
