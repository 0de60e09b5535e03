"""`/v1/request`, `/v1/verify`, `/v1/inquiry` and `/start/…`: the drop-in in Zibal's protocol.

Always HTTP 200, as Zibal answers. The paths are known with and without a trailing slash and under any prefix.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from aiohttp import web

from proxy.api.drop_in import calls
from proxy.api.drop_in.protocol import ANY_END, ANY_PREFIX, Protocol
from proxy.api.middleware import Handler
from proxy.api.rate_limiting import RouteKind
from proxy.api.responses import json_bytes_answer
from proxy.api.services import SERVICES
from proxy.gateways.shop_calls import json_body
from proxy.gateways.shop_side import CallRefused
from proxy.gateways.zibal.codes import INTERNAL_ERROR, SUCCESS, UNKNOWN_TRACK_ID
from proxy.gateways.zibal.drop_in import (
    answered,
    error_answer,
    issued_answer,
    number_of,
    numbers,
    read_request,
    token_of,
    verify_answer,
)
from proxy.http.headers import ORIGIN_REFERRER
from proxy.kernel.errors import NotFound
from proxy.locale.persian import tehran
from proxy.merchants.merchant import Token
from proxy.payments.payment import Payment, Status
from proxy.payments.serializers import shop_invoice

NAME: Final = "zibal"
_TRACK_ID: Final = "{number:[0-9]{1,16}}"
_START_END: Final = "{end:/?|/direct}"
Answer = Mapping[str, Any]


def add_routes(app: web.Application) -> None:
    """Adds the protocol's paths to the public listener's application."""
    cover = app[SERVICES].callers.cover
    for name, work in _CALLS.items():
        kind = RouteKind.CREATE if work is _request else RouteKind.CALL
        cover(app.router.add_post(f"{ANY_PREFIX}v1/{name}{ANY_END}", _handler(work)), kind)
    for method in ("GET", "HEAD"):
        cover(app.router.add_route(method, f"{ANY_PREFIX}start/{_TRACK_ID}{_START_END}", start), RouteKind.OPEN)


async def start(request: web.Request) -> web.Response:
    """On to the payment's own link, which a trackId does not tell. Raises NotFound."""
    payment = await request.app[SERVICES].store.payments.payment_by_number(int(request.match_info["number"]))
    headers = {**ORIGIN_REFERRER, "Location": f"/pay/{payment.link}", "Cache-Control": "no-store"}
    return web.Response(status=303, headers=headers)


def _handler(work: calls.Work) -> Handler:
    return calls.handler(work, NAME, token_of, _answer)


async def _request(request: web.Request, token: Token, fields: Mapping[str, Any]) -> Answer:
    """`request`: creates an ordinary payment of the token's storefront."""
    deadline = calls.deadline_of_now()
    merchant = await calls.merchant_of(request, token)
    asked = read_request(fields, merchant.return_origins, any_https=token.any_https_return)
    answer: Answer = orjson.loads(await calls.create(request, token, asked, _created, deadline))
    return answer


def _created(payment: Payment) -> bytes:
    """For a payment that is pending, or failed because the gateway refused it: that is not the shop's fault."""
    if payment.status is Status.FAILED:
        return json_body(answered(INTERNAL_ERROR))
    return json_body(issued_answer(payment.number or 0))


async def _verify(request: web.Request, token: Token, fields: Mapping[str, Any]) -> Answer:
    """`verify`: what is stored, after a check at the gateway if that may change it."""
    payment = await calls.settled(request, token, await _own(request, token, fields))
    first = payment.status is Status.PAID and await calls.verify_once(request, payment)
    return verify_answer(shop_invoice(payment), _numbers(payment, verified=True), first=first)


async def _inquiry(request: web.Request, token: Token, fields: Mapping[str, Any]) -> Answer:
    """`inquiry`: the state, and whether the shop has verified it, which this is not."""
    payment = (await calls.look(request, token, await _own(request, token, fields))).payment
    verified = await request.app[SERVICES].store.payments.is_verified(payment)
    told = _numbers(payment, verified=verified)
    return answered(SUCCESS, {**told, "createdAt": _date(payment.created_at), "wage": 0, "multiplexingInfos": []})


_CALLS: Final[Mapping[str, calls.Work]] = {"request": _request, "verify": _verify, "inquiry": _inquiry}


async def _own(request: web.Request, token: Token, fields: Mapping[str, Any]) -> Payment:
    if (number := number_of(fields)) is None:
        raise CallRefused(answered(UNKNOWN_TRACK_ID))
    try:
        return await calls.payment_of_number(request, token, number)
    except NotFound:
        raise CallRefused(answered(UNKNOWN_TRACK_ID)) from None


def _numbers(payment: Payment, *, verified: bool) -> Answer:
    return numbers(
        shop_invoice(payment),
        verified=verified,
        card_mask=payment.receipt.card_mask if payment.receipt else None,
        paid_at=None if payment.paid_at is None else _date(payment.paid_at),
        description=payment.description,
    )


def _date(at: int) -> str:
    moment = datetime.fromtimestamp(at // 1000, UTC).astimezone(tehran())
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at % 1000:03}000"


def _answer(answer: Answer) -> web.Response:
    return json_bytes_answer(json_body(answer))


PROTOCOL: Final = Protocol(
    add_routes,
    calls=re.compile(r"/v1/(request|verify|inquiry)/?$"),
    pages=re.compile(r"/start(/|$)"),
    error_answer=lambda error: _answer(error_answer(error)),
)
