"""`/admin/v1/payments` and `/admin/v1/recover`: the operator looks at any merchant's payment, decides, and recovers."""

from dataclasses import asdict, replace
from typing import Any

from aiohttp import web

from proxy.api.admin.schemas import (
    AdminPaymentConditions,
    AdminPaymentQuery,
    FindQuery,
    RecoverPayments,
    Resolve,
    SettlementQuery,
)
from proxy.api.auth import payment_of_path
from proxy.api.middleware import MERCHANT_ID
from proxy.api.responses import csv_answer, json_answer, page_answer, read_cursor, write_cursor
from proxy.api.services import AdminServices
from proxy.api.v1.objects import timeline_object
from proxy.http.parsing import query_of, read_object, validated
from proxy.kernel.clock import parse_rfc3339, rfc3339
from proxy.operations.recovery import RecoveryStep
from proxy.operations.restores import LostPayment
from proxy.operators.operators import Caller
from proxy.payments.access import Access
from proxy.payments.finder import PaymentFinder
from proxy.payments.long_reads import within_one_answer
from proxy.payments.payment import Payment
from proxy.payments.payment_csv import COLUMNS, PaymentCsv
from proxy.payments.scan import PaymentScan
from proxy.payments.serializers import payment_data
from proxy.payments.totals import SettlementDay, Totals, settlement_report, totals_of


class AdminPayments:
    """The handlers of payments. Each gets the authenticated operator as its caller."""

    def __init__(self, services: AdminServices) -> None:
        self._store = services.store
        self._access = Access(services.store.payments, services.store.webhooks, token=None)
        self._reviews = services.reviews
        self._recovery = services.recovery
        self._tasks = services.tasks
        self._operators = services.operators
        self._long_reads = services.long_reads

    async def list_payments(self, request: web.Request, _caller: Caller) -> web.Response:
        query = validated(AdminPaymentQuery, query_of(request))
        await self._note_merchant(request, query.merchant_id)
        scope = ("payments", *query.scope())
        wanted = replace(query.filter(), after=read_cursor(query.cursor, scope), limit=query.limit)
        page = await PaymentFinder(self._access).page(query.merchant_id, wanted)
        data = [operator_payment(payment) for payment in page.payments]
        return page_answer(request, data, write_cursor(page.following, scope))

    async def _note_merchant(self, request: web.Request, merchant_id: str | None) -> None:
        """Raises NotFound for a merchant that there is not."""
        if merchant_id is not None:
            request[MERCHANT_ID] = merchant_id
            await self._store.merchants.merchant(merchant_id)

    async def export_payments(self, request: web.Request, _caller: Caller) -> web.StreamResponse:
        """All payments of the filter as CSV, written while they are read."""
        query = validated(AdminPaymentConditions, query_of(request))
        await self._note_merchant(request, query.merchant_id)
        file = PaymentCsv([name for _, name in COLUMNS], {})
        with self._long_reads.place():
            return await csv_answer(request, "dargah-payments.csv", file.chunks(self._scan(query)))

    async def total_payments(self, request: web.Request, _caller: Caller) -> web.Response:
        query = validated(AdminPaymentConditions, query_of(request))
        await self._note_merchant(request, query.merchant_id)
        with self._long_reads.place():
            totals = await totals_of(self._scan(query), within_one_answer("created_after"))
        return json_answer(totals_object(totals))

    async def report_settlement(self, request: web.Request, _caller: Caller) -> web.Response:
        query = validated(SettlementQuery, query_of(request))
        await self._note_merchant(request, query.merchant_id)
        with self._long_reads.place():
            days = await settlement_report(
                self._store.payments,
                query.merchant_id,
                query.period(),
                mode=query.mode,
                terminal_id=query.terminal_id,
                progress=within_one_answer("first_day"),
            )
        return json_answer({"data": [settlement_object(day) for day in days]})

    def _scan(self, query: AdminPaymentConditions) -> PaymentScan:
        return PaymentFinder(self._access).scan(query.merchant_id, query.filter())

    async def find_payments(self, request: web.Request, _caller: Caller) -> web.Response:
        query = validated(FindQuery, query_of(request))
        found = await PaymentFinder(self._access).find(query.text)
        return page_answer(request, [operator_payment(payment) for payment in found.payments], None)

    async def get_payment(self, request: web.Request, _caller: Caller) -> web.Response:
        return json_answer(operator_payment(await self._payment(request)))

    async def get_payment_timeline(self, request: web.Request, _caller: Caller) -> web.Response:
        return json_answer(timeline_object(await self._access.history(await self._payment(request))))

    async def list_lost(self, request: web.Request, _caller: Caller) -> web.Response:
        merchant_id = request[MERCHANT_ID] = request.match_info["merchant_id"]
        await self._store.merchants.merchant(merchant_id)
        found = await self._store.recovery.lost_payments(merchant_id)
        return page_answer(request, [lost_object(lost) for lost in found], None)

    async def resolve_payment(self, request: web.Request, caller: Caller) -> web.Response:
        payment = await self._payment(request)
        body = validated(Resolve, await read_object(request))
        resolving = self._reviews.resolve(payment.id, body.decision, body.note, actor=caller.name)
        return json_answer(operator_payment(await self._tasks.run(resolving)))

    async def recover(self, request: web.Request, caller: Caller) -> web.Response:
        body = validated(RecoverPayments, await read_object(request))
        since = parse_rfc3339(body.since)
        scope = ("recover", str(since))
        after = read_cursor(body.cursor, scope)
        found = await self._tasks.run(self._recovery.step(since, after, body.limit))
        data = {"since": rfc3339(since), "checked": found.checked, "credited": len(found.credited)}
        await self._operators.noted(caller.name, "payments.recover", data)
        return json_answer(recovered_object(found) | {"next_cursor": write_cursor(found.reached, scope)})

    async def _payment(self, request: web.Request) -> Payment:
        return await payment_of_path(request, self._access)


def operator_payment(payment: Payment) -> dict[str, Any]:
    """The payment with the fields that only operators see: its merchant, every invoice, and the captured amount."""
    return payment_data(payment) | {
        "merchant_id": payment.merchant_id,
        "return_url": payment.return_url,
        "spare_invoice_keys": list(payment.spare_invoice_keys),
        "captured_invoice_keys": list(payment.captured_invoice_keys),
        "captured_rials": payment.captured_rials,
    }


def totals_object(totals: Totals) -> dict[str, Any]:
    statuses = {status.value: asdict(each) for status, each in totals.statuses.items()}
    return {
        "looked": totals.looked,
        "count": totals.count,
        "paid_rials": totals.paid_rials,
        "reversed": asdict(totals.reversed),
        "statuses": statuses,
    }


def settlement_object(row: SettlementDay) -> dict[str, Any]:
    return {
        "merchant_id": row.merchant_id,
        "terminal_id": row.terminal_id,
        "gateway": row.gateway,
        "day": row.day.isoformat(),
        "paid": asdict(row.paid),
        "late": asdict(row.late),
        "fees_told": row.fees_told,
        "fees_rials": row.fees_rials,
        "net_rials": row.net_rials,
        "given_back": asdict(row.given_back),
        "reviews": asdict(row.reviews),
    }


def recovered_object(found: RecoveryStep) -> dict[str, Any]:
    last = found.last
    return {
        "checked": found.checked,
        "credited": [operator_payment(payment) for payment in found.credited],
        "needs_review": [operator_payment(payment) for payment in found.needs_review],
        "still_open": found.still_open,
        "not_paid": found.not_paid,
        "unclear": found.unclear,
        "progress": last and {"merchant_id": last.merchant_id, "created_at": rfc3339(last.created_at)},
    }


def lost_object(lost: LostPayment) -> dict[str, Any]:
    return {
        "reference": lost.reference,
        "asked_by": lost.asked_by.value,
        "storefront": lost.storefront,
        "invoice_key": lost.invoice_key,
        "made_at": rfc3339(lost.made_at),
        "first_asked_at": rfc3339(lost.first_asked_at),
        "last_asked_at": rfc3339(lost.last_asked_at),
        "times": lost.times,
    }
