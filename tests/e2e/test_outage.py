"""By a clock that the test holds: a customer who never comes back, and a gateway that is away for a day.

Dargah's loops sleep by the real clock, so the test takes their steps itself; they may take them too, which changes
nothing.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.clock import ManualClock
from support.dargah import API_KEY
from support.eventually import eventually
from support.shop import Shop, playground

from proxy.app import Dargah, Outside
from proxy.kernel.clock import DAY, HOUR, MINUTE, SECOND, parse_rfc3339

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
pytestmark = pytest.mark.parametrize(
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
