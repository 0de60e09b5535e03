"""What an operator and a merchant see of payments at each family: the console's page, in both languages."""

from pathlib import Path

import pytest
from web.clients import operator

from gateways.conftest import Counter
from proxy.console.language import GIVEN_BACK_REASONS, REVIEW_REASONS, STEPS
from proxy.kernel.clock import MINUTE
from proxy.payments.payment import GatewayStep, GivenBackReason, ReviewReason


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """For SQLite alone: nothing of this is another on the other store."""
    return tmp_path


async def page_of(counter: Counter, payment: dict[str, str], language: str = "en") -> str:
    browser = await operator(counter.lab, "operate")
    page = await browser.get(f"/console/payments/{payment['id']}?lang={language}")
    assert page.status == 200
    return page.text


def test_every_reason_and_step_has_its_words() -> None:
    assert set(REVIEW_REASONS) == set(ReviewReason)
    assert set(GIVEN_BACK_REASONS) == set(GivenBackReason)
    assert set(STEPS) == set(GatewayStep)


@pytest.mark.parametrize("language", ["fa", "en"])
async def test_a_paid_payment_shows_its_gateway_and_the_customers_card(counter: Counter, language: str) -> None:
    payment = await counter.order()
    await counter.pay(payment)
    page, shown = await page_of(counter, payment, language), await counter.lab.payment(payment["id"])
    assert counter.family.title[1 if language == "fa" else 0] in page
    for name in ("card_mask", "trace_number"):
        assert shown[name] is None or shown[name] in page
    assert (shown["card_mask"] is not None) is counter.family.traits.tells_card


async def test_a_call_without_an_answer_is_shown_as_under_way(counter: Counter) -> None:
    payment = await counter.order()
    await counter.lab.fault("confirm", "http_500")
    await counter.pay(payment)
    assert ("Being confirmed at the gateway since" in await page_of(counter, payment)) is counter.family.traits.confirms


async def test_money_that_is_not_kept_is_shown_with_its_reason(counter: Counter) -> None:
    payment = await counter.order()
    await counter.lab.call("POST", f"/v1/payments/{payment['id']}/cancel")
    await counter.pay(payment)
    page = await page_of(counter, payment)
    assert "The shop had withdrawn this order before it was paid." in page
    assert "Withdrawn by the shop" in page
    browser = await operator(counter.lab, "operate")
    shown = await counter.lab.payment(payment["id"])
    listed = await browser.get(f"/console/payments?lang=en&status={shown['status']}")
    assert payment["id"] in listed.text
    reviews = await browser.get("/console/reviews?lang=en")
    assert ("The order was withdrawn" in reviews.text) is (shown["status"] == "needs_review")


async def test_money_that_goes_back_is_shown_with_its_time(counter: Counter) -> None:
    if counter.family.traits.gives_back_after is None:
        return  # it is kept, and reviewed
    payment = await counter.order()
    for operation in counter.operations:
        await counter.lab.fault(operation, "http_500", processed=False)
    await counter.pay(payment)
    counter.lab.clock.forward(counter.past_every_window)
    await counter.lab.control("DELETE", "faults")
    await counter.later(payment, MINUTE)
    page = await page_of(counter, payment)
    assert 'id="given-back"' in page
    assert "<dt>Given back</dt>" in page
