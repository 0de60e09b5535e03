"""Authentication of the merchant's API by a storefront's bearer token, and the record of a path if the caller may see
it.
"""

from aiohttp import web

from proxy.api.middleware import MERCHANT_ID, PAYMENT_ID
from proxy.api.rate_limiting import before_look_up
from proxy.api.services import SERVICES
from proxy.kernel.errors import Unauthenticated
from proxy.merchants.merchant import Scope, Token
from proxy.payments.access import Access
from proxy.payments.payment import Payment
from proxy.webhooks.delivery import Attempt, Delivery
from proxy.webhooks.endpoint import Endpoint


def bearer(request: web.Request) -> str:
    """The text of `Authorization: Bearer …`. Raises Unauthenticated when there is none, or another scheme."""
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not text:
        raise Unauthenticated
    return text.strip()


async def authorize(request: web.Request, scope: Scope) -> Token:
    """The caller's token. Raises Unauthenticated, or Forbidden when it lacks `scope`."""
    token = await authenticate(request, bearer(request))
    token.require(scope)
    return token


def access_of(request: web.Request, token: Token) -> Access:
    """The records that the token may see."""
    return Access(request.app[SERVICES].store.payments, request.app[SERVICES].store.webhooks, token)


async def authenticate(request: web.Request, text: str) -> Token:
    """The token of this text, counted against its limits. Raises Unauthenticated or RateLimited."""
    services = request.app[SERVICES]
    token = await services.merchant_cache.authenticate(text, before_look_up(request))
    request[MERCHANT_ID] = token.merchant_id
    services.callers.known(request, token.id)
    return token


async def payment_of_path(request: web.Request, access: Access) -> Payment:
    """Raises NotFound when the caller may not see it. The request's log line names it."""
    payment = await access.payment(request.match_info["payment_id"])
    request[MERCHANT_ID], request[PAYMENT_ID] = payment.merchant_id, payment.id
    return payment


async def endpoint_of_path(request: web.Request, access: Access) -> Endpoint:
    """Raises NotFound when the caller may not see it."""
    endpoint = await access.endpoint(request.match_info["endpoint_id"])
    request[MERCHANT_ID] = endpoint.merchant_id
    return endpoint


async def delivery_of_path(request: web.Request, access: Access) -> tuple[Delivery, list[Attempt]]:
    """The delivery with its attempts. Raises NotFound when the caller may not see it."""
    delivery, attempts = await access.delivery_log(request.match_info["delivery_id"])
    request[MERCHANT_ID] = delivery.merchant_id
    return delivery, attempts
