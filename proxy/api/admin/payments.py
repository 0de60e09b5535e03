"""`/admin/v1/payments` and `/admin/v1/recover`: the operator looks at any merchant's payment, decides, and recovers."""

from typing import Any

from aiohttp import web

from proxy.api.admin.schemas import AdminPaymentQuery, RecoverPayments, Resolve
from proxy.api.auth import payment_of_path
from proxy.api.middleware import MERCHANT_ID
from proxy.api.responses import json_answer, page_answer, read_cursor, write_cursor
from proxy.api.services import AdminServices
from proxy.api.v1.objects import timeline_object
from proxy.http.parsing import query_of, read_object, validated
from proxy.kernel.clock import parse_rfc3339, rfc3339
from proxy.operations.recovery import RecoveryStep
from proxy.operations.restores import LostPayment
from proxy.operators.operators import Caller
from proxy.payments.access import Access
from proxy.payments.payment import Payment
from proxy.payments.search import PaymentFilter
from proxy.payments.serializers import payment_data


class AdminPayments:
    """The handlers of payments. Each gets the authenticated operator as its caller."""

    def __init__(self, services: AdminServices) -> None:
        self._store = services.store
        self._access = Access(services.store.payments, services.store.webhooks, token=None)
        self._reviews = services.reviews
        self._recovery = services.recovery
        self._tasks = services.tasks
        self._operators = services.operators

    async def list_payments(self, request: web.Request, _caller: Caller) -> web.Response:
        query = validated(AdminPaymentQuery, query_of(request))
        request[MERCHANT_ID] = query.merchant_id
        scope = ("payments", query.merchant_id, query.storefront, query.order_id, query.status)
        after = read_cursor(query.cursor, scope)
        await self._store.merchants.merchant(query.merchant_id)
        wanted = PaymentFilter(query.storefront, query.order_id, query.status, after, query.limit)
        page = await self._store.payments.list_payments(query.merchant_id, wanted)
        return page_answer(
            request, [operator_payment(payment) for payment in page.payments], write_cursor(page.reached, scope)
        )

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
