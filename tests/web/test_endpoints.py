"""`/v1/webhook-endpoints` and `/v1/events` over real HTTP."""

import asyncio
from typing import Any

import pytest
from standardwebhooks import Webhook

from proxy.merchant import Mode
from web.lab import Lab

URL = "https://hooks.shop.example.ir/dargah"


async def test_the_secret_is_shown_once(lab: Lab) -> None:
    made = (await lab.call("POST", "/v1/webhook-endpoints", json={"url": URL})).json
    Webhook(made["secret"])
    assert (made["state"], made["event_types"], made["storefront"]) == ("enabled", [], None)
    shown = await lab.call("GET", f"/v1/webhook-endpoints/{made['id']}")
    assert shown.json == {name: value for name, value in made.items() if name != "secret"}
    listed = await lab.call("GET", "/v1/webhook-endpoints")
    assert listed.json == {"data": [shown.json], "next_cursor": None}
    assert made["secret"] not in shown.text + listed.text


async def test_a_change_touches_only_what_it_names(lab: Lab) -> None:
    full = {
        "url": URL,
        "storefront": "main",
        "event_types": ["payment.paid"],
        "description": "سرور فروشگاه",
        "headers": {"x-shop": "17"},
    }
    made = (await lab.call("POST", "/v1/webhook-endpoints", json=full)).json
    path = f"/v1/webhook-endpoints/{made['id']}"
    assert {name: made[name] for name in full} == full
    lab.clock.forward(1000)
    paused = (await lab.call("PATCH", path, json={"paused": True})).json
    assert paused["state"] == "paused"
    assert {name: paused[name] for name in full} == full
    changed = (await lab.call("PATCH", path, json={"storefront": None, "event_types": [], "paused": False})).json
    assert (changed["state"], changed["storefront"], changed["event_types"]) == ("enabled", None, [])
    assert (changed["description"], changed["headers"]) == (full["description"], full["headers"])
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
    ("headers", []),
    ("headers.X-A", {"X-A": 1}),
    ("headers.webhook-id", {"webhook-id": "1"}),
    ("headers.X A", {"X A": "1"}),
    ("headers.X-A", {"X-A": "a\r\nb"}),
    ("paused", "yes"),
    ("state", "paused"),
    ("id", "ep_1"),
]


@pytest.mark.parametrize(("field", "value"), BAD)
async def test_a_bad_field_is_named_at_creation_and_change(lab: Lab, field: str, value: Any) -> None:
    made = (await lab.call("POST", "/v1/webhook-endpoints", json={"url": URL})).json
    name = field.partition(".")[0]
    before = lab.rows()
    answers = [await lab.call("PATCH", f"/v1/webhook-endpoints/{made['id']}", json={name: value})]
    answers.append(await lab.call("POST", "/v1/webhook-endpoints", json={"url": URL} | {name: value}))
    for answer in answers:
        assert answer.status == 422, answer.body
        assert set(answer.field_codes()) == {field}
        assert all(error["detail"] and error["detail_fa"] for error in answer.json["errors"])
    assert lab.rows() == before


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
async def test_a_bad_events_query_is_refused_by_name(lab: Lab, query: str) -> None:
    answer = await lab.call("GET", f"/v1/events?{query}")
    assert answer.status == 422
    assert set(answer.field_codes()) == {query.partition("=")[0]}


async def test_a_limit_of_endpoints_is_a_conflict(lab: Lab) -> None:
    made = [lab.call("POST", "/v1/webhook-endpoints", json={"url": f"{URL}/{number}"}) for number in range(100)]
    assert {answer.status for answer in await asyncio.gather(*made)} == {201}
    answer = await lab.call("POST", "/v1/webhook-endpoints", json={"url": URL})
    assert (answer.status, answer.json["code"]) == (409, "conflict")
