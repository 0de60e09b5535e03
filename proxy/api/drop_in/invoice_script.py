"""`/invoice/…`: the drop-in in the invoice script's protocol.

Always HTTP 200 and JSON, even for errors, because these shops take any other status for a gateway that is down. The
paths are known with and without a trailing slash, and under any prefix, as hosts of the protocol's script are.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import hdrs, web

from proxy.api.customer import handlers as customer
from proxy.api.drop_in import calls
from proxy.api.drop_in.protocol import Protocol
from proxy.api.rate_limiting import PASTED, RouteKind
from proxy.api.responses import json_bytes_answer
from proxy.api.services import SERVICES
from proxy.gateways.invoice_script.codes import Code
from proxy.gateways.invoice_script.drop_in import (
    api_key_of,
    check_answer,
    error_answer,
    issued_answer,
    read_request,
    refused,
    refused_answer,
)
from proxy.gateways.invoice_script.wire import refusal
from proxy.gateways.port import INVOICE_SCRIPT
from proxy.gateways.shop_calls import json_body, parse_fields
from proxy.gateways.shop_side import CallRefused
from proxy.http.forms import UnreadableForm
from proxy.http.parsing import content_type_of, read_body
from proxy.http.problems import BodyTooLarge, BodyTooSlow, MalformedBody, UnsupportedMediaType
from proxy.kernel.errors import DargahError, NotFound, Unauthenticated
from proxy.payments.payment import Payment, Status
from proxy.payments.serializers import shop_invoice

REQUEST, PAY, CHECK = "/invoice/request", "/invoice/pay/{invoice_key}", "/invoice/check/{invoice_key}"
OPERATIONS: Final = (
    ("POST", REQUEST),
    ("GET", REQUEST),
    ("GET", PAY),
    ("POST", PAY),
    ("POST", CHECK),
    ("GET", CHECK),
)
_AROUND_KEY: Final = "/ \t\r\n"


class CallUnreadable(Unauthenticated):
    """A body that does not match its Content-Type, and so lacks its api_key. No shop sends one; the HTTP status reports
    it.
    """

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


def add_routes(app: web.Application) -> None:
    """Adds the protocol's paths to the public listener's application."""
    cover = app[SERVICES].callers.cover
    for prefix in ("", "/{prefix:.*}"):
        for slash in ("", "/"):
            cover(app.router.add_route("*", f"{prefix}{REQUEST}{slash}", ask), RouteKind.CREATE)
        # With no key too, which clients send that have lost it: they are to hear that it is wrong.
        for key in ("", "/{invoice_key:.*}"):
            cover(app.router.add_route("*", f"{prefix}/invoice/check{key}", check), RouteKind.CALL)
        pasted = prefix + PAY.replace("{invoice_key}", f"{{invoice_key:{PASTED}}}")
        for method in ("GET", "HEAD", "POST"):
            cover(app.router.add_route(method, pasted, customer.pay), RouteKind.PAGE)


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
        async with asyncio.timeout(calls.ANSWER_SECONDS):
            return json_bytes_answer(await work(request, fields))
    except CallRefused as call:
        return _answer(call.answer)
    except TimeoutError:
        raise calls.TooSlow from None


async def _ask(request: web.Request, fields: Mapping[str, Any]) -> bytes:
    deadline = calls.deadline_of_now()
    token = await calls.caller(request, api_key_of(fields), INVOICE_SCRIPT)
    merchant = await calls.merchant_of(request, token)
    currency = calls.CURRENCIES[token.amount_unit]
    asked = read_request(fields, currency, merchant.return_origins, any_https=token.any_https_return)
    return await calls.create(request, token, asked, lambda payment: json_body(_created_answer(payment)), deadline)


def _created_answer(payment: Payment) -> dict[str, Any]:
    """For a payment that is pending, or failed because the gateway refused it."""
    if payment.status is not Status.FAILED:
        return issued_answer(payment.link)
    return refused_answer(payment.failure.gateway_error_code if payment.failure else None)


async def _check(request: web.Request, fields: Mapping[str, Any]) -> bytes:
    token = await calls.caller(request, api_key_of(fields), INVOICE_SCRIPT)
    link = request.match_info.get("invoice_key", "").strip(_AROUND_KEY)
    try:
        payment = await calls.payment_of_link(request, token, link)
    except NotFound:
        raise refused(Code.UNKNOWN_INVOICE) from None
    checkup = await calls.look(request, token, payment)
    await calls.note_soon_check(request, checkup.payment)
    return json_body(check_answer(shop_invoice(checkup.payment), checkup.fact))


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


def _answer(answer: Mapping[str, Any], status: int = 200) -> web.Response:
    return json_bytes_answer(json_body(answer), status)


def _error(error: DargahError) -> web.Response:
    return _answer(error_answer(error), error.status if isinstance(error, CallUnreadable) else 200)


PROTOCOL: Final = Protocol(
    add_routes,
    calls=re.compile(r"/invoice/(request/?|check(/.*)?)$"),
    pages=re.compile(r"/invoice/pay(/|$)"),
    error_answer=_error,
)
