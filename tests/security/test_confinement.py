"""A token sees its own storefront, mode and terminal: also while it waits, by a cursor, and after a change of hands."""

import asyncio
from typing import Any

import pytest
from web.clients import operator, portal
from web.lab import ORIGIN, Answer

from proxy.merchants.merchant import DEFAULT_SCOPES, Scope
from security.conftest import CANARIES, House
from security.principals import CALLS, Call, Principal, filled

pytestmark = pytest.mark.asyncio(loop_scope="module")
OTHERS = (Principal.TERMINAL, Principal.TEST, Principal.SHOP, Principal.STRANGER)


@pytest.mark.parametrize("principal", OTHERS)
async def test_an_id_that_is_hidden_is_answered_like_one_that_does_not_exist(
    house: House, principal: Principal
) -> None:
    assert house.victim is not None
    real = house.victim.ids
    nobodys = {name: text[:-4] + "zzzz" if is_id(name) else text for name, text in real.items()}
    for one in CALLS:
        if one.outcome(principal) in {403, 404} or one.scope is Scope.FACADE:
            answers = [await house.ask(principal, one, records) for records in (house.victim, fake(house, nobodys))]
            found, missing = (steady(answer, one, ids) for answer, ids in zip(answers, (real, nobodys), strict=True))
            assert found == missing, one.operation


def is_id(name: str) -> bool:
    return name.endswith(("_id", "link", "invoice_key")) and name not in {"merchant_id", "terminal_id", "order_id"}


def fake(house: House, ids: dict[str, str]) -> Any:
    assert house.victim is not None
    return type(house.victim)(ids, frozenset(), frozenset(), frozenset())


def steady(answer: Answer, one: Call, ids: Any) -> tuple[int, str]:
    """The answer without what names the call itself."""
    text = answer.text.replace(answer.headers["X-Request-Id"], "…")
    return answer.status, text.replace(filled(one.path, {**ids, "token": ""}), "…")


async def test_who_waits_for_events_hears_of_nobody_elses(house: House) -> None:
    callers, body, own = (
        (Principal.OWN, Principal.BOUND, *OTHERS),
        {"type": "payment.paid"},
        house.tokens[Principal.OWN],
    )
    before = (await house.lab.call("POST", "/v1/events/test", json=body, token=own)).json["sequence"]
    path = f"/v1/events?after={before}&wait=1"
    waiting = [asyncio.create_task(house.lab.call("GET", path, token=house.tokens[each])) for each in callers]
    made = (await house.lab.call("POST", "/v1/events/test", json=body, token=own)).json
    heard = [[event["id"] for event in (await each).json["data"]] for each in waiting]
    assert heard == [[made["id"]], *[[]] * (len(callers) - 1)]


async def test_an_endpoint_that_changed_hands_keeps_its_deliveries_to_itself(house: House) -> None:
    lab, shop = house.lab, house.tokens[Principal.SHOP]
    records = await house.records()
    endpoint_id, delivery_id = records.ids["endpoint_id"], records.ids["delivery_id"]
    await lab.dargah.services.endpoints.change_endpoint(
        lab.merchant_id, endpoint_id, storefront="another", actor="test"
    )
    path = f"/v1/webhook-endpoints/{endpoint_id}"
    assert (await lab.call("GET", path, token=house.tokens[Principal.OWN])).status == 404
    assert (await lab.call("GET", path, token=shop)).status == 200
    assert (await lab.call("GET", f"{path}/deliveries", token=shop)).json["data"] == []
    assert (await lab.call("GET", f"/v1/deliveries/{delivery_id}", token=shop)).status == 404
    assert (await lab.call("POST", f"/v1/deliveries/{delivery_id}/retry", token=shop)).status == 404
    browser = await portal(lab, shop)
    page = await browser.get(f"/portal/endpoints/{endpoint_id}")
    assert (page.status, delivery_id in page.text) == (200, False)
    assert (await browser.get(f"/portal/deliveries/{delivery_id}")).status == 404


async def test_the_key_of_another_terminals_create_does_not_show_its_answer(house: House) -> None:
    lab, body = house.lab, {"order_id": "same", "amount": 15_000}
    mine = await lab.create(key="same-key", token=house.tokens[Principal.BOUND], **body)
    assert mine.status == 201
    again = await lab.create(key="same-key", token=house.tokens[Principal.TERMINAL], **body)
    assert (again.status, again.json["code"]) == (422, "idempotency_key_reused")
    assert mine.json["id"] not in again.text
    assert (await lab.create(key="same-key", token=house.tokens[Principal.BOUND], **body)).body == mine.body


async def test_a_list_goes_on_past_what_other_terminals_took(house: House) -> None:
    lab, token = house.lab, house.tokens[Principal.TERMINAL]
    mine = [(await lab.created(token=token))["id"]]
    for _ in range(3):
        lab.clock.forward(1)
        await lab.created(terminal_id=lab.terminal_id, token=house.tokens[Principal.OWN])
    seen, cursor = [], ""
    for _ in range(20):
        page = (await lab.call("GET", f"/v1/payments?limit=2{cursor}", token=token)).json
        seen += [payment["id"] for payment in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == mine


async def test_a_token_of_one_terminal_is_told_why_it_has_no_webhooks(house: House) -> None:
    for path in ("/v1/webhook-endpoints", f"/v1/webhook-endpoints/{house.owners and house.owners.id}"):
        answer = await house.lab.call("GET", path, token=house.tokens[Principal.BOUND])
        assert (answer.status, answer.json["code"]) == (403, "forbidden")
        assert "bound to a terminal" in answer.json["detail"]
        assert "ترمینال" in answer.json["detail_fa"]
    page = await (await portal(house.lab, house.tokens[Principal.BOUND])).get("/portal/endpoints")
    assert page.status == 403
    assert "ترمینال" in page.text


async def test_an_own_endpoints_list_in_the_portal_goes_on_only_from_its_own_ids(house: House) -> None:
    assert house.victim is not None
    lab = house.lab
    browser = await portal(lab, house.tokens[Principal.STRANGER])
    body = {"url": "https://own.example.ir/hook"}
    own = (await lab.call("POST", "/v1/webhook-endpoints", json=body, token=house.tokens[Principal.STRANGER])).json
    for value in house.victim.ids.values():
        page = await browser.get(f"/portal/endpoints/{own['id']}?after={value}")
        assert page.status == 200
        assert not [each for each in house.victim.canaries(Principal.STRANGER) if each in page.text and each != value]


async def test_a_merchant_sees_its_own_payment_in_the_portal_and_sends_its_webhook_again(house: House) -> None:
    records = await house.records()
    browser = await portal(house.lab, house.tokens[Principal.OWN], embed_origin=ORIGIN)
    page = await browser.get(f"/portal/payments/{records.ids['payment_id']}")
    retry = f"/portal/deliveries/{records.ids['delivery_id']}/retry"
    assert CANARIES["hook"] in page.text
    assert retry in page.text
    assert "/resolve" not in page.text
    resent = await browser.post(retry)
    assert resent.status == 303
    assert (await browser.get(resent.headers["Location"])).status == 200


async def test_who_has_no_webhooks_is_shown_no_endpoints_url_on_a_payments_page(house: House) -> None:
    assert house.victim is not None
    browser = await portal(house.lab, house.scopeless[Scope.WEBHOOKS])
    page = await browser.get(f"/portal/payments/{house.victim.ids['payment_id']}")
    assert page.status == 200
    assert CANARIES["hook"] not in page.text
    assert "/retry" not in page.text


async def test_what_happens_to_a_merchant_goes_to_no_endpoint_of_another(house: House) -> None:
    lab, strangers = house.lab, house.tokens[Principal.STRANGER]
    stranger = await lab.dargah.services.merchant_cache.authenticate(strangers)
    same_name = await lab.issue("main", merchant_id=stranger.merchant_id)
    body = {"url": "https://stranger.example.ir/hook"}
    hook = (await lab.call("POST", "/v1/webhook-endpoints", json=body, token=same_name)).json
    await house.records()
    listed = await lab.call("GET", f"/v1/webhook-endpoints/{hook['id']}/deliveries", token=same_name)
    assert listed.json["data"] == []


async def test_an_operator_sees_everybodys(house: House) -> None:
    """The walks would also pass if pages showed nobody anything."""
    assert house.victim is not None
    browser = await operator(house.lab)
    for path in (f"/console/payments/{house.victim.ids['payment_id']}", "/console/payments"):
        assert CANARIES["order_id"] in (await browser.get(path)).text


async def test_a_default_token_has_no_drop_in() -> None:
    assert Scope.FACADE not in DEFAULT_SCOPES
