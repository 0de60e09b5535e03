"""Every way that a payment can end, over real HTTP, against a gateway that keeps its own ledger.

By a clock that the test holds, also a customer who never comes back and a gateway that is away for a day. Dargah's
loops sleep by the real clock, so the test takes their steps itself; they may take them too, which changes nothing.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from support.clock import ManualClock
from support.dargah import API_KEY
from support.eventually import eventually
from support.shop import RETURN_ORIGIN, Shop, playground

from proxy.app import Dargah, Outside
from proxy.gateways.simulation.ledger import HostReturnMethod
from proxy.kernel.clock import DAY, HOUR, MINUTE, SECOND, parse_rfc3339
from proxy.merchants.merchant import Mode
from proxy.payments.return_url import verify

THANKS = f"{RETURN_ORIGIN}/thanks?order=17"


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query, strict_parsing=True).items()}


async def ledger_of(shop: Shop, payment: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = await shop.control("GET", f"/invoices/{payment['invoice_key']}")
    return row


@pytest.mark.parametrize("method", [HostReturnMethod.GET, HostReturnMethod.POST])
async def test_a_payment_paid_and_returned_is_told_with_the_ledgers_amount_and_bank_code(
    folder: Path, method: HostReturnMethod
) -> None:
    async with playground(folder, method) as (shop, _):
        payment = await shop.created(amount=15_000, currency="IRT", return_url=THANKS)
        assert (payment["status"], payment["amount_rials"], payment["amount_toman"]) == ("pending", 150_000, 15_000)

        opened = await shop.session.get(payment["pay_url"], allow_redirects=False)
        assert opened.status == 303
        assert opened.headers["Location"] == f"{shop.gateway_url}/invoice/pay/{payment['invoice_key']}"
        returned = await shop.come_back(await shop.act(payment, "pay"))

        assert returned.status == 303
        home = returned.headers["Location"]
        assert home.startswith(THANKS)
        assert verify(shop.return_secret, Mode.LIVE, query_of(home))
        assert query_of(home)["status"] == "paid"
        assert query_of(home)["order"] == "17"
        ledger = await ledger_of(shop, payment)
        [event] = await shop.receiver.told()
        assert event["type"] == "payment.paid"
        told = event["data"]
        assert (told["id"], told["amount_rials"], told["bank_code"]) == (payment["id"], 150_000, ledger["bank_code"])
        assert (await shop.payment(payment["id"]))["status"] == "paid"


@pytest.mark.parametrize("act", ["cancel", "fail"])
async def test_a_payment_canceled_or_failed_at_the_bank_is_canceled(shop: Shop, act: str) -> None:
    payment = await shop.created(return_url=THANKS)

    returned = await shop.come_back(await shop.act(payment, act))

    assert query_of(returned.headers["Location"])["status"] == "canceled"
    [event] = await shop.receiver.told()
    assert (event["type"], event["data"]["bank_code"]) == ("payment.canceled", None)


async def test_money_that_comes_after_a_cancel_is_paid_and_late(shop: Shop) -> None:
    payment = await shop.created()
    await shop.come_back(await shop.act(payment, "cancel"))
    await shop.act(payment, "pay")

    _, checked = await shop.call("POST", f"/v1/payments/{payment['id']}/check")

    assert (checked["status"], checked["late"]) == ("paid", True)
    # Webhooks go out beside each other: the events' own numbers tell their order.
    told = sorted(await shop.receiver.told(2), key=lambda event: event["data"]["sequence"])
    assert [event["type"] for event in told] == ["payment.canceled", "payment.paid"]


async def test_a_customer_who_comes_back_without_paying_leaves_it_pending(shop: Shop) -> None:
    payment = await shop.created(return_url=THANKS)

    returned = await shop.come_back(await shop.act(payment, "back"))

    assert query_of(returned.headers["Location"])["status"] == "pending"
    assert (await shop.payment(payment["id"]))["status"] == "pending"


async def test_a_payment_never_returned_to_is_paid_by_a_check(shop: Shop) -> None:
    payment = await shop.created()
    await shop.act(payment, "pay")

    status, checked = await shop.call("POST", f"/v1/payments/{payment['id']}/check")

    assert (status, checked["status"], checked["check"]["outcome"]) == (200, "paid", "captured")
    [event] = await shop.receiver.told()
    assert event["type"] == "payment.paid"


@pytest.mark.parametrize("code", [100, 101, 102, 103, 203, 204, 302])
async def test_a_definite_refusal_fails_the_payment_and_the_same_key_says_so_again(shop: Shop, code: int) -> None:
    await shop.fault("request", "error", code=code)

    status, problem = await shop.create(key="refused", order_id="refused")
    again, same = await shop.create(key="refused", order_id="refused")

    assert (status, problem["code"], problem["gateway_error_code"]) == (502, "gateway_refused", code)
    assert (again, same) == (status, problem)
    assert (await shop.payment(problem["payment_id"]))["status"] == "failed"
    [event] = await shop.receiver.told()
    assert event["type"] == "payment.failed"
    assert event["data"]["failure"] == {"reason": "gateway_refused", "gateway_error_code": code}


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("error", {"code": 301}),
        ("error", {"code": 999}),
        ("reset", {}),
        ("lost", {}),
        ("http_500", {}),
        ("html", {}),
        ("truncated", {}),
        ("foreign", {}),
        ("huge", {}),
    ],
)
async def test_an_unclear_answer_to_request_is_told_and_the_same_key_asks_again(
    shop: Shop, kind: str, more: dict[str, int]
) -> None:
    await shop.fault("request", kind, times=1, **more)

    status, problem = await shop.create(key="again", order_id="again")
    assert status == 502, problem
    assert problem["code"] == "gateway_unclear"
    assert (await shop.payment(problem["payment_id"]))["status"] == "created"

    status, payment = await shop.create(key="again", order_id="again")
    assert (status, payment["id"], payment["status"]) == (201, problem["payment_id"], "pending")


@pytest.mark.parametrize(
    "params",
    [
        {"invoice_key": "someone-elses"},
        {"status": "0"},
        {"status": "1", "bank_code": "1234567890"},
        {"invoice_key": ""},
        {},
    ],
)
async def test_a_forged_return_changes_nothing(shop: Shop, params: dict[str, str]) -> None:
    payment = await shop.created(return_url=THANKS)
    other = await shop.created()
    await shop.act(other, "pay")
    token = payment["pay_url"].rsplit("/", 1)[1]
    forged = params if params.get("invoice_key") != "someone-elses" else {"invoice_key": other["invoice_key"]}

    returned = await shop.session.get(f"{shop.url}/return/{token}", params=forged, allow_redirects=False)

    assert query_of(returned.headers["Location"])["status"] == "pending"
    after = await shop.payment(payment["id"])
    assert (after["status"], after["bank_code"]) == ("pending", None)
    assert shop.receiver.events == []


async def test_a_wrong_amount_needs_review_and_is_never_paid(shop: Shop) -> None:
    payment = await shop.created(return_url=THANKS)
    await shop.fault("check", "wrong_amount", amount_rials=1000)

    returned = await shop.come_back(await shop.act(payment, "pay"))

    assert query_of(returned.headers["Location"])["status"] == "needs_review"
    [event] = await shop.receiver.told()
    assert event["type"] == "payment.needs_review"
    review = event["data"]["review"]
    assert (review["reason"], review["expected_rials"], review["captured_rials"]) == ("amount_differs", 150_000, 1000)


async def test_a_reused_bank_code_needs_review_and_names_the_other_payment(shop: Shop) -> None:
    first = await shop.paid()
    second = await shop.created()
    await shop.fault("check", "reused_bank_code")

    await shop.come_back(await shop.act(second, "pay"))

    review = (await shop.payment(second["id"]))["review"]
    assert (review["reason"], review["other_payment_id"]) == ("bank_code_reused", first["id"])


async def test_an_order_paid_twice_needs_review_and_a_third_create_is_refused(shop: Shop) -> None:
    first, second = await shop.created(order_id="17", key="a"), await shop.created(order_id="17", key="b")
    for payment in (first, second):
        await shop.come_back(await shop.act(payment, "pay"))

    review = (await shop.payment(second["id"]))["review"]
    assert (review["reason"], review["other_payment_id"]) == ("order_paid_twice", first["id"])
    status, problem = await shop.create(order_id="17", key="c")
    assert (status, problem["code"], problem["payment_id"]) == (409, "order_already_paid", first["id"])


async def test_two_returns_and_an_api_check_at_once_make_one_event(shop: Shop) -> None:
    payment = await shop.created(return_url=THANKS)
    visit = await shop.act(payment, "pay")

    first, second, checked = await asyncio.gather(
        shop.come_back(visit), shop.come_back(visit), shop.call("POST", f"/v1/payments/{payment['id']}/check")
    )

    assert [query_of(answer.headers["Location"])["status"] for answer in (first, second)] == ["paid", "paid"]
    assert checked[1]["status"] == "paid"
    await shop.receiver.told()
    _, events = await shop.call("GET", "/v1/events")
    assert [event["type"] for event in events["data"]] == ["payment.paid"]
    assert (await shop.payment(payment["id"]))["version"] == 3


async def test_the_same_key_gives_one_payment_and_the_same_bytes_although_it_is_paid_since(shop: Shop) -> None:
    first = await shop.paid(key="same", order_id="same")

    assert await shop.create(key="same", order_id="same") == (201, first)
    status, problem = await shop.create(key="same", order_id="other")
    assert (status, problem["code"]) == (422, "idempotency_key_reused")


async def test_creates_at_once_with_one_key_make_one_payment(shop: Shop) -> None:
    answers = await asyncio.gather(*(shop.create(key="one", order_id="one") for _ in range(8)))

    made = {payment["id"] for status, payment in answers if status == 201}
    assert len(made) == 1
    assert {status for status, _ in answers} <= {201, 409}
    rows = await shop.control("GET", f"/invoices?api_key={API_KEY}")
    assert len(rows["invoices"]) == 1


BEGIN = 1_795_514_400_000  # 2026-11-24T10:00:00Z


@dataclass
class Time:
    shop: Shop
    dargah: Dargah
    clock: ManualClock

    async def watch(self) -> None:
        """Takes the loops' steps and waits for what they began, so that no clock jumps under a call on its way."""
        for loop in (self.dargah.poller, self.dargah.delivery):
            await loop.step()
            await loop.tasks.drain()

    async def pass_until(self, end: int, longest: int = HOUR) -> None:
        """Lets time go from one due check to the next, until `end`."""
        while self.clock.now < end:
            await self.watch()
            due_at = await self.dargah.services.store.payments.next_check_at()
            following = self.clock.now + longest if due_at is None else max(due_at, self.clock.now + 1)
            self.clock.now = min(following, self.clock.now + longest, end)
        await self.watch()

    async def ledger(self) -> list[dict[str, Any]]:
        rows = await self.shop.control("GET", f"/invoices?api_key={API_KEY}&limit=1000")
        invoices: list[dict[str, Any]] = rows["invoices"]
        return invoices


# Each extreme of the jitter, and each database: what is planned is computed before any of them hears of it.
at_its_time = pytest.mark.parametrize(
    ("folder", "time"),
    [("sqlite", -1.0), ("postgresql", 0.0), ("sqlite", 1.0)],
    ids=["sqlite-early", "postgresql-on time", "sqlite-late"],
    indirect=True,
)


@pytest.fixture
async def time(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Time]:
    """A shop and the clock, with the jitter that the test is asked to have."""
    clock = ManualClock(BEGIN)
    outside = Outside(now=clock, jitter=lambda: request.param)
    async with playground(folder, outside=outside) as (shop, dargah):
        shop.receiver.any_time = True
        yield Time(shop, dargah, clock)


@at_its_time
async def test_a_paid_invoice_whose_customer_never_returned_is_told_within_three_minutes_of_the_link(
    time: Time,
) -> None:
    payment = await time.shop.created()
    await time.shop.act(payment, "pay")

    while (await time.shop.payment(payment["id"]))["status"] != "paid":
        time.clock.now += SECOND
        await time.watch()
        assert time.clock.now <= BEGIN + 3 * MINUTE

    [event] = await time.shop.receiver.told()
    assert (event["type"], event["data"]["id"], event["data"]["late"]) == ("payment.paid", payment["id"], False)
    assert parse_rfc3339(event["timestamp"]) <= BEGIN + 3 * MINUTE
    ledger = await time.ledger()
    assert event["data"]["bank_code"] == ledger[0]["bank_code"]


@at_its_time
async def test_a_gateway_that_is_away_for_a_day_loses_nothing(time: Time) -> None:
    shop = time.shop
    paid_before = [await shop.created() for _ in range(3)]
    unpaid = [await shop.created() for _ in range(2)]
    canceled = await shop.created()
    for payment in paid_before:
        await shop.act(payment, "pay")
    await shop.act(canceled, "cancel")
    for operation in ("request", "check"):
        await shop.fault(operation, "reset")

    came_back, *_ = paid_before
    await shop.come_back({"return_method": "get", "return_url": _return_url(came_back, await time.ledger())})
    refused = [await shop.create(key=f"away-{number}", order_id=f"away-{number}") for number in range(2)]
    assert [status for status, _ in refused] == [502, 502]
    await time.pass_until(BEGIN + DAY)

    everyone = [*paid_before, *unpaid, canceled]
    assert {(await shop.payment(payment["id"]))["status"] for payment in everyone} == {"pending"}
    # Those that no invoice could be had for are told so at their expiry; nobody could pay them.
    assert [(await shop.payment(problem["payment_id"]))["status"] for _, problem in refused] == ["failed", "failed"]
    told_meanwhile = await shop.receiver.told(2)
    assert {event["type"] for event in told_meanwhile} == {"payment.failed"}

    await shop.control("DELETE", "/faults")
    await time.pass_until(BEGIN + DAY + HOUR, longest=10 * MINUTE)

    statuses = [(await shop.payment(payment["id"]))["status"] for payment in everyone]
    assert statuses == ["paid"] * 3 + ["expired"] * 2 + ["canceled"]
    events = await eventually(lambda: told_once(shop, 2 + len(everyone)))
    credited = {event["data"]["id"]: event["data"] for event in events if event["type"] == "payment.paid"}
    assert credited.keys() == {payment["id"] for payment in paid_before}
    captured = [invoice for invoice in await time.ledger() if invoice["state"] == "captured"]
    assert sorted((each["amount_rials"], each["bank_code"]) for each in credited.values()) == sorted(
        (each["amount_rials"], each["bank_code"]) for each in captured
    )
    assert len(events) == len({event["data"]["id"] for event in events}) == 8


@at_its_time
async def test_money_taken_on_the_last_minute_of_the_watch_is_credited_after_a_day_long_outage(time: Time) -> None:
    payment = await time.shop.created()
    await time.pass_until(BEGIN + 2 * HOUR)
    assert (await time.shop.payment(payment["id"]))["status"] == "expired"
    # The link is 71 hours old, and the gateway goes away until long after the schedule's last point.
    await time.pass_until(BEGIN + 71 * HOUR)
    await time.shop.fault("check", "http_500")
    await time.shop.act(payment, "pay")
    await time.pass_until(BEGIN + 71 * HOUR + DAY)
    assert (await time.shop.payment(payment["id"]))["status"] == "expired"
    await time.shop.control("DELETE", "/faults")
    await time.pass_until(BEGIN + 73 * HOUR + DAY, longest=10 * MINUTE)

    shown = await time.shop.payment(payment["id"])
    assert (shown["status"], shown["late"]) == ("paid", True)

    told = await eventually(lambda: told_once(time.shop, 2))
    assert sorted(event["type"] for event in told) == ["payment.expired", "payment.paid"]
    assert await time.dargah.services.store.payments.check_schedule(time.shop.merchant_id, payment["id"]) is None


async def told_once(shop: Shop, count: int) -> list[dict[str, Any]] | None:
    """What was told, each event once, when that is so much. A clock that jumps while a webhook of Dargah's own loops is
    on its way ends its lease, and the same event is sent again.
    """
    bodies = {headers["webhook-id"]: orjson.loads(body) for headers, body in shop.receiver.requests}
    return list(bodies.values()) if len(bodies) >= count else None


def _return_url(payment: dict[str, Any], ledger: list[dict[str, Any]]) -> str:
    [invoice] = [each for each in ledger if each["invoice_key"] == payment["invoice_key"]]
    return f"{invoice['return_url']}?invoice_key={payment['invoice_key']}"
