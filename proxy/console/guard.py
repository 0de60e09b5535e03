"""Who may look: the session behind a browser's cookie, the right that a route names, and forms that are our own."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, quote

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from proxy.console.cookies import LANGUAGE, SESSION, is_own_form, is_secure, language_cookie, read_cookie
from proxy.console.language import Language, Words, language_of
from proxy.console.pages import bare_page
from proxy.console.services import ConsoleServices
from proxy.console.uploads import UPLOAD_TYPE, read_parts
from proxy.console.visit import Side, Viewer, Visit
from proxy.errors import DargahError, Forbidden, InvalidInput, NotFound, Unauthenticated, invalid
from proxy.merchant import Scope
from proxy.operators.records import Role
from proxy.operators.session_records import SessionKind
from proxy.operators.sessions import is_form_token
from proxy.web.middleware import MERCHANT_ID
from proxy.web.parsing import read_body
from proxy.web.problems import UnsupportedMediaType, problem_of

MAX_FIELDS: Final = 60
FORM_TYPE: Final = "application/x-www-form-urlencoded"
Serve = Callable[[Visit], Awaitable[web.StreamResponse]]


class ForeignForm(Forbidden):
    def __init__(self) -> None:
        super().__init__("form")
        self.detail = "This form did not come from a page of this session. Nothing was done; go back and try again."
        self.detail_fa = "این فرم از صفحه‌ای از همین نشست نیامده است. کاری انجام نشد؛ بازگردید و دوباره بفرستید."


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


def guarded(services: ConsoleServices, side: Side, route: Route) -> Handler:
    """The route behind its session, its right and, where it is a form, the form's token."""

    async def handle(request: web.Request) -> web.StreamResponse:
        viewer = await viewer_of(services, side, request)
        if viewer is None:
            return _stranger(side, request)
        if not viewer.may(route.role, route.scope):
            raise RightLacking(route.role if viewer.token is None else str(route.scope))
        form: dict[str, str] = {}
        files: dict[str, bytes] = {}
        if request.method == hdrs.METH_POST:
            form, files = await read_form(request, files=route.files)
            if not is_form_token(viewer.secret, form.pop("csrf", "")):
                raise ForeignForm
        visit = Visit(services, request, side, words_of(request), viewer, form, files)
        response = await route.serve(visit)
        _keep_language(request, response, side, embedded=viewer.embed_origin is not None)
        return response

    return handle


async def viewer_of(services: ConsoleServices, side: Side, request: web.Request) -> Viewer | None:
    """Whose browser it is; None when it has no session, or one that is over."""
    secret = read_cookie(request, SESSION)
    if secret is None:
        return None
    if side is Side.CONSOLE:
        return await _operator(services, secret)
    viewer = await _merchant(services, secret)
    if viewer is not None and viewer.token is not None:
        request[MERCHANT_ID] = viewer.token.merchant_id
    return viewer


async def read_form(request: web.Request, *, files: bool = False) -> tuple[dict[str, str], dict[str, bytes]]:
    """A form's fields, and its files where it may have `files`.

    Raises ForeignForm, UnsupportedMediaType, InvalidInput, and what reading the body raises.
    """
    if not is_own_form(request):
        raise ForeignForm
    uploads = files and request.content_type == UPLOAD_TYPE
    if not uploads and request.content_type != FORM_TYPE:
        raise UnsupportedMediaType
    body = await read_body(request)
    sent: dict[str, bytes] = {}
    try:
        if uploads:
            pairs, sent = read_parts(request.headers[hdrs.CONTENT_TYPE], body)
        else:
            pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise invalid("form", "malformed", "cannot be read", "خوانده نمی‌شود") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise invalid("form", "repeated", "has a field twice", "فیلدی دو بار آمده است")
    return form, sent


def words_of(request: web.Request) -> Words:
    """In the language that was chosen, now or before."""
    chosen = request.query.get("lang") or read_cookie(request, LANGUAGE)
    return Words(language_of(chosen, request.headers.get("Accept-Language", "")))


def error_page(request: web.Request, error: DargahError) -> web.Response:
    """An error as people see it, with the problem's status and headers."""
    problem, words = problem_of(error), words_of(request)
    side = Side.PORTAL if request.path.startswith(Side.PORTAL) else Side.CONSOLE
    document = problem.document
    detail = words.t(str(document["detail_fa"]), str(document["detail"]))
    fields = error.errors if isinstance(error, InvalidInput) else ()
    shown = bare_page(
        "error.html", words, side, status=problem.status, code=error.code, detail=detail, fields=fields,
        lost=isinstance(error, NotFound),
    )  # fmt: skip
    shown.headers.update({name: value for name, value in problem.headers.items() if name != hdrs.WWW_AUTHENTICATE})
    return shown


async def _operator(services: ConsoleServices, secret: str) -> Viewer | None:
    session = await services.sessions.find(secret, SessionKind.OPERATOR)
    if session is None:
        return None
    try:
        caller = await services.operators.known(bytes.fromhex(session.subject))
    except Unauthenticated:
        return None
    return Viewer(caller.name, secret, role=caller.role)


async def _merchant(services: ConsoleServices, secret: str) -> Viewer | None:
    session = await services.sessions.find(secret, SessionKind.PORTAL)
    if session is None:
        return None
    try:
        token = await services.store.token(session.merchant_id, session.subject)
    except NotFound:
        return None
    if not token.alive(services.now()):
        return None
    return Viewer(f"token:{token.id}", secret, token=token, embed_origin=session.embed_origin)


def _stranger(side: Side, request: web.Request) -> web.Response:
    if side is Side.PORTAL:
        return bare_page("closed.html", words_of(request), side, status=401)
    wanted = request.path_qs if request.method == hdrs.METH_GET else side.value
    return web.Response(status=303, headers={"Location": f"{side}/login?next={quote(wanted, safe='')}"})


def _keep_language(request: web.Request, response: web.StreamResponse, side: Side, *, embedded: bool) -> None:
    chosen = request.query.get("lang")
    if chosen in set(Language) and not response.prepared:
        cookie = language_cookie(side, chosen, secure=is_secure(request), embedded=embedded)
        response.headers.add(hdrs.SET_COOKIE, cookie)
