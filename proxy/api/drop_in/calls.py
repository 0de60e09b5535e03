"""What the drop-in's protocols share: a call's token and payment, the check behind a verify, and the time to answer.

Clients of these protocols give up at 10 seconds, and take silence for a gateway that is down.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import structlog
from aiohttp import web

from proxy.api.auth import authenticate
from proxy.api.middleware import PAYMENT_ID, PROBLEM, Handler
from proxy.api.services import SERVICES, Services
from proxy.api.v1.payments import note_if_lost
from proxy.gateways.port import INVOICE_SCRIPT, CheckUnknown
from proxy.gateways.shop_calls import parse_fields
from proxy.gateways.shop_side import CallRefused, ShopRequest
from proxy.http.forms import UnreadableForm
from proxy.http.parsing import content_type_of, read_body
from proxy.http.problems import (
    BodyTooLarge,
    BodyTooSlow,
    MalformedBody,
    UnsupportedMediaType,
)
from proxy.kernel.errors import (
    DargahError,
    Forbidden,
    GatewayRefused,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from proxy.kernel.ids import Ids, merchant_of_link, time_of_link
from proxy.kernel.money import Currency
from proxy.merchants.merchant import AmountUnit, Merchant, Scope, Token
from proxy.payments import history
from proxy.payments.access import Access
from proxy.payments.change import Reply
from proxy.payments.checkout import Checkup
from proxy.payments.creation import CreateRequest
from proxy.payments.drop_in import AmountJumps, DropInChecks, note_check
from proxy.payments.payment import Order, Payment, Status

log = structlog.get_logger()

ANSWER_SECONDS: Final = 8.0
UNDER_WAY_SECONDS = 2.0
"""How long a call waits for what another one asks of the gateway: longer than most answers of a gateway take."""
_LOOK_SECONDS: Final = 0.1
JUMPS: Final = web.AppKey("amount_jumps", AmountJumps)
CHECKS: Final = web.AppKey("drop_in_checks", DropInChecks)
CURRENCIES: Final = {AmountUnit.RIAL: Currency.IRR, AmountUnit.TOMAN: Currency.IRT}
_ORDER_CHARS: Final = 18
_MAY_CHANGE: Final = frozenset({Status.PENDING, Status.CANCELED, Status.EXPIRED})
"""Where the gateway may still tell more than is stored."""
_MAY_BE_PAID: Final = frozenset({Status.PENDING, Status.EXPIRED})


class TooSlow(Unavailable):
    """The gateway's answer is not there in the time that a shop waits."""

    def __init__(self) -> None:
        super().__init__("The gateway does not answer. Ask again.", "درگاه پاسخ نمی‌دهد. دوباره بپرسید.")


async def fields_of(request: web.Request) -> Mapping[str, Any]:
    """The fields of a call, a JSON object or a form. Raises Unauthenticated for a body that cannot be read, as it
    lacks its token.
    """
    try:
        return parse_fields(await read_body(request), content_type_of(request))
    except (UnsupportedMediaType, UnreadableForm, BodyTooLarge, BodyTooSlow, MalformedBody):
        raise Unauthenticated from None


Work = Callable[[web.Request, Token, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""The answer to a token's call, from its fields."""


def handler(
    work: Work,
    protocol: str,
    token_of: Callable[[Mapping[str, Any]], str],
    render: Callable[[Mapping[str, Any]], web.Response],
) -> Handler:
    """The handler of a protocol's call, which takes the token out of the fields by `token_of`.

    It raises TooSlow where `work` takes too long, which then goes on in the background.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        fields = await fields_of(request)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                token = await caller(request, token_of(fields), protocol)
                return render(await work(request, token, fields))
        except CallRefused as refused:
            return render(refused.answer)
        except TimeoutError:
            raise TooSlow from None

    return handle


async def caller(request: web.Request, text: str, protocol: str) -> Token:
    """The token of a call in this protocol. Raises Unauthenticated, Forbidden for a token of another use."""
    token = await authenticate(request, text)
    if Scope.FACADE not in token.scopes or token.protocol != protocol:
        raise Forbidden(Scope.FACADE)
    return token


async def merchant_of(request: web.Request, token: Token) -> Merchant:
    return await request.app[SERVICES].merchant_cache.merchant(token.merchant_id)


async def create(
    request: web.Request, token: Token, asked: ShopRequest, render: Callable[[Payment], bytes], deadline: float
) -> bytes:
    """The reply to a request, as `render` gives it of the payment: pending, or failed as the gateway refused it.

    Raises the errors of PaymentCreation.create.
    """
    services = request.app[SERVICES]
    _note_jump(request, token, asked)

    def reply(payment: Payment) -> Reply:
        request[PAYMENT_ID] = payment.id
        if payment.status is Status.FAILED:
            request[PROBLEM] = GatewayRefused.code
        return Reply(200, render(payment))

    # The protocols have no idempotency: each request is a payment of its own, so each has a key of its own.
    key = f"facade-{Ids(services.random_bytes).random(_ORDER_CHARS)}"
    order = Order(
        order_id=asked.order_id or key,
        amount_rials=asked.amount_rials,
        currency=asked.currency,
        description=asked.description,
        return_url=asked.return_url,
        drop_in=token.return_method,
        protocol=None if token.protocol == INVOICE_SCRIPT else token.protocol,
    )
    request_of_shop = CreateRequest(order, key, key.encode(), reply, services.default_expires_in, deadline=deadline)
    creating = services.creation.create(token, request_of_shop)
    return (await services.tasks.run(creating, token.merchant_id)).body


def deadline_of_now() -> float:
    """Until when a shop waits for the answer to a call that came now, by the loop's time."""
    return asyncio.get_running_loop().time() + ANSWER_SECONDS


async def payment_of_link(request: web.Request, token: Token, link: str) -> Payment:
    """The drop-in's payment of the link. Raises NotFound when it is not one that this token sees."""
    services = request.app[SERVICES]
    try:
        payment = await access(services, token).payment_by_link(link)
    except NotFound:
        await note_if_lost(request, token, link, time_of_link(link), merchant_of_link(link))
        raise
    return spoken(request, token, payment)


async def payment_of_number(request: web.Request, token: Token, number: int) -> Payment:
    """The same of the payment that a number names."""
    payment = await request.app[SERVICES].store.payments.payment_by_number(number)
    if payment.merchant_id != token.merchant_id:
        raise NotFound("payment")
    return await payment_of_link(request, token, payment.link)


def access(services: Services, token: Token) -> Access:
    return Access(services.store.payments, services.store.webhooks, token)


def spoken(request: web.Request, token: Token, payment: Payment) -> Payment:
    """`payment`, whose shop speaks the token's protocol. Raises NotFound."""
    if payment.drop_in is None or (payment.protocol or INVOICE_SCRIPT) != token.protocol:
        raise NotFound("payment")
    request[PAYMENT_ID] = payment.id
    return payment


async def look(request: web.Request, token: Token, payment: Payment) -> Checkup:
    """The payment after the gateway was asked, if it may still tell more than is stored.

    What another call has under way, in this process or in another, is waited for a while.
    """
    return await _answered(request, token, await _check(request, token, payment))


async def reverse(request: web.Request, token: Token, payment: Payment) -> Checkup:
    """The paid payment after its gateway was asked to give the money back, and answered in the time of a call."""
    services = request.app[SERVICES]
    reversing = services.checkout.reverse(payment)
    return await _answered(request, token, await services.tasks.run(reversing, token.merchant_id))


async def _answered(request: web.Request, token: Token, checkup: Checkup) -> Checkup:
    with suppress(TimeoutError):
        async with asyncio.timeout(UNDER_WAY_SECONDS):
            while isinstance(checkup.fact, CheckUnknown) and checkup.payment.intent is not None:
                await asyncio.sleep(_LOOK_SECONDS)
                payment = await payment_of_link(request, token, checkup.payment.link)
                if payment.intent is None:
                    checkup = await _check(request, token, payment)
    return checkup


async def _check(request: web.Request, token: Token, payment: Payment) -> Checkup:
    if payment.status not in _MAY_CHANGE and payment.intent is None:
        return Checkup(payment, None)
    services = request.app[SERVICES]
    return await services.tasks.run(services.checkout.check(payment), token.merchant_id)


async def settled(request: web.Request, token: Token, payment: Payment) -> Payment:
    """The same, for an answer that a shop takes for final. Raises TooSlow while the gateway does not say what it is."""
    checkup = await look(request, token, payment)
    reversing = checkup.payment.is_asked_back and not checkup.payment.is_reversed
    if reversing or (checkup.payment.status in _MAY_BE_PAID and isinstance(checkup.fact, CheckUnknown)):
        raise TooSlow
    return checkup.payment


async def verify_once(request: web.Request, payment: Payment) -> bool:
    """Whether this is the shop's first verify of the paid payment, in whichever process, for ever."""
    services = request.app[SERVICES]
    noting = services.store.payments.verify_once(payment, history.drop_in_check(services.now()))
    return await services.tasks.run(noting, payment.merchant_id)


async def note_soon_check(request: web.Request, payment: Payment) -> None:
    """Notes a shop's first check of a paid payment; whether that works out is nothing to the shop."""
    services = request.app[SERVICES]
    now = services.now()
    if request.app[CHECKS].is_first(payment, now):
        with suppress(DargahError):
            await services.tasks.run(note_check(services.store.payments, payment, now), payment.merchant_id)


def _note_jump(request: web.Request, token: Token, asked: ShopRequest) -> None:
    jump = request.app[JUMPS].observe((token.merchant_id, token.storefront, token.mode), asked.amount_rials)
    if jump is not None:
        request.app[SERVICES].metrics.amounts_jumped(token.merchant_id, token.storefront)
        log.warning(
            "amounts_jumped",
            merchant_id=token.merchant_id,
            storefront=token.storefront,
            usual_rials=jump.usual_rials,
            recent_rials=jump.recent_rials,
        )
