"""The ways in and out: the operator's login by token, the merchant's by a link, and logging out."""

from typing import Any, Final
from urllib.parse import quote

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from proxy.api.rate_limiting import before_look_up, client_address
from proxy.audit.log import INSTALLATION
from proxy.console.cookies import is_secure, session_cookie, ticket_cookie
from proxy.console.guard import read_form, viewer_of, words_of
from proxy.console.page_context import PageContext, bare_page
from proxy.console.services import ConsoleServices
from proxy.console.sessions import browser_name
from proxy.console.viewer import Side
from proxy.http.problems import problem_of
from proxy.kernel.errors import DargahError, Forbidden, NotFound, RateLimited, Unauthenticated
from proxy.kernel.ids import digest
from proxy.kernel.text import refused_in
from proxy.operators.oidc.refusals import NoRole, ProviderUnavailable
from proxy.operators.records import Opener, Operator, Role, Session, SessionKind

PROVIDER: Final = f"{Side.CONSOLE}/login/oidc"
CODE: Final = f"{Side.CONSOLE}/login/code"


class LinkUnknown(Unauthenticated):
    """A link to the portal that is over, or that nobody made: it counts against its address as a wrong token does."""


class SettingsTokenRefused(Forbidden):
    def __init__(self) -> None:
        super().__init__("console")
        self.detail = "Tokens of DARGAH_ADMIN_TOKEN do not open this console (DARGAH_CONSOLE_SETTINGS_TOKENS)."
        self.detail_fa = "توکن‌های DARGAH_ADMIN_TOKEN این پیشخان را باز نمی‌کنند (DARGAH_CONSOLE_SETTINGS_TOKENS)."


def login_page(services: ConsoleServices) -> Handler:
    async def show(request: web.Request) -> web.StreamResponse:
        wanted = own_path(request.query.get("next", ""))
        if await viewer_of(services, Side.CONSOLE, request) is not None:
            return web.Response(status=303, headers={hdrs.LOCATION: wanted})
        # A browser that follows a link of another site does not send the cookie; from here it does.
        came = request.headers.get("Sec-Fetch-Site") == "cross-site"
        return _login_page(services, request, wanted=wanted, came=came)

    return show


def login(services: ConsoleServices) -> Handler:
    async def enter(request: web.Request) -> web.StreamResponse:
        form, _ = await read_form(request)
        token, wanted = form.get("token", "").strip(), own_path(form.get("next", ""))
        caller = await services.operators.authenticate(token, before_look_up(request))
        if caller.operator_id is None:
            if not services.settings_tokens:
                raise SettingsTokenRefused
        else:
            # Not by the cache: another replica may have enrolled it just now.
            operator = await services.store.operators.operator(caller.operator_id)
            if operator.second_factor is not None:
                return _ask_for_code(services, request, operator, wanted)
        opener = opener_of(request, caller.name)
        return await services.tasks.run(open_session(services, request, digest(token), opener, caller.role, wanted))

    return enter


async def open_session(
    services: ConsoleServices, request: web.Request, token: bytes, opener: Opener, role: Role, wanted: str, **noted: str
) -> web.Response:
    """The way to the wanted page, with the cookie of a new session of the operator with the token of this digest."""
    secret, _ = await services.sessions.open(SessionKind.OPERATOR, INSTALLATION, token.hex(), opener=opener)
    await services.operators.noted(opener.name or "", "console.login", {"role": role.value, **noted})
    response = web.Response(status=303, headers={hdrs.LOCATION: wanted})
    cookie = session_cookie(Side.CONSOLE, secret, secure=is_secure(request), embedded=False)
    response.headers.add(hdrs.SET_COOKIE, cookie)
    return response


def _ask_for_code(services: ConsoleServices, request: web.Request, operator: Operator, wanted: str) -> web.Response:
    response = web.Response(status=303, headers={hdrs.LOCATION: f"{CODE}?next={quote(wanted, safe='')}"})
    ticket = services.second_factors.tickets.begin(operator.id)
    response.headers.add(hdrs.SET_COOKIE, ticket_cookie(ticket, secure=is_secure(request)))
    return response


LOGIN_ERRORS: Final = (Unauthenticated, RateLimited, NoRole, ProviderUnavailable, SettingsTokenRefused)


def refused_page(services: ConsoleServices, request: web.Request, error: DargahError) -> web.Response:
    """The login again, for an error of LOGIN_ERRORS: a wrong token, or what the provider's answer ended in."""
    words = words_of(request)
    said = words.t(error.detail_fa, error.detail)
    if type(error) is Unauthenticated:
        said = words.t("این توکن شناخته نیست، پایان یافته یا باطل شده است.", "This token is unknown, over or revoked.")
    problem = problem_of(error)
    page = _login_page(services, request, status=problem.status, error=said)
    page.headers.update({name: value for name, value in problem.headers.items() if name != hdrs.WWW_AUTHENTICATE})
    return page


def _login_page(
    services: ConsoleServices,
    request: web.Request,
    *,
    status: int = 200,
    wanted: str = f"{Side.CONSOLE}/",
    came: bool = False,
    error: str | None = None,
) -> web.Response:
    words, provider, button = words_of(request), None, None
    if services.sign_in is not None:
        # By its own name alone: a cookie of another name would not come back from the provider.
        provider = f"{services.console_url}{PROVIDER}?next={quote(wanted, safe='')}"
        button = services.sign_in.button or words.t("ورود با حساب سازمانی", "Sign in with your organisation's account")
    values: dict[str, Any] = {"wanted": wanted, "came": came, "error": error, "provider": provider, "button": button}
    return bare_page("login.html", words, Side.CONSOLE, status=status, **values)


def opener_of(request: web.Request, name: str, role: Role | None = None, second_factor: str | None = None) -> Opener:
    """Who opens a session, and what its list shows of the browser: kept as long as the session is."""
    browser = browser_name(request.headers.get(hdrs.USER_AGENT, ""))
    return Opener(name, role, browser, client_address(request), second_factor)


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


def own_path(wanted: str) -> str:
    """`wanted` where it is a page of the console: nobody is sent anywhere else by a link to the login."""
    inside = wanted.startswith(f"{Side.CONSOLE}/") and not refused_in(wanted) and "\\" not in wanted
    return wanted if inside else f"{Side.CONSOLE}/"
