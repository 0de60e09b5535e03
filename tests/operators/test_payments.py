"""The operator looks at payments, decides about money that moved otherwise than asked, and hears of lost payments.

After a restore, who comes by a link of the lost window is told what to do.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from databases.places import AnyStore
from store import records
from support.clock import ManualClock
from support.command import Cli
from support.dargah import API_KEY, OPERATOR_TOKEN
from support.shop import Shop, playground

from operators.conftest import Desk
from proxy.app import Dargah
from proxy.cli.payments import entry_line
from proxy.gateways.port import InvoiceIssued
from proxy.kernel.clock import SECOND, parse_rfc3339, system_now
from proxy.kernel.ids import ALPHABET, Ids, time_of_id, time_of_link
from proxy.locale.persian import jalali_time
from proxy.operations import recovery as lost_payments
from proxy.payments.payment import Decision
from proxy.payments.settlement import Reviews, Settlement


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


async def test_a_list_is_of_all_merchants_or_of_one_that_is_there(office: Desk) -> None:
    assert (await office.call("GET", "/payments"))[1]["data"] == []
    assert (await office.call("GET", "/payments", merchant_id="everyone"))[0] == 422
    assert (await office.call("GET", "/payments", merchant_id="mer_00000000"))[0] == 404
    status, page = await office.call("GET", "/payments", merchant_id=office.shop.merchant_id)
    assert (status, page["data"]) == (200, [])


async def found(office: Desk, text: str) -> list[str]:
    status, page = await office.call("GET", "/payments/find", text=text)
    assert (status, page["next_cursor"]) == (200, None)
    return [payment["id"] for payment in page["data"]]


async def test_a_payment_is_found_by_whatever_number_somebody_tells(office: Desk) -> None:
    shop = office.shop
    paid = await shop.paid(order_id="order-1405-17", amount=1_234_560)
    other = await shop.created(order_id="another")
    _, shown = await office.call("GET", f"/payments/{paid['id']}")
    link = shown["pay_url"].rpartition("/")[2] if shown.get("pay_url") else paid["pay_url"].rpartition("/")[2]
    minute = shown["created_at"][:16]
    for text in (paid["id"], link, shown["bank_code"], shown["invoice_key"], "order-1405-17"):
        assert await found(office, text) == [paid["id"]], text
    for amount in ("1234560", "123456", "۱۲۳٬۴۵۶"):
        assert await found(office, amount) == [paid["id"]], amount
    both = sorted([paid["id"], other["id"]], reverse=True)
    for time in (f"{minute}Z", jalali_time(parse_rfc3339(shown["created_at"]))):
        assert set(await found(office, time)) >= {paid["id"]}, time
    today = jalali_time(parse_rfc3339(other["created_at"]))[:10]
    assert sorted(await found(office, today), reverse=True) == both
    assert await found(office, "1390/01/01") == []
    assert await found(office, "nothing of the kind") == []
    assert await found(office, "999999-01-01T00:00:00Z") == []


async def test_a_number_without_text_or_too_long_is_refused(office: Desk) -> None:
    for text in ("", " ", "x" * 101, "a\nb"):
        assert (await office.call("GET", "/payments/find", text=text))[0] == 422, text
    assert (await office.call("GET", "/payments/find"))[0] == 422


async def test_the_commands_list_sum_and_export_by_one_filter(office: Desk, tmp_path: Path) -> None:
    made = [(await office.shop.created(order_id=f"o-{number}"))["id"] for number in range(3)]
    odd = (await office.odd(order_id="odd"))["id"]
    listed = await office.cli.json("payment", "list", "--status", "pending", "--status", "needs_review")
    assert sorted(row["id"] for row in listed) == sorted([*made, odd])
    [found] = await office.cli.json("payment", "list", "--order-id", "o-1", "--amount-min", "1", "--currency", "IRT")
    assert found["id"] == made[1]
    assert await office.cli.json("payment", "list", "--created-before", "1405/01/01") == []
    unit = await office.cli.run("payment", "list", "--amount", "1")
    assert "needs its `currency`" in unit.error
    totals = await office.cli.json("payment", "totals", "--status", "needs_review")
    assert (totals["count"], totals["paid_rials"]) == (1, 0)
    file = tmp_path / "out.csv"
    done = await office.cli.run("payment", "export", "--status", "pending", "--output", str(file))
    assert "3 payments are in" in done.out
    assert file.read_text("utf-8-sig").count("o-") == 3
    assert list(tmp_path.glob("*.part")) == []
    report = await office.cli.run("settlement", "report", "--from", jalali_time(system_now())[:10])
    assert report.code == 0, report


async def test_the_command_finds_payments_over_all_merchants(office: Desk) -> None:
    payment = await office.shop.paid(order_id="order-of-sara")
    _, shown = await office.call("GET", f"/payments/{payment['id']}")
    [listed] = await office.cli.json("payment", "find", "order-of-sara")
    assert (listed["id"], listed["merchant_id"]) == (payment["id"], office.shop.merchant_id)
    table = await office.cli.run("payment", "find", shown["bank_code"])
    assert table.code == 0
    assert payment["id"] in table.out.splitlines()[1]
    nothing = await office.cli.run("payment", "find", "no-such-order")
    assert nothing.code == 1
    assert "'no-such-order'" in nothing.error


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
    refusing = "http://127.0.0.1:1/hook"
    endpoint, _ = await office.dargah.services.endpoints.add_endpoint(shop.merchant_id, refusing, actor="test")
    payment = await shop.paid()
    entries = await office.timeline_with(payment, "attempt", endpoint_id=endpoint.id, outcome="failed")
    [attempt] = [
        entry["data"]
        for entry in entries
        if entry["kind"] == "attempt" and entry["data"]["endpoint_id"] == endpoint.id and entry["data"]["number"] == 1
    ]
    assert (attempt["status"], attempt["error"]) == (None, "refused")


async def test_the_merchant_sees_the_same_timeline_and_nobody_else_any(office: Desk) -> None:
    shop = office.shop
    payment = await shop.paid()
    entries = await office.timeline_with(payment, "delivery", status="delivered")
    path = f"/v1/payments/{payment['id']}/timeline"
    assert await shop.call("GET", path) == (200, {"data": entries, "truncated": False})
    _, shop.token = await office.dargah.services.setup.issue_token(shop.merchant_id, "other", actor="test")
    assert (await shop.call("GET", path))[0] == 404


async def test_the_command_shows_a_payment_and_its_timeline_as_a_table_and_as_json(office: Desk) -> None:
    payment = await office.shop.paid()
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
        assert line.endswith(entry_line(entry))
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
    assert len(await office.cli.json("payment", "list")) == 2


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


async def test_a_decisions_longest_note_fits(office: Desk) -> None:
    payment = await office.odd()
    body = {"decision": "accepted", "note": "ی" * 1000}
    assert (await office.call("POST", f"/payments/{payment['id']}/resolve", body))[0] == 200


@pytest.mark.parametrize("payment_id", ["pay_nothing", f"pay_{'0' * 26}", "trm_x"])
async def test_a_payment_that_is_not_there_is_not_found(office: Desk, payment_id: str) -> None:
    body = {"decision": "accepted", "note": "x"}
    for method, suffix, sent in (("POST", "/resolve", body), ("GET", "", None), ("GET", "/timeline", None)):
        status, problem = await office.call(method, f"/payments/{payment_id}{suffix}", sent)
        assert (status, problem["code"]) == (404, "not_found")


async def test_resolving_leaves_the_watch_of_its_other_invoices(store: AnyStore, clock: ManualClock) -> None:
    first = await records.pending(store)
    spare = await records.step(store, first, InvoiceIssued("spare-invoice"))
    await records.step(store, spare, replace(records.captured(first), amount_rials=1000))
    watch = await store.payments.check_schedule(first.merchant_id, first.id)
    assert watch is not None
    ids = Ids(random.Random(1).randbytes)
    reviews = Reviews(store.payments, Settlement(store.payments, ids, clock, lambda: 0.0), ids, clock)

    resolved = await reviews.resolve(first.id, Decision.REFUNDED, "back to the card", actor="sara")

    assert resolved.open_invoice_keys() == ("spare-invoice",)
    assert await store.payments.check_schedule(first.merchant_id, first.id) == watch


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


ENGLISH = {"Accept-Language": "en"}
TITLE, NO_LINK = "We do not know this payment any more", "This payment link was not found"


def another(text: str, number: int = 1) -> str:
    """An id or link of the same merchant and time, which was never given: as one is that a restore took away."""
    last = (ALPHABET.index(text[-1]) + number) % len(ALPHABET)
    return text[:-1] + ALPHABET[last]


@pytest.fixture
async def restored(folder: Path) -> AsyncIterator[tuple[Shop, Dargah, dict[str, Any]]]:
    """A shop, and a payment of a window that a restore was noted for."""
    async with playground(folder) as (shop, dargah):
        began = system_now()
        payment = await shop.created()
        await dargah.services.store.recovery.note_restore(began, system_now())
        yield shop, dargah, payment


def link_of(payment: dict[str, Any]) -> str:
    return str(payment["pay_url"]).rpartition("/")[2]


async def page(shop: Shop, path: str, method: str = "GET", **more: Any) -> tuple[int, str]:
    async with shop.session.request(method, shop.url + path, headers=ENGLISH, allow_redirects=False, **more) as answer:
        return answer.status, await answer.text()


async def listed(shop: Shop, dargah: Dargah) -> list[dict[str, Any]]:
    url = f"{dargah.admin_url}/admin/v1/merchants/{shop.merchant_id}/lost-payments"
    async with shop.session.get(url, headers={"Authorization": f"Bearer {OPERATOR_TOKEN}"}) as answer:
        assert answer.status == 200
        data: list[dict[str, Any]] = (await answer.json())["data"]
        return data


async def test_a_customer_of_the_lost_window_is_told_what_to_do_and_the_operator_that_somebody_asked(
    restored: tuple[Shop, Dargah, dict[str, Any]],
) -> None:
    shop, dargah, payment = restored
    link = another(link_of(payment))
    for path in (f"/pay/{link}", f"/return/{link}?invoice_key=abc-1"):
        status, text = await page(shop, path)
        assert (status, TITLE in text) == (404, True)
        assert "do not pay again" in text
    assert TITLE in (await page(shop, f"/return/{link}", "POST", data={"invoice_key": "xyz"}))[1]
    [asked] = await listed(shop, dargah)
    assert (asked["reference"], asked["asked_by"], asked["times"]) == (link, "customer", 3)
    assert (asked["invoice_key"], asked["storefront"]) == ("abc-1", None)
    assert (await page(shop, f"/pay/{link_of(payment)}"))[0] == 303, "what is there is served as ever"


async def test_the_lost_payments_page_is_in_persian_unless_another_language_is_asked_for(
    restored: tuple[Shop, Dargah, dict[str, Any]],
) -> None:
    shop, _, payment = restored
    async with shop.session.get(f"{shop.url}/pay/{another(link_of(payment))}") as answer:
        assert "دوباره پرداخت نکنید" in await answer.text()


async def test_a_storefront_that_asks_for_a_lost_payment_is_listed(
    restored: tuple[Shop, Dargah, dict[str, Any]],
) -> None:
    shop, dargah, payment = restored
    gone = another(payment["id"])
    assert (await shop.call("GET", f"/v1/payments/{gone}"))[0] == 404
    assert (await shop.call("POST", f"/v1/payments/{gone}/check"))[0] == 404
    [asked] = await listed(shop, dargah)
    assert (asked["reference"], asked["asked_by"], asked["storefront"]) == (gone, "storefront", "main")
    assert asked["times"] == 2


async def test_nothing_is_said_or_noted_of_what_was_never_in_a_lost_window(
    restored: tuple[Shop, Dargah, dict[str, Any]],
) -> None:
    shop, dargah, payment = restored
    link = link_of(payment)
    later = (await shop.created())["pay_url"].rpartition("/")[2]
    stranger = "00000001" + link[8:]
    for unknown in (another(later), stranger, link[:8] + "0" * 29, "x"):
        status, text = await page(shop, f"/pay/{unknown}")
        assert (status, NO_LINK in text, TITLE in text) == (404, True, False), unknown
    async with shop.session.head(f"{shop.url}/pay/{another(link)}") as answer:
        assert answer.status == 404
    assert await listed(shop, dargah) == []


async def test_what_strangers_have_written_is_limited_by_the_minute_and_by_the_merchant(
    restored: tuple[Shop, Dargah, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, dargah, payment = restored
    monkeypatch.setattr(lost_payments, "MOST_KEPT", 5)
    for number in range(1, 9):
        assert TITLE in (await page(shop, f"/pay/{another(link_of(payment), number)}"))[1]
    assert len(await listed(shop, dargah)) == 5
    assert (await shop.call("GET", f"/v1/payments/{another(payment['id'])}"))[0] == 404
    assert len(await listed(shop, dargah)) == 6, "storefronts are kept beside customers"
    for number in range(1, lost_payments.NOTES_PER_MINUTE + 5):
        assert TITLE in (await page(shop, f"/pay/{another(link_of(payment), 1 + number % 5)}"))[1]
    assert sum(asked["times"] for asked in await listed(shop, dargah)) <= lost_payments.NOTES_PER_MINUTE


async def test_the_command_lists_lost_payments(restored: tuple[Shop, Dargah, dict[str, Any]], tmp_path: Path) -> None:
    shop, dargah, payment = restored
    link = another(link_of(payment))
    await page(shop, f"/pay/{link}")
    cli = Cli({"DARGAH_ADMIN_URL": dargah.admin_url, "DARGAH_ADMIN_TOKEN": OPERATOR_TOKEN}, tmp_path)
    [asked] = await cli.json("payment", "lost", "--merchant", shop.merchant_id)
    assert asked["reference"] == link


async def test_ids_and_links_hold_their_time(restored: tuple[Shop, Dargah, dict[str, Any]]) -> None:
    _, _, payment = restored
    assert abs(time_of_id(payment["id"]) - system_now()) < 60 * SECOND
    assert abs(time_of_link(link_of(payment)) - system_now()) < 60 * SECOND
    assert time_of_link("x") == time_of_id("x") == 0
