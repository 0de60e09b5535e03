"""How the calls that move money are made: each stored first, one at a time, and again after an answer that was lost."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.clock import ManualClock
from web.lab import Lab, lab_in

from gateways.conftest import Counter, counter_at
from proxy.gateways.port import CheckResult, CheckUnknown
from proxy.gateways.registry import FAMILIES
from proxy.kernel.clock import DAY, MINUTE, SECOND
from proxy.payments.change import Change
from proxy.payments.confirmation import CALL_LEASE, within_window
from proxy.payments.payment import CallIntent, GatewayStep
from proxy.payments.poller import Poller


@pytest.fixture
async def lab(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    """Without its poller, whose calls would be counted too once the clock was moved."""

    async def nothing(_self: Poller) -> None:
        pass

    monkeypatch.setattr(Poller, "step", nothing)
    async with lab_in(folder, ManualClock()) as made:
        yield made


async def called(counter: Counter, operation: str) -> int:
    """How often the gateway got such a call."""
    answered = (await counter.lab.control("GET", "stats"))["answered"]
    return sum(count for name, count in answered.items() if name.startswith(f"{operation}:"))


async def test_money_is_confirmed_once_however_many_ask_at_once(lab: Lab) -> None:
    counter = await counter_at(lab, FAMILIES["zarinpal"])
    payment = await counter.order()
    trip = (await counter.act(payment, "pay"))["returns"][0]
    await asyncio.gather(*(counter.travel(trip) for _ in range(5)), *(counter.check_once(payment) for _ in range(5)))
    assert await counter.status(payment) == "paid"
    assert await called(counter, "confirm") == 1


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.traits.checks])
async def test_a_family_that_can_be_asked_is_not_asked_by_a_confirm(lab: Lab, name: str) -> None:
    counter = await counter_at(lab, FAMILIES[name])
    payment = await counter.order()
    await counter.later(payment, MINUTE)
    assert (await called(counter, "confirm"), await called(counter, "check")) == (0, 1)


async def test_a_call_without_an_answer_stands_in_the_payment_and_is_made_again_after_its_lease(lab: Lab) -> None:
    counter = await counter_at(lab, FAMILIES["mellat"])
    payment = await counter.order()
    await lab.fault("settle", "http_500", times=1, processed=True)
    await counter.pay(payment)
    stored = await lab.stored(payment["id"])
    assert stored.intent == CallIntent(GatewayStep.SETTLE, stored.invoice_key or "", lab.clock.now)
    lab.clock.forward(10 * SECOND)
    assert (await counter.check_once(payment))["check"]["reason"] == "under_way"
    assert await called(counter, "settle") == 1
    assert (await counter.later(payment, CALL_LEASE))["status"] == "paid"
    assert (await called(counter, "settle"), await called(counter, "confirm")) == (2, 1)
    assert (await lab.stored(payment["id"])).intent is None


async def test_a_confirm_that_fails_lets_another_payment_of_the_order_be_confirmed(lab: Lab) -> None:
    counter = await counter_at(lab, FAMILIES["zarinpal"])
    first, second = [await counter.order(order_id="17") for _ in range(2)]
    trips = [(await counter.act(payment, "pay"))["returns"][0] for payment in (first, second)]
    await lab.fault("confirm", "error", code=-51, times=1)
    await counter.travel(trips[0])
    assert await counter.status(first) == "pending"
    await counter.travel(trips[1])
    assert await counter.status(second) == "paid"


async def test_another_payment_of_the_order_waits_while_one_is_being_confirmed(lab: Lab) -> None:
    counter = await counter_at(lab, FAMILIES["zarinpal"])
    first, second = [await counter.order(order_id="17") for _ in range(2)]
    trips = [(await counter.act(payment, "pay"))["returns"][0] for payment in (first, second)]
    await lab.fault("confirm", "http_500", times=1, processed=True)
    await counter.travel(trips[0])
    await counter.travel(trips[1])
    assert [await counter.status(payment) for payment in (first, second)] == ["pending", "pending"]
    assert await called(counter, "confirm") == 1
    assert (await counter.later(first, MINUTE))["status"] == "paid"
    assert (await counter.later(second, MINUTE))["review"]["other_payment_id"] == first["id"]


async def test_an_old_invoice_that_nobody_paid_expires_though_its_gateway_says_that_it_is_late(lab: Lab) -> None:
    counter = await counter_at(lab, FAMILIES["sadad"])
    payment = await counter.order()
    await lab.fault("confirm", "error", code=101)
    assert (await counter.later(payment, 31 * MINUTE))["status"] == "expired"
    assert await counter.events(payment) == ["payment.expired"]


async def test_a_return_keeps_no_more_than_its_family_allows_and_no_card_number(lab: Lab) -> None:
    counter = await counter_at(lab, FAMILIES["mellat"])
    payment = await counter.order()
    trip = (await counter.act(payment, "pay"))["returns"][0]
    brought = {**trip["params"], "CardHolderPan": "۶۰۳۷-9912 3456 7890", "Email": "me@example.ir", "ResCode": "0"}
    await counter.travel({**trip, "params": brought})
    stored = await lab.stored(payment["id"])
    assert stored.evidence is not None
    assert stored.evidence["CardHolderPan"] == "603799******7890"
    assert "Email" not in stored.evidence
    assert "34567890" not in repr(lab.rows())
    assert (await lab.payment(payment["id"]))["card_mask"] == "603799******7890"


async def test_a_receipt_that_is_too_long_to_be_one_is_not_asked_for(lab: Lab) -> None:
    counter = await counter_at(lab, FAMILIES["sep"])
    payment = await counter.order()
    trip = (await counter.act(payment, "pay"))["returns"][0]
    for length, asked in ((201, 0), (5_000, 0), (200, 1)):
        brought = {**trip["params"], "RefNum": "r" * length}
        await counter.travel({**trip, "params": brought})
        assert await called(counter, "confirm") == asked
    await counter.travel(trip)
    assert await counter.status(payment) == "paid"


async def test_an_amount_that_its_family_does_not_take_is_told_at_the_create(lab: Lab) -> None:
    counter = await counter_at(lab, FAMILIES["zarinpal"])
    refused = await lab.create(
        terminal_id=counter.terminal_id, amount=FAMILIES["zarinpal"].traits.max_rials, currency="IRT"
    )
    assert refused.status == 422
    assert refused.field_codes() == {"amount": "amount_out_of_range"}


async def test_a_gateway_that_wants_to_be_left_alone_for_long_is_asked_within_its_window() -> None:
    unclear = CheckResult(CheckUnknown("inv_1", "http_status", http_status=503), 1, retry_after_seconds=3600)
    granted = {name: within_window(family, unclear).retry_after_seconds for name, family in FAMILIES.items()}
    assert (granted["sadad"], granted["sep"], granted["zarinpal"]) == (300, 600, 3600)


async def test_a_forged_return_gives_nobody_elses_money_back(lab: Lab) -> None:
    """With the receipt of a payment that is paid, at the link of one of another amount."""
    counter = await counter_at(lab, FAMILIES["sep"])
    paid, other = await counter.order(), await counter.order(amount=22_000)
    await counter.pay(paid)
    own = (await counter.act(other, "cancel"))["returns"][0]
    forged = own["params"] | {"State": "OK", "Status": "2", "RefNum": (await counter.invoice(paid))["bank_code"]}
    await counter.travel(own | {"params": forged})
    assert await called(counter, "reverse") == 0
    assert (await counter.invoice(paid))["state"] == "captured"
    review = (await lab.payment(other["id"]))["review"]
    assert (review["reason"], review["other_payment_id"]) == ("amount_differs", paid["id"])


async def decided(counter: Counter, payment: Mapping[str, Any], at: int) -> None:
    """The payment's confirm is decided, and not made."""
    stored = await counter.lab.stored(payment["id"])
    intent = CallIntent(GatewayStep.CONFIRM, stored.invoice_key or "", at)
    after = replace(stored, intent=intent, version=stored.version + 1)
    await counter.lab.dargah.services.store.payments.transition(Change(stored, after))


async def test_a_call_that_was_decided_by_a_clock_that_was_ahead_is_made_again(lab: Lab) -> None:
    counter = await counter_at(lab, FAMILIES["sadad"])
    payment = await counter.order()
    await counter.act(payment, "pay")
    await decided(counter, payment, lab.clock.now + 400 * DAY)
    assert (await counter.later(payment, MINUTE))["status"] == "paid"


async def test_a_confirm_is_not_tried_for_ever_with_a_return_that_came_after_it_was_decided(lab: Lab) -> None:
    """Of two returns at once, the first one's look found a payment, and the second one says that there is none."""
    counter = await counter_at(lab, FAMILIES["mellat"])
    payment = await counter.order()
    await counter.act_and_return(payment, "cancel")
    await decided(counter, payment, lab.clock.now)
    await counter.later(payment, MINUTE)
    assert (await lab.stored(payment["id"])).intent is None
    assert await called(counter, "confirm") == 0
