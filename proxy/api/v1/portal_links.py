"""`/v1/portal-links`: short-lived links into the merchant's own pages, for holders of its API token."""

from typing import Final

from aiohttp import web

from proxy.api.auth import authorize
from proxy.api.fields import Input, Url
from proxy.api.responses import json_answer
from proxy.api.services import SERVICES
from proxy.http.parsing import read_optional_object, validated
from proxy.kernel.clock import rfc3339
from proxy.kernel.errors import invalid
from proxy.kernel.ids import Ids
from proxy.kernel.urls import framing_origin_of
from proxy.merchants.merchant import Merchant, Scope
from proxy.operators.records import SessionKind
from proxy.operators.sessions import Sessions

PATH: Final = "/portal/enter/"
CREATED: Final = 201


class CreatePortalLink(Input):
    """`embed_origin` is the page that may frame the portal: one of the merchant's registered origins."""

    embed_origin: Url | None = None


async def create_portal_link(request: web.Request) -> web.Response:
    """201 with the link. Its session sees the records of this token, until the session or the token ends."""
    token = await authorize(request, Scope.PAYMENTS_READ)
    services = request.app[SERVICES]
    body = validated(CreatePortalLink, await read_optional_object(request))
    embed_origin = _check_origin(body.embed_origin, await services.merchant_cache.merchant(token.merchant_id))
    sessions = Sessions(services.store.operators, Ids(services.random_bytes), services.now)
    opening = sessions.open(SessionKind.LINK, token.merchant_id, token.id, embed_origin)
    secret, link = await services.tasks.run(opening, token.merchant_id)
    url = f"{services.public_url().rstrip('/')}{PATH}{secret}"
    shown = {"url": url, "embed_origin": embed_origin, "expires_at": rfc3339(link.expires_at)}
    return json_answer(shown, CREATED)


def _check_origin(url: str | None, merchant: Merchant) -> str | None:
    """The origin, as a browser writes it. Raises InvalidInput when it is none of the merchant's."""
    if url is None:
        return None
    try:
        origin = framing_origin_of(url)
    except ValueError as error:
        raise invalid("embed_origin", "origin_invalid", str(error), "مبدأ معتبر نیست") from error
    if origin not in merchant.return_origins:
        raise invalid(
            "embed_origin",
            "origin_not_registered",
            f"the origin {origin} is not registered for this merchant; an operator can add it",
            f"مبدأ {origin} برای این پذیرنده ثبت نشده است؛ از گردانندهٔ سامانه بخواهید آن را بیفزاید",
        )
    return origin
