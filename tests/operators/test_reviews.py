"""The operator decides about money that moved otherwise than asked."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from databases.places import AnyStore
from store import records

from operators.conftest import Clock
from operators.desk import Desk, desk
from proxy.facts import Decision, InvoiceIssued
from proxy.ids import Ids
from proxy.reviews import Reviews
from proxy.settlement import Settlement


@pytest.fixture
async def office(folder: Path) -> AsyncIterator[Desk]:
    async with desk(folder) as made:
        yield made


async def audit_of(office: Desk) -> list[dict[str, Any]]:
    _, log = await office.call("GET", "/audit", merchant_id=office.shop.merchant_id)
    return [entry for entry in log["data"] if entry["action"] == "payment.resolve"]


@pytest.mark.parametrize("decision", [decision.value for decision in Decision])
async def test_a_decision_is_told_by_webhook_and_stands_in_the_audit_log(office: Desk, decision: str) -> None:
    payment = await office.odd()
    note = "با مشتری\nگفت‌وگو شد"

    status, resolved = await office.call(
        "POST", f"/payments/{payment['id']}/resolve", {"decision": decision, "note": note}
    )

    assert (status, resolved["status"], resolved["captured_rials"]) == (200, "needs_review", 1000)
    resolution = resolved["review"]["resolution"]
    assert (resolution["decision"], resolution["note"], resolution["by"]) == (decision, note, "admin")
    told = {event["type"]: event for event in await office.shop.receiver.told(2)}
    assert told["payment.review_resolved"]["data"]["review"]["resolution"] == resolution
    assert told["payment.review_resolved"]["data"]["version"] == payment["version"] + 1
    [entry] = await audit_of(office)
    assert (entry["actor"], entry["target"]) == ("admin", payment["id"])
    assert entry["data"] == {
        "decision": decision,
        "note": note,
        "reason": "amount_differs",
        "captured_rials": 1000,
        "payment_version": payment["version"] + 1,
    }
    assert (await office.shop.payment(payment["id"]))["review"]["resolution"] == resolution


async def test_a_review_is_resolved_once_also_when_two_operators_race(office: Desk) -> None:
    payment = await office.odd()
    path = f"/payments/{payment['id']}/resolve"

    answers = await asyncio.gather(
        *(office.call("POST", path, {"decision": "refunded", "note": f"{number}"}) for number in range(6))
    )

    assert sorted(status for status, _ in answers) == [200, 409, 409, 409, 409, 409]
    refusals = [answer for status, answer in answers if status == 409]
    assert {(each["code"], each["payment_id"]) for each in refusals} == {("no_open_review", payment["id"])}
    assert (await office.call("POST", path, {"decision": "refunded", "note": "again"}))[0] == 409
    assert len(await audit_of(office)) == 1
    events = [entry["data"]["type"] for entry in await office.timeline(payment) if entry["kind"] == "event"]
    assert events == ["payment.needs_review", "payment.review_resolved"]


@pytest.mark.parametrize("act", ["pay", "cancel", "back"])
async def test_a_payment_without_a_review_cannot_be_resolved(office: Desk, act: str) -> None:
    payment = await office.shop.created()
    await office.shop.act(payment, act)
    before = await office.check(payment)
    status, problem = await office.call(
        "POST", f"/payments/{payment['id']}/resolve", {"decision": "accepted", "note": "x"}
    )
    assert (status, problem["code"]) == (409, "no_open_review")
    assert (await office.shop.payment(payment["id"]))["version"] == before["version"]
    assert await audit_of(office) == []


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"note": "x"}, "decision", "required"),
        ({"decision": "accepted"}, "note", "required"),
        ({"decision": "paid", "note": "x"}, "decision", "not_one_of"),
        ({"decision": "accepted", "note": ""}, "note", "too_short"),
        ({"decision": "accepted", "note": " \n "}, "note", "blank"),
        ({"decision": "accepted", "note": "x" * 1001}, "note", "too_long"),
        ({"decision": "accepted", "note": "a\x1bb"}, "note", "control_characters"),
        ({"decision": "accepted", "note": 7}, "note", "not_text"),
        ({"decision": "accepted", "note": "x", "amount": 1}, "amount", "unknown_field"),
    ],
)
async def test_a_wrong_decision_is_refused_by_field_and_changes_nothing(
    office: Desk, body: dict[str, Any], field: str, code: str
) -> None:
    payment = await office.odd()
    status, problem = await office.call("POST", f"/payments/{payment['id']}/resolve", body)
    assert (status, {error["field"]: error["code"] for error in problem["errors"]}) == (422, {field: code})
    assert (await office.shop.payment(payment["id"]))["version"] == payment["version"]
    assert await audit_of(office) == []


async def test_the_longest_note_fits(office: Desk) -> None:
    payment = await office.odd()
    body = {"decision": "accepted", "note": "ی" * 1000}
    assert (await office.call("POST", f"/payments/{payment['id']}/resolve", body))[0] == 200


@pytest.mark.parametrize("payment_id", ["pay_nothing", f"pay_{'0' * 26}", "trm_x"])
async def test_a_payment_that_is_not_there_is_not_found(office: Desk, payment_id: str) -> None:
    body = {"decision": "accepted", "note": "x"}
    for method, suffix, sent in (("POST", "/resolve", body), ("GET", "", None), ("GET", "/timeline", None)):
        status, problem = await office.call(method, f"/payments/{payment_id}{suffix}", sent)
        assert (status, problem["code"]) == (404, "not_found")


async def test_resolving_leaves_the_watch_of_its_other_invoices(store: AnyStore, clock: Clock) -> None:
    first = await records.pending(store)
    spare = await records.step(store, first, InvoiceIssued("spare-invoice"))
    await records.step(store, spare, replace(records.captured(first), amount_rials=1000))
    watch = await store.watch(first.merchant_id, first.id)
    assert watch is not None
    ids = Ids(random.Random(1).randbytes)
    reviews = Reviews(store, Settlement(store, ids, clock, lambda: 0.0), ids, clock)

    resolved = await reviews.resolve(first.id, Decision.REFUNDED, "back to the card", actor="sara")

    assert resolved.open_invoice_keys() == ("spare-invoice",)
    assert await store.watch(first.merchant_id, first.id) == watch


async def test_the_command_resolves_and_says_no_the_second_time(office: Desk) -> None:
    payment = await office.odd()
    command = ("payment", "resolve", payment["id"], "--decision", "rejected", "--note", "مبلغ دیگری بود")
    resolved = await office.cli.json(*command)
    assert resolved["review"]["resolution"]["decision"] == "rejected"
    again = await office.cli.run(*command)
    assert (again.code, again.out) == (1, "")
    assert "no_open_review" in again.error
    assert (await office.cli.run("payment", "resolve", payment["id"], "--decision", "paid", "--note", "x")).code == 2
    assert "pay_" in (await office.cli.run("payment", "show", "trm_x")).error
