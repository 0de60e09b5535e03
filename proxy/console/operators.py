"""Who runs this Dargah: named people, added, given a new token and shut out, each by an owner."""

from typing import Final

from aiohttp import web

from proxy.clock import DAY
from proxy.console.shown import Secret, operator_page
from proxy.console.visit import Visit
from proxy.errors import Conflict, InvalidInput, invalid
from proxy.operators.operators import DEFAULT_OVERLAP_SECONDS
from proxy.operators.records import Role

# How many days a token lasts that is not for good.
DAYS: Final = (1, 7, 30, 90, 365)
_OVERLAPS: Final = {"0": 0, "24": DEFAULT_OVERLAP_SECONDS}


async def list_operators(visit: Visit) -> web.StreamResponse:
    return await _page(visit)


async def add_operator(visit: Visit) -> web.StreamResponse:
    """Adds one, and shows the token once."""
    form = visit.form
    try:
        role, expires_at = _role(form.get("role", "")), _end(visit, form.get("days", ""))
        name = form.get("name", "").strip()
        operator, text = await visit.services.operators.add(name, role, expires_at, actor=visit.viewer.name)
    except InvalidInput as error:
        return await _page(
            visit, [f"{each.field}: {visit.words.t(each.detail_fa, each.detail)}" for each in error.errors]
        )
    except Conflict as error:
        return await _page(visit, [visit.words.t(error.detail_fa, error.detail)], status=409)
    return operator_page(visit, operator, Secret(("توکن گرداننده", "Operator's token"), text))


async def rotate_operator(visit: Visit) -> web.StreamResponse:
    """A new token, shown once; the one before ends now, or goes on for a day."""
    overlap_seconds = _OVERLAPS.get(visit.form.get("hours", "24"))
    if overlap_seconds is None:
        raise invalid("hours", "not_a_choice", "must be one of the choices", "باید یکی از گزینه‌ها باشد")
    operator_id = visit.request.match_info["operator_id"]
    rotating = visit.services.operators.rotate(operator_id, overlap_seconds, actor=visit.viewer.name)
    operator, text = await rotating
    return operator_page(visit, operator, Secret(("توکن تازهٔ گرداننده", "Operator's new token"), text))


async def revoke_operator(visit: Visit) -> web.StreamResponse:
    """Ends the token, and with it every session that it opened."""
    await visit.services.operators.revoke(visit.request.match_info["operator_id"], actor=visit.viewer.name)
    return visit.go("/operators?said=revoked")


async def _page(visit: Visit, errors: list[str] | None = None, *, status: int = 422) -> web.Response:
    return visit.page(
        "operators.html",
        status=status if errors else 200,
        operators=await visit.services.store.list_operators(),
        errors=errors or [],
        form=visit.form,
        days=DAYS,
        now=visit.services.now(),
    )


def _role(text: str) -> Role:
    if text not in set(Role):
        raise invalid("role", "not_a_choice", "must be one of the choices", "باید یکی از گزینه‌ها باشد")
    return Role(text)


def _end(visit: Visit, days: str) -> int | None:
    if not days:
        return None
    if days not in map(str, DAYS):
        raise invalid("days", "not_a_choice", "must be one of the choices", "باید یکی از گزینه‌ها باشد")
    return visit.services.now() + int(days) * DAY
