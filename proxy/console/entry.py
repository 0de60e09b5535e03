"""The ways in and out: the operator's login by token, the merchant's by a link, and logging out."""

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from proxy.api.rate_limiting import before_look_up
from proxy.audit.log import INSTALLATION
from proxy.console.guard import is_secure, read_form, session_cookie, viewer_of, words_of
from proxy.console.page_context import PageContext, Side, bare_page
from proxy.console.services import ConsoleServices
from proxy.http.problems import problem_of
from proxy.kernel.errors import NotFound, RateLimited, Unauthenticated
from proxy.kernel.ids import digest
from proxy.kernel.text import refused_in
from proxy.operators.records import Session, SessionKind


class LinkUnknown(Unauthenticated):
    """A link to the portal that is over, or that nobody made: it counts against its address as a wrong token does."""


def login_page(services: ConsoleServices) -> Handler:
    async def show(request: web.Request) -> web.StreamResponse:
        wanted = _own_path(request.query.get("next", ""))
        if await viewer_of(services, Side.CONSOLE, request) is not None:
            return web.Response(status=303, headers={hdrs.LOCATION: wanted})
        # A browser that follows a link of another site does not send the cookie; from here it does.
        came = request.headers.get("Sec-Fetch-Site") == "cross-site"
        return bare_page("login.html", words_of(request), Side.CONSOLE, wanted=wanted, came=came, error=None)

    return show


def login(services: ConsoleServices) -> Handler:
    async def enter(request: web.Request) -> web.StreamResponse:
        form, _ = await read_form(request)
        token = form.get("token", "").strip()
        caller = await services.operators.authenticate(token, before_look_up(request))
        opening = services.sessions.open(SessionKind.OPERATOR, INSTALLATION, digest(token).hex())
        secret, _ = await services.tasks.run(opening)
        await services.operators.noted(caller.name, "console.login", {"role": caller.role.value})
        response = web.Response(status=303, headers={hdrs.LOCATION: _own_path(form.get("next", ""))})
        cookie = session_cookie(Side.CONSOLE, secret, secure=is_secure(request), embedded=False)
        response.headers.add(hdrs.SET_COOKIE, cookie)
        return response

    return enter


def refused_page(request: web.Request, error: Unauthenticated | RateLimited) -> web.Response:
    """The login again, for a token that is not one or after too many of them."""
    words = words_of(request)
    said = words.t("این توکن شناخته نیست، پایان یافته یا باطل شده است.", "This token is unknown, over or revoked.")
    if isinstance(error, RateLimited):
        said = words.t(error.detail_fa, error.detail)
    problem = problem_of(error)
    page = bare_page(
        "login.html",
        words,
        Side.CONSOLE,
        status=problem.status,
        wanted=f"{Side.CONSOLE}/",
        came=False,
        error=said,
    )
    page.headers.update({name: value for name, value in problem.headers.items() if name != hdrs.WWW_AUTHENTICATE})
    return page


async def logout(context: PageContext) -> web.StreamResponse:
    """Ends the session in the store, for every holder of the cookie."""
    await context.services.sessions.close(context.viewer.secret)
    response = bare_page("closed.html", context.words, context.side)
    if context.side is Side.CONSOLE:
        response = web.Response(status=303, headers={hdrs.LOCATION: context.url("/login")})
    for secure in (True, False):
        response.headers.add(
            hdrs.SET_COOKIE,
            session_cookie(context.side, "", secure=secure, embedded=context.viewer.embed_origin is not None),
        )
    return response


def enter_portal(services: ConsoleServices) -> Handler:
    """Opens a merchant's session by a portal link, which it uses up.

    The answer is a page and no redirect: a browser that came from another site would not send the new cookie along.
    """

    async def enter(request: web.Request) -> web.StreamResponse:
        link = await services.sessions.find(request.match_info["link"], SessionKind.LINK, before_look_up(request))
        if link is None:
            raise LinkUnknown
        try:
            token = await services.store.merchants.token(link.merchant_id, link.subject)
        except NotFound:
            raise LinkUnknown from None
        if not token.alive(services.now()):
            raise LinkUnknown
        if request.method == hdrs.METH_HEAD:  # whoever only looks whether it works leaves it to be used
            return web.Response()
        secret, session = await services.tasks.run(_use(services, request.match_info["link"], link), link.merchant_id)
        embedded = session.embed_origin is not None
        response = bare_page(
            "entered.html", words_of(request), Side.PORTAL, refresh=f"{Side.PORTAL}/", embed_origin=session.embed_origin
        )
        secure = services.public_url.startswith("https://") or embedded
        response.headers.add(hdrs.SET_COOKIE, session_cookie(Side.PORTAL, secret, secure=secure, embedded=embedded))
        return response

    return enter


async def _use(services: ConsoleServices, secret: str, link: Session) -> tuple[str, Session]:
    if not await services.sessions.close(secret):
        raise LinkUnknown
    return await services.sessions.open(SessionKind.PORTAL, link.merchant_id, link.subject, link.embed_origin)


def _own_path(wanted: str) -> str:
    """`wanted` where it is a page of the console: nobody is sent anywhere else by a link to the login."""
    inside = wanted.startswith(f"{Side.CONSOLE}/") and not refused_in(wanted) and "\\" not in wanted
    return wanted if inside else f"{Side.CONSOLE}/"
