"""The second step of an operator's login: the code, from the browser that has just given the token."""

from typing import Any, Final
from urllib.parse import quote

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from proxy.api.rate_limiting import before_look_up
from proxy.console.cookies import BROWSER, TICKET, browser_cookie, is_secure, read_cookie, ticket_cookie
from proxy.console.entry import CODE, open_session, opener_of, own_path
from proxy.console.guard import read_form, words_of
from proxy.console.page_context import bare_page
from proxy.console.services import ConsoleServices
from proxy.console.viewer import Side
from proxy.http.problems import problem_of
from proxy.kernel.errors import DargahError, NotFound, RateLimited
from proxy.operators.records import Operator
from proxy.operators.second_factor import CODE_ERRORS

CODE_LOGIN_ERRORS: Final = (*CODE_ERRORS, RateLimited)


def code_page(services: ConsoleServices) -> Handler:
    async def show(request: web.Request) -> web.StreamResponse:
        operator = await _begun(services, request)
        return _to_login(request) if operator is None else _code_page(request)

    return show


def give_code(services: ConsoleServices) -> Handler:
    async def enter(request: web.Request) -> web.StreamResponse:
        form, _ = await read_form(request)
        operator = await _begun(services, request)
        if operator is None:
            return _to_login(request)
        before_look_up(request)()
        return await services.tasks.run(_enter(services, request, operator, form.get("code", "")))

    return enter


def refused_code_page(request: web.Request, error: DargahError) -> web.Response:
    """The page again, for an error of CODE_LOGIN_ERRORS."""
    page = _code_page(
        request, status=problem_of(error).status, error=words_of(request).t(error.detail_fa, error.detail)
    )
    if isinstance(error, RateLimited):
        page.headers[hdrs.RETRY_AFTER] = str(error.retry_after_seconds)
    return page


async def _enter(services: ConsoleServices, request: web.Request, operator: Operator, code: str) -> web.Response:
    factor_id, tickets, known = operator.second_factor or "", services.second_factors.tickets, _browser(request)
    proof = await services.second_factors.prove(operator, code, tickets.browser(factor_id, known))
    opener = opener_of(request, operator.name, second_factor=factor_id)
    response = await open_session(
        services, request, operator.digest, opener, operator.role, _wanted(request), second_factor=proof.value
    )
    secure = is_secure(request)
    response.headers.add(hdrs.SET_COOKIE, ticket_cookie("", secure=secure))
    response.headers.add(hdrs.SET_COOKIE, browser_cookie(tickets.remember(factor_id, known), secure=secure))
    return response


async def _begun(services: ConsoleServices, request: web.Request) -> Operator | None:
    """The operator whose token this browser gave, if it is alive and there is a second factor still."""
    operator_id = services.second_factors.tickets.begun(read_cookie(request, TICKET) or "")
    if operator_id is None:
        return None
    try:
        operator = await services.store.operators.operator(operator_id)
    except NotFound:
        return None
    return operator if operator.alive(services.now()) and operator.second_factor is not None else None


def _browser(request: web.Request) -> str:
    return read_cookie(request, BROWSER) or ""


def _wanted(request: web.Request) -> str:
    return own_path(request.query.get("next", ""))


def _to_login(request: web.Request) -> web.Response:
    location = f"{Side.CONSOLE}/login?next={quote(_wanted(request), safe='')}"
    return web.Response(status=303, headers={hdrs.LOCATION: location})


def _code_page(request: web.Request, *, status: int = 200, error: str | None = None) -> web.Response:
    action = f"{CODE}?next={quote(_wanted(request), safe='')}"
    values: dict[str, Any] = {"action": action, "login": f"{Side.CONSOLE}/login", "error": error}
    return bare_page("code.html", words_of(request), Side.CONSOLE, status=status, **values)
