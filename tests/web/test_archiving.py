"""An archived merchant over real HTTP: it takes no new payments, and what it has goes on to its end."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from databases.places import database_in
from support.dargah import OPERATOR_TOKEN, running_by, settings
from support.eventually import eventually, until
from support.receiver import receiver

from proxy.gateways.registry import FAMILIES
from proxy.kernel.clock import DAY, MINUTE, SECOND
from proxy.merchants.merchant import Mode, Scope
from proxy.operations.troubles import TroubleKind
from web.clients import operator
from web.lab import Answer, Lab, endpoint_at
from web.test_console_home import failing


async def admin(lab: Lab, method: str, path: str, body: Any = None) -> Answer:
    return await lab.call(method, f"{lab.dargah.admin_url}/admin/v1{path}", json=body, token=OPERATOR_TOKEN)


async def archived(lab: Lab) -> Answer:
    return await admin(lab, "POST", f"/merchants/{lab.merchant_id}/archive")


async def created(lab: Lab, key: str, **body: Any) -> Answer:
    sent = {"amount": 100_000, "currency": "IRR", "order_id": key, **body}
    return await lab.call("POST", "/v1/payments", json=sent, headers={"Idempotency-Key": key})


async def test_an_archived_merchant_takes_no_new_payment_and_gives_the_first_reply_again(lab: Lab) -> None:
    first = await created(lab, "before")
    assert first.status == 201
    answer = await archived(lab)
    assert (answer.status, answer.json["archived_at"]) == (200, answer.json["updated_at"])
    refused = await created(lab, "after")
    assert (refused.status, refused.json["code"]) == (409, "merchant_archived")
    assert "unarchive" in refused.json["detail"]
    assert "payment_id" not in refused.json
    again = await created(lab, "before")
    assert (again.status, again.body) == (201, first.body)
    other = await created(lab, "before", amount=200_000)
    assert (other.status, other.json["code"]) == (422, "idempotency_key_reused")
    back = await admin(lab, "POST", f"/merchants/{lab.merchant_id}/unarchive")
    assert (back.status, back.json["archived_at"]) == (200, None)
    assert (await created(lab, "after")).status == 201


async def test_a_create_that_came_to_no_invoice_is_not_taken_up_again(lab: Lab) -> None:
    await lab.fault("request", "http_500", times=1)
    unclear = await created(lab, "unclear")
    assert unclear.json["code"] == "gateway_unclear"
    await archived(lab)
    refused = await created(lab, "unclear")
    assert (refused.status, refused.json["code"]) == (409, "merchant_archived")
    assert refused.json["payment_id"] == unclear.json["payment_id"]


async def test_what_it_has_is_paid_told_and_read_to_its_end(lab: Lab) -> None:
    async with receiver() as shop:
        await endpoint_at(lab, shop)
        payment = (await created(lab, "open")).json
        assert (await archived(lab)).status == 200
        assert (await lab.call("GET", payment["pay_url"], token="")).status == 303
        back = await lab.act(payment, "pay")
        await lab.call("GET", back, token="")
        read = await lab.call("GET", f"/v1/payments/{payment['id']}")
        assert (read.status, read.json["status"]) == (200, "paid")
        await until(lambda: any(each["type"] == "payment.paid" for each in shop.events))
        listed = await lab.call("GET", "/v1/payments")
        assert [each["id"] for each in listed.json["data"]] == [payment["id"]]
        assert (await lab.call("GET", "/v1/events")).status == 200


async def test_archiving_is_done_once_and_stands_in_the_audit_log_once(lab: Lab) -> None:
    first = await archived(lab)
    lab.clock.forward(MINUTE)
    assert (await archived(lab)).json == first.json
    for _ in range(2):
        assert (await admin(lab, "POST", f"/merchants/{lab.merchant_id}/unarchive")).status == 200
    log = (await admin(lab, "GET", f"/audit?merchant_id={lab.merchant_id}&limit=50")).json["data"]
    acts = [each["action"] for each in log]
    assert (acts.count("merchant.archive"), acts.count("merchant.unarchive")) == (1, 1)
    assert (await admin(lab, "POST", "/merchants/mer_00000001/archive")).status == 404


async def test_of_two_at_once_one_archives(lab: Lab) -> None:
    answers = await asyncio.gather(*(archived(lab) for _ in range(4)))
    assert {answer.status for answer in answers} == {200}
    log = (await admin(lab, "GET", f"/audit?merchant_id={lab.merchant_id}&limit=20")).json["data"]
    assert [each["action"] for each in log].count("merchant.archive") == 1


async def test_another_replica_lets_creates_in_for_two_seconds_at_most(lab: Lab) -> None:
    if isinstance(database_in(lab.folder), Path):
        pytest.skip("a file has one process")
    async with running_by(lab.clock, settings(lab.folder)) as replica:
        sent = {"amount": 100_000, "currency": "IRR", "order_id": "r"}
        path = f"{replica.url}/v1/payments"

        async def there(key: str) -> Answer:
            return await lab.call("POST", path, json=sent | {"order_id": key}, headers={"Idempotency-Key": key})

        assert (await there("before")).status == 201
        await archived(lab)
        assert (await created(lab, "here")).json["code"] == "merchant_archived"
        let_in = await there("within")
        assert (await lab.call("GET", f"/v1/payments/{let_in.json['id']}")).json["status"] == "pending"
        lab.clock.forward(2 * SECOND)
        assert (await there("after")).json["code"] == "merchant_archived"


async def test_creates_beside_an_archiving_are_payments_or_refused_with_nothing_stored(lab: Lab) -> None:
    keys = [f"race-{number}" for number in range(20)]
    first = asyncio.gather(*(created(lab, key) for key in keys[:10]))
    await archived(lab)
    answers = [*await first, *await asyncio.gather(*(created(lab, key) for key in keys[10:]))]
    made = {answer.json["id"] for answer in answers if answer.status == 201}
    refused = [answer.json for answer in answers if answer.status != 201]
    assert {each["code"] for each in refused} == {"merchant_archived"}
    listed = await lab.call("GET", "/v1/payments?limit=100")
    assert {each["id"] for each in listed.json["data"]} == made
    assert len(refused) >= 10


async def test_a_change_of_the_merchant_leaves_it_archived(lab: Lab) -> None:
    at = (await archived(lab)).json["archived_at"]
    changed = await admin(lab, "PATCH", f"/merchants/{lab.merchant_id}", {"name": "Another"})
    assert (changed.status, changed.json["archived_at"]) == (200, at)
    assert (await created(lab, "changed")).json["code"] == "merchant_archived"


async def test_the_lists_of_merchants_have_it_by_their_filter(lab: Lab) -> None:
    await lab.another_merchant()
    await archived(lab)

    async def ids(query: str) -> list[str]:
        return [each["id"] for each in (await admin(lab, "GET", f"/merchants{query}")).json["data"]]

    assert await ids("?archived=true") == [lab.merchant_id]
    assert lab.merchant_id not in await ids("?archived=false")
    assert set(await ids("")) == {lab.merchant_id, *await ids("?archived=false")}
    assert (await admin(lab, "GET", "/merchants?archived=maybe")).field_codes().keys() == {"archived"}
    first = (await admin(lab, "GET", "/merchants?archived=false&limit=1")).json
    if first["next_cursor"]:
        wrong = await admin(lab, "GET", f"/merchants?archived=true&cursor={first['next_cursor']}")
        assert wrong.status == 422


async def test_the_console_asks_archives_and_takes_it_back(lab: Lab) -> None:
    await created(lab, "open")
    browser, path = await operator(lab), f"/console/merchants/{lab.merchant_id}"
    asked = await browser.get(f"{path}/archive?lang=en")
    assert "merchant_archived" in asked.text
    assert "<dt>Open payments</dt><dd><bdi>1</bdi></dd>" in asked.text
    unproven = await browser.post(f"{path}/archive")
    assert unproven.status == 200
    assert (await created(lab, "still")).status == 201
    done = await browser.confirmed(f"{path}/archive", {})
    assert (done.status, done.location) == (303, f"{path}?said=archived")
    shown = await browser.get(done.location)
    assert "It is archived" in shown.text
    assert f'href="{path}"' not in (await browser.get("/console/merchants")).text
    assert f'href="{path}"' in (await browser.get("/console/merchants?archived=1")).text
    choices = (await browser.get("/console/payments")).text
    assert f'value="{lab.merchant_id}"' not in choices
    chosen = (await browser.get(f"/console/payments?merchant={lab.merchant_id}")).text
    assert f'value="{lab.merchant_id}" selected' in chosen
    back = await browser.post(f"{path}/unarchive")
    assert (back.status, back.location) == (303, f"{path}?said=unarchived")
    assert (await created(lab, "again")).status == 201


async def test_each_protocol_of_shops_says_so_in_its_own_form(lab: Lab) -> None:
    token = await lab.issue(scopes=frozenset({Scope.FACADE}))
    setup = lab.dargah.services.setup
    tokens = {
        name: (await setup.issue_token(lab.merchant_id, "main", Mode.LIVE, None, None, protocol=name, actor="test"))[1]
        for name in ("zarinpal", "zibal")
    }
    await archived(lab)
    form = {"api_key": token, "amount": "100000", "return_url": "https://shop.example.ir/t"}
    said = await lab.call("POST", "/invoice/request", data=form, token="")
    assert (said.status, said.json["status"]) == (200, 0)
    assert "بایگانی" in said.json["errorDescription"]
    zarinpal = await lab.call(
        "POST",
        "/pg/v4/payment/request.json",
        json={
            "merchant_id": tokens["zarinpal"],
            "amount": 100_000,
            "description": "1",
            "callback_url": "https://shop.example.ir/t",
        },
        token="",
    )
    assert (zarinpal.status, zarinpal.json["errors"]["code"]) == (422, -11)
    assert "archived" in str(zarinpal.json["errors"]["validations"])
    zibal = await lab.call(
        "POST",
        "/v1/request",
        json={"merchant": tokens["zibal"], "amount": 100_000, "callbackUrl": "https://shop.example.ir/t"},
        token="",
    )
    assert (zibal.status, zibal.json["result"]) == (200, 103)
    assert "بایگانی" in zibal.json["message"]
    assert {"zarinpal", "zibal"} <= FAMILIES.keys()


@pytest.mark.parametrize(("mode", "told"), [(Mode.LIVE, True), (Mode.TEST, False)])
async def test_it_is_in_trouble_only_where_money_is_at_stake(lab: Lab, mode: Mode, told: bool) -> None:
    async with receiver() as shop:
        shop.status, shop.any_time, shop.any_event = 500, True, True
        token = await lab.issue(mode=mode)
        made = await lab.call("POST", "/v1/webhook-endpoints", json={"url": shop.url}, token=token)
        assert made.status == 201
        sent = {"type": "payment.paid"}
        assert (await lab.call("POST", "/v1/events/test", json=sent, token=token)).status < 300
        await failing(lab, shop, 1)  # what is recorded after the clock has moved began to fail just then
        lab.clock.forward(2 * MINUTE)

        async def troubled() -> bool:
            troubles = await lab.dargah.services.store.troubles.troubles(lab.clock.now)
            return any(each.kind is TroubleKind.ENDPOINT_FAILING for each in troubles)

        await eventually(troubled)
        await archived(lab)
        assert await troubled() == told


async def test_its_tokens_that_end_are_no_trouble(lab: Lab) -> None:
    setup, store = lab.dargah.services.setup, lab.dargah.services.store
    _, text = await setup.issue_token(lab.merchant_id, expires_at=lab.clock.now + DAY, actor="test")
    await lab.call("GET", "/v1/payments", token=text)
    lab.clock.forward(3 * SECOND)

    async def ending() -> bool:
        return any(each.kind is TroubleKind.TOKEN_ENDING for each in await store.troubles.troubles(lab.clock.now))

    async def seen() -> bool | None:
        return await ending() or None

    await eventually(seen)
    await archived(lab)
    assert not await ending()
