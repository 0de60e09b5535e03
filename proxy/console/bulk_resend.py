"""Sending again over many endpoints: a count first, a page that asks, a stored resend, and the page of its progress."""

from dataclasses import replace
from hashlib import sha256
from typing import Final

import orjson
from aiohttp import web

from proxy.console.confirmation import Question
from proxy.console.page_context import PageContext
from proxy.console.payment_filters import merchant_choices
from proxy.console.payments import names_of
from proxy.console.trouble_list import RESEND_SPANS
from proxy.kernel.clock import MINUTE
from proxy.kernel.errors import Conflict, NotFound, invalid
from proxy.merchants.merchant import Mode
from proxy.webhooks.endpoint import Endpoint
from proxy.webhooks.event import EVENT_TYPES
from proxy.webhooks.resend import COUNTED, ResendActor, ResendChoice, ResendEndpoint, ResendFilter, ResendRequest
from proxy.webhooks.resend import ResendState as State

MAX_MERCHANTS: Final = 200
"""To choose from."""
SHOWN_RESENDS: Final = 10
SHOWN_ENDPOINTS: Final = 100
_FIELDS: Final = ("merchant", "mode", "hours", "endpoint", "type")
_DEFAULT_HOURS: Final = "24"
# A resend that runs on is waiting for an endpoint that does not answer.
_SOON: Final = 10 * MINUTE
_SOON_SECONDS, _LATER_SECONDS = 2, 15


async def show_resend(context: PageContext) -> web.StreamResponse:
    """What did not arrive, endpoint by endpoint, the way to send it again, and the last resends."""
    fields = _fields(context)
    chosen = await choose(context, _filter(context, fields))
    actor = None if context.token is None else _actor(context).name
    return context.page(
        "resend.html",
        fields=fields,
        chosen=chosen,
        choices=await merchant_choices(context, fields["merchant"], MAX_MERCHANTS),
        names=await names_of(context, [endpoint for endpoint, _ in [*chosen.rows, *chosen.off]]),
        event_types=sorted(EVENT_TYPES),
        counted=COUNTED,
        resends=await context.services.store.resends.resends(None, SHOWN_RESENDS, actor),
    )


async def ask_resend(context: PageContext) -> Question:
    fields = _fields(context)
    chosen = await choose(context, _filter(context, fields))
    if not chosen.rows:
        raise Conflict("there is nothing to send again", "چیزی نیست که دوباره فرستاده شود")
    return Question(
        title=("همه دوباره فرستاده شود؟", "Send all of it again?"),
        subject=context.words.t(
            f"{context.words.number(chosen.total)} خبر به {context.words.number(len(chosen.rows))} نشانی",
            f"{chosen.total:,} webhooks to {len(chosen.rows):,} endpoints",
        ),
        mode=chosen.filter.mode,
        happens=[
            (
                "هر چه از این زمان نرسیده، در صف است یا کنار گذاشته شده می‌رود؛ برنامهٔ تلاش‌هایش از نو آغاز می‌شود.",
                "Whatever failed, waits or was dropped since then goes, with its schedule from the start.",
            ),
            (
                "نشانی‌ای که پاسخ نمی‌دهد همچنان یکی‌یکی آزموده می‌شود، تا پاسخی دهد؛ نخستین آزمون همین حالا.",
                "An endpoint that does not answer is still tried once at a time, until it does: the first time now.",
            ),
            (
                "خبرهای تازه پشت آن نمی‌مانند: به هر نشانی اندک‌اندک فرستاده می‌شود.",
                "New webhooks do not wait behind it: each endpoint gets it a little at a time.",
            ),
            (
                "فروشگاه شاید خبری را دوباره بگیرد؛ شناسه‌اش همان است. دوباره خواستن زیانی ندارد.",
                "A shop may get some webhook twice, with the same id. To ask for it again does no harm.",
            ),
        ],
        facts=[
            (("از", "Since"), context.words.time(chosen.filter.since)),
            (("نشانی‌های خاموش، که نمی‌گیرند", "Endpoints that are off, and get nothing"), len(chosen.off)),
        ],
        yes=("بفرست", "Send"),
        back="/resend",
        section="/deliveries",
        carried=fields,
    )


async def resend(context: PageContext) -> web.StreamResponse:
    """Begins it, once for each page that asked."""
    fields = _fields(context)
    chosen = await choose(context, _filter(context, fields))
    key = sha256(context.form.get("asked", "").encode()).hexdigest()
    return await begin(context, chosen, key, sha256(orjson.dumps(fields)).digest())


async def begin(
    context: PageContext, chosen: ResendChoice, key: str | None = None, digest: bytes | None = None
) -> web.StreamResponse:
    """The page of the resend that begins."""
    beginning = context.services.resends.begin(ResendRequest(chosen, _actor(context), key, digest))
    begun, _ = await context.services.tasks.run(beginning, "" if context.token is None else context.token.merchant_id)
    return context.go(f"/resends/{begun.id}")


async def choose(context: PageContext, wanted: ResendFilter) -> ResendChoice:
    """What the filter wants, of the endpoints that are seen here."""
    own = None if context.token is None else await context.access.endpoints(context.token.merchant_id)
    return await context.services.resends.choose(wanted, own)


def undelivered_since(context: PageContext) -> ResendFilter:
    """What did not arrive since the form's time. Raises InvalidInput."""
    if "hours" not in context.form:
        raise invalid("hours", "required", "must be given", "باید داده شود")
    return _filter(context, _fields(context))


async def show_progress(context: PageContext) -> web.StreamResponse:
    """How far a resend is; the page reloads while it runs."""
    services, resend_id = context.services, context.request.match_info["resend_id"]
    found = await services.resends.known(resend_id, None if context.token is None else _actor(context).name)
    parts = await services.store.resends.endpoints(found.id)
    running = found.ended_at is None
    soon = services.now() - found.created_at < _SOON
    return context.page(
        "resent.html",
        refresh=(_SOON_SECONDS if soon else _LATER_SECONDS) if running else None,
        resend=found,
        running=running and found.state is not State.STOPPED,
        parts=[(part, await _endpoint(context, part)) for part in parts[:SHOWN_ENDPOINTS]],
        more=max(0, len(parts) - SHOWN_ENDPOINTS),
    )


async def stop(context: PageContext) -> web.StreamResponse:
    """What is due already still goes out; another resend takes up the rest."""
    stopped = await context.services.resends.stop(context.request.match_info["resend_id"], _actor(context))
    return context.go(f"/resends/{stopped.id}")


async def _endpoint(context: PageContext, part: ResendEndpoint) -> Endpoint | None:
    try:
        return await context.services.store.webhooks.endpoint(part.merchant_id, part.endpoint_id)
    except NotFound:  # deleted since
        return None


def _actor(context: PageContext) -> ResendActor:
    token = context.token
    return ResendActor(context.viewer.name) if token is None else ResendActor(f"token:{token.id}", token.merchant_id)


def _fields(context: PageContext) -> dict[str, str]:
    """The form's fields. Raises InvalidInput for one that is no choice."""
    given = context.form or context.request.query
    fields = {name: given.get(name, "").strip()[:60] for name in _FIELDS}
    fields["hours"] = fields["hours"] or _DEFAULT_HOURS
    choices = (("hours", set(RESEND_SPANS)), ("mode", {"", *map(str, Mode)}), ("type", {"", *EVENT_TYPES}))
    for name, allowed in choices:
        if fields[name] not in allowed:
            raise invalid(name, "not_a_choice", "must be one of the choices", "باید یکی از گزینه‌ها باشد")
    return fields


def _filter(context: PageContext, fields: dict[str, str]) -> ResendFilter:
    now = context.services.now()
    wanted = ResendFilter(now - RESEND_SPANS[fields["hours"]], now + 1)
    return replace(
        wanted,
        types=frozenset(filter(None, [fields["type"]])),
        merchants=() if context.token is not None else tuple(filter(None, [fields["merchant"]])),
        endpoints=tuple(filter(None, [fields["endpoint"]])),
        mode=Mode(fields["mode"]) if fields["mode"] else None,
    )
