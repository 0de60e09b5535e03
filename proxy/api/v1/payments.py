"""`/v1/payments`: create, list, show, check, timeline, QR code. A token sees its storefront's and mode's payments."""

import asyncio
import hashlib
import io
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final

import orjson
from aiohttp import web

from proxy.api.auth import access_of, authorize, payment_of_path
from proxy.api.middleware import PAYMENT_ID, PROBLEM
from proxy.api.responses import json_answer, page_answer, read_cursor, reply_answer, write_cursor
from proxy.api.services import SERVICES, Services
from proxy.api.v1.objects import timeline_object
from proxy.api.v1.payment_filters import PaymentQuery
from proxy.api.v1.schemas import RETURN_ORIGINS, CreatePayment
from proxy.gateways.port import CheckUnknown
from proxy.gateways.registry import FAMILIES
from proxy.http.headers import SECURITY_HEADERS
from proxy.http.parsing import idempotency_key, plain_number, query_of, read_body, read_object, validated
from proxy.http.problems import IdempotencyKeyRequired, problem_of
from proxy.kernel.errors import GatewayRefused, NotFound
from proxy.kernel.ids import merchant_of_id, time_of_id
from proxy.merchants.merchant import Scope, Token
from proxy.operations.restores import Asker
from proxy.payments.change import Reply
from proxy.payments.checkout import Checkup
from proxy.payments.creation import CreateRequest
from proxy.payments.finder import PaymentFinder
from proxy.payments.history import OUTCOMES
from proxy.payments.payment import Payment, Status
from proxy.payments.serializers import payment_data

# What a link leads to never changes, so its owner may keep the picture; a shared cache may not.
_QR_HEADERS: Final = {
    **SECURITY_HEADERS,
    "Cache-Control": "private, max-age=86400",
    "Content-Type": "image/svg+xml; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}
_SCALE: Final = 6


async def create_payment(request: web.Request) -> web.Response:
    deadline = _deadline(request)
    token = await authorize(request, Scope.PAYMENTS_WRITE)
    services = request.app[SERVICES]
    key = idempotency_key(request)
    if key is None:
        raise IdempotencyKeyRequired
    members = await read_object(request)
    merchant = await services.merchant_cache.merchant(token.merchant_id)
    body = validated(CreatePayment, members, {RETURN_ORIGINS: merchant.return_origins})

    def render(payment: Payment) -> Reply:
        request[PAYMENT_ID] = payment.id
        return created_reply(services, payment)

    expires_in = body.expires_in_ms(services.default_expires_in)
    asked = CreateRequest(
        body.order(), key, _digest(request, members, token), render, expires_in, body.terminal_id, deadline
    )
    creating = services.creation.create(token, asked)
    reply = await services.tasks.run_here(creating, token.merchant_id)
    if reply.status >= HTTPStatus.BAD_REQUEST:
        _note_problem(request, reply)
    return reply_answer(reply)


def _note_problem(request: web.Request, reply: Reply) -> None:
    """Keeps for the log what a stored problem says."""
    problem = orjson.loads(reply.body)
    request[PROBLEM], request[PAYMENT_ID] = problem["code"], problem["payment_id"]


async def get_payment(request: web.Request) -> web.Response:
    token = await authorize(request, Scope.PAYMENTS_READ)
    payment = await own_payment(request, token)
    return json_answer(payment_object(request.app[SERVICES], payment))


async def list_payments(request: web.Request) -> web.Response:
    token = await authorize(request, Scope.PAYMENTS_READ)
    services = request.app[SERVICES]
    query = validated(PaymentQuery, query_of(request))
    scope = ("payments", token.merchant_id, token.storefront, *query.scope())
    after = read_cursor(query.cursor, scope)
    if query.storefront not in {None, token.storefront}:
        return page_answer(request, [], None)
    wanted = replace(query.filter(), after=after, limit=query.limit)
    page = await PaymentFinder(access_of(request, token)).page(None, wanted)
    data = [payment_object(services, payment) for payment in page.payments]
    return page_answer(request, data, write_cursor(page.following, scope))


async def check_payment(request: web.Request) -> web.Response:
    """Checks the payment at the gateway now; answers with the payment after the check, and the gateway's answer."""
    token = await authorize(request, Scope.PAYMENTS_WRITE)
    services = request.app[SERVICES]
    await read_body(request)
    payment = await own_payment(request, token)
    checkup = await services.tasks.run(services.checkout.check(payment), token.merchant_id)
    return json_answer(payment_object(services, checkup.payment) | {"check": _check_object(checkup)})


async def cancel_payment(request: web.Request) -> web.Response:
    """Withdraws the payment: nobody can pay it any more, and money that comes all the same is not kept."""
    token = await authorize(request, Scope.PAYMENTS_WRITE)
    services = request.app[SERVICES]
    await read_body(request)
    payment = await own_payment(request, token)
    withdrawn = await services.tasks.run(services.checkout.withdraw(payment), token.merchant_id)
    return json_answer(payment_object(services, withdrawn))


async def get_timeline(request: web.Request) -> web.Response:
    token = await authorize(request, Scope.PAYMENTS_READ)
    payment = await own_payment(request, token)
    return json_answer(timeline_object(await access_of(request, token).history(payment)))


def payment_object(services: Services, payment: Payment) -> dict[str, Any]:
    """The payment as its storefront sees it: the object of webhooks, and the two links."""
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
    try:
        return await payment_of_path(request, access_of(request, token))
    except NotFound:
        payment_id = request.match_info["payment_id"]
        await note_if_lost(request, token, payment_id, time_of_id(payment_id), merchant_of_id(payment_id))
        raise


async def note_if_lost(
    request: web.Request, token: Token, reference: str, made_at: int, merchant_id: str | None
) -> None:
    """Notes that a storefront asks for a payment of its merchant's that a restore took away."""
    services = request.app[SERVICES]
    if merchant_id == token.merchant_id:
        asked = services.lost.asked(merchant_id, reference, made_at, Asker.STOREFRONT, storefront=token.storefront)
        await services.tasks.run(asked, merchant_id)


def _deadline(request: web.Request) -> float | None:
    """The event loop's time at which the storefront stops waiting, by its first `Prefer: wait` (RFC 7240)."""
    for header in request.headers.getall("Prefer", ()):
        for preference in header.split(","):
            name, _, value = preference.partition(";")[0].partition("=")
            seconds = plain_number(value.strip().strip('"'), 5)
            if name.strip().lower() == "wait" and seconds is not None:
                return asyncio.get_running_loop().time() + seconds
    return None


def _digest(request: web.Request, members: dict[str, Any], token: Token) -> bytes:
    """The digest that identifies a repeated request, independent of the spacing and order of its JSON.

    It covers the terminal of a bound token: the same key must not show another terminal's payment.
    """
    canonical = orjson.dumps(members, option=orjson.OPT_SORT_KEYS) + (token.terminal_id or "").encode()
    return hashlib.sha256(b"%s %s\n%s" % (request.method.encode(), request.path.encode(), canonical)).digest()


def _check_object(checkup: Checkup) -> dict[str, Any]:
    fact = checkup.fact
    if fact is None:
        return {"outcome": "not_asked", "reason": None, "gateway_error_code": None, "http_status": None}
    unknown = fact if isinstance(fact, CheckUnknown) else None
    return {
        "outcome": OUTCOMES[type(fact)],
        "reason": unknown and unknown.reason,
        "gateway_error_code": unknown and unknown.error_code,
        "http_status": unknown and unknown.http_status,
    }


async def get_qr(request: web.Request) -> web.Response:
    """The pay link as a QR code, for screens and paper."""
    token = await authorize(request, Scope.PAYMENTS_READ)
    payment = await own_payment(request, token)
    return web.Response(body=qr_svg(payment_object(request.app[SERVICES], payment)["pay_url"]), headers=_QR_HEADERS)


def qr_svg(text: str) -> bytes:
    """The text as an SVG QR code: black on a white background, with the quiet zone that readers need."""
    import segno  # noqa: PLC0415  0.7 MB for the few shops that show a code

    drawn = io.BytesIO()
    # M survives what prints and screens do to 15 % of it; `boost_error` would make the modules smaller for more.
    code = segno.make_qr(text, error="m", boost_error=False)
    code.save(drawn, kind="svg", scale=_SCALE, border=4, dark="#000", light="#fff", xmldecl=False, title="QR")
    return drawn.getvalue()


def refusal(payment: Payment) -> GatewayRefused:
    """The error of a payment that failed without an invoice."""
    number = payment.failure.gateway_error_code if payment.failure else None
    family = FAMILIES.get(payment.gateway)
    said = None if number is None or family is None else family.developer_explanation(number)
    why, why_fa = said or ("it gave no invoice", "صورتحسابی نداد")
    return GatewayRefused(
        f"The gateway refused this payment: {why}.",
        f"درگاه این پرداخت را نپذیرفت: {why_fa}.",
        payment.id,
        payment.gateway,
        number,
    )
