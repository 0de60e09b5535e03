"""`dargah reconcile`: the gateway's own ledger as the bank's file, beside what Dargah knows."""

import csv
import io
import re
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from core.payments import PENDING
from hypothesis import given, settings
from hypothesis import strategies as st
from support.command import Cli

from operators.conftest import Desk
from proxy.cli.reconcile_report import BankSheet
from proxy.gateways.port import Captured
from proxy.kernel.money import Currency
from proxy.locale.persian import persian_digits
from proxy.operations.reconciliation.file import Layout, Row, read_rows
from proxy.operations.reconciliation.matching import Line, MatchOutcome, explain, spellings
from proxy.payments.payment import Decision, OperatorDecision, Payment, apply

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
