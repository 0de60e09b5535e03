"""The operators: named people, added, given a new token and revoked, each by an owner."""

from typing import Final

from aiohttp import web

from proxy.api.responses import first_page
from proxy.audit.log import AuditLog, ChainVerification
from proxy.console.jobs import Ended, Job, JobPage
from proxy.console.page_context import PageContext, Secret, operator_page
from proxy.kernel.clock import DAY
from proxy.kernel.errors import Conflict, InvalidInput, invalid
from proxy.operators.operators import DEFAULT_OVERLAP_SECONDS
from proxy.operators.records import Role

# How many days a token lasts that is not for good.
DAYS: Final = (1, 7, 30, 90, 365)
_OVERLAPS: Final = {"0": 0, "24": DEFAULT_OVERLAP_SECONDS}


async def list_operators(context: PageContext) -> web.StreamResponse:
    return await _page(context)


async def add_operator(context: PageContext) -> web.StreamResponse:
    """Adds one, and shows the token once."""
    form = context.form
    try:
        role, expires_at = _role(form.get("role", "")), _end(context, form.get("days", ""))
        name = form.get("name", "").strip()
        operator, text = await context.services.operators.add(name, role, expires_at, actor=context.viewer.name)
    except InvalidInput as error:
        return await _page(
            context, [f"{each.field}: {context.words.t(each.detail_fa, each.detail)}" for each in error.errors]
        )
    except Conflict as error:
        return await _page(context, [context.words.t(error.detail_fa, error.detail)], status=409)
    return operator_page(context, operator, Secret(("توکن گرداننده", "Operator's token"), text))


async def rotate_operator(context: PageContext) -> web.StreamResponse:
    """A new token, shown once; the previous one ends now, or after a day."""
    overlap_seconds = _OVERLAPS.get(context.form.get("hours", "24"))
    if overlap_seconds is None:
        raise invalid("hours", "not_a_choice", "must be one of the choices", "باید یکی از گزینه‌ها باشد")
    operator_id = context.request.match_info["operator_id"]
    rotating = context.services.operators.rotate(operator_id, overlap_seconds, actor=context.viewer.name)
    operator, text = await rotating
    return operator_page(context, operator, Secret(("توکن تازهٔ گرداننده", "Operator's new token"), text))


async def revoke_operator(context: PageContext) -> web.StreamResponse:
    """Ends the token, and with it every session that it opened."""
    await context.services.operators.revoke(context.request.match_info["operator_id"], actor=context.viewer.name)
    return context.go("/operators?said=revoked")


async def _page(context: PageContext, errors: list[str] | None = None, *, status: int = 422) -> web.Response:
    return context.page(
        "operators.html",
        status=status if errors else 200,
        operators=await context.services.store.operators.list_operators(),
        errors=errors or [],
        form=context.form,
        days=DAYS,
        now=context.services.now(),
    )


def _role(text: str) -> Role:
    if text not in set(Role):
        raise invalid("role", "not_a_choice", "must be one of the choices", "باید یکی از گزینه‌ها باشد")
    return Role(text)


def _end(context: PageContext, days: str) -> int | None:
    if not days:
        return None
    if days not in map(str, DAYS):
        raise invalid("days", "not_a_choice", "must be one of the choices", "باید یکی از گزینه‌ها باشد")
    return context.services.now() + int(days) * DAY


PAGE: Final = 50
CHAINS_AT_ONCE: Final = 100


async def list_audit(context: PageContext) -> web.StreamResponse:
    query = context.request.query
    merchant_id, after = query.get("merchant") or None, query.get("after") or None
    found = await context.services.store.audit.list_audit(merchant_id, after, PAGE + 1)
    entries, following = first_page(found, PAGE)
    return context.page("audit.html", entries=entries, merchant_id=merchant_id, following=following)


async def verify_audit(context: PageContext) -> web.StreamResponse:
    """Walks every chain."""

    async def work(job: Job) -> Ended:
        log, after = AuditLog(context.services.store.audit), ""
        broken: list[ChainVerification] = []
        entries = chains = 0
        while names := await log.chains(after, CHAINS_AT_ONCE):
            for name in names:
                verified = await log.verify(name)
                chains, entries = chains + 1, entries + verified.reached.number
                job.count = entries
                if verified.broken is not None:
                    broken.append(verified)
            after = names[-1]
        return JobPage("verified.html", {"broken": broken, "chains": chains, "entries": entries})

    return await context.work("وارسی دفتر کارها", "Verifying the audit log", work)
