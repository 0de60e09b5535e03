"""Acts that cannot be taken back ask first: one page for all of them, and a proof that it was seen.

An act's row in `routes.py` is made by `asking`: its GET shows what would happen, to what, and a form that says yes; its
POST acts only with the proof that this page put into the form, and shows the page otherwise. So one misclick, an old
form and a form of another page do nothing.
"""

import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field
from typing import Final

from aiohttp import hdrs, web

from proxy.console.guard import Route, Serve
from proxy.console.language import Pair
from proxy.console.page_context import PageContext
from proxy.http.parsing import plain_number
from proxy.kernel.clock import MINUTE
from proxy.kernel.errors import Conflict
from proxy.kernel.frozen import dataclass
from proxy.merchants.merchant import Mode, Scope
from proxy.operators.records import Role
from proxy.operators.second_factor import CODE_ERRORS
from proxy.operators.sessions import form_token

PROVEN_FOR: Final = 10 * MINUTE
"""From the page to its answer, and from an act to its undoing."""
_PROOF, _TYPED = "asked", "typed"
_TIME_DIGITS: Final = 15


@dataclass(frozen=True, slots=True)
class Question:
    """What an act would do. `subject` is what it is done to, by the name that people know.

    `happens` are sentences, `facts` names with what is known of the subject (a time is milliseconds), `yes` the words
    of the button, `back` the page to return to, `instead` a gentler way with its page. Where `typed` is not empty, the
    person must type it; `code` asks for one of their second factor, which the act verifies. `carried` are the fields of
    the form that asked, for the act.
    """

    title: Pair
    subject: str
    happens: Sequence[Pair]
    yes: Pair
    back: str
    section: str
    mode: Mode | None = None
    facts: Sequence[tuple[Pair, "Fact"]] = ()
    instead: tuple[Pair, str] | None = None
    typed: str = ""
    code: bool = False
    carried: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Time:
    """A time in milliseconds, shown as such; None is `never`."""

    at: int | None


Fact = Time | int | str
Ask = Callable[[PageContext], Awaitable[Question]]


def asking(path: str, role: Role, scope: Scope | None, act: Serve, ask: Ask) -> tuple[Route, Route]:
    """The page that asks, and the form that acts once it was answered."""

    async def show(context: PageContext) -> web.Response:
        return _page(context, await ask(context))

    async def do(context: PageContext) -> web.StreamResponse:
        question = await ask(context)
        if (page := unanswered(context, question)) is not None:
            return page
        try:
            return await act(context)
        except CODE_ERRORS as error:
            return _page(context, question, error=(error.detail_fa, error.detail))

    return Route(hdrs.METH_GET, path, role, scope, show), Route(hdrs.METH_POST, path, role, scope, do)


def unanswered(context: PageContext, question: Question) -> web.Response | None:
    """The page that asks, for a form that does not come from there with the answer yes; None for one that does."""
    if _PROOF not in context.form:
        return _page(context, question)
    if not is_proven(context):
        return _page(context, question, error=_STALE)
    if context.form.get(_TYPED, "").strip() != question.typed:
        return _page(context, question, error=_NOT_TYPED)
    return None


def proof(context: PageContext, path: str) -> str:
    """What a form to `path`, a path of this side, must carry within PROVEN_FOR."""
    return _proof(context, path, context.services.now())


def is_proven(context: PageContext) -> bool:
    """Whether the form came from a page of this session that has just been seen, for this very path."""
    sent = context.form.get(_PROOF, "")
    asked_at, now = plain_number(sent.partition(".")[0], _TIME_DIGITS), context.services.now()
    if asked_at is None or not 0 <= now - asked_at <= PROVEN_FOR:
        return False
    path = context.request.path.removeprefix(context.side)
    return hmac.compare_digest(_proof(context, path, asked_at).encode(), sent.encode(errors="surrogatepass"))


def require_proof(context: PageContext) -> None:
    """Raises Conflict for an undoing that comes too late, or from elsewhere than the page of its act."""
    if not is_proven(context):
        raise Conflict("it can no longer be taken back", "دیگر نمی‌توان آن را پس گرفت")


_STALE: Final = (
    "از این پرسش ده دقیقه گذشته است؛ دوباره بخوانید و پاسخ دهید. کاری انجام نشد.",
    "This was asked more than ten minutes ago: read it again. Nothing was done.",
)
_NOT_TYPED: Final = (
    "آنچه نوشتید همان نیست؛ درست بنویسید. کاری انجام نشد.",
    "What you typed is not the same. Nothing was done.",
)


def _page(context: PageContext, question: Question, error: Pair | None = None) -> web.Response:
    path = context.request.path.removeprefix(context.side)
    status = 200 if error is None else 422
    return context.page("confirm.html", status=status, ask=question, path=path, proof=proof(context, path), error=error)


def _proof(context: PageContext, path: str, asked_at: int) -> str:
    return f"{asked_at}.{form_token(context.viewer.secret, f'{asked_at} {path}')}"
