"""Test money never looks like live money: events, what is sent again, and the customer's way back."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from support.eventually import eventually
from support.receiver import Receiver, receiver
from web.browsing import operator
from web.lab import RETURN_URL, Lab

from proxy.kernel.clock import HOUR, rfc3339
from proxy.merchants.merchant import Mode
from proxy.webhooks.delivery import Delivery, DeliveryFilter
from proxy.webhooks.request import sign
from proxy.webhooks.retry_policy import DeliveryStatus

OPERATOR = {"Authorization": "Bearer operator-token-of-the-tests"}
ENDPOINTS = "/v1/webhook-endpoints"


async def hooked(lab: Lab, stack: AsyncExitStack, token: str) -> tuple[Receiver, dict[str, Any]]:
    """A receiver, and the endpoint that a token makes there."""
    made = await stack.enter_async_context(receiver())
    answer = await lab.call("POST", ENDPOINTS, json={"url": made.url}, token=token)
    assert answer.status == 201, answer.body
    return made, answer.json


async def by_operator(lab: Lab, method: str, path: str, body: Any = None) -> Any:
    answer = await lab.call(method, f"{lab.dargah.admin_url}/admin/v1{path}", json=body, headers=OPERATOR)
    assert answer.status < 300, answer.body
    return answer.json


async def paid(lab: Lab, token: str, **fields: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """A payment whose customer has paid and come back; and what they brought to the shop."""
    payment = await lab.created(token=token, return_url=RETURN_URL, **fields)
    home = await lab.call("GET", await lab.act(payment, "pay"), token="")
    assert home.status == 303
    shown = (await lab.call("GET", f"/v1/payments/{payment['id']}", token=token)).json
    assert shown["status"] == "paid"
    return shown, dict(parse_qsl(urlsplit(home.location).query, strict_parsing=True))


async def delivered(lab: Lab, token: str, endpoint: Mapping[str, Any], status: str = "") -> list[dict[str, Any]]:
    path = f"{ENDPOINTS}/{endpoint['id']}/deliveries?limit=100" + (f"&status={status}" if status else "")
    found: list[dict[str, Any]] = (await lab.call("GET", path, token=token)).json["data"]
    return found


def signed_by(secret: str, receiver: Receiver) -> bool:
    """Whether the receiver's one message is signed by this secret."""
    [(headers, body)] = receiver.requests
    signature = sign([secret], headers["webhook-id"], int(headers["webhook-timestamp"]), body)
    return headers["webhook-signature"] == signature


def old_signature(secret: str, query: Mapping[str, str]) -> bool:
    """What a shop verifies that was written before there was a payment_mode."""
    signed = "&".join(f"{name}={query[name]}" for name in ("payment_id", "order_id", "status"))
    return hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest() == query["signature"]


def new_signature(secret: str, query: Mapping[str, str]) -> bool:
    signed = "&".join(f"{name}={query[name]}" for name in ("payment_id", "order_id", "status", "payment_mode"))
    return hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest() == query["signature_v2"]


async def test_a_payment_is_told_to_the_endpoints_of_its_mode_alone(lab: Lab) -> None:
    tokens = {mode.value: await lab.issue(mode=mode) for mode in Mode}
    async with AsyncExitStack() as stack:
        hooks = {mode: await hooked(lab, stack, token) for mode, token in tokens.items()}
        assert {mode: made["mode"] for mode, (_, made) in hooks.items()} == {"live": "live", "test": "test"}
        paid_in = {mode: (await paid(lab, token, order_id="17"))[0] for mode, token in tokens.items()}
        for mode, (receiver, endpoint) in hooks.items():
            await receiver.told(1)
            assert [event["data"]["id"] for event in receiver.events] == [paid_in[mode]["id"]]
            data = receiver.events[0]["data"]
            assert (data["mode"], data["test"], data["storefront"]) == (mode, mode == "test", "main")
            assert len(await delivered(lab, tokens[mode], endpoint)) == 1
            assert [mode for mode, (_, each) in hooks.items() if signed_by(each["secret"], receiver)] == [mode]
    assert {mode: payment["test"] for mode, payment in paid_in.items()} == {"live": False, "test": True}


async def test_an_endpoint_of_a_token_has_its_mode_and_storefront(lab: Lab) -> None:
    url = {"url": "https://hooks.shop.example.ir/dargah"}
    test = await lab.issue("web", mode=Mode.TEST)
    made = (await lab.call("POST", ENDPOINTS, json=url, token=test)).json
    assert (made["mode"], made["test"], made["storefront"]) == ("test", True, "web")
    same = (await lab.call("POST", ENDPOINTS, json=url | {"mode": "test", "storefront": "web"}, token=test)).json
    assert (same["mode"], same["storefront"]) == ("test", "web")
    for wrong, codes in (
        ({"mode": "live"}, {"mode": "other_mode"}),
        ({"storefront": "main"}, {"storefront": "other_storefront"}),
        ({"mode": "both"}, {"mode": "not_one_of"}),
    ):
        refused = await lab.call("POST", ENDPOINTS, json=url | wrong, token=test)
        assert (refused.status, refused.field_codes()) == (422, codes)
    live = (await lab.call("POST", ENDPOINTS, json=url)).json
    assert (live["mode"], live["test"], live["storefront"]) == ("live", False, "main")
    for change, field in (({"mode": "test"}, "mode"), ({"storefront": "web"}, "storefront")):
        refused = await lab.call("PATCH", f"{ENDPOINTS}/{live['id']}", json=change)
        assert (refused.status, list(refused.field_codes())) == (422, [field])
    widened = await lab.call("PATCH", f"{ENDPOINTS}/{live['id']}", json={"storefront": None})
    assert widened.field_codes() == {"storefront": "other_storefront"}


async def test_an_operator_chooses_the_mode_once(lab: Lab) -> None:
    path = f"/merchants/{lab.merchant_id}/endpoints"
    url = {"url": "https://hooks.shop.example.ir/dargah"}
    live = await by_operator(lab, "POST", path, url)
    test = await by_operator(lab, "POST", path, url | {"mode": "test"})
    assert [(each["mode"], each["storefront"]) for each in (live, test)] == [("live", None), ("test", None)]
    admin = f"{lab.dargah.admin_url}/admin/v1{path}/{test['id']}"
    assert (await lab.call("PATCH", admin, json={"mode": "live"}, headers=OPERATOR)).status == 422
    assert (await by_operator(lab, "GET", f"{path}/{test['id']}"))["mode"] == "test"


async def test_a_storefronts_events_go_to_its_endpoints_and_to_those_of_all(lab: Lab) -> None:
    web = await lab.issue("web")
    async with AsyncExitStack() as stack:
        (main_hook, main), (web_hook, _) = [await hooked(lab, stack, token) for token in (lab.token, web)]
        everything = await stack.enter_async_context(receiver())
        path = f"/merchants/{lab.merchant_id}/endpoints"
        await by_operator(lab, "POST", path, {"url": everything.url})
        mine, _ = await paid(lab, lab.token, order_id="17")
        theirs, _ = await paid(lab, web, order_id="17")
        await everything.told(2)
        await main_hook.told(1)
        await web_hook.told(1)
        assert {event["data"]["id"] for event in everything.events} == {mine["id"], theirs["id"]}
        assert [event["data"]["id"] for event in main_hook.events] == [mine["id"]]
        assert [event["data"]["id"] for event in web_hook.events] == [theirs["id"]]
        assert len(await delivered(lab, lab.token, main)) == 1


async def test_a_replay_sends_no_event_of_the_other_mode(lab: Lab) -> None:
    tokens = {mode.value: await lab.issue(mode=mode) for mode in Mode}
    ids = {mode: (await paid(lab, token))[0]["id"] for mode, token in tokens.items()}
    since = {"since": rfc3339(lab.clock.now - HOUR)}
    async with AsyncExitStack() as stack:
        for mode, token in tokens.items():
            receiver, endpoint = await hooked(lab, stack, token)
            said = (await lab.call("POST", f"{ENDPOINTS}/{endpoint['id']}/replay", json=since, token=token)).json
            assert said["requeued"] == 1
            await receiver.told(1)
            assert [event["data"]["id"] for event in receiver.events] == [ids[mode]]
            assert [each["payment_id"] for each in await delivered(lab, token, endpoint)] == [ids[mode]]


async def test_what_is_held_for_a_storefront_is_dropped_when_the_endpoint_becomes_anothers(lab: Lab) -> None:
    """The operator moves an endpoint to another storefront while deliveries wait there."""
    async with AsyncExitStack() as stack:
        receiver, endpoint = await hooked(lab, stack, lab.token)
        path = f"/merchants/{lab.merchant_id}/endpoints/{endpoint['id']}"
        await by_operator(lab, "PATCH", path, {"paused": True})
        for _ in range(12):
            await paid(lab, lab.token)
        await by_operator(lab, "PATCH", path, {"storefront": "web", "paused": False})
        web = await lab.issue("web")
        theirs, _ = await paid(lab, web)
        await receiver.told(1)

        store, key = lab.dargah.services.store, (lab.merchant_id, endpoint["id"])

        async def all_dropped() -> list[Delivery] | None:
            rows = await store.webhooks.list_endpoint_deliveries(
                *key, DeliveryFilter(DeliveryStatus.DROPPED, limit=100)
            )
            return rows if len(rows) == 12 else None

        dropped = (await eventually(all_dropped))[0]
        assert [event["data"]["id"] for event in receiver.events] == [theirs["id"]]
        [attempt] = await store.webhooks.list_attempts(lab.merchant_id, dropped.id)
        assert (attempt.outcome, attempt.error, dropped.due_at) == ("failed", "event_not_for_endpoint", None)
        browser = await operator(lab)
        assert (await browser.post(f"/console/deliveries/{dropped.id}/retry")).status == 409
        since = {"since": rfc3339(lab.clock.now - HOUR)}
        said = await lab.call("POST", f"{ENDPOINTS}/{endpoint['id']}/recover", json=since, token=web)
        assert said.json["requeued"] == 0
        assert len(receiver.requests) == 1


async def test_what_is_about_no_payment_says_the_mode_of_its_endpoint(lab: Lab) -> None:
    test = await lab.issue(mode=Mode.TEST)
    async with AsyncExitStack() as stack:
        (gone, broken), (other, _) = [await hooked(lab, stack, test) for _ in range(2)]
        live, _ = await hooked(lab, stack, lab.token)
        await lab.call("POST", f"{ENDPOINTS}/{broken['id']}/test", token=test)
        assert gone.events[0]["data"]["mode"] == "test"
        gone.status = 410
        triggered = (await lab.call("POST", "/v1/events/test", json={"type": "payment.paid"}, token=test)).json
        assert (triggered["mode"], triggered["data"]["mode"], triggered["data"]["test"]) == ("test", "test", True)
        await other.told(2)
        told = {event["type"]: event["data"] for event in other.events}
        assert told.keys() == {"payment.paid", "endpoint.disabled"}
        assert {(data["mode"], data["test"]) for data in told.values()} == {("test", True)}
        await paid(lab, lab.token)
        await live.told(1)
        assert [event["data"]["mode"] for event in live.events] == ["live"]


async def test_a_token_lists_the_events_of_its_own_mode_and_storefront(lab: Lab) -> None:
    tokens = {
        (storefront, mode): await lab.issue(storefront, mode=Mode(mode))
        for storefront in ("main", "web")
        for mode in ("live", "test")
    }
    for token in tokens.values():
        await paid(lab, token)
    for (storefront, mode), token in tokens.items():
        for query in ("", "?type=payment.paid", "?delivered=false"):
            listed = (await lab.call("GET", f"/v1/events{query}", token=token)).json["data"]
            assert [(each["storefront"], each["mode"]) for each in listed] == [(storefront, mode)], query


async def test_a_test_payments_way_back_never_verifies_as_live(lab: Lab) -> None:
    test = await lab.issue(mode=Mode.TEST)
    _, home = await paid(lab, test, order_id="17")
    assert (home["order_id"], home["payment_mode"]) == ("17", "test")
    for forged in ({}, {"payment_mode": "live"}, {"signature_v2": home["signature"]}):
        assert not old_signature(lab.return_secret, home | forged)
        assert not new_signature(lab.return_secret, home | forged)
    path = f"/merchants/{lab.merchant_id}/rotate-return-secret"
    made = await by_operator(lab, "POST", path, {"mode": "test"})
    assert made["mode"] == "test"
    assert made["return_secret"].startswith("dg_return_test_")
    _, home = await paid(lab, test)
    assert new_signature(made["return_secret"], home)
    assert old_signature(made["return_secret"], home)
    assert not old_signature(lab.return_secret, home)
    _, live = await paid(lab, lab.token)
    assert live["payment_mode"] == "live"
    assert new_signature(lab.return_secret, live)
    assert old_signature(lab.return_secret, live)
    assert not new_signature(made["return_secret"], live)


async def test_the_two_return_secrets_are_rotated_apart(lab: Lab) -> None:
    path = f"/merchants/{lab.merchant_id}/rotate-return-secret"
    test = await by_operator(lab, "POST", path, {"mode": "test"})
    live = await by_operator(lab, "POST", path, {})
    assert live["mode"] == "live"
    token = await lab.issue(mode=Mode.TEST)
    assert new_signature(test["return_secret"], (await paid(lab, token))[1])
    assert new_signature(live["return_secret"], (await paid(lab, lab.token))[1])
    admin = f"{lab.dargah.admin_url}/admin/v1{path}"
    assert (await lab.call("POST", admin, json={"mode": "both"}, headers=OPERATOR)).status == 422


async def test_the_doctor_finds_test_payments_that_nobody_is_told_of(lab: Lab) -> None:
    async def untold() -> list[str]:
        found = await by_operator(lab, "POST", "/doctor", {"merchant_id": lab.merchant_id})
        commands = [each["advice"] for each in found["findings"] if each["check"] == "webhook"]
        return [mode.value for mode in Mode if any(f"--mode {mode.value}" in command for command in commands)]

    assert await untold() == ["live", "test"]
    url = {"url": "https://hooks.shop.example.ir/dargah"}
    await lab.call("POST", ENDPOINTS, json=url)
    assert await untold() == ["test"]
    await lab.call("POST", ENDPOINTS, json=url, token=await lab.issue(mode=Mode.TEST))
    assert await untold() == []


async def test_the_console_shows_the_mode_and_makes_endpoints_and_secrets_of_either(lab: Lab) -> None:
    browser = await operator(lab)
    merchant = f"/console/merchants/{lab.merchant_id}"
    url = "https://hooks.shop.example.ir/test"
    made = await browser.post(f"{merchant}/endpoints", {"url": url, "mode": "test"})
    assert made.status == 200
    [endpoint] = await lab.dargah.services.store.webhooks.list_endpoints(lab.merchant_id)
    assert (endpoint.mode, endpoint.storefront) == (Mode.TEST, None)
    for page in (merchant, "/console/endpoints", f"/console/endpoints/{endpoint.id}"):
        assert "آزمایشی" in (await browser.get(page)).text, page
    shown = await browser.post(f"{merchant}/rotate-return-secret", {"mode": "test"})
    [secret] = set(re.findall(r"dg_return_test_\w+", shown.text))
    token = await lab.issue(mode=Mode.TEST)
    assert new_signature(secret, (await paid(lab, token))[1])
    assert (await browser.post(f"{merchant}/endpoints", {"url": url, "mode": "both"})).status == 422
