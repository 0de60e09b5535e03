"""`/invoice/…`: Dargah as a gateway to shops that speak the gateway's protocol, so that they change one URL.

Always HTTP 200 and JSON, whatever happened, because these shops take any other status for a gateway that is down. The
paths are known with and without a trailing slash, and under any prefix, as hosts of the protocol's script are.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson
import structlog
from aiohttp import hdrs, web

from proxy.amount_jump import AmountJumps
from proxy.checkout import Order
from proxy.errors import DargahError, NotFound, RateLimited
from proxy.facade import (
    BAD_KEY,
    NOT_POST,
    UNKNOWN_INVOICE,
    Asked,
    Refused,
    api_key_of,
    belongs,
    checked_answer,
    created_answer,
    error_answer,
    understand,
    worth_asking,
)
from proxy.ids import Ids, merchant_of_link
from proxy.merchant import Scope, Token
from proxy.payment import Payment
from proxy.records import Reply
from proxy.web import customer
from proxy.web.answers import json_answer
from proxy.web.callers import Kind
from proxy.web.middleware import MERCHANT_ID, PAYMENT_ID
from proxy.web.parsing import read_body
from proxy.web.problems import BodyTooLarge, BodyTooSlow, MalformedBody, problem_of
from proxy.web.services import SERVICES, Services
from proxy.wire import parse_fields

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
_ANSWERED: Final = re.compile(r"/invoice/(request|check(/[^/]*)?)/?$")
_PAID_AT: Final = re.compile(r"/invoice/pay(/|$)")
_ORDER_CHARS: Final = 18


def add_routes(app: web.Application) -> None:
    """Adds the drop-in's paths to the public listener's application."""
    cover = app[SERVICES].callers.cover
    app[JUMPS] = AmountJumps()
    for prefix in ("", "/{prefix:.*}"):
        for slash in ("", "/"):
            cover(app.router.add_route("*", f"{prefix}{REQUEST}{slash}", ask), Kind.CREATE)
            cover(app.router.add_route("*", f"{prefix}{CHECK}{slash}", check), Kind.CALL)
            for method in ("GET", "HEAD", "POST"):
                cover(app.router.add_route(method, f"{prefix}{PAY}{slash}", customer.pay), Kind.PAGE)


def answers(path: str) -> bool:
    """Whether errors at this path are told in the protocol's terms."""
    return _ANSWERED.search(path) is not None


def pays(path: str) -> bool:
    """Whether this path is a customer's."""
    return _PAID_AT.search(path) is not None


def error_response(error: DargahError) -> web.Response:
    """An error of the tree in the protocol's terms."""
    answer = json_answer(error_answer(error))
    if isinstance(error, RateLimited):
        answer.headers.update(problem_of(error).headers)
    return answer


async def ask(request: web.Request) -> web.Response:
    """`invoice/request`: an ordinary payment of the token's storefront, whose link is the shop's invoice_key."""
    try:
        token, fields = await _caller(request)
        services = request.app[SERVICES]
        merchant = await services.directory.merchant(token.merchant_id)
        asked = understand(fields, token, merchant.return_origins)
    except Refused as refused:
        return json_answer(refused.answer())
    _note_jump(request, token, asked)

    def render(payment: Payment) -> Reply:
        request[PAYMENT_ID] = payment.id
        return Reply(200, orjson.dumps(created_answer(payment)))

    # The protocol has no idempotency: each request is a payment of its own, so each has a key of its own.
    key = f"facade-{Ids(services.random_bytes).random(_ORDER_CHARS)}"
    creating = services.checkout.create(token, _order(services, token, asked, key), key, key.encode(), render)
    reply = await services.tasks.run(creating)
    return json_answer(orjson.Fragment(reply.body))


async def check(request: web.Request) -> web.Response:
    """`invoice/check`: the stored truth; the gateway is asked first where it may still tell more."""
    try:
        token, _ = await _caller(request)
        services = request.app[SERVICES]
        payment = await _own_payment(request, services, token)
    except Refused as refused:
        return json_answer(refused.answer())
    if not worth_asking(payment):
        return json_answer(checked_answer(payment, None))
    checkup = await services.tasks.run(services.checkout.check(payment))
    return json_answer(checked_answer(checkup.payment, checkup.fact))


async def _caller(request: web.Request) -> tuple[Token, Mapping[str, Any]]:
    """Whose call it is, with its fields. Raises Refused, or Unauthenticated, which is told as 101 too."""
    if request.method != hdrs.METH_POST:
        raise Refused(NOT_POST)
    fields = await _fields(request)
    token = await request.app[SERVICES].directory.authenticate(api_key_of(fields))
    if Scope.FACADE not in token.scopes:
        raise Refused(BAD_KEY)
    request[MERCHANT_ID] = token.merchant_id
    request.app[SERVICES].callers.known(request, token.id)
    return token, fields


async def _fields(request: web.Request) -> Mapping[str, Any]:
    """The call's fields; none of a body that cannot be read, which then lacks its api_key."""
    try:
        return parse_fields(await read_body(request), request.headers.get("Content-Type", ""))
    except (BodyTooLarge, BodyTooSlow, MalformedBody):
        return {}


async def _own_payment(request: web.Request, services: Services, token: Token) -> Payment:
    """The payment of the invoice_key. Raises Refused with 200 when it is not one of this token's."""
    link = request.match_info["invoice_key"].strip()
    if merchant_of_link(link) != token.merchant_id:
        raise Refused(UNKNOWN_INVOICE)
    try:
        payment = await services.store.payment_by_link(token.merchant_id, link)
    except NotFound:
        raise Refused(UNKNOWN_INVOICE) from None
    if not belongs(payment, token):
        raise Refused(UNKNOWN_INVOICE)
    request[PAYMENT_ID] = payment.id
    return payment


def _order(services: Services, token: Token, asked: Asked, key: str) -> Order:
    return Order(
        amount_rials=asked.amount_rials,
        currency=asked.currency,
        order_id=asked.order_id or key,
        description=None,
        metadata={},
        return_url=asked.return_url,
        terminal_id=None,
        expires_in=services.default_expires_in,
        drop_in=token.return_method,
    )


def _note_jump(request: web.Request, token: Token, asked: Asked) -> None:
    jump = request.app[JUMPS].seen((token.merchant_id, token.storefront, token.mode), asked.amount_rials)
    if jump is not None:
        request.app[SERVICES].metrics.amounts_jumped()
        log.warning(
            "amounts_jumped",
            merchant_id=token.merchant_id,
            storefront=token.storefront,
            usual_rials=jump.usual_rials,
            recent_rials=jump.recent_rials,
        )
