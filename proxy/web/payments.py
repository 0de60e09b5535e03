"""`/v1/payments`: create, show, list, check and timeline. A token sees the payments of its storefront and mode."""

import hashlib
import re
from typing import Any, Final

import orjson
from aiohttp import web

from proxy.checkout import Checkup
from proxy.errors import NotFound
from proxy.facts import CheckUnknown
from proxy.history import read_history
from proxy.ids import merchant_of_id
from proxy.merchant import Scope, Token
from proxy.payment import Payment, Status
from proxy.records import PaymentFilter, Reply
from proxy.timeline import OUTCOMES
from proxy.views import payment_data
from proxy.web.answers import json_answer, page_answer, reply_answer
from proxy.web.auth import authorize
from proxy.web.cursors import read_cursor, write_cursor
from proxy.web.middleware import PAYMENT_ID
from proxy.web.parsing import query_of, read_body, read_object, validated
from proxy.web.problems import IdempotencyKeyRequired, problem_of
from proxy.web.refusals import refusal
from proxy.web.schemas import RETURN_ORIGINS, CreatePayment, PaymentQuery
from proxy.web.services import SERVICES, Services
from proxy.web.timelines import timeline_object

_IDEMPOTENCY_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


async def create_payment(request: web.Request) -> web.Response:
    token = await authorize(request, Scope.PAYMENTS_WRITE)
    services = request.app[SERVICES]
    key = _idempotency_key(request)
    members = await read_object(request)
    merchant = await services.directory.merchant(token.merchant_id)
    body = validated(CreatePayment, members, {RETURN_ORIGINS: merchant.return_origins})

    def render(payment: Payment) -> Reply:
        request[PAYMENT_ID] = payment.id
        return created_reply(services, payment)

    order = body.order(services.default_expires_in)
    creating = services.checkout.create(token, order, key, _digest(request, members, token), render)
    return reply_answer(await services.tasks.run_here(creating))


async def get_payment(request: web.Request) -> web.Response:
    token = await authorize(request, Scope.PAYMENTS_READ)
    payment = await own_payment(request, token)
    return json_answer(payment_object(request.app[SERVICES], payment))


async def list_payments(request: web.Request) -> web.Response:
    token = await authorize(request, Scope.PAYMENTS_READ)
    services = request.app[SERVICES]
    query = validated(PaymentQuery, query_of(request))
    scope = ("payments", token.merchant_id, token.storefront, query.storefront, query.order_id, query.status)
    after = None if query.cursor is None else read_cursor(query.cursor, scope)
    if query.storefront not in {None, token.storefront}:
        return page_answer(request, [], None)
    wanted = PaymentFilter(token.storefront, query.order_id, query.status, after, query.limit + 1, token.mode)
    found = await services.store.list_payments(token.merchant_id, wanted)
    page = found[: query.limit]
    following = write_cursor(page[-1].id, scope) if len(found) > len(page) else None
    # What another terminal took is left out here rather than by the query: the page is shorter, and the cursor goes on.
    seen = [payment for payment in page if token.terminal_id in {None, payment.terminal_id}]
    return page_answer(request, [payment_object(services, payment) for payment in seen], following)


async def check_payment(request: web.Request) -> web.Response:
    """Asks the gateway now; the answer is the payment after it, and what the gateway said."""
    token = await authorize(request, Scope.PAYMENTS_WRITE)
    services = request.app[SERVICES]
    await read_body(request)
    payment = await own_payment(request, token)
    checkup = await services.tasks.run(services.checkout.check(payment))
    return json_answer(payment_object(services, checkup.payment) | {"check": _check_object(checkup)})


async def get_timeline(request: web.Request) -> web.Response:
    token = await authorize(request, Scope.PAYMENTS_READ)
    payment = await own_payment(request, token)
    return json_answer(timeline_object(await read_history(request.app[SERVICES].store, payment)))


def payment_object(services: Services, payment: Payment) -> dict[str, Any]:
    """The payment as its storefront sees it: what webhooks show, and the two links."""
    links = {"return_url": payment.return_url, "pay_url": f"{services.public_url().rstrip('/')}/pay/{payment.link}"}
    return payment_data(payment) | links


def created_reply(services: Services, payment: Payment) -> Reply:
    """The reply to a create: the payment, or the gateway's refusal of it as a problem."""
    if payment.status is Status.FAILED:
        problem = problem_of(refusal(payment))
        return Reply(problem.status, problem.body)
    return Reply(201, orjson.dumps(payment_object(services, payment)))


async def own_payment(request: web.Request, token: Token) -> Payment:
    """The payment of the path. Raises NotFound when it is not one that this token sees."""
    payment_id = request.match_info["payment_id"]
    if merchant_of_id(payment_id) != token.merchant_id:
        raise NotFound("payment")
    payment = await request.app[SERVICES].store.payment(token.merchant_id, payment_id)
    if not token.sees(payment.storefront, payment.mode, payment.terminal_id):
        raise NotFound("payment")
    request[PAYMENT_ID] = payment.id
    return payment


def _idempotency_key(request: web.Request) -> str:
    keys = request.headers.getall("Idempotency-Key", [])
    if len(keys) != 1 or not _IDEMPOTENCY_KEY.fullmatch(keys[0]):
        raise IdempotencyKeyRequired
    return keys[0]


def _digest(request: web.Request, members: dict[str, Any], token: Token) -> bytes:
    """What tells whether a repeated key came with the same request, however its JSON was spaced or ordered.

    The terminal that a token is confined to belongs to it: the same key must not show what another terminal took.
    """
    canonical = orjson.dumps(members, option=orjson.OPT_SORT_KEYS) + (token.terminal_id or "").encode()
    return hashlib.sha256(b"%s %s\n%s" % (request.method.encode(), request.path.encode(), canonical)).digest()


def _check_object(checkup: Checkup) -> dict[str, Any]:
    fact = checkup.fact
    if fact is None:
        return {"outcome": "not_asked", "reason": None, "gateway_error_code": None}
    unknown = fact if isinstance(fact, CheckUnknown) else None
    return {
        "outcome": OUTCOMES[type(fact)],
        "reason": unknown and unknown.reason,
        "gateway_error_code": unknown and unknown.error_code,
    }
