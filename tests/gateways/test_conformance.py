"""One suite for every family, over both stores: what a customer, a bank and a network do to a payment.

What a family cannot do, its traits say; every test runs over all families, and what it expects follows from those.
"""

import asyncio
from typing import Any

import pytest
from support.eventually import eventually
from web.lab import link_of

from gateways.conftest import Counter
from proxy.kernel.clock import MINUTE, SECOND

LOSSES = (("lost", True), ("reset", False), ("http_500", True), ("http_500", False), ("truncated", True))


async def assert_paid(counter: Counter, payment: dict[str, Any]) -> None:
    async def settled() -> dict[str, Any] | None:
        # Where the machine is slow the customer is shown a page before the bank has answered.
        told = await counter.lab.payment(payment["id"])
        return None if told["status"] == "pending" else told

    shown = await eventually(settled)
    invoice = await counter.invoice(payment)
    assert (shown["status"], shown["bank_code"]) == ("paid", invoice["bank_code"])
    assert invoice["state"] == "captured"
    assert shown["gateway"] == counter.family.name
    assert (await counter.events(payment)).count("payment.paid") == 1
    if counter.family.traits.tells_card and counter.family.traits.card_evidence is None:
        assert shown["card_mask"][-4:] == invoice["card_mask"][-4:]
        assert "*" in shown["card_mask"]


async def assert_not_kept(counter: Counter, payment: dict[str, Any]) -> None:
    """Money that must not be kept: given back where the family gives or takes back, reviewed where it does not."""
    traits, shown = counter.family.traits, await counter.lab.payment(payment["id"])
    if not traits.confirms:
        assert shown["status"] == "needs_review"
        return
    counter.lab.clock.forward(counter.past_every_window)
    state = (await counter.invoice(payment))["state"]
    if traits.gives_back_after is None:
        assert (shown["status"], state) == ("needs_review", "paid")
        return
    assert (shown["status"], state) == ("given_back", "reversed")
    assert (shown["given_back"]["by"] or shown["given_back"]["at"]) is not None
    assert "payment.given_back" in await counter.events(payment)


async def test_a_payment_from_the_order_to_the_webhook(counter: Counter) -> None:
    payment = await counter.order()
    opened = await counter.lab.call("GET", payment["pay_url"], token="")
    assert opened.status in {200, 303}
    if opened.status == 303:
        assert opened.location.startswith(counter.lab.gateway_url)
    else:
        assert f'action="{counter.lab.gateway_url}' in opened.text
    back = await counter.pay(payment)
    assert back.status == 200
    await assert_paid(counter, payment)


@pytest.mark.parametrize("act", ["cancel", "fail"])
async def test_a_customer_who_gives_up_has_not_paid(counter: Counter, act: str) -> None:
    payment = await counter.order()
    await counter.act_and_return(payment, act)
    assert await counter.status(payment) == "canceled"
    assert await counter.events(payment) == ["payment.canceled"]


async def test_a_customer_who_never_returns(counter: Counter) -> None:
    """Where the gateway can be asked the sale is rescued in time; else the money goes back, and nothing is paid."""
    payment = await counter.order()
    await counter.act(payment, "pay")
    shown = await counter.later(payment, 2 * MINUTE)
    if not counter.family.traits.needs_return:
        await assert_paid(counter, payment)
        return
    assert shown["status"] == "pending"
    assert (await counter.later(payment, 40 * MINUTE))["status"] == "expired"
    assert (await counter.invoice(payment))["state"] == "reversed"


async def test_nobody_pays(counter: Counter) -> None:
    payment = await counter.order()
    assert (await counter.check(payment))["status"] == "pending"
    assert (await counter.later(payment, 31 * MINUTE))["status"] == "expired"
    assert await counter.events(payment) == ["payment.expired"]


async def test_a_return_that_comes_twice_and_at_once_is_paid_once(counter: Counter) -> None:
    payment = await counter.order()
    trip = (await counter.act(payment, "pay"))["returns"][0]
    await asyncio.gather(*(counter.travel(trip) for _ in range(4)))
    await counter.travel(trip)
    await counter.later(payment, MINUTE)
    await assert_paid(counter, payment)


async def test_a_forged_return_pays_nothing(counter: Counter) -> None:
    """The parameters of a real success, at the link of a payment for which nobody paid."""
    paid, unpaid = await counter.order(), await counter.order()
    trip = (await counter.act(paid, "pay"))["returns"][0]
    await counter.travel(trip, link_of(unpaid))
    assert await counter.status(unpaid) == "pending"
    await counter.travel(trip)
    await assert_paid(counter, paid)
    assert (await counter.later(unpaid, 31 * MINUTE))["status"] in {"expired", "canceled"}


async def test_two_returns_swapped_pay_each_what_was_paid_for_it(counter: Counter) -> None:
    payments = [await counter.order(), await counter.order(amount=22_000)]
    trips = [(await counter.act(payment, "pay"))["returns"][0] for payment in payments]
    for trip, payment in zip(trips, reversed(payments), strict=True):
        await counter.travel(trip, link_of(payment))
    for trip in trips:
        await counter.travel(trip)
    for payment in payments:
        await assert_paid(counter, payment)


async def test_another_amount_than_was_asked_is_not_kept(counter: Counter) -> None:
    payment = await counter.order()
    await counter.lab.fault("pay", "paid_amount", times=1)
    await counter.pay(payment)
    await counter.later(payment, MINUTE)
    assert "payment.paid" not in await counter.events(payment)
    traits = counter.family.traits
    if not (traits.checks or traits.reverses):
        # Only the capture tells the amount, and nothing takes it back.
        shown = await counter.lab.payment(payment["id"])
        assert (shown["status"], shown["review"]["reason"]) == ("needs_review", "amount_differs")
        return
    await assert_not_kept(counter, payment)


@pytest.mark.parametrize("operation", ["check", "confirm", "settle"])
async def test_an_answer_that_is_lost_before_or_after_the_work_loses_nothing(counter: Counter, operation: str) -> None:
    traits = counter.family.traits
    if operation not in counter.operations:
        assert not {"check": traits.checks, "confirm": traits.confirms, "settle": traits.settles}[operation]
        return
    for kind, processed in LOSSES:
        payment = await counter.order()
        await counter.lab.fault(operation, kind, times=1, processed=processed)
        await counter.pay(payment)
        await counter.later(payment, 30 * SECOND)
        await counter.later(payment, 30 * SECOND)
        await assert_paid(counter, payment)


async def test_a_paid_payment_is_asked_about_no_more(counter: Counter) -> None:
    payment = await counter.order()
    await counter.pay(payment)
    asked = (await counter.lab.control("GET", "stats"))["answered"]
    await counter.check(payment)
    await counter.later(payment, 60 * MINUTE)
    assert (await counter.lab.control("GET", "stats"))["answered"] == asked
    await assert_paid(counter, payment)


async def test_a_gateway_that_is_down_past_its_window(counter: Counter) -> None:
    payment = await counter.order()
    for operation in counter.operations:
        await counter.lab.fault(operation, "http_500", processed=False)
    await counter.pay(payment)
    assert await counter.status(payment) == "pending"
    counter.lab.clock.forward(counter.past_every_window)
    await counter.lab.control("DELETE", "faults")
    await counter.later(payment, MINUTE)
    if counter.family.traits.gives_back_after is None:
        await assert_paid(counter, payment)
        return
    shown = await counter.lab.payment(payment["id"])
    assert (shown["status"], (await counter.invoice(payment))["state"]) == ("given_back", "reversed")
    assert shown["given_back"]["reason"] in {"too_late", "reversed"}


async def test_money_that_the_bank_gave_back(counter: Counter) -> None:
    payment = await counter.order()
    visit = await counter.act(payment, "pay")
    if not counter.family.traits.confirms:
        return  # its money is captured when the customer pays
    await counter.lab.control("POST", f"invoices/{visit['invoice']['invoice_key']}/reverse")
    await counter.travel(visit["returns"][0])
    traits = counter.family.traits
    if traits.gives_back_after is None and not traits.reverses:
        assert await counter.status(payment) == "pending"  # it has no word for it, and nothing is paid
        return
    assert await counter.status(payment) == "given_back"
    assert await counter.events(payment) == ["payment.given_back"]


async def test_a_second_payment_of_a_paid_order_is_not_kept(counter: Counter) -> None:
    first, second = await counter.order(order_id="17"), await counter.order(order_id="17")
    trips = [(await counter.act(payment, "pay"))["returns"][0] for payment in (first, second)]
    for trip in trips:
        await counter.travel(trip)
    await assert_paid(counter, first)
    shown = await counter.lab.payment(second["id"])
    assert (shown["given_back"] or shown["review"])["other_payment_id"] == first["id"]
    await assert_not_kept(counter, second)


async def test_two_payments_of_one_order_at_once_are_kept_once(counter: Counter) -> None:
    payments = [await counter.order(order_id="17") for _ in range(3)]
    trips = [(await counter.act(payment, "pay"))["returns"][0] for payment in payments]
    await asyncio.gather(*(counter.travel(trip) for trip in trips))
    for payment in payments:
        await counter.later(payment, 30 * SECOND)
    statuses = sorted([await counter.status(payment) for payment in payments])
    assert statuses.count("paid") == 1
    if counter.family.traits.confirms:
        states = [(await counter.invoice(payment))["state"] for payment in payments]
        assert states.count("captured") == 1


async def test_an_order_that_the_shop_withdrew_is_not_kept(counter: Counter) -> None:
    payment = await counter.order()
    withdrawn = await counter.lab.call("POST", f"/v1/payments/{payment['id']}/cancel")
    assert (withdrawn.status, withdrawn.json["status"]) == (200, "canceled")
    again = await counter.lab.call("POST", f"/v1/payments/{payment['id']}/cancel")
    assert again.json == withdrawn.json
    await counter.pay(payment)
    await assert_not_kept(counter, payment)


async def test_a_paid_payment_cannot_be_withdrawn(counter: Counter) -> None:
    payment = await counter.order()
    await counter.pay(payment)
    refused = await counter.lab.call("POST", f"/v1/payments/{payment['id']}/cancel")
    assert (refused.status, refused.json["code"]) == (409, "payment_not_withdrawn")


async def test_an_invoice_that_is_paid_before_the_shop_withdraws_is_paid(counter: Counter) -> None:
    payment = await counter.order()
    visit = await counter.act(payment, "pay")
    if counter.family.traits.needs_return:
        await counter.travel(visit["returns"][0])
    refused = await counter.lab.call("POST", f"/v1/payments/{payment['id']}/cancel")
    assert refused.status == 409
    await assert_paid(counter, payment)


async def test_a_terminal_whose_credentials_are_rotated_meanwhile(counter: Counter) -> None:
    payment = await counter.order()
    trip = (await counter.act(payment, "pay"))["returns"][0]
    await counter.lab.dargah.services.setup.change_terminal(
        counter.lab.merchant_id, counter.terminal_id, credentials=counter.credentials, actor="test"
    )
    await counter.travel(trip)
    await assert_paid(counter, payment)


async def test_late_money_of_an_expired_payment_is_paid_late_or_given_back(counter: Counter) -> None:
    payment = await counter.order(expires_in=300)
    trip = (await counter.act(payment, "pay"))["returns"][0]
    for operation in counter.operations:
        await counter.lab.fault(operation, "error", times=1)
    counter.lab.clock.forward(6 * MINUTE)
    await counter.travel(trip)
    for _ in counter.operations:
        await counter.later(payment, 30 * SECOND)
    await assert_paid(counter, payment)


async def test_no_credential_stands_in_a_timeline_a_log_or_a_row(
    counter: Counter, capsys: pytest.CaptureFixture[str]
) -> None:
    payment = await counter.order()
    await counter.lab.fault("confirm", "http_500", times=1)
    await counter.pay(payment)
    await counter.later(payment, 30 * SECOND)
    timeline = (await counter.lab.call("GET", f"/v1/payments/{payment['id']}/timeline")).text
    rows = repr(counter.lab.rows())
    logged = "".join(capsys.readouterr())
    for secret in counter.credentials.values():
        if len(secret) > 8:
            assert secret not in timeline
            assert secret not in logged
            assert secret not in rows
