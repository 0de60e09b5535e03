"""The login by a provider of OpenID Connect: away to it, and back with its answer."""

from typing import Final
from urllib.parse import quote, unquote

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from proxy.audit.log import INSTALLATION
from proxy.console.cookies import SIGN_IN, read_cookie, session_cookie, sign_in_cookie
from proxy.console.entry import opener_of, own_path
from proxy.console.guard import words_of
from proxy.console.page_context import bare_page
from proxy.console.services import ConsoleServices
from proxy.console.viewer import Side
from proxy.http.parsing import query_of
from proxy.operators.records import SessionKind

MAX_WANTED_CHARS: Final = 500


def begin(services: ConsoleServices) -> Handler:
    """Leads to the provider. The browser keeps the secret of this sign-in, and where it wanted to go."""

    async def lead(request: web.Request) -> web.StreamResponse:
        if services.sign_in is None:
            raise web.HTTPNotFound
        url, secret = await services.sign_in.begin()
        wanted = quote(own_path(request.query.get("next", "")), safe="")
        kept = f"{secret}.{wanted if len(wanted) <= MAX_WANTED_CHARS else ''}"
        response = web.Response(status=303, headers={hdrs.LOCATION: url})
        response.headers.add(hdrs.SET_COOKIE, sign_in_cookie(kept, secure=_is_secure(services)))
        return response

    return lead


def answer(services: ConsoleServices) -> Handler:
    """Opens the session of the person whom the provider's answer stands for.

    The answer is a page and no redirect: a browser that came from another site would not send the new cookie along.
    """

    async def enter(request: web.Request) -> web.StreamResponse:
        if services.sign_in is None:
            raise web.HTTPNotFound
        secret, _, wanted = (read_cookie(request, SIGN_IN) or "").partition(".")
        person = await services.sign_in.finish(secret, query_of(request))
        opener = opener_of(request, person.name, person.role)
        opening = services.sessions.open(SessionKind.OPERATOR, INSTALLATION, person.subject, opener=opener)
        session_secret, _ = await services.tasks.run(opening)
        data = {"role": person.role.value, "issuer": services.sign_in.issuer, "sub": person.sub}
        await services.operators.noted(person.name, "console.login", data)
        response = bare_page("entered.html", words_of(request), Side.CONSOLE, refresh=own_path(unquote(wanted)))
        secure = _is_secure(services)
        response.headers.add(
            hdrs.SET_COOKIE, session_cookie(Side.CONSOLE, session_secret, secure=secure, embedded=False)
        )
        response.headers.add(hdrs.SET_COOKIE, sign_in_cookie("", secure=secure))
        return response

    return enter


def _is_secure(services: ConsoleServices) -> bool:
    return (services.console_url or "").startswith("https://")
