"""What the database tells to be wrong: endpoints that get nothing, reviews, lost sales, late work, tokens that end."""

from dataclasses import replace

import pytest

from proxy.gateways.port import Captured, PaidUnconfirmed, TooLate
from proxy.kernel.clock import DAY, HOUR, MINUTE
from proxy.merchants.merchant import Mode
from proxy.operations.troubles import Trouble, TroubleKind
from proxy.operations.troubles.trouble import ENDS_WITHIN, NAMED
from proxy.stores.store import Store
from proxy.webhooks.delivery import Attempt, AttemptReport, Lease
from proxy.webhooks.endpoint import EndpointState
from store.records import (
    MERCHANT_ID,
    NOW,
    add_endpoint,
    add_merchant,
    create,
    new_audit,
    new_token,
    paid,
    pending,
    step,
)

LATER = NOW + HOUR


async def troubles(store: Store, now: int = LATER) -> dict[tuple[TroubleKind, str], Trouble]:
    return {trouble.key: trouble for trouble in await store.troubles.troubles(now)}


async def answer_all(store: Store, status: int, now: int = NOW) -> None:
    """The shops answer with this status to all that is due."""
    for claim in await store.webhooks.claim_deliveries(now, Lease(now + MINUTE, "test"), 500):
        attempt = Attempt(claim.attempt, now, 5, "delivered" if status < 300 else "failed", status, None, b"")
        await store.webhooks.record_attempt(AttemptReport(claim, attempt, None, now, 0.0), None)


async def test_an_endpoint_fails_since_its_first_failure_and_until_a_success(store: Store) -> None:
    await add_merchant(store)
    key = (TroubleKind.ENDPOINT_FAILING, (await add_endpoint(store)).id)
    await paid(store, "order-1")
    await answer_all(store, 500)
    await paid(store, "order-2")
    assert key not in await troubles(store, NOW + MINUTE - 1)
    found = (await troubles(store))[key]
    assert (found.since, found.count, found.urgent, found.merchant_id) == (NOW, 2, True, MERCHANT_ID)
    assert found.facts == {"mode": "live", "host": "shop.example"}
    await answer_all(store, 204, LATER)
    assert key not in await troubles(store)


@pytest.mark.parametrize(
    ("state", "kind", "urgent"),
    [
        (EndpointState.PAUSED, TroubleKind.ENDPOINT_PAUSED, False),
        (EndpointState.DISABLED, TroubleKind.ENDPOINT_DISABLED, True),
    ],
)
async def test_a_stopped_endpoint_is_wrong_once_something_waits_for_it(
    store: Store, state: EndpointState, kind: TroubleKind, urgent: bool
) -> None:
    await add_merchant(store)
    endpoint = await add_endpoint(store)
    stopped = replace(endpoint, state=state, state_since=NOW + 7, updated_at=NOW + 7)
    await store.webhooks.save_endpoint(endpoint, stopped, new_audit())
    assert await troubles(store) == {}
    await paid(store)
    found = (await troubles(store))[kind, endpoint.id]
    assert (found.since, found.count, found.urgent) == (NOW + 7, 1, urgent)


async def test_a_test_endpoint_wakes_nobody_and_many_are_counted_beyond_those_that_are_named(store: Store) -> None:
    await add_merchant(store)
    made = [await add_endpoint(store, url=f"https://shop-{number}.example/hook") for number in range(NAMED + 2)]
    test = await add_endpoint(store, mode=Mode.TEST)
    await paid(store, "order-1")
    await paid(store, "order-2", mode=Mode.TEST)
    await answer_all(store, 500)
    found = [each for each in (await troubles(store)).values() if each.kind is TroubleKind.ENDPOINT_FAILING]
    assert len(found) == NAMED + 1
    assert {each.subject for each in found if each.subject} < {each.id for each in made}, "live ones are named first"
    [rest] = [each for each in found if not each.subject]
    assert (rest.count, rest.since, rest.urgent, rest.merchant_id) == (3, NOW, True, None)
    for endpoint in made:
        await store.webhooks.delete_endpoint(MERCHANT_ID, endpoint.id)
    left = (await troubles(store))[TroubleKind.ENDPOINT_FAILING, test.id]
    assert (left.urgent, left.facts["mode"]) == (False, "test")


async def test_open_reviews_of_live_payments_are_one_trouble_of_the_oldest(store: Store) -> None:
    await add_merchant(store)
    for number, mode in enumerate((Mode.LIVE, Mode.LIVE, Mode.TEST)):
        payment = await pending(store, f"order-{number}", at=NOW + number, mode=mode)
        assert payment.invoice_key is not None
        await step(store, payment, Captured(payment.invoice_key, 1, f"code-{number}"), NOW + 10)
    found = (await troubles(store))[TroubleKind.REVIEWS_WAITING, ""]
    assert (found.since, found.count, found.urgent, found.merchant_id) == (NOW, 2, True, MERCHANT_ID)


async def test_money_that_is_not_confirmed_is_in_danger_before_it_goes_back_and_missed_after(store: Store) -> None:
    await add_merchant(store)
    payment = await pending(store, gateway="zibal")
    invoice_key = payment.invoice_key or ""
    payment = await step(store, payment, PaidUnconfirmed(invoice_key, payment.amount_rials))
    assert payment.intent is not None
    assert await troubles(store, NOW + MINUTE) == {}
    found = (await troubles(store, NOW + 7 * MINUTE))[TroubleKind.CONFIRM_IN_DANGER, ""]
    assert (found.since, found.count, found.urgent) == (NOW, 1, True)
    assert found.facts["goes_back_at"] == NOW + 20 * MINUTE
    await step(store, payment, TooLate(invoice_key), LATER)
    missed = (await troubles(store, LATER + DAY))[TroubleKind.CONFIRM_MISSED, ""]
    assert (missed.since, missed.count) == (LATER, 1)
    assert (TroubleKind.CONFIRM_MISSED, "") not in await troubles(store, LATER + DAY + 1)


async def test_late_checks_and_deliveries_are_told_from_two_minutes_on(store: Store) -> None:
    await add_merchant(store)
    await add_endpoint(store)
    payment = await create(store)
    due = payment.expires_at
    late = await troubles(store, due + 2 * MINUTE + 1)
    assert late[TroubleKind.CHECKS_LATE, ""].since == due
    assert await troubles(store, due + 2 * MINUTE) == {}
    await paid(store, "order-2")
    found = (await troubles(store, NOW + 2 * MINUTE + 1))[TroubleKind.DELIVERIES_LATE, ""]
    assert (found.since, found.urgent) == (NOW, True)


async def test_a_token_that_is_in_use_is_told_of_before_its_end(store: Store) -> None:
    await add_merchant(store)
    used = replace(new_token(), expires_at=NOW + ENDS_WITHIN + DAY, last_used_at=NOW)
    for token in (used, replace(new_token(), expires_at=NOW + ENDS_WITHIN), replace(new_token(), last_used_at=NOW)):
        await store.merchants.add_token(token, new_audit())
    assert await troubles(store, NOW) == {}
    found = await troubles(store, NOW + DAY)
    assert list(found) == [(TroubleKind.TOKEN_ENDING, used.id)]
    assert not found[TroubleKind.TOKEN_ENDING, used.id].urgent
