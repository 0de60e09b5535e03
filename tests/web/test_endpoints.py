"""`/v1/webhook-endpoints` and `/v1/events` over real HTTP."""

import asyncio
import base64
import hmac
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import ANY

import pytest
from standardwebhooks import Webhook
from support.receiver import Receiver, receiver

from proxy.kernel.clock import DAY, HOUR, SECOND, rfc3339
from proxy.merchants.merchant import Mode
from web.lab import SHARED, Answer, Lab, endpoint_at

URL = "https://hooks.shop.example.ir/dargah"


async def test_the_secret_is_shown_once(lab: Lab) -> None:
    made = (await lab.call("POST", "/v1/webhook-endpoints", json={"url": URL})).json
    Webhook(made["secret"])
    assert (made["state"], made["event_types"], made["storefront"]) == ("enabled", [], "main")
    assert made["max_in_flight"] == 8
    shown = await lab.call("GET", f"/v1/webhook-endpoints/{made['id']}")
    assert shown.json == {name: value for name, value in made.items() if name != "secret"}
    listed = await lab.call("GET", "/v1/webhook-endpoints")
    assert listed.json == {"data": [shown.json], "next_cursor": None}
    assert made["secret"] not in shown.text + listed.text


async def test_a_change_touches_only_what_it_names(lab: Lab) -> None:
    full: dict[str, Any] = {
        "url": URL,
        "storefront": "main",
        "event_types": ["payment.paid"],
        "description": "سرور فروشگاه",
        "headers": {"x-shop": "17"},
        "max_in_flight": 64,
    }
    made = (await lab.call("POST", "/v1/webhook-endpoints", json=full)).json
    path = f"/v1/webhook-endpoints/{made['id']}"
    full["header_names"] = list(full.pop("headers"))
    assert {name: made[name] for name in full} == full
    lab.clock.forward(1000)
    paused = (await lab.call("PATCH", path, json={"paused": True})).json
    assert paused["state"] == "paused"
    assert {name: paused[name] for name in full} == full
    changed = (await lab.call("PATCH", path, json={"event_types": [], "paused": False})).json
    assert (changed["state"], changed["storefront"], changed["event_types"]) == ("enabled", "main", [])
    assert {name: changed[name] for name in ("description", "header_names", "max_in_flight")} == {
        name: full[name] for name in ("description", "header_names", "max_in_flight")
    }
    lab.clock.forward(1000)
    assert (await lab.call("PATCH", path, json={"max_in_flight": 1})).json == changed | {
        "max_in_flight": 1, "updated_at": ANY,
    }  # fmt: skip
    [entry] = await lab.dargah.services.store.audit.list_audit(lab.merchant_id, None, 1)
    assert (entry.action, entry.data) == ("endpoint.update", {"max_in_flight": 1})
    assert (await lab.call("PATCH", path, json={})).json["url"] == URL


async def test_a_deleted_endpoint_is_gone(lab: Lab) -> None:
    made = (await lab.call("POST", "/v1/webhook-endpoints", json={"url": URL})).json
    path = f"/v1/webhook-endpoints/{made['id']}"
    gone = await lab.call("DELETE", path)
    assert (gone.status, gone.body) == (204, b"")
    for method, body in (("GET", None), ("PATCH", {}), ("DELETE", None)):
        assert (await lab.call(method, path, json=body)).status == 404


BAD: list[tuple[str, Any]] = [
    ("url", None),
    ("url", 1),
    ("url", ""),
    ("url", "hooks"),
    ("url", "ftp://hooks.example.ir/"),
    ("url", "http://hooks.example.ir/"),
    ("url", "https://user@hooks.example.ir/"),
    ("url", "https://hooks.example.ir/" + "x" * 2000),
    ("storefront", 1),
    ("storefront", "A B"),
    ("event_types", None),
    ("event_types", "payment.paid"),
    ("event_types", ["payment.sold"]),
    ("event_types", ["payment.paid"] * 21),
    ("event_types.0", [1]),
    ("description", None),
    ("description", "x" * 501),
    ("description", "a\x00b"),
    ("headers", [1]),
    ("headers.X-A", {"X-A": 1}),
    ("headers.webhook-id", {"webhook-id": "1"}),
    ("headers.X A", {"X A": "1"}),
    ("headers.X-A", {"X-A": "a\r\nb"}),
    *(("max_in_flight", value) for value in (None, 0, -1, 65, 2**63, True, "8", 8.5)),
    ("paused", "yes"),
    ("state", "paused"),
    ("id", "ep_1"),
]


@SHARED
@pytest.mark.parametrize(("field", "value"), BAD)
async def test_a_bad_field_is_named_at_creation_and_change(shared_lab: Lab, field: str, value: Any) -> None:
    made = (await shared_lab.call("POST", "/v1/webhook-endpoints", json={"url": URL})).json
    name = field.partition(".")[0]
    before = shared_lab.rows()
    answers = [await shared_lab.call("PATCH", f"/v1/webhook-endpoints/{made['id']}", json={name: value})]
    answers.append(await shared_lab.call("POST", "/v1/webhook-endpoints", json={"url": URL} | {name: value}))
    for answer in answers:
        assert answer.status == 422, answer.body
        assert set(answer.field_codes()) == {field}
        assert all(error["detail"] and error["detail_fa"] for error in answer.json["errors"])
    assert shared_lab.rows() == before


async def test_another_merchants_endpoint_is_not_found(lab: Lab) -> None:
    made = (await lab.call("POST", "/v1/webhook-endpoints", json={"url": URL})).json
    stranger = await lab.another_merchant()
    before = lab.rows()
    for method, body in (("GET", None), ("PATCH", {"paused": True}), ("DELETE", None)):
        answer = await lab.call(method, f"/v1/webhook-endpoints/{made['id']}", json=body, token=stranger)
        assert answer.status == 404
    assert (await lab.call("GET", "/v1/webhook-endpoints", token=stranger)).json["data"] == []
    assert lab.rows() == before


async def test_events_are_told_in_order_and_go_on_from_a_cursor(lab: Lab) -> None:
    ids = []
    for act in ("cancel", "pay", "pay"):
        payment = await lab.created()
        ids.append(payment["id"])
        await lab.call("GET", await lab.act(payment, act))
    first = (await lab.call("GET", "/v1/events?limit=2")).json
    rest = (await lab.call("GET", f"/v1/events?limit=2&cursor={first['next_cursor']}")).json
    events = first["data"] + rest["data"]
    assert rest["next_cursor"] is None
    assert [event["payment_id"] for event in events] == ids
    assert [event["type"] for event in events] == ["payment.canceled", "payment.paid", "payment.paid"]
    sequences = [event["sequence"] for event in events]
    assert sequences == sorted(sequences)
    assert all(event["data"]["sequence"] == event["sequence"] for event in events)
    one = (await lab.call("GET", f"/v1/events/{events[1]['id']}")).json
    assert one == events[1]
    assert one["data"]["bank_code"]
    assert "pay_url" not in one["data"]
    filtered = (await lab.call("GET", f"/v1/events?type=payment.paid&payment_id={ids[2]}&storefront=main")).json
    assert [event["payment_id"] for event in filtered["data"]] == [ids[2]]


async def test_a_poller_goes_on_from_the_end_and_misses_nothing(lab: Lab) -> None:
    nothing = (await lab.call("GET", "/v1/events")).json
    assert nothing == {"data": [], "next_cursor": None, "resume_cursor": None}
    seen, cursor = [], ""
    for _ in range(3):
        payment = await lab.created()
        await lab.call("GET", await lab.act(payment, "pay"))
        for new in (1, 0):
            page = (await lab.call("GET", f"/v1/events?limit=5{cursor}")).json
            assert (len(page["data"]), page["next_cursor"]) == (new, None)
            seen += page["data"]
            cursor = f"&cursor={page['resume_cursor']}"
    assert len({event["id"] for event in seen}) == 3


async def test_nobody_sees_anothers_events(lab: Lab) -> None:
    payment = await lab.created()
    await lab.call("GET", await lab.act(payment, "pay"))
    [event] = (await lab.call("GET", "/v1/events")).json["data"]
    strangers = [
        await lab.another_merchant(),
        await lab.issue(storefront="other"),
        await lab.issue(mode=Mode.TEST),
    ]
    for token in strangers:
        for query in ("", "?storefront=main", f"?payment_id={payment['id']}"):
            assert (await lab.call("GET", f"/v1/events{query}", token=token)).json["data"] == []
        assert (await lab.call("GET", f"/v1/events/{event['id']}", token=token)).status == 404


@SHARED
@pytest.mark.parametrize(
    "query",
    [
        "type=payment.sold",
        "payment_id=",
        "storefront=A",
        "cursor=AAAA",
        "after=-1",
        "after=x",
        "wait=31",
        "wait=x",
        "delivered=2",
        "page=1",
    ],
)
async def test_a_bad_events_query_is_refused_by_name(shared_lab: Lab, query: str) -> None:
    answer = await shared_lab.call("GET", f"/v1/events?{query}")
    assert answer.status == 422
    assert set(answer.field_codes()) == {query.partition("=")[0]}


async def test_a_limit_of_endpoints_is_a_conflict(lab: Lab) -> None:
    made = [lab.call("POST", "/v1/webhook-endpoints", json={"url": f"{URL}/{number}"}) for number in range(100)]
    assert {answer.status for answer in await asyncio.gather(*made)} == {201}
    answer = await lab.call("POST", "/v1/webhook-endpoints", json={"url": URL})
    assert (answer.status, answer.json["code"]) == (409, "conflict")


@pytest.fixture
async def shop() -> AsyncIterator[Receiver]:
    async with receiver() as made:
        yield made


def signs(secret: str, request: tuple[dict[str, str], bytes]) -> bool:
    """Whether one of the `v1` signatures is this secret's, by the specification's words."""
    headers, body = request
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.digest(base64.b64decode(secret.removeprefix("whsec_")), signed, "sha256")
    return f"v1,{base64.b64encode(digest).decode()}" in headers["webhook-signature"].split(" ")


async def sent(lab: Lab, shop: Receiver, path: str) -> tuple[dict[str, str], bytes]:
    assert (await lab.call("POST", f"{path}/test")).status == 200
    return shop.requests[-1]


async def rotated(lab: Lab, path: str, seconds: int) -> Answer:
    lab.clock.forward(SECOND)
    return await lab.call("POST", f"{path}/rotate-secret", json={"overlap_seconds": seconds})


async def rotations(lab: Lab, endpoint: dict[str, Any], *overlaps: int) -> list[str]:
    """The endpoint's secrets after rotations with these overlaps, oldest first."""
    path = f"/v1/webhook-endpoints/{endpoint['id']}"
    return [endpoint["secret"], *[(await rotated(lab, path, each)).json["secret"] for each in overlaps]]


async def test_a_rotated_secret_is_shown_once_and_both_sign_until_the_overlap_is_over(lab: Lab, shop: Receiver) -> None:
    endpoint = await endpoint_at(lab, shop, signatures=["v1a", "v1"])
    path = f"/v1/webhook-endpoints/{endpoint['id']}"
    assert endpoint["public_key"].startswith("whpk_")
    assert endpoint["signatures"] == ["v1", "v1a"]
    lab.clock.forward(SECOND)
    rotated = (await lab.call("POST", f"{path}/rotate-secret", json={"overlap_seconds": 60})).json
    assert rotated["secret"] != endpoint["secret"]
    assert rotated["public_key"] != endpoint["public_key"]
    assert rotated["previous_secret_until"] == rfc3339(lab.clock.now + 60 * SECOND)
    shown = (await lab.call("GET", path)).json
    assert shown == {name: value for name, value in rotated.items() if name != "secret"}
    await lab.call("POST", f"{path}/test")
    kinds = [each.partition(",")[0] for each in shop.requests[0][0]["webhook-signature"].split(" ")]
    assert kinds == ["v1", "v1", "v1a", "v1a"]
    lab.clock.forward(60 * SECOND)
    await lab.call("POST", f"{path}/test")
    kinds = [each.partition(",")[0] for each in shop.requests[1][0]["webhook-signature"].split(" ")]
    assert kinds == ["v1", "v1a"]
    plain = (await lab.call("PATCH", path, json={"signatures": ["v1"]})).json
    assert (plain["public_key"], plain["signatures"]) == (None, ["v1"])
    assert (await lab.call("PATCH", path, json={"signatures": ["v1a"]})).status == 422


async def test_a_second_rotation_ends_no_overlap(lab: Lab, shop: Receiver) -> None:
    endpoint = await endpoint_at(lab, shop)
    path = f"/v1/webhook-endpoints/{endpoint['id']}"
    began = lab.clock.now
    secrets = await rotations(lab, endpoint, 24 * 3600, 3600)
    request = await sent(lab, shop, path)
    assert [signs(secret, request) for secret in secrets] == [True, True, True]
    shown = (await lab.call("GET", path)).json
    assert shown["previous_secret_until"] == rfc3339(began + 2 * SECOND + HOUR)
    assert shown["older_secrets_until"] == [rfc3339(began + SECOND + DAY)]
    lab.clock.forward(HOUR)
    request = await sent(lab, shop, path)
    assert [signs(secret, request) for secret in secrets] == [True, False, True]
    lab.clock.forward(DAY)
    request = await sent(lab, shop, path)
    assert [signs(secret, request) for secret in secrets] == [False, False, True]
    audit = await lab.dargah.services.store.audit.list_audit(lab.merchant_id, None, 2)
    assert {entry.action for entry in audit} == {"endpoint.rotate_secret"}
    assert "whs" not in str(audit)


async def test_the_newest_key_signs_first_and_v1_stands_before_v1a(lab: Lab, shop: Receiver) -> None:
    endpoint = await endpoint_at(lab, shop, signatures=["v1", "v1a"])
    path = f"/v1/webhook-endpoints/{endpoint['id']}"
    secrets = await rotations(lab, endpoint, 3600, 3600)
    headers, body = await sent(lab, shop, path)
    signatures = headers["webhook-signature"].split(" ")
    assert [each.partition(",")[0] for each in signatures] == ["v1"] * 3 + ["v1a"] * 3
    for secret, signature in zip(reversed(secrets), signatures[:3], strict=True):
        assert signs(secret, (headers | {"webhook-signature": signature}, body))


async def test_five_secrets_sign_at_most_and_a_sixth_is_refused_until_one_ends(lab: Lab, shop: Receiver) -> None:
    endpoint = await endpoint_at(lab, shop)
    path = f"/v1/webhook-endpoints/{endpoint['id']}"
    secrets = await rotations(lab, endpoint, 60, 3600, 3600, 3600)
    refused = await rotated(lab, path, 3600)
    [error] = refused.json["errors"]
    assert (refused.status, error["field"], error["code"]) == (422, "overlap_seconds", "too_many_overlaps")
    request = await sent(lab, shop, path)
    assert [signs(secret, request) for secret in secrets] == [True] * 5
    lab.clock.forward(60 * SECOND)
    assert (await rotated(lab, path, 3600)).status == 200
    assert len((await lab.call("GET", path)).json["older_secrets_until"]) == 3


async def test_a_rotation_without_an_overlap_ends_all_earlier_secrets(lab: Lab, shop: Receiver) -> None:
    endpoint = await endpoint_at(lab, shop)
    path = f"/v1/webhook-endpoints/{endpoint['id']}"
    secrets = await rotations(lab, endpoint, 3600, 3600, 3600, 3600, 0)
    request = await sent(lab, shop, path)
    assert [signs(secret, request) for secret in secrets] == [False] * 5 + [True]
    assert (await lab.call("GET", path)).json["older_secrets_until"] == []
