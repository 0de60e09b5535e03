"""Money that nobody asked about is found, credited and told of, by what an operator runs after an outage."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from databases.places import AnyStore
from store import records
from support.clock import ManualClock
from support.command import Cli

from operators.conftest import BEGIN, OPERATORS, Admin, Desk
from proxy.gateways.port import NotPaid
from proxy.kernel.clock import DAY, HOUR, MINUTE, SECOND, rfc3339, system_now
from proxy.kernel.errors import InvalidInput, Overloaded
from proxy.operations.recovery import AT_ONCE, LONGEST_STEP, Recovery
from proxy.payments.checkout import Checkup
from proxy.payments.payment import Payment


def rows_of(table: str) -> list[list[str]]:
    return [line.split() for line in table.splitlines()]


async def test_money_taken_after_a_cancel_is_found_credited_and_told(office: Desk) -> None:
    payment = await office.canceled_then_paid(order_id="A-17")
    await office.shop.created()

    ran = await office.cli.run("recover", "--since", "48h")

    assert ran.code == 3, ran.error
    ledger = await office.shop.control("GET", f"/invoices/{payment['invoice_key']}")
    head, row, summary = rows_of(ran.out)
    assert head[:4] == ["FOUND", "PAYMENT", "MERCHANT", "ORDER"]
    merchant = office.shop.merchant_id
    assert row == ["credited", payment["id"], merchant, "A-17", "150000", "150000", ledger["bank_code"], "-"]
    assert " ".join(summary) == (
        "2 checked: 1 credited, 0 need review, 1 still open, 0 not paid, 0 without a clear answer"
    )
    assert "2 checked: 1 credited" in ran.error
    shown = await office.shop.payment(payment["id"])
    assert (shown["status"], shown["late"]) == ("paid", True)
    told = await office.shop.receiver.told(2)
    assert [event["type"] for event in told] == ["payment.canceled", "payment.paid"]

    again = await office.cli.run("recover", "--since", "48h")
    assert (again.code, again.out.splitlines()[-1].split(":")[0]) == (0, "1 checked")


async def test_money_taken_after_the_expiry_is_found(office: Desk) -> None:
    created_at = rfc3339(system_now() - MINUTE)
    payment = await office.shop.created()
    office.clock.offset = 31 * MINUTE
    assert (await office.check(payment))["status"] == "expired"
    await office.shop.act(payment, "pay")

    ran = await office.cli.run("recover", "--since", created_at, "--json")

    assert ran.code == 3, ran.error
    found = json.loads(ran.out)
    assert (found["complete"], found["checked"], found["needs_review"]) == (True, 1, [])
    [credited] = found["credited"]
    assert (credited["id"], credited["status"], credited["late"]) == (payment["id"], "paid", True)


async def test_money_taken_otherwise_than_asked_is_found_as_a_review(office: Desk) -> None:
    payment = await office.shop.created()
    await office.shop.fault("check", "wrong_amount", amount_rials=1000)
    await office.shop.act(payment, "pay")
    ran = await office.cli.run("recover", "--since", "1h")
    assert ran.code == 3, ran.error
    _, row, _ = rows_of(ran.out)
    assert row[:3] == ["needs", "review", payment["id"]]
    assert (row[5:7], row[-1]) == (["150000", "1000"], "amount_differs")


async def test_a_recovery_that_finds_nothing_counts_payments_by_kind(office: Desk) -> None:
    await office.shop.created()
    canceled = await office.shop.created()
    await office.shop.act(canceled, "cancel")
    await office.check(canceled)
    await office.shop.paid()
    ran = await office.cli.run("recover", "--since", "1h", "--json")
    assert ran.code == 0, ran.error
    found = json.loads(ran.out)
    counts = {name: found[name] for name in ("checked", "still_open", "not_paid", "unclear")}
    assert counts == {"checked": 2, "still_open": 1, "not_paid": 1, "unclear": 0}


async def test_a_gateway_that_does_not_answer_leaves_all_as_it_is_and_is_no_success(office: Desk) -> None:
    payment = await office.canceled_then_paid()
    await office.shop.fault("check", "http_500")
    ran = await office.cli.run("recover", "--since", "1h")
    assert ran.code == 1
    assert "1 without a clear answer" in ran.out
    assert "Run it again later" in ran.error
    assert (await office.shop.payment(payment["id"]))["status"] == "canceled"
    await office.shop.control("DELETE", "/faults")
    assert (await office.cli.run("recover", "--since", "1h")).code == 3


async def test_a_recovery_goes_through_all_payments_in_batches(office: Desk) -> None:
    ids = [(await office.canceled_then_paid())["id"] for _ in range(5)]
    ran = await office.cli.run("recover", "--since", "1h", "--batch", "2", "--json")
    assert ran.code == 3, ran.error
    assert sorted(payment["id"] for payment in json.loads(ran.out)["credited"]) == sorted(ids)
    assert len(ran.error.splitlines()) == 3
    assert len(await office.shop.receiver.told(10)) == 10


async def test_a_recovery_asks_about_each_payment_once(office: Desk) -> None:
    payments = [await office.shop.created() for _ in range(20)]
    body: dict[str, Any] = {"since": rfc3339(system_now() - HOUR), "limit": 7}
    batches = []
    while True:
        status, batch = await office.call("POST", "/recover", body)
        assert status == 200
        batches.append(batch["checked"])
        if batch["next_cursor"] is None:
            break
        body["cursor"] = batch["next_cursor"]
    assert batches == [7, 7, 6]
    for payment in payments:
        kinds = [entry["kind"] for entry in await office.timeline(payment)]
        assert kinds == ["gateway.request", "gateway.check"]


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({}, "since", "required"),
        ({"since": "yesterday"}, "since", "not_a_time"),
        ({"since": "2026-11-20T10:00:00"}, "since", "not_a_time"),
        ({"since": "2001-01-01T00:00:00Z"}, "since", "out_of_range"),
        ({"since": "2222-01-01T00:00:00Z"}, "since", "out_of_range"),
        ({"since": "2026-11-24T09:00:00Z", "cursor": "AAAA"}, "cursor", "cursor_invalid"),
        ({"since": "2026-11-24T09:00:00Z", "limit": 0}, "limit", "too_small"),
        ({"since": "2026-11-24T09:00:00Z", "limit": 101}, "limit", "too_large"),
        ({"since": "2026-11-24T09:00:00Z", "all": True}, "all", "unknown_field"),
    ],
)
async def test_a_wrong_field_of_a_recovery_is_named(admin: Admin, body: dict[str, Any], field: str, code: str) -> None:
    status, problem = await admin.call("POST", "/recover", body)
    assert (status, {error["field"]: error["code"] for error in problem["errors"]}) == (422, {field: code})


async def test_a_recoverys_cursor_belongs_to_its_since(admin: Admin, store: AnyStore) -> None:
    merchant = await records.add_merchant(store)
    for number in range(2):
        # Asking fails, as there is no such terminal: that is unclear, and the walk goes on.
        await records.pending(store, str(number), merchant_id=merchant.id, at=BEGIN - HOUR)
    body = {"since": "2026-11-24T08:00:00Z", "limit": 1}
    status, batch = await admin.call("POST", "/recover", body)
    assert (status, batch["unclear"], batch["checked"]) == (200, 1, 1)
    other = {"since": "2026-11-24T08:00:01Z", "cursor": batch["next_cursor"]}
    assert (await admin.call("POST", "/recover", other))[0] == 422
    status, rest = await admin.call("POST", "/recover", body | {"cursor": batch["next_cursor"]})
    assert (status, rest["checked"]) == (200, 1)


@pytest.mark.parametrize("since", ["48", "2 days", "-1h", "2026-11-20", "2026-11-20T10:00:00", "h"])
async def test_the_recover_command_takes_no_unclear_time(tmp_path: Path, since: str) -> None:
    ran = await Cli({"DARGAH_ADMIN_TOKEN": OPERATORS["sara"]}, tmp_path).run("recover", f"--since={since}")
    assert ran.code == 2
    assert "--since" in ran.error


async def test_the_recover_command_fails_without_a_server_and_beyond_thirty_days(cli: Cli) -> None:
    too_far = await cli.run("recover", "--since", "2001-01-01T00:00:00Z")
    assert (too_far.code, "at most 30 days back" in too_far.error) == (1, True)
    assert "not complete" in too_far.out
    away = await cli.given(DARGAH_ADMIN_URL="http://127.0.0.1:1").run("recover", "--since", "48h")
    assert (away.code, "cannot be reached" in away.error) == (1, True)


class SlowCheckout:
    """A full house of checks takes ten seconds of the clock's, and every seventh finds a full queue."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.asked: list[str] = []
        self.now_running = self.most_running = 0

    async def check(self, payment: Payment) -> Checkup:
        self.asked.append(payment.id)
        if len(self.asked) % AT_ONCE == 0:
            self._clock.now += 10 * SECOND
        full = len(self.asked) % 7 == 0
        self.now_running += 1
        self.most_running = max(self.most_running, self.now_running)
        await asyncio.sleep(0)
        self.now_running -= 1
        if full:
            raise Overloaded
        return Checkup(payment, NotPaid(payment.invoice_key or ""))


async def test_a_recovery_step_stops_in_time_and_the_next_goes_on_there(store: AnyStore, clock: ManualClock) -> None:
    merchant = await records.add_merchant(store)
    begin = clock.now
    ids = [
        (await records.pending(store, str(number), merchant_id=merchant.id, at=begin + number)).id
        for number in range(100)
    ]
    checkout = SlowCheckout(clock)
    recovery = Recovery(store.payments, checkout, clock)  # type: ignore[arg-type]  # only its check is used
    after, checked, steps = None, 0, 0
    while steps == 0 or after is not None:
        started = clock.now
        found = await recovery.step(begin, after, 100)
        assert clock.now - started <= LONGEST_STEP + 10 * SECOND
        assert found.unclear > 0
        after, checked, steps = found.reached, checked + found.checked, steps + 1
    assert checkout.asked == ids
    assert (checked, steps > 1) == (100, True)
    assert checkout.most_running <= AT_ONCE


async def test_a_recovery_goes_back_thirty_days_at_most(store: AnyStore, clock: ManualClock) -> None:
    recovery = Recovery(store.payments, SlowCheckout(clock), clock)  # type: ignore[arg-type]  # nothing is checked
    assert (await recovery.step(clock.now - 30 * DAY, None, 10)).checked == 0
    with pytest.raises(InvalidInput):
        await recovery.step(clock.now - 31 * DAY, None, 10)
    # A walk that began in time may end later than that.
    assert (await recovery.step(clock.now - 31 * DAY, "mer_00000000", 10)).checked == 0
