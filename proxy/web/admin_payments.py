"""`/admin/v1/payments` and `/admin/v1/recover`: the operator looks at any merchant's payment, decides, and recovers."""

from typing import Any

from aiohttp import web

from proxy.clock import parse_rfc3339, rfc3339
from proxy.errors import NotFound
from proxy.history import read_history
from proxy.ids import merchant_of_id
from proxy.operators.operators import Caller
from proxy.payment import Payment
from proxy.records import PaymentFilter
from proxy.recovery.recovery import Recovered
from proxy.views import payment_data
from proxy.web.admin_schemas import AdminPaymentQuery, Recover, Resolve
from proxy.web.admin_services import AdminServices
from proxy.web.answers import json_answer, page_answer
from proxy.web.cursors import read_cursor, write_cursor
from proxy.web.middleware import MERCHANT_ID, PAYMENT_ID
from proxy.web.parsing import query_of, read_object, validated
from proxy.web.timelines import timeline_object


class AdminPayments:
    """The handlers. Each gets the operator who calls."""

    def __init__(self, services: AdminServices) -> None:
        self._store = services.store
        self._reviews = services.reviews
        self._recovery = services.recovery
        self._tasks = services.tasks
        self._operators = services.operators

    async def list_payments(self, request: web.Request, _caller: Caller) -> web.Response:
        query = validated(AdminPaymentQuery, query_of(request))
        request[MERCHANT_ID] = query.merchant_id
        scope = ("payments", query.merchant_id, query.storefront, query.order_id, query.status)
        after = None if query.cursor is None else read_cursor(query.cursor, scope)
        await self._store.merchant(query.merchant_id)
        wanted = PaymentFilter(query.storefront, query.order_id, query.status, after, query.limit + 1)
        found = await self._store.list_payments(query.merchant_id, wanted)
        page = found[: query.limit]
        following = write_cursor(page[-1].id, scope) if len(found) > len(page) else None
        return page_answer(request, [operator_payment(payment) for payment in page], following)

    async def get_payment(self, request: web.Request, _caller: Caller) -> web.Response:
        return json_answer(operator_payment(await self._payment(request)))

    async def get_payment_timeline(self, request: web.Request, _caller: Caller) -> web.Response:
        return json_answer(timeline_object(await read_history(self._store, await self._payment(request))))

    async def resolve_payment(self, request: web.Request, caller: Caller) -> web.Response:
        payment = await self._payment(request)
        body = validated(Resolve, await read_object(request))
        resolving = self._reviews.resolve(payment.id, body.decision, body.note, actor=caller.name)
        return json_answer(operator_payment(await self._tasks.run(resolving)))

    async def recover(self, request: web.Request, caller: Caller) -> web.Response:
        body = validated(Recover, await read_object(request))
        since = parse_rfc3339(body.since)
        scope = ("recover", str(since))
        after = None if body.cursor is None else read_cursor(body.cursor, scope)
        found = await self._tasks.run(self._recovery.step(since, after, body.limit))
        data = {"since": rfc3339(since), "checked": found.checked, "credited": len(found.credited)}
        await self._operators.noted(caller.name, "payments.recover", data)
        following = None if found.reached is None else write_cursor(found.reached, scope)
        return json_answer(recovered_object(found) | {"next_cursor": following})

    async def _payment(self, request: web.Request) -> Payment:
        payment_id = request.match_info["payment_id"]
        merchant_id = merchant_of_id(payment_id)
        if merchant_id is None:
            raise NotFound("payment")
        payment = await self._store.payment(merchant_id, payment_id)
        request[MERCHANT_ID], request[PAYMENT_ID] = merchant_id, payment_id
        return payment


def operator_payment(payment: Payment) -> dict[str, Any]:
    """The payment with what only the operator sees: whose it is, every invoice, and what was taken."""
    return payment_data(payment) | {
        "merchant_id": payment.merchant_id,
        "return_url": payment.return_url,
        "spare_invoice_keys": list(payment.spare_invoice_keys),
        "captured_invoice_keys": list(payment.captured_invoice_keys),
        "captured_rials": payment.captured_rials,
    }


def recovered_object(found: Recovered) -> dict[str, Any]:
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
