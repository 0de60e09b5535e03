"""Who calls the merchant's API: the bearer token of a storefront."""

from aiohttp import web

from proxy.errors import Unauthenticated
from proxy.merchant import Scope, Token
from proxy.web.middleware import MERCHANT_ID
from proxy.web.services import SERVICES


def bearer(request: web.Request) -> str:
    """The text of `Authorization: Bearer …`. Raises Unauthenticated when there is none, or another scheme."""
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not text:
        raise Unauthenticated
    return text.strip()


async def authorize(request: web.Request, scope: Scope) -> Token:
    """The caller's token. Raises Unauthenticated, or Forbidden when it lacks `scope`."""
    token = await request.app[SERVICES].directory.authenticate(bearer(request))
    request[MERCHANT_ID] = token.merchant_id
    request.app[SERVICES].callers.known(request, token.id)
    token.require(scope)
    return token
