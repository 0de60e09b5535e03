"""The operator looks at payments: lists, one payment, and everything that happened to it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from e2e.playground import API_KEY

from operators.desk import Desk, desk
from proxy.cli.payments import told


@pytest.fixture
async def office(folder: Path) -> AsyncIterator[Desk]:
    async with desk(folder) as made:
        yield made


async def test_a_payment_is_shown_with_whose_it_is_and_what_was_taken(office: Desk) -> None:
    payment = await office.odd()
    status, shown = await office.call("GET", f"/payments/{payment['id']}")
    assert status == 200
    assert (shown["merchant_id"], shown["captured_rials"]) == (office.shop.merchant_id, 1000)
    assert shown["captured_invoice_keys"] == [payment["invoice_key"]]
    assert {name: shown[name] for name in shown.keys() & payment.keys()} == {
        name: payment[name] for name in payment if name not in {"pay_url", "check"}
    }


async def test_lists_filter_and_go_page_by_page_newest_first(office: Desk) -> None:
    shop = office.shop
    made = [(await shop.created(order_id=f"o-{number % 2}"))["id"] for number in range(4)]
    odd = (await office.odd(order_id="odd"))["id"]
    merchant = {"merchant_id": shop.merchant_id}

    async def ids(**query: str) -> list[str]:
        status, page = await office.call("GET", "/payments", **merchant, **query)
        assert status == 200
        rows = [payment["id"] for payment in page["data"]]
        if page["next_cursor"] is None:
            return rows
        return rows + await ids(**(query | {"cursor": page["next_cursor"]}))

    assert sorted(await ids(limit="2")) == sorted([*made, odd])
    assert await ids(limit="2") == sorted([*made, odd], reverse=True)
    assert await ids(status="needs_review") == [odd]
    assert await ids(order_id="o-1", limit="1") == sorted([made[1], made[3]], reverse=True)
    assert await ids(storefront="main", status="pending") == sorted(made, reverse=True)
    assert await ids(storefront="other") == []


async def test_a_list_needs_a_merchant_that_is_there(office: Desk) -> None:
    status, problem = await office.call("GET", "/payments")
    assert (status, problem["errors"][0]["field"], problem["errors"][0]["code"]) == (422, "merchant_id", "required")
    assert (await office.call("GET", "/payments", merchant_id="everyone"))[0] == 422
    assert (await office.call("GET", "/payments", merchant_id="mer_00000000"))[0] == 404
    status, page = await office.call("GET", "/payments", merchant_id=office.shop.merchant_id)
    assert (status, page["data"]) == (200, [])


async def test_the_timeline_tells_calls_returns_events_and_every_webhook_attempt_in_order(office: Desk) -> None:
    shop = office.shop
    shop.receiver.status = 500
    payment = await shop.created()
    await shop.fault("check", "http_500", times=1)
    await shop.come_back(await shop.act(payment, "back"))
    await shop.come_back(await shop.act(payment, "pay"))

    entries = await office.timeline_with(payment, "attempt", outcome="failed")

    first = [entry["kind"] for entry in entries]
    calls = ["gateway.request", "return", "gateway.check", "return", "gateway.check"]
    assert first[:8] == [*calls, "event", "delivery", "attempt"]
    assert [entry["at"] for entry in entries] == sorted(entry["at"] for entry in entries)
    request, came_back, unclear, _, captured, event, delivery, attempt = entries[:8]
    assert request["data"] == {"outcome": "issued", "invoice_key": payment["invoice_key"]}
    assert came_back["data"]["own_invoice_key"] is True
    assert unclear["data"]["outcome"] == "unknown"
    ledger = await shop.control("GET", f"/invoices/{payment['invoice_key']}")
    assert captured["data"]["outcome"] == "captured"
    assert (captured["data"]["amount_rials"], captured["data"]["bank_code"]) == (150_000, ledger["bank_code"])
    assert all(call["duration_ms"] >= 0 for call in (request, unclear, captured, attempt))
    _, events = await shop.call("GET", f"/v1/events?payment_id={payment['id']}")
    [told_of] = events["data"]
    assert event["data"] == {"id": told_of["id"], "type": "payment.paid", "sequence": told_of["sequence"]}
    assert (delivery["data"]["event_id"], delivery["data"]["status"]) == (told_of["id"], "pending")
    assert delivery["data"]["due_at"] is not None
    assert attempt["data"] == {
        "delivery_id": delivery["data"]["id"],
        "event_id": told_of["id"],
        "endpoint_id": delivery["data"]["endpoint_id"],
        "number": 1,
        "outcome": "failed",
        "status": 500,
        "error": None,
    }


async def test_an_attempt_that_got_no_answer_is_shown_with_its_named_error(office: Desk) -> None:
    shop = office.shop
    setup = office.dargah.services.setup
    refusing = "http://127.0.0.1:1/hook"
    endpoint, _ = await setup.add_endpoint(shop.merchant_id, refusing, actor="test")
    payment = await shop.created()
    await shop.come_back(await shop.act(payment, "pay"))
    entries = await office.timeline_with(payment, "attempt", endpoint_id=endpoint.id, outcome="failed")
    [attempt] = [
        entry["data"]
        for entry in entries
        if entry["kind"] == "attempt" and entry["data"]["endpoint_id"] == endpoint.id and entry["data"]["number"] == 1
    ]
    assert (attempt["status"], attempt["error"]) == (None, "refused")


async def test_the_merchant_sees_the_same_timeline_and_nobody_else_any(office: Desk) -> None:
    shop = office.shop
    payment = await shop.created()
    await shop.come_back(await shop.act(payment, "pay"))
    entries = await office.timeline_with(payment, "delivery", status="delivered")
    path = f"/v1/payments/{payment['id']}/timeline"
    assert await shop.call("GET", path) == (200, {"data": entries, "truncated": False})
    _, shop.token = await office.dargah.services.setup.issue_token(shop.merchant_id, "other", actor="test")
    assert (await shop.call("GET", path))[0] == 404


async def test_the_command_shows_a_payment_and_its_timeline_as_a_table_and_as_json(office: Desk) -> None:
    payment = await office.shop.created()
    await office.shop.come_back(await office.shop.act(payment, "pay"))
    entries = await office.timeline_with(payment, "delivery", status="delivered")

    shown = await office.cli.run("payment", "show", payment["id"])
    parsed = await office.cli.json("payment", "show", payment["id"])

    assert shown.code == 0, shown.error
    facts, table = shown.out.split("\n\n")
    assert dict(line.split(maxsplit=1) for line in facts.splitlines())["status"] == "paid"
    head, *lines = table.splitlines()
    assert head.split() == ["AT", "MS", "WHAT"]
    assert len(lines) == len(entries)
    for line, entry in zip(lines, entries, strict=True):
        assert line.startswith(entry["at"])
        assert line.endswith(told(entry))
    assert lines[-1].split()[2:] == ["attempt", "1", "at", *lines[-1].split()[5:6], "delivered", "(HTTP", "204)"]
    assert (parsed["payment"]["id"], parsed["timeline"], parsed["truncated"]) == (payment["id"], entries, False)
    assert API_KEY not in shown.out


async def test_the_command_lists_a_merchants_payments(office: Desk) -> None:
    payment = await office.shop.created(order_id="only")
    await office.shop.created()
    owner = ("--merchant", office.shop.merchant_id)
    [listed] = await office.cli.json("payment", "list", *owner, "--order-id", "only", "--status", "pending")
    assert listed["id"] == payment["id"]
    table = await office.cli.run("payment", "list", *owner, "--limit", "1")
    assert len(table.out.splitlines()) == 2
    assert (await office.cli.run("payment", "list")).code == 2
