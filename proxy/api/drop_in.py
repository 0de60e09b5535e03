"""`/invoice/…`: Dargah as a gateway to shops that speak the gateway's protocol, so that they change one URL.

Always HTTP 200 and JSON, even for errors, because these shops take any other status for a gateway that is down. The
paths are known with and without a trailing slash, and under any prefix, as hosts of the protocol's script are.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import structlog
from aiohttp import hdrs, web

from proxy.api.auth import authenticate
from proxy.api.customer import handlers as customer
from proxy.api.middleware import PAYMENT_ID
from proxy.api.rate_limiting import PASTED, RouteKind
from proxy.api.responses import json_bytes_answer
from proxy.api.services import SERVICES, Services
from proxy.api.v1.payments import note_if_lost
from proxy.gateways.invoice_script.codes import Code
from proxy.gateways.invoice_script.drop_in import (
    CallRefused,
    ShopRequest,
    api_key_of,
    check_answer,
    error_answer,
    issued_answer,
    read_request,
    refused_answer,
)
from proxy.gateways.invoice_script.wire import json_body, parse_fields, refusal
from proxy.http.forms import UnreadableForm
from proxy.http.parsing import content_type_of, read_body
from proxy.http.problems import BodyTooLarge, BodyTooSlow, MalformedBody, UnsupportedMediaType, problem_of
from proxy.kernel.errors import DargahError, NotFound, RateLimited, Unauthenticated
from proxy.kernel.ids import Ids, merchant_of_link, time_of_link
from proxy.kernel.money import Currency
from proxy.merchants.merchant import AmountUnit, Scope, Token
from proxy.payments.access import Access
from proxy.payments.change import Reply
from proxy.payments.checkout import Checkup
from proxy.payments.creation import CreateRequest
from proxy.payments.drop_in import AmountJumps, DropInChecks, note_check
from proxy.payments.payment import Order, Payment, Status
from proxy.payments.serializers import shop_invoice

log = structlog.get_logger()

REQUEST, PAY, CHECK = "/invoice/request", "/invoice/pay/{invoice_key}", "/invoice/check/{invoice_key}"
OPERATIONS: Final = (
    ("POST", REQUEST),
    ("GET", REQUEST),
    ("GET", PAY),
    ("POST", PAY),
    ("POST", CHECK),
    ("GET", CHECK),
)
JUMPS: Final = web.AppKey("amount_jumps", AmountJumps)
# Clients of the protocol give up at 10 seconds, and take silence for a gateway that is down.
ANSWER_SECONDS: Final = 8.0
CHECKS: Final = web.AppKey("drop_in_checks", DropInChecks)
_ANSWERED: Final = re.compile(r"/invoice/(request/?|check(/.*)?)$")
_PAID_AT: Final = re.compile(r"/invoice/pay(/|$)")
_ORDER_CHARS: Final = 18
_AROUND_KEY: Final = "/ \t\r\n"
_CURRENCIES: Final = {AmountUnit.RIAL: Currency.IRR, AmountUnit.TOMAN: Currency.IRT}
_MAY_CHANGE: Final = frozenset({Status.PENDING, Status.CANCELED, Status.EXPIRED})
"""Where the gateway may still tell more than is stored."""


class CallUnreadable(Unauthenticated):
    """A body that does not match its Content-Type, and so lacks its api_key. No shop sends one; the HTTP status reports
    it.
    """

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


def add_routes(app: web.Application) -> None:
    """Adds the drop-in's paths to the public listener's application."""
    cover = app[SERVICES].callers.cover
    app[JUMPS] = AmountJumps()
    app[CHECKS] = DropInChecks()
    for prefix in ("", "/{prefix:.*}"):
        for slash in ("", "/"):
            cover(app.router.add_route("*", f"{prefix}{REQUEST}{slash}", ask), RouteKind.CREATE)
        # With no key too, which clients send that have lost it: they are to hear that it is wrong.
        for key in ("", "/{invoice_key:.*}"):
            cover(app.router.add_route("*", f"{prefix}/invoice/check{key}", check), RouteKind.CALL)
        pasted = prefix + PAY.replace("{invoice_key}", f"{{invoice_key:{PASTED}}}")
        for method in ("GET", "HEAD", "POST"):
            cover(app.router.add_route(method, pasted, customer.pay), RouteKind.PAGE)


def answers(path: str) -> bool:
    """Whether errors at this path have the protocol's form."""
    return _ANSWERED.search(path) is not None


def pays(path: str) -> bool:
    """Whether this path is a customer's."""
    return _PAID_AT.search(path) is not None


def error_response(error: DargahError) -> web.Response:
    """An error of the tree in the protocol's terms."""
    answer = _answer(error_answer(error), error.status if isinstance(error, CallUnreadable) else 200)
    if isinstance(error, RateLimited):
        answer.headers.update(problem_of(error).headers)
    return answer


async def ask(request: web.Request) -> web.Response:
    """`invoice/request`: creates an ordinary payment of the token's storefront; its link is the shop's invoice_key."""
    return await _answer_call(request, _ask)


async def check(request: web.Request) -> web.Response:
    """`invoice/check`: the stored state, after a check at the gateway if that may change it."""
    return await _answer_call(request, _check)


async def _answer_call(
    request: web.Request, work: Callable[[web.Request, Mapping[str, Any]], Awaitable[bytes]]
) -> web.Response:
    """The answer of `work` to the fields of the call, or the answer for an unknown outcome; `work` goes on in the
    background.
    """
    if request.method != hdrs.METH_POST:
        return _answer(refusal(Code.NOT_POST))
    fields = await _fields(request)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return json_bytes_answer(await work(request, fields))
    except CallRefused as refused:
        return _answer(refused.answer())
    except TimeoutError:
        return _answer(refusal(Code.BANK_UNREACHABLE))


async def _ask(request: web.Request, fields: Mapping[str, Any]) -> bytes:
    deadline = asyncio.get_running_loop().time() + ANSWER_SECONDS
    token = await _caller(request, fields)
    services = request.app[SERVICES]
    merchant = await services.merchant_cache.merchant(token.merchant_id)
    currency = _CURRENCIES[token.amount_unit]
    asked = read_request(fields, currency, merchant.return_origins, any_https=token.any_https_return)
    _note_jump(request, token, asked)

    def render(payment: Payment) -> Reply:
        request[PAYMENT_ID] = payment.id
        return Reply(200, json_body(_created_answer(payment)))

    # The protocol has no idempotency: each request is a payment of its own, so each has a key of its own.
    key = f"facade-{Ids(services.random_bytes).random(_ORDER_CHARS)}"
    order, expires_in = _order(token, asked, key), services.default_expires_in
    request_of_shop = CreateRequest(order, key, key.encode(), render, expires_in, deadline=deadline)
    creating = services.creation.create(token, request_of_shop)
    return (await services.tasks.run(creating, token.merchant_id)).body


def _created_answer(payment: Payment) -> dict[str, Any]:
    """For a payment that is pending, or failed because the gateway refused it."""
    if payment.status is not Status.FAILED:
        return issued_answer(payment.link)
    return refused_answer(payment.failure.gateway_error_code if payment.failure else None)


async def _check(request: web.Request, fields: Mapping[str, Any]) -> bytes:
    token = await _caller(request, fields)
    services = request.app[SERVICES]
    payment = await _own_payment(request, services, token)
    checkup = Checkup(payment, None)
    if payment.status in _MAY_CHANGE:
        checkup = await services.tasks.run(services.checkout.check(payment), token.merchant_id)
    await _note_check(request, checkup.payment)
    return json_body(check_answer(shop_invoice(checkup.payment), checkup.fact))


async def _caller(request: web.Request, fields: Mapping[str, Any]) -> Token:
    """The token of the call. Raises CallRefused, or Unauthenticated, which the protocol reports as 101 too."""
    token = await authenticate(request, api_key_of(fields))
    if Scope.FACADE not in token.scopes:
        raise CallRefused(Code.WRONG_KEY)
    return token


async def _fields(request: web.Request) -> Mapping[str, Any]:
    """The call's fields; none of a body that did not come whole, which then lacks its key. Raises CallUnreadable."""
    try:
        content_type = content_type_of(request)
        return parse_fields(await read_body(request), content_type)
    except UnsupportedMediaType:
        raise CallUnreadable(415) from None
    except UnreadableForm:
        raise CallUnreadable(400) from None
    except (BodyTooLarge, BodyTooSlow, MalformedBody):
        return {}


async def _note_check(request: web.Request, payment: Payment) -> None:
    """Notes a shop's first check of a paid payment; whether that works out is nothing to the shop."""
    services = request.app[SERVICES]
    now = services.now()
    if request.app[CHECKS].is_first(payment, now):
        with suppress(DargahError):
            await services.tasks.run(note_check(services.store.payments, payment, now), payment.merchant_id)


async def _own_payment(request: web.Request, services: Services, token: Token) -> Payment:
    """The drop-in's payment of the invoice_key. Raises CallRefused with 200 when it is not one that this token sees."""
    link = request.match_info.get("invoice_key", "").strip(_AROUND_KEY)
    try:
        payment = await Access(services.store.payments, services.store.webhooks, token).payment_by_link(link)
    except NotFound:
        await note_if_lost(request, token, link, time_of_link(link), merchant_of_link(link))
        raise CallRefused(Code.UNKNOWN_INVOICE) from None
    if payment.drop_in is None:
        raise CallRefused(Code.UNKNOWN_INVOICE)
    request[PAYMENT_ID] = payment.id
    return payment


def _answer(answer: Mapping[str, Any], status: int = 200) -> web.Response:
    return json_bytes_answer(json_body(answer), status)


def _order(token: Token, asked: ShopRequest, key: str) -> Order:
    return Order(
        order_id=asked.order_id or key,
        amount_rials=asked.amount_rials,
        currency=asked.currency,
        return_url=asked.return_url,
        drop_in=token.return_method,
    )


def _note_jump(request: web.Request, token: Token, asked: ShopRequest) -> None:
    jump = request.app[JUMPS].observe((token.merchant_id, token.storefront, token.mode), asked.amount_rials)
    if jump is not None:
        request.app[SERVICES].metrics.amounts_jumped()
        log.warning(
            "amounts_jumped",
            merchant_id=token.merchant_id,
            storefront=token.storefront,
            usual_rials=jump.usual_rials,
            recent_rials=jump.recent_rials,
        )
