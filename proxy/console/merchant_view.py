"""A merchant's portal in the console, as a shop of it sees its own: for an operator's session, to look at only.

It needs no token of the merchant: it shows what a token of the storefront and mode with every scope to read would see.
It ends with the operator's session. The audit log has who looked, once for each session and shop.
"""

from dataclasses import replace
from typing import Final

from aiohttp import hdrs, web

from proxy.api.middleware import MERCHANT_ID
from proxy.console.guard import Route, SeenAs
from proxy.console.services import ConsoleServices
from proxy.console.viewer import MerchantView, Viewer, shops_of
from proxy.kernel.errors import NotFound
from proxy.kernel.rate_limits import RecentKeys
from proxy.merchants.merchant import Mode, Scope, Token

BASE: Final = "/as/{merchant_id}/{storefront}/{mode}"
_SCOPES: Final = frozenset({Scope.PAYMENTS_READ, Scope.WEBHOOKS})


def is_viewed(route: Route) -> bool:
    """Whether a page is in it: those of the portal that only look."""
    return route.method == hdrs.METH_GET and route.scope in _SCOPES


def seen_as_merchant(services: ConsoleServices) -> SeenAs:
    """Of the shop of the path. Raises NotFound."""
    noted = RecentKeys()

    async def seen_as(request: web.Request, viewer: Viewer) -> Viewer:
        assert viewer.session is not None, "a viewer of the console has a session"
        merchant_id, storefront, mode = (request.match_info[name] for name in ("merchant_id", "storefront", "mode"))
        merchant = await services.store.merchants.merchant(merchant_id)
        shops = shops_of(await services.store.merchants.list_tokens(merchant_id))
        if (storefront, mode) not in shops:
            raise NotFound("storefront")
        request[MERCHANT_ID] = merchant_id
        key = (viewer.session.digest, merchant_id, storefront, mode)
        if key not in noted:
            data = {"merchant_id": merchant_id, "storefront": storefront, "mode": mode}
            await services.operators.noted(viewer.name, "merchant.view_as", data)
            noted.add(key)
        view = MerchantView(merchant, storefront, Mode(mode), shops)
        return replace(viewer, token=_token(view), view=view)

    return seen_as


def _token(view: MerchantView) -> Token:
    return Token(
        id="",
        merchant_id=view.merchant.id,
        storefront=view.storefront,
        mode=view.mode,
        prefix="",
        digest=b"",
        scopes=_SCOPES,
        terminal_id=None,
        created_at=0,
        expires_at=None,
        revoked_at=None,
    )
