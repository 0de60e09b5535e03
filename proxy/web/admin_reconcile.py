"""`/admin/v1/merchants/{merchant_id}/reconcile` and `…/paid`: a bank's file beside what we know, part by part."""

from typing import Annotated, Any

from aiohttp import web
from pydantic import Field

from proxy.clock import parse_rfc3339, rfc3339
from proxy.merchant import Mode
from proxy.operators.operators import Caller
from proxy.reconciliation.matching import MAX_PAGE, MAX_ROWS, Found, Line, Outcome, Paid, Period, Reconciliation
from proxy.web.admin_schemas import ModeName, Number, Text, Time
from proxy.web.admin_services import AdminServices
from proxy.web.answers import json_answer
from proxy.web.cursors import read_cursor, write_cursor
from proxy.web.middleware import MERCHANT_ID
from proxy.web.parsing import query_of, read_object, validated
from proxy.web.schemas import Cursor, Input, Printable


class BankRow(Input):
    """One row of the bank's: its tracking number, and the amount in rials."""

    bank_code: Annotated[Printable, Field(min_length=1, max_length=64)]
    amount_rials: Annotated[int, Field(ge=1, le=2**53 - 1)]


class Compare(Input):
    """`POST …/reconcile`"""

    rows: Annotated[list[BankRow], Field(min_length=1, max_length=MAX_ROWS)]
    mode: ModeName = Mode.LIVE


class PaidQuery(Input):
    """`GET …/paid?…`"""

    since: Time
    until: Time
    mode: ModeName = Mode.LIVE
    terminal_id: Text | None = None
    limit: Annotated[Number, Field(ge=1, le=MAX_PAGE)] = MAX_PAGE
    cursor: Cursor | None = None


class AdminReconcile:
    """The handlers. Each gets the operator who calls."""

    def __init__(self, services: AdminServices) -> None:
        self._store = services.store
        self._operators = services.operators
        self._reconciliation = Reconciliation(services.store)

    async def compare_rows(self, request: web.Request, caller: Caller) -> web.Response:
        merchant_id = await self._merchant(request)
        body = validated(Compare, await read_object(request))
        lines = [Line(row.bank_code, row.amount_rials) for row in body.rows]
        found = await self._reconciliation.compare(merchant_id, lines, body.mode)
        matched = sum(each.outcome is Outcome.MATCHED for each in found)
        data = {"merchant_id": merchant_id, "rows": len(lines), "matched": matched}
        await self._operators.noted(caller.name, "payments.reconcile", data)
        return json_answer({"data": [_found_object(*each) for each in zip(lines, found, strict=True)]})

    async def list_paid(self, request: web.Request, _caller: Caller) -> web.Response:
        merchant_id = await self._merchant(request)
        query = validated(PaidQuery, query_of(request))
        since, until = parse_rfc3339(query.since), parse_rfc3339(query.until)
        period = Period(merchant_id, max(0, since), max(0, until), query.mode, query.terminal_id)
        scope = ("paid", merchant_id, str(since), str(until), query.mode.value, query.terminal_id)
        after = None if query.cursor is None else read_cursor(query.cursor, scope)
        page = await self._reconciliation.paid(period, after, query.limit)
        following = None if page.following is None else write_cursor(page.following, scope)
        return json_answer({"data": [_paid_object(each) for each in page.paid], "next_cursor": following})

    async def _merchant(self, request: web.Request) -> str:
        merchant_id = request.match_info["merchant_id"]
        await self._store.merchant(merchant_id)
        request[MERCHANT_ID] = merchant_id
        return merchant_id


def _found_object(line: Line, found: Found) -> dict[str, Any]:
    payment = found.payment
    return {
        "bank_code": line.bank_code,
        "amount_rials": line.amount_rials,
        "outcome": found.outcome.value,
        "payment_id": payment and payment.id,
        "order_id": payment and payment.order_id,
        "captured_rials": found.captured_rials,
    }


def _paid_object(paid: Paid) -> dict[str, Any]:
    payment = paid.payment
    return {
        "payment_id": payment.id,
        "order_id": payment.order_id,
        "bank_code": payment.bank_code,
        "amount_rials": payment.captured_rials,
        "created_at": rfc3339(payment.created_at),
        "paid_at": rfc3339(payment.paid_at or payment.updated_at),
        "sure": paid.sure,
    }
