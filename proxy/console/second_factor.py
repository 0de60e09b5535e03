"""An operator's own second factor: enrolled, ended, with new recovery codes; and another's, removed by an owner."""

from typing import Final

from aiohttp import web
from markupsafe import Markup

from proxy.api.rate_limiting import before_look_up
from proxy.api.v1.payments import qr_svg
from proxy.console.confirmation import Question, Time
from proxy.console.cookies import BROWSER, read_cookie
from proxy.console.language import Pair
from proxy.console.page_context import PageContext
from proxy.kernel.clock import MINUTE
from proxy.kernel.errors import Conflict, Unauthenticated
from proxy.kernel.urls import host_of
from proxy.operators.records import Operator, Session
from proxy.operators.second_factor import CodeRefused, Offered
from proxy.operators.totp import provisioning_uri

FRESH: Final = 10 * MINUTE
"""After a login so old, enrolling asks for the token again: a session that was left open enrols nobody else's phone."""
_OWN, _OPERATORS = "/second-factor", "/operators"
_ISSUER: Final = "Dargah"


async def show(context: PageContext) -> web.StreamResponse:
    operator = await _own(context)
    if operator is None:
        return context.page("second_factor.html", operator=None)
    if operator.second_factor is None:
        return _offer(context, operator, context.services.second_factors.offer(_session(context)))
    left = await context.services.second_factors.recovery_codes_left(operator)
    return context.page("second_factor.html", operator=operator, left=left)


async def enrol(context: PageContext) -> web.StreamResponse:
    """Confirms the shown secret by a code, and shows the recovery codes once."""
    operator, factors = await _own(context), context.services.second_factors
    if operator is None or operator.second_factor is not None:
        raise Conflict("there is one already, or none of this kind", "رمز دوم از پیش هست، یا از این گونه نیست")
    session = _session(context)
    offered = factors.offered(session, context.form.get("offered", ""))
    if _is_old(context) and not await _gave_token(context, operator):
        return _offer(context, operator, offered, error=_WRONG_TOKEN)
    try:
        codes = await factors.enrol(operator, session, offered, context.form.get("code", ""))
    except CodeRefused as error:
        return _offer(context, operator, offered, error=(error.detail_fa, error.detail))
    return context.page("recovery_codes.html", codes=codes)


async def end(context: PageContext) -> web.StreamResponse:
    operator = await _proven(context)
    await context.services.second_factors.end(operator, _session(context))
    return context.go(f"{_OWN}?said=second_factor_ended")


async def renew_recovery_codes(context: PageContext) -> web.StreamResponse:
    """New ones, shown once."""
    operator = await _proven(context)
    return context.page(
        "recovery_codes.html", codes=await context.services.second_factors.renew_recovery_codes(operator)
    )


async def remove(context: PageContext) -> web.StreamResponse:
    """Removes another operator's, with their sessions."""
    await context.services.second_factors.remove(await _other(context), context.viewer.name)
    return context.go(f"{_OPERATORS}?said=second_factor_removed")


async def ask_end(context: PageContext) -> Question:
    operator = await _enrolled(context)
    return Question(
        title=("رمز دوم پایان یابد؟", "End your second factor?"),
        subject=operator.name,
        happens=[
            ("پس از آن توکن به‌تنهایی پیشخان را باز می‌کند.", "After that your token alone opens the console."),
            (
                "کدهای بازیابی هم پایان می‌یابند، و نشست‌های دیگرتان.",
                "The recovery codes end too, and your other sessions.",
            ),
        ],
        yes=("پایان بده", "End it"),
        back=_OWN,
        section=_OPERATORS,
        code=True,
    )


async def ask_renew_recovery_codes(context: PageContext) -> Question:
    operator = await _enrolled(context)
    left = await context.services.second_factors.recovery_codes_left(operator)
    return Question(
        title=("کدهای بازیابی تازه ساخته شود؟", "Make new recovery codes?"),
        subject=operator.name,
        happens=[("ده کد تازه یک بار نشان داده می‌شود.", "Ten new ones are shown once."), _OVER],
        facts=[(("کدهای مانده", "Codes left"), left)],
        yes=("بساز", "Make them"),
        back=_OWN,
        section=_OPERATORS,
        code=True,
    )


async def ask_remove(context: PageContext) -> Question:
    operator = await _other(context)
    if operator.second_factor is None:
        raise Conflict("this operator has no second factor", "این گرداننده رمز دوم ندارد")
    return Question(
        title=("رمز دوم این گرداننده برداشته شود؟", "Remove this operator's second factor?"),
        subject=operator.name,
        happens=[
            (
                "پس از آن توکنش به‌تنهایی پیشخان را باز می‌کند، تا رمز دوم دیگری بسازد.",
                "After that the token alone opens the console, until they enrol another.",
            ),
            ("پیش از آن مطمئن شوید که خودش آن را خواسته است.", "Be sure first that it is they who ask for it."),
            ("کدهای بازیابی و همهٔ نشست‌هایش هم پایان می‌یابند.", "The recovery codes and all their sessions end too."),
        ],
        facts=[(("ساخته‌شده", "Enrolled"), Time(operator.second_factor_at))],
        yes=("بردار", "Remove it"),
        back=_OPERATORS,
        section=_OPERATORS,
    )


_OVER: Final = ("کدهای پیشین دیگر کار نمی‌کنند.", "Those before no longer work.")
_WRONG_TOKEN: Final = ("این توکن شما نیست، یا پایان یافته است.", "This token is not yours, or is over.")


def _offer(context: PageContext, operator: Operator, offered: Offered, error: Pair | None = None) -> web.Response:
    """The page with the secret, which is shown until it is enrolled."""
    account = f"{operator.name}@{host_of(context.services.public_url)}"
    uri = provisioning_uri(offered.secret, account, _ISSUER)
    return context.page(
        "second_factor.html",
        status=200 if error is None else 422,
        operator=operator,
        offered=offered,
        uri=uri,
        qr=Markup(qr_svg(uri).decode()),  # noqa: S704  drawn by us
        asks_token=_is_old(context),
        error=error,
    )


async def _own(context: PageContext) -> Operator | None:
    """The viewer's token; None for one of the settings, and for whom a provider knows."""
    caller = context.viewer.caller
    if caller is None or caller.operator_id is None:
        return None
    return await context.services.store.operators.operator(caller.operator_id)


async def _enrolled(context: PageContext) -> Operator:
    operator = await _own(context)
    if operator is None or operator.second_factor is None:
        raise Conflict("you have no second factor", "رمز دومی ندارید")
    return operator


async def _proven(context: PageContext) -> Operator:
    """The viewer, who gave a code. Raises CodeRefused and GuessesSpent."""
    operator, factors = await _enrolled(context), context.services.second_factors
    browser = factors.tickets.browser(operator.second_factor or "", read_cookie(context.request, BROWSER) or "")
    await factors.prove(operator, context.form.get("code", ""), browser)
    return operator


async def _other(context: PageContext) -> Operator:
    operator = await context.services.store.operators.operator(context.request.match_info["operator_id"])
    if operator.name == context.viewer.name:
        raise Conflict("end your own on its page, with a code", "رمز دوم خود را در صفحهٔ آن پایان دهید، با کد")
    return operator


async def _gave_token(context: PageContext, operator: Operator) -> bool:
    token = context.form.get("token", "").strip()
    try:
        caller = await context.services.operators.authenticate(token, before_look_up(context.request))
    except Unauthenticated:
        return False
    return caller.name == operator.name


def _is_old(context: PageContext) -> bool:
    return context.services.now() - _session(context).created_at >= FRESH


def _session(context: PageContext) -> Session:
    session = context.viewer.session
    assert session is not None, "a viewer of the console has a session"
    return session
