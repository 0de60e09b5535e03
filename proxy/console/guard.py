"""Who may look: the session behind a browser's cookie, the right that a route names, and forms that are our own."""

from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from proxy.api.middleware import MERCHANT_ID
from proxy.api.rate_limiting import before_look_up
from proxy.console.cookies import LANGUAGE, SESSION, is_secure, language_cookie, read_cookie
from proxy.console.language import Words, language_of
from proxy.console.page_context import PageContext, bare_page
from proxy.console.services import ConsoleServices
from proxy.console.viewer import Side, Viewer
from proxy.http.forms import MULTIPART, media_type, read_parts
from proxy.http.parsing import check_query, content_type_of, read_body
from proxy.http.problems import UnsupportedMediaType, problem_of
from proxy.kernel.errors import DargahError, Forbidden, InvalidInput, NotFound, TerminalBound, Unauthenticated, invalid
from proxy.kernel.frozen import dataclass
from proxy.merchants.cache import BeforeLookUp
from proxy.merchants.merchant import Language, Scope
from proxy.operators.records import Role, SessionKind
from proxy.operators.sessions import is_form_token

LIVE: Final = "live"
"""In the query of a page that loads itself again, which nobody may have looked at."""
ENROLMENT: Final = frozenset({"/second-factor", "/logout"})
"""What an operator without a second factor may do where one is required."""
MAX_FIELDS: Final = 60
FORM_TYPE: Final = "application/x-www-form-urlencoded"
Serve = Callable[[PageContext], Awaitable[web.StreamResponse]]


class ForeignForm(Forbidden):
    def __init__(self) -> None:
        super().__init__("form")
        self.detail = "This form did not come from a page of this session. Nothing was done; go back and try again."
        self.detail_fa = "این فرم از صفحه‌ای از همین نشست نیامده است. کاری انجام نشد؛ بازگردید و دوباره بفرستید."


class SessionOver(Unauthenticated):
    """A session that is over, or that nobody opened: it counts against its address as a wrong token does."""


class RightLacking(Forbidden):
    def __init__(self, right: str) -> None:
        super().__init__(right)
        self.detail = f"This needs `{right}`, which you do not have. Nothing was done."
        self.detail_fa = f"این کار `{right}` می‌خواهد که شما ندارید. کاری انجام نشد."


@dataclass(frozen=True, slots=True)
class Route:
    """A page or a form. `scope` is what a merchant's token needs for it; None where it is no merchant's. `files` is
    whether the form may carry some.
    """

    method: str
    path: str
    role: Role
    scope: Scope | None
    serve: Serve
    files: bool = False


SeenAs = Callable[[web.Request, Viewer], Awaitable[Viewer]]
"""An operator as a merchant's viewer."""


def guarded(services: ConsoleServices, side: Side, route: Route, seen_as: SeenAs | None = None) -> Handler:
    """The route behind its session, its right and, where it is a form, the form's token."""

    async def handle(request: web.Request) -> web.StreamResponse:
        check_query(request)
        viewer = await viewer_of(services, side, request)
        if viewer is None:
            if read_cookie(request, SESSION) is not None:
                raise SessionOver
            return stranger(side, request)
        if services.second_factor_required and viewer.lacks_second_factor and route.path not in ENROLMENT:
            return web.Response(status=303, headers={hdrs.LOCATION: f"{side}/second-factor"})
        if seen_as is not None:
            viewer = await seen_as(request, viewer)
        if not viewer.may(route.role, route.scope):
            raise _refusal(viewer, route)
        form: dict[str, str] = {}
        files: dict[str, bytes] = {}
        if request.method == hdrs.METH_POST:
            form, files = await read_form(request, files=route.files)
            if not is_form_token(viewer.secret, form.pop("csrf", "")):
                raise ForeignForm
        context = PageContext(services, request, side, words_of(request), viewer, form, files)
        response = await route.serve(context)
        _keep_language(request, response, side, embedded=viewer.embed_origin is not None)
        return response

    return handle


async def viewer_of(services: ConsoleServices, side: Side, request: web.Request) -> Viewer | None:
    """Whose browser it is; None when it has no session, or one that is over."""
    secret = read_cookie(request, SESSION)
    if secret is None:
        return None
    limited, used = before_look_up(request), LIVE not in request.query
    if side is Side.CONSOLE:
        return await _operator(services, secret, limited, used=used)
    viewer = await _merchant(services, secret, limited, used=used)
    if viewer is not None and viewer.token is not None:
        request[MERCHANT_ID] = viewer.token.merchant_id
    return viewer


def is_own_form(request: web.Request) -> bool:
    """Whether a browser says that the form stands on a page of this very host. Who says nothing is not believed."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("Origin")
    return origin is not None and origin != "null" and urlsplit(origin).netloc == request.headers.get("Host")


async def read_form(request: web.Request, *, files: bool = False) -> tuple[dict[str, str], dict[str, bytes]]:
    """A form's fields, and its files where it may have `files`.

    Raises ForeignForm, UnsupportedMediaType, InvalidInput, and what reading the body raises.
    """
    if not is_own_form(request):
        raise ForeignForm
    content_type = content_type_of(request)
    uploads = files and media_type(content_type) == MULTIPART
    if not uploads and media_type(content_type) != FORM_TYPE:
        raise UnsupportedMediaType
    body = await read_body(request)
    sent: list[tuple[str, bytes]] = []
    try:
        if uploads:
            parts = list(read_parts(content_type, body))
            pairs = [(part.name.decode(), part.data.decode()) for part in parts if not part.is_file]
            sent = [(part.name.decode(), part.data) for part in parts if part.is_file]
        else:
            pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise invalid("form", "malformed", "cannot be read", "خوانده نمی‌شود") from None
    form, sent_files = dict(pairs), dict(sent)
    if len(form) != len(pairs) or len(sent_files) != len(sent):
        raise invalid("form", "repeated", "has a field twice", "فیلدی دو بار آمده است")
    return form, sent_files


def words_of(request: web.Request) -> Words:
    """In the language that was chosen, now or before."""
    chosen = request.query.get("lang") or read_cookie(request, LANGUAGE)
    return Words(language_of(chosen, request.headers.get("Accept-Language", "")))


def error_page(request: web.Request, error: DargahError) -> web.Response:
    """An error as people see it, with the problem's status and headers."""
    problem, words = problem_of(error), words_of(request)
    side = side_of(request)
    document = problem.document
    detail = words.t(str(document["detail_fa"]), str(document["detail"]))
    fields = error.errors if isinstance(error, InvalidInput) else ()
    shown = bare_page(
        "error.html", words, side, status=problem.status, code=error.code, detail=detail, fields=fields,
        lost=isinstance(error, NotFound),
    )  # fmt: skip
    shown.headers.update({name: value for name, value in problem.headers.items() if name != hdrs.WWW_AUTHENTICATE})
    return shown


def side_of(request: web.Request) -> Side:
    return Side.PORTAL if request.path.startswith(Side.PORTAL) else Side.CONSOLE


async def _operator(services: ConsoleServices, secret: str, limited: BeforeLookUp, *, used: bool) -> Viewer | None:
    session = await services.sessions.find(secret, SessionKind.OPERATOR, limited, used=used)
    if session is None:
        return None
    if session.role is not None:  # the provider's word holds until the session ends, or the settings name none
        known = services.sign_in is not None
        return Viewer(session.name or "", secret, role=session.role, session=session) if known else None
    try:
        caller = await services.operators.known(bytes.fromhex(session.subject))
    except Unauthenticated:
        return None
    if caller.operator_id is None and not services.settings_tokens:
        return None
    if caller.second_factor not in {None, session.second_factor}:  # it was opened before there was one, or another
        return None
    return Viewer(caller.name, secret, role=caller.role, session=session, caller=caller)


async def _merchant(services: ConsoleServices, secret: str, limited: BeforeLookUp, *, used: bool) -> Viewer | None:
    session = await services.sessions.find(secret, SessionKind.PORTAL, limited, used=used)
    if session is None:
        return None
    try:
        token = await services.store.merchants.token(session.merchant_id, session.subject)
    except NotFound:
        return None
    if not token.alive(services.now()):
        return None
    return Viewer(f"token:{token.id}", secret, token=token, embed_origin=session.embed_origin)


def _refusal(viewer: Viewer, route: Route) -> Forbidden:
    if viewer.token is None:
        return RightLacking(route.role)
    lacking = route.scope not in viewer.token.scopes
    return RightLacking(str(route.scope)) if lacking else TerminalBound(str(route.scope))


def stranger(side: Side, request: web.Request) -> web.Response:
    """What somebody without a session is answered: the way to the login, or that a link of the shop leads here."""
    if side is Side.PORTAL:
        return bare_page("closed.html", words_of(request), side, status=401)
    wanted = request.path_qs if request.method == hdrs.METH_GET else side.value
    return web.Response(status=303, headers={"Location": f"{side}/login?next={quote(wanted, safe='')}"})


def _keep_language(request: web.Request, response: web.StreamResponse, side: Side, *, embedded: bool) -> None:
    chosen = request.query.get("lang")
    if chosen in set(Language) and not response.prepared:
        cookie = language_cookie(side, chosen, secure=is_secure(request), embedded=embedded)
        response.headers.add(hdrs.SET_COOKIE, cookie)
