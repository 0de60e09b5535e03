"""`/pg/v4/payment/…` and `/pg/StartPay/…`: the drop-in in ZarinPal's protocol.

Its errors have the status 422, as public clients met them. The paths are known with and without a trailing slash and
under any prefix, and the same for the sandbox: whether money moves is the token's mode.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from aiohttp import web

from proxy.api.customer import handlers as customer
from proxy.api.drop_in import calls
from proxy.api.drop_in.protocol import ANY_END, ANY_PREFIX, Protocol
from proxy.api.middleware import Handler
from proxy.api.rate_limiting import PASTED, RouteKind
from proxy.api.responses import json_bytes_answer
from proxy.api.services import SERVICES
from proxy.gateways.port import CheckUnknown, TooLate
from proxy.gateways.shop_calls import json_body
from proxy.gateways.shop_side import CallRefused
from proxy.gateways.zarinpal.codes import BANK_CANNOT_REVERSE, INTERNAL_ERROR, REVERSAL_TOO_LATE, UNKNOWN_AUTHORITY
from proxy.gateways.zarinpal.drop_in import (
    MAX_UNVERIFIED,
    PREFIX,
    check_amount,
    error_answer,
    inquiry_answer,
    issued_answer,
    link_of,
    read_request,
    refusal,
    reverse_answer,
    token_of,
    unverified_answer,
    verify_answer,
)
from proxy.kernel.errors import NotFound
from proxy.locale.persian import tehran
from proxy.merchants.merchant import Token
from proxy.payments.payment import Payment, Status
from proxy.payments.serializers import shop_invoice, shop_side

NAME: Final = "zarinpal"
REFUSED: Final = 422
Answer = Mapping[str, Any]


def add_routes(app: web.Application) -> None:
    """Adds the protocol's paths to the public listener's application."""
    cover = app[SERVICES].callers.cover
    for name, work in _CALLS.items():
        kind = RouteKind.CREATE if work is _request else RouteKind.CALL
        path = f"{ANY_PREFIX}pg/v4/payment/{name}.json{ANY_END}"
        cover(app.router.add_post(path, _handler(work)), kind)
    for method in ("GET", "HEAD", "POST"):
        path = f"{ANY_PREFIX}pg/StartPay/{PREFIX}{{link:{PASTED}}}"
        cover(app.router.add_route(method, path, customer.pay), RouteKind.PAGE)


def _handler(work: calls.Work) -> Handler:
    return calls.handler(work, NAME, token_of, _answer)


async def _request(request: web.Request, token: Token, fields: Mapping[str, Any]) -> Answer:
    """request.json: creates an ordinary payment of the token's storefront."""
    deadline = calls.deadline_of_now()
    merchant = await calls.merchant_of(request, token)
    currency = calls.CURRENCIES[token.amount_unit]
    asked = read_request(fields, currency, merchant.return_origins, any_https=token.any_https_return)
    answer: Answer = orjson.loads(await calls.create(request, token, asked, _created, deadline))
    return answer


def _created(payment: Payment) -> bytes:
    """For a payment that is pending, or failed because the gateway refused it: that is not the shop's fault."""
    if payment.status is Status.FAILED:
        return json_body(refusal(INTERNAL_ERROR))
    return json_body(issued_answer(shop_side(payment).key(payment.link, payment.number)))


async def _verify(request: web.Request, token: Token, fields: Mapping[str, Any]) -> Answer:
    """verify.json: what is stored, after a check at the gateway if that may change it. The amount is compared first."""
    payment = await _own(request, token, fields)
    check_amount(fields, shop_invoice(payment))
    payment = await calls.settled(request, token, payment)
    first = payment.status is Status.PAID and await calls.verify_once(request, payment)
    receipt = payment.receipt
    card_mask, fee = (receipt.card_mask, receipt.fee_rials) if receipt else (None, None)
    return verify_answer(shop_invoice(payment), card_mask, fee or 0, first=first)


async def _inquiry(request: web.Request, token: Token, fields: Mapping[str, Any]) -> Answer:
    """inquiry.json: the state, and whether the shop has verified it, which this is not."""
    payment = (await calls.look(request, token, await _own(request, token, fields))).payment
    verified = await request.app[SERVICES].store.payments.is_verified(payment)
    return inquiry_answer(shop_invoice(payment), verified=verified)


async def _unverified(request: web.Request, token: Token, _fields: Mapping[str, Any]) -> Answer:
    """unVerified.json: the newest payments of the token that are paid and that its shop never verified."""
    services = request.app[SERVICES]
    found = await services.store.payments.unverified(
        token.merchant_id, token.storefront, token.mode, NAME, MAX_UNVERIFIED
    )
    seen = [each for each in found if calls.access(services, token).sees_payment(each) and not each.is_asked_back]
    return unverified_answer([(shop_invoice(each), each.return_url or "", _date(each.paid_at or 0)) for each in seen])


async def _reverse(request: web.Request, token: Token, fields: Mapping[str, Any]) -> Answer:
    """reverse.json: gives the money of a paid payment back, where the gateway behind can and in its time."""
    payment = await calls.settled(request, token, await _own(request, token, fields))
    if payment.status is Status.PAID and not payment.is_reversed:
        checkup = await calls.reverse(request, token, payment)
        payment = checkup.payment
        match checkup.fact:
            case TooLate():
                return refusal(REVERSAL_TOO_LATE)
            case CheckUnknown(not_reversed=True):
                return refusal(BANK_CANNOT_REVERSE)
        if not payment.is_reversed:
            raise calls.TooSlow
    return reverse_answer(shop_invoice(payment), done=payment.is_reversed)


_CALLS: Final[Mapping[str, calls.Work]] = {
    "request": _request,
    "verify": _verify,
    "inquiry": _inquiry,
    "unVerified": _unverified,
    "reverse": _reverse,
}


async def _own(request: web.Request, token: Token, fields: Mapping[str, Any]) -> Payment:
    try:
        return await calls.payment_of_link(request, token, link_of(fields))
    except NotFound:
        raise CallRefused(refusal(UNKNOWN_AUTHORITY)) from None


def _date(at: int) -> str:
    return f"{datetime.fromtimestamp(at // 1000, UTC).astimezone(tehran()):%Y-%m-%d %H:%M:%S}"


def _answer(answer: Answer) -> web.Response:
    return json_bytes_answer(json_body(answer), 200 if answer["data"] else REFUSED)


PROTOCOL: Final = Protocol(
    add_routes,
    calls=re.compile(r"/pg/v4/payment/[^/]*\.json/?$"),
    pages=re.compile(r"/pg/StartPay(/|$)"),
    error_answer=lambda error: _answer(error_answer(error)),
)
