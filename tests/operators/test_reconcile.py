"""`dargah reconcile`: the gateway's own ledger as the bank's file, beside what Dargah knows.

And `dargah recover`: money that nobody asked about is found, credited and told of after an outage.
"""

import asyncio
import csv
import io
import json
import re
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from core.payments import PENDING
from databases.places import AnyStore
from hypothesis import given, settings
from hypothesis import strategies as st
from store import records
from support.clock import ManualClock
from support.command import Cli

from operators.conftest import BEGIN, OPERATORS, Admin, Desk
from proxy.cli.reconcile_report import BankSheet
from proxy.gateways.port import Captured, NotPaid
from proxy.kernel.clock import DAY, HOUR, MINUTE, SECOND, rfc3339, system_now
from proxy.kernel.errors import InvalidInput, Overloaded
from proxy.kernel.money import Currency
from proxy.locale.persian import persian_digits
from proxy.operations.reconciliation.file import Layout, Row, read_rows
from proxy.operations.reconciliation.matching import Line, MatchOutcome, explain, spellings
from proxy.operations.recovery import AT_ONCE, LONGEST_STEP, Recovery
from proxy.payments.checkout import Checkup
from proxy.payments.payment import Decision, OperatorDecision, Payment
from proxy.payments.transitions import apply

# Wide enough that midnight in Tehran may come while a test runs.
BEFORE, AFTER = (f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d}" for days in (-2, 2))
WHEN = ("--since", BEFORE, "--until", AFTER)


async def statement(office: Desk) -> str:
    """The gateway's ledger as a bank's file."""
    async with office.shop.session.get(f"{office.shop.gateway_url}/control/statement.csv") as answer:
        assert answer.status == 200
        return (await answer.read()).decode()


async def paid(office: Desk, **fields: Any) -> dict[str, Any]:
    payment = await office.shop.created(**fields)
    await office.shop.act(payment, "pay")
    checked = await office.check(payment)
    assert checked["status"] == "paid"
    return checked


async def reconciled(office: Desk, text: str, *options: str) -> dict[str, Any]:
    file = office.cli.folder / "bank.csv"
    file.write_bytes(text.encode())
    ran = await office.cli.run(
        "reconcile", "--csv", str(file), "--merchant", office.shop.merchant_id, "--json", *options
    )
    assert ran.code in {0, 3}, ran.error
    report: dict[str, Any] = replace(ran, code=0).json
    assert report["all_matched"] == (ran.code == 0)
    return report


def edited(text: str, bank_code: str, amount: int | None, times: int = 1) -> str:
    """The file with the row of a code `times` times, with another amount where one is given."""
    rows = list(csv.reader(io.StringIO(text)))
    out = io.StringIO()
    for row in rows:
        count = times if row[0] == bank_code else 1
        csv.writer(out).writerows([[row[0], amount or row[1], *row[2:]] if row[0] == bank_code else row] * count)
    return out.getvalue()


async def test_the_gateways_own_ledger_matches_to_the_last_rial(office: Desk) -> None:
    payments = [await paid(office, amount=amount) for amount in (150_000, 1_000, 99_999_999)]
    report = await reconciled(office, await statement(office), *WHEN)
    assert report["all_matched"]
    assert report["counts"]["matched"] == 3
    assert report["rials"]["matched"] == sum(payment["amount_rials"] for payment in payments)


async def test_every_difference_is_told_by_its_kind_and_changes_nothing(office: Desk) -> None:
    first, second, third, fourth = [await paid(office) for _ in range(4)]
    odd = await office.odd()
    lost = await office.canceled_then_paid()
    text = await statement(office)
    text = edited(text, second["bank_code"], 1_500_000)
    text = edited(text, third["bank_code"], None, times=0)
    text = edited(text, fourth["bank_code"], None, times=2)
    text = edited(text, odd["bank_code"], 1000)
    report = await reconciled(office, text, *WHEN)
    assert report["counts"] == {
        "matched": 2,
        "missing_here": 1,
        "amount_differs": 1,
        "duplicate": 1,
        "under_review": 1,
        "missing_there": 1,
        "at_the_edge": 0,
        "reversed": 0,
        "went_out": 0,
        "refunded": 0,
    }
    [differing] = report["amount_differs"]
    assert (differing["payment_id"], differing["captured_rials"]) == (second["id"], 150_000)
    assert [each["payment_id"] for each in report["missing_there"]] == [third["id"]]
    [twice] = report["duplicate"]
    assert (twice["bank_code"], twice["number"] - twice["first_number"]) == (fourth["bank_code"], 1)
    assert [each["payment_id"] for each in report["under_review"]] == [odd["id"]]
    assert [each["payment_id"] for each in report["missing_here"]] == [None]
    status, shown = await office.call("GET", f"/payments/{lost['id']}")
    assert (status, shown["status"]) == (200, "canceled")
    assert (await office.call("GET", f"/payments/{first['id']}"))[1]["version"] == first["version"]


async def test_on_the_operators_word_the_gateway_is_asked_about_what_is_missing_here(office: Desk) -> None:
    lost = await office.canceled_then_paid()
    report = await reconciled(office, await statement(office), *WHEN, "--check-missing")
    assert report["asked_again"]["credited"] == 1
    assert report["counts"]["matched"] == 1
    assert report["all_matched"]
    assert (await office.call("GET", f"/payments/{lost['id']}"))[1]["status"] == "paid"


async def test_a_reversed_row_of_a_paid_payment_is_a_difference(office: Desk) -> None:
    payment, odd = await paid(office), await office.odd()
    status, _ = await office.call("POST", f"/payments/{odd['id']}/resolve", {"decision": "refunded", "note": "by hand"})
    assert status == 200
    taken, given = f"{payment['bank_code']},150000,x", f"{payment['bank_code']},-150000,x"
    back = f"{odd['bank_code']},(1000),x"
    text = f"bank_code,amount,about\n{taken}\n{given}\n{back}\n77,-500,a fee\n,-5,a fee\ntotal,150000,x\n"
    report = await reconciled(office, text, "--unit", "rial", "--one-way")
    assert {name: count for name, count in report["counts"].items() if count} == {
        "matched": 1,
        "reversed": 1,
        "refunded": 1,
        "went_out": 1,
    }
    [reversal] = report["reversed"]
    assert (reversal["number"], reversal["payment_id"]) == (3, payment["id"])
    assert report["skipped"] == [
        {"number": 6, "why": "money that went out, without a code"},
        {"number": 7, "why": "a total"},
    ]
    assert not report["all_matched"]


async def test_a_bank_code_in_persian_digits_is_found_whichever_digits_the_file_has(office: Desk) -> None:
    payment = await paid(office)
    code = payment["bank_code"]
    assert any(char in "0123456789" for char in code)
    report = await reconciled(
        office, f"bank_code,amount\n{persian_digits(code)},150000\n", "--unit", "rial", "--one-way"
    )
    assert report["counts"]["matched"] == 1


def test_a_gateways_persian_or_arabic_digits_are_looked_for_as_well() -> None:
    assert spellings("120") == ["120", "۱۲۰", "١٢٠"]
    assert spellings("AB") == ["AB"]


async def test_codes_of_two_hundred_characters_are_compared(office: Desk) -> None:
    rows = "".join(f"{number:0200},1000\n" for number in range(500))
    report = await reconciled(office, f"bank_code,amount\n{rows}", "--unit", "rial", "--one-way")
    assert report["counts"]["missing_here"] == 500


async def test_a_file_in_tomans_that_is_said_to_be_in_rials_is_called_out(office: Desk) -> None:
    payment = await paid(office)
    file = office.cli.folder / "bank.csv"
    file.write_text(f"bank_code,amount\n{payment['bank_code']},15000\n")
    arguments = ("reconcile", "--csv", str(file), "--merchant", office.shop.merchant_id, "--one-way", "--unit")
    wrong = await office.cli.run(*arguments, "rial")
    assert wrong.code == 3
    assert "1 amounts differ tenfold" in wrong.out
    right = await office.cli.run(*arguments, "toman")
    assert (right.code, right.error) == (0, "")
    assert "all matched" in right.out


async def test_a_row_with_the_code_of_a_paid_payment_and_no_money_differs_and_another_ones_does_not(
    office: Desk,
) -> None:
    payment, zeroed = await paid(office), await paid(office)
    rows = f"bank_code,amount\n{payment['bank_code']},150000\n999999,0\n"
    assert (await reconciled(office, rows, "--unit", "rial", "--one-way"))["all_matched"]
    report = await reconciled(office, f"{rows}{zeroed['bank_code']},0\n", "--unit", "rial", "--one-way")
    assert not report["all_matched"]
    assert report["counts"]["amount_differs"] == 1
    assert report["counts"]["missing_here"] == 0


async def test_a_file_that_is_not_all_utf_8_is_told_by_its_line(office: Desk) -> None:
    file = office.cli.folder / "bank.csv"
    file.write_bytes("گزارش\nکد رهگیری,مبلغ\n".encode() + b"1,\xff\n")
    ran = await office.cli.run("reconcile", "--csv", str(file), "--merchant", office.shop.merchant_id)
    assert ran.code == 1
    assert "line 3 is not UTF-8" in ran.error
    assert "save the file as UTF-8" in ran.error


async def test_a_reconciliation_counts_only_its_own_merchants_payments(office: Desk) -> None:
    payment = await paid(office)
    status, other = await office.call("POST", "/merchants", {"name": "other"})
    assert status == 201
    rows = {"rows": [{"bank_code": payment["bank_code"], "amount_rials": 150_000}]}
    status, answer = await office.call("POST", f"/merchants/{other['id']}/reconcile", rows)
    assert (status, answer["data"][0]["outcome"], answer["data"][0]["payment_id"]) == (200, "missing_here", None)
    assert (await office.call("POST", "/merchants/mer_00000000/reconcile", rows))[0] == 404


async def test_the_paid_of_a_period_come_in_pages_and_say_who_may_stand_in_the_file_beside(office: Desk) -> None:
    payments = [await paid(office) for _ in range(5)]
    base = f"/merchants/{office.shop.merchant_id}/paid"
    until = (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    query = {"since": payments[1]["created_at"], "until": until, "limit": "2"}
    found: list[dict[str, Any]] = []
    while True:
        status, page = await office.call("GET", base, **query)
        assert status == 200
        found += page["data"]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert [each["payment_id"] for each in found] == [each["id"] for each in reversed(payments)][: len(found)]
    # The first was made before the period. Whether its money came in it depends on the millisecond.
    assert [each["sure"] for each in found[:4]] == [True] * 4
    assert not any(each["sure"] for each in found[4:])
    assert (await office.call("GET", base, **query | {"since": until}))[0] == 422


@pytest.mark.parametrize(
    ("text", "options", "why"),
    [
        ("bank_code,amount\n1,1000\n2,x\n", ("--unit", "rial"), "row 3: the amount 'x' is not a number"),
        ("bank_code,amount\n1,1000\n", ("--unit", "rial"), "no dates"),
        ("bank_code,amount\n1,1000\n", (), "rials or tomans"),
        ('bank_code,amount\n1,1000\n2,"2000\n3,3000\n', ("--unit", "rial"), "row 3 is no CSV"),
        ("bank_code,amount\n1,0\n", ("--unit", "rial"), "no row that moves money"),
        ("bank_code,amount\n1,1000\n", ("--unit", "rial", "--encoding", "klingon"), "klingon"),
    ],
)
async def test_a_bank_file_that_cannot_be_read_is_refused_before_the_server_is_asked(
    tmp_path: Path, text: str, options: tuple[str, ...], why: str
) -> None:
    (tmp_path / "bank.csv").write_text(text)
    nowhere = Cli({"DARGAH_ADMIN_URL": "http://127.0.0.1:9", "DARGAH_ADMIN_TOKEN": "x" * 30}, tmp_path)
    ran = await nowhere.run("reconcile", "--csv", "bank.csv", "--merchant", "mer_00000000", *options)
    assert ran.code == 1
    assert why in ran.error
    assert "reached" not in ran.error


def test_the_memory_that_a_file_takes_does_not_grow_with_its_rows(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        file = tmp_path / f"{count}.csv"
        with file.open("w") as out:
            out.write("bank_code,amount\n")
            out.writelines(f"{number:012},{1000 + number}\n" for number in range(count))
        tracemalloc.start()
        with BankSheet() as sheet, file.open("rb") as data:
            sheet.fill(row for row in read_rows(data, Layout(currency=Currency.IRR)) if isinstance(row, Row))
            assert sum(len(batch) for batch in sheet.batches(500)) == count
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(40_000) < 1.2 * peak(4_000)


CODES = ("1", "2", "3")


def captured(payment: Payment, code: str, rials: int) -> Payment:
    assert payment.invoice_key is not None
    return apply(payment, Captured(payment.invoice_key, rials, code), payment.created_at + 5)[0]


@settings(deadline=None)
@given(st.sampled_from(CODES), st.integers(1000, 1005), st.integers(1000, 1005), st.integers(1000, 1005), st.booleans())
def test_a_row_matches_only_money_that_is_credited_or_decided_about(
    code: str, asked: int, taken: int, row: int, resolved: bool
) -> None:
    payment = captured(replace(PENDING, amount_rials=asked), code, taken)
    if resolved and payment.review is not None:
        payment = apply(payment, OperatorDecision(Decision.REFUNDED, "note", "sara"), payment.updated_at + 1)[0]
    found = explain(Line(code, row), [payment])
    credited_or_decided = asked == taken or resolved
    assert (found.outcome is MatchOutcome.MATCHED) == (row == taken and credited_or_decided)
    assert (found.outcome is MatchOutcome.AMOUNT_DIFFERS) == (row != taken)
    assert found.captured_rials == taken


def test_a_row_without_a_payment_is_missing_here() -> None:
    assert explain(Line("1", 1000), []).outcome is MatchOutcome.MISSING_HERE


def test_a_number_that_two_payments_have_is_explained_by_the_one_whose_money_it_is() -> None:
    first = captured(replace(PENDING, amount_rials=1000), "1", 1000)
    second = captured(replace(PENDING, amount_rials=2000), "1", 3000)
    assert explain(Line("1", 1000), [second, first]).payment == first


async def test_the_pages_command_does_what_the_page_says(office: Desk) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reconciliation.md").read_text("utf-8")
    [command] = re.findall(r"```sh\n(.*?)\n```", page)
    await paid(office)
    (office.cli.folder / "bank.csv").write_text(await statement(office))
    words = command.replace("mer_…", office.shop.merchant_id).split()[1:]
    ran = await office.cli.run(*words, *WHEN)
    assert (ran.code, ran.error) == (0, "")
    assert ran.out.endswith("all matched\n")


def rows_of(table: str) -> list[list[str]]:
    return [line.split() for line in table.splitlines()]


async def test_money_taken_after_a_cancel_is_found_credited_and_told(office: Desk) -> None:
    payment = await office.canceled_then_paid(order_id="A-17")
    await office.shop.created()

    ran = await office.cli.run("recover", "--since", "48h")

    assert ran.code == 3, ran.error
    ledger = await office.shop.control("GET", f"/invoices/{payment['invoice_key']}")
    head, row, summary = rows_of(ran.out)
    assert head[:4] == ["FOUND", "PAYMENT", "MERCHANT", "ORDER"]
    merchant = office.shop.merchant_id
    assert row == ["credited", payment["id"], merchant, "A-17", "150000", "150000", ledger["bank_code"], "-"]
    assert " ".join(summary) == (
        "2 checked: 1 credited, 0 need review, 1 still open, 0 not paid, 0 without a clear answer"
    )
    assert "2 checked: 1 credited" in ran.error
    shown = await office.shop.payment(payment["id"])
    assert (shown["status"], shown["late"]) == ("paid", True)
    told = await office.shop.receiver.told(2)
    assert [event["type"] for event in told] == ["payment.canceled", "payment.paid"]

    again = await office.cli.run("recover", "--since", "48h")
    assert (again.code, again.out.splitlines()[-1].split(":")[0]) == (0, "1 checked")


async def test_money_taken_after_the_expiry_is_found(office: Desk) -> None:
    created_at = rfc3339(system_now() - MINUTE)
    payment = await office.shop.created()
    office.clock.offset = 31 * MINUTE
    assert (await office.check(payment))["status"] == "expired"
    await office.shop.act(payment, "pay")

    ran = await office.cli.run("recover", "--since", created_at, "--json")

    assert ran.code == 3, ran.error
    found = json.loads(ran.out)
    assert (found["complete"], found["checked"], found["needs_review"]) == (True, 1, [])
    [credited] = found["credited"]
    assert (credited["id"], credited["status"], credited["late"]) == (payment["id"], "paid", True)


async def test_money_taken_otherwise_than_asked_is_found_as_a_review(office: Desk) -> None:
    payment = await office.shop.created()
    await office.shop.fault("check", "wrong_amount", amount_rials=1000)
    await office.shop.act(payment, "pay")
    ran = await office.cli.run("recover", "--since", "1h")
    assert ran.code == 3, ran.error
    _, row, _ = rows_of(ran.out)
    assert row[:3] == ["needs", "review", payment["id"]]
    assert (row[5:7], row[-1]) == (["150000", "1000"], "amount_differs")


async def test_a_recovery_that_finds_nothing_counts_payments_by_kind(office: Desk) -> None:
    await office.shop.created()
    canceled = await office.shop.created()
    await office.shop.act(canceled, "cancel")
    await office.check(canceled)
    await office.shop.paid()
    ran = await office.cli.run("recover", "--since", "1h", "--json")
    assert ran.code == 0, ran.error
    found = json.loads(ran.out)
    counts = {name: found[name] for name in ("checked", "still_open", "not_paid", "unclear")}
    assert counts == {"checked": 2, "still_open": 1, "not_paid": 1, "unclear": 0}


async def test_a_gateway_that_does_not_answer_leaves_all_as_it_is_and_is_no_success(office: Desk) -> None:
    payment = await office.canceled_then_paid()
    await office.shop.fault("check", "http_500")
    ran = await office.cli.run("recover", "--since", "1h")
    assert ran.code == 1
    assert "1 without a clear answer" in ran.out
    assert "Run it again later" in ran.error
    assert (await office.shop.payment(payment["id"]))["status"] == "canceled"
    await office.shop.control("DELETE", "/faults")
    assert (await office.cli.run("recover", "--since", "1h")).code == 3


async def test_a_recovery_goes_through_all_payments_in_batches(office: Desk) -> None:
    ids = [(await office.canceled_then_paid())["id"] for _ in range(5)]
    ran = await office.cli.run("recover", "--since", "1h", "--batch", "2", "--json")
    assert ran.code == 3, ran.error
    assert sorted(payment["id"] for payment in json.loads(ran.out)["credited"]) == sorted(ids)
    assert len(ran.error.splitlines()) == 3
    assert len(await office.shop.receiver.told(10)) == 10


async def test_a_recovery_asks_about_each_payment_once(office: Desk) -> None:
    payments = [await office.shop.created() for _ in range(20)]
    body: dict[str, Any] = {"since": rfc3339(system_now() - HOUR), "limit": 7}
    batches = []
    while True:
        status, batch = await office.call("POST", "/recover", body)
        assert status == 200
        batches.append(batch["checked"])
        if batch["next_cursor"] is None:
            break
        body["cursor"] = batch["next_cursor"]
    assert batches == [7, 7, 6]
    for payment in payments:
        kinds = [entry["kind"] for entry in await office.timeline(payment)]
        assert kinds == ["gateway.request", "gateway.check"]


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({}, "since", "required"),
        ({"since": "yesterday"}, "since", "not_a_time"),
        ({"since": "2026-11-20T10:00:00"}, "since", "not_a_time"),
        ({"since": "2001-01-01T00:00:00Z"}, "since", "out_of_range"),
        ({"since": "2222-01-01T00:00:00Z"}, "since", "out_of_range"),
        ({"since": "2026-11-24T09:00:00Z", "cursor": "AAAA"}, "cursor", "cursor_invalid"),
        ({"since": "2026-11-24T09:00:00Z", "limit": 0}, "limit", "too_small"),
        ({"since": "2026-11-24T09:00:00Z", "limit": 101}, "limit", "too_large"),
        ({"since": "2026-11-24T09:00:00Z", "all": True}, "all", "unknown_field"),
    ],
)
async def test_a_wrong_field_of_a_recovery_is_named(admin: Admin, body: dict[str, Any], field: str, code: str) -> None:
    status, problem = await admin.call("POST", "/recover", body)
    assert (status, {error["field"]: error["code"] for error in problem["errors"]}) == (422, {field: code})


async def test_a_recoverys_cursor_belongs_to_its_since(admin: Admin, store: AnyStore) -> None:
    merchant = await records.add_merchant(store)
    for number in range(2):
        # Asking fails, as there is no such terminal: that is unclear, and the walk goes on.
        await records.pending(store, str(number), merchant_id=merchant.id, at=BEGIN - HOUR)
    body = {"since": "2026-11-24T08:00:00Z", "limit": 1}
    status, batch = await admin.call("POST", "/recover", body)
    assert (status, batch["unclear"], batch["checked"]) == (200, 1, 1)
    other = {"since": "2026-11-24T08:00:01Z", "cursor": batch["next_cursor"]}
    assert (await admin.call("POST", "/recover", other))[0] == 422
    status, rest = await admin.call("POST", "/recover", body | {"cursor": batch["next_cursor"]})
    assert (status, rest["checked"]) == (200, 1)


@pytest.mark.parametrize("since", ["48", "2 days", "-1h", "2026-11-20T10:00:00", "h"])
async def test_the_recover_command_takes_no_unclear_time(tmp_path: Path, since: str) -> None:
    ran = await Cli({"DARGAH_ADMIN_TOKEN": OPERATORS["sara"]}, tmp_path).run("recover", f"--since={since}")
    assert ran.code == 2
    assert "--since" in ran.error


async def test_the_recover_command_fails_without_a_server_and_beyond_thirty_days(cli: Cli) -> None:
    too_far = await cli.run("recover", "--since", "2001-01-01T00:00:00Z")
    assert (too_far.code, "at most 30 days back" in too_far.error) == (1, True)
    assert "not complete" in too_far.out
    away = await cli.given(DARGAH_ADMIN_URL="http://127.0.0.1:1").run("recover", "--since", "48h")
    assert (away.code, "cannot be reached" in away.error) == (1, True)


class SlowCheckout:
    """A full house of checks takes ten seconds of the clock's, and every seventh finds a full queue."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.asked: list[str] = []
        self.now_running = self.most_running = 0

    async def check(self, payment: Payment) -> Checkup:
        self.asked.append(payment.id)
        if len(self.asked) % AT_ONCE == 0:
            self._clock.now += 10 * SECOND
        full = len(self.asked) % 7 == 0
        self.now_running += 1
        self.most_running = max(self.most_running, self.now_running)
        await asyncio.sleep(0)
        self.now_running -= 1
        if full:
            raise Overloaded
        return Checkup(payment, NotPaid(payment.invoice_key or ""))


async def test_a_recovery_step_stops_in_time_and_the_next_goes_on_there(store: AnyStore, clock: ManualClock) -> None:
    merchant = await records.add_merchant(store)
    begin = clock.now
    ids = [
        (await records.pending(store, str(number), merchant_id=merchant.id, at=begin + number)).id
        for number in range(100)
    ]
    checkout = SlowCheckout(clock)
    recovery = Recovery(store.payments, checkout, clock)  # type: ignore[arg-type]  # only its check is used
    after, checked, steps = None, 0, 0
    while steps == 0 or after is not None:
        started = clock.now
        found = await recovery.step(begin, after, 100)
        assert clock.now - started <= LONGEST_STEP + 10 * SECOND
        assert found.unclear > 0
        after, checked, steps = found.reached, checked + found.checked, steps + 1
    assert checkout.asked == ids
    assert (checked, steps > 1) == (100, True)
    assert checkout.most_running <= AT_ONCE


async def test_a_recovery_goes_back_thirty_days_at_most(store: AnyStore, clock: ManualClock) -> None:
    recovery = Recovery(store.payments, SlowCheckout(clock), clock)  # type: ignore[arg-type]  # nothing is checked
    assert (await recovery.step(clock.now - 30 * DAY, None, 10)).checked == 0
    with pytest.raises(InvalidInput):
        await recovery.step(clock.now - 31 * DAY, None, 10)
    # A walk that began in time may end later than that.
    assert (await recovery.step(clock.now - 31 * DAY, "mer_00000000", 10)).checked == 0
