"""What is wrong now, as people see it: each with since when, how much waits, and the one thing to do about it."""

from collections.abc import Mapping, Sequence
from typing import Final

from proxy.console.language import Pair, Words
from proxy.console.page_context import PageContext
from proxy.kernel.clock import DAY, HOUR
from proxy.kernel.errors import NotFound
from proxy.kernel.frozen import dataclass
from proxy.operations.troubles import WORDS, Trouble, TroubleKind
from proxy.operations.troubles.trouble import COUNTED
from proxy.webhooks.delivery import DeliveryFilter
from proxy.webhooks.retry_policy import DeliveryStatus

RESEND_SPANS: Final = {"1": HOUR, "24": DAY, "72": 3 * DAY, "168": 7 * DAY, "720": 30 * DAY}
"""How far back a person may ask for everything again, by hours."""
SHOWN: Final = 30
"""How many are shown; the others are counted."""
_ENDPOINTS: Final = frozenset(
    {TroubleKind.ENDPOINT_FAILING, TroubleKind.ENDPOINT_DISABLED, TroubleKind.ENDPOINT_PAUSED}
)
_OPEN_ENDPOINT: Final[Pair] = ("نشانی را باز کن", "Open the endpoint")
_OPEN_MERCHANT: Final[Pair] = ("پذیرنده را باز کن", "Open the merchant")
# Of those that are about the whole installation, and those without a subject: where to go.
_PLACES: Final[Mapping[TroubleKind, tuple[str, Pair]]] = {
    TroubleKind.CONFIRM_IN_DANGER: ("/payments?status=pending", ("پرداخت‌های باز را ببین", "See the open payments")),
    TroubleKind.CONFIRM_MISSED: ("/payments?status=given_back", ("ببین کدام‌ها", "See which")),
    TroubleKind.REVIEWS_WAITING: ("/reviews", ("تصمیم بگیر", "Decide them")),
    TroubleKind.ENDPOINT_FAILING: ("/endpoints", ("نشانی‌ها را ببین", "See the endpoints")),
    TroubleKind.ENDPOINT_DISABLED: ("/endpoints", ("نشانی‌ها را ببین", "See the endpoints")),
    TroubleKind.ENDPOINT_PAUSED: ("/endpoints", ("نشانی‌ها را ببین", "See the endpoints")),
    TroubleKind.DELIVERIES_LATE: ("/endpoints", ("نشانی‌ها را ببین", "See the endpoints")),
    TroubleKind.CHECKS_LATE: ("/payments?status=pending", ("پرداخت‌های باز را ببین", "See the open payments")),
    TroubleKind.CALLS_WAITING: ("/payments?status=created", ("ببین کدام‌ها", "See which")),
    TroubleKind.SECOND_FACTOR_GUESSED: ("/operators", ("گردانندگان", "Operators")),
    TroubleKind.OPERATOR_ENDING: ("/operators", ("گردانندگان", "Operators")),
}
_MERCHANTS_PLACES: Final[Mapping[TroubleKind, tuple[str, Pair]]] = {
    **_PLACES,
    TroubleKind.REVIEWS_WAITING: ("/reviews", ("ببین کدام‌ها", "See which")),
    TroubleKind.GATEWAY_UNCLEAR: _PLACES[TroubleKind.CHECKS_LATE],
}
# Those that only the server's own operator mends: the settings name the database, the keys and the roles.
_SETTINGS: Final = ("/settings", ("تنظیمات را ببین", "See the settings"))


@dataclass(frozen=True, slots=True)
class Action:
    """A link; with `fields` a form that is posted with them."""

    path: str
    label: Pair
    fields: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class ShownTrouble:
    """`about` are the merchant's name, the host and whatever else tells which one it is.

    `place` is where it stands, and `actions` mend it there and then.
    """

    trouble: Trouble
    title: str
    advice: str
    runbook: str
    counted: str
    about: Sequence[str]
    place: Action
    actions: Sequence[Action]


async def shown_troubles(context: PageContext, troubles: Sequence[Trouble]) -> list[ShownTrouble]:
    """The first SHOWN of them."""
    return [await _shown(context, trouble) for trouble in troubles[:SHOWN]]


async def _shown(context: PageContext, trouble: Trouble) -> ShownTrouble:
    words, text = context.words, WORDS[trouble.kind]
    advice = text.advice if context.token is None or text.to_merchant is None else text.to_merchant
    return ShownTrouble(
        trouble,
        _in(words, text.title),
        _in(words, advice),
        text.runbook,
        _counted(words, trouble),
        [*await _merchant_name(context, trouble), *_facts(words, trouble)],
        _place(context, trouble),
        await _actions(context, trouble),
    )


async def _actions(context: PageContext, trouble: Trouble) -> list[Action]:
    """What mends it, as far as this viewer may do that."""
    kind, subject = trouble.kind, trouble.subject
    if kind is TroubleKind.ENDPOINT_FAILING and subject and context.resends:
        return await _sending(context, trouble)
    if kind in {TroubleKind.ENDPOINT_DISABLED, TroubleKind.ENDPOINT_PAUSED} and subject and context.owns:
        return [Action(f"/endpoints/{subject}/resume", ("راه بینداز", "Resume"), {})]
    if kind is TroubleKind.GATEWAY_UNCLEAR and context.operates and context.token is None:
        return [Action(f"/merchants/{trouble.merchant_id}/check-up", ("وارسی تنظیمات", "Check the set-up"), {})]
    return []


async def _sending(context: PageContext, trouble: Trouble) -> list[Action]:
    """One event as the probe, whose answer is shown; and the way to all that did not arrive since the trouble began."""
    merchant_id, endpoint_id = trouble.merchant_id or "", trouble.subject
    wanted = DeliveryFilter(DeliveryStatus.PENDING, limit=1)
    waiting = await context.services.store.webhooks.list_endpoint_deliveries(merchant_id, endpoint_id, wanted)
    age = context.services.now() - trouble.since
    hours = next((hours for hours, span in RESEND_SPANS.items() if span >= age + HOUR // 2), list(RESEND_SPANS)[-1])
    everything = [
        Action(f"/endpoints/{endpoint_id}/recover", ("هر چه مانده را بفرست", "Send all that waits"), {"hours": hours}),
        Action(f"/resend?endpoint={endpoint_id}&hours={hours}", ("برگزین چه برود…", "Choose what to send…")),
    ]
    if not waiting or not context.access.sees_delivery(waiting[0]):
        return everything
    fields = {"seen": str(waiting[0].attempts)}
    return [
        Action(f"/deliveries/{waiting[0].id}/retry", ("یکی را همین حالا بفرست", "Send one now"), fields),
        *everything,
    ]


def _place(context: PageContext, trouble: Trouble) -> Action:
    if trouble.subject and trouble.kind in _ENDPOINTS:
        return Action(f"/endpoints/{trouble.subject}", _OPEN_ENDPOINT)
    if context.token is not None:
        return Action(*_MERCHANTS_PLACES[trouble.kind])
    if trouble.kind in _PLACES:
        return Action(*_PLACES[trouble.kind])
    if trouble.merchant_id is not None:
        return Action(f"/merchants/{trouble.merchant_id}", _OPEN_MERCHANT)
    return Action(*_SETTINGS)


async def _merchant_name(context: PageContext, trouble: Trouble) -> list[str]:
    if trouble.merchant_id is None or context.token is not None:
        return []
    try:
        merchant = await context.services.merchant_cache.merchant(trouble.merchant_id)
        return [merchant.called(context.words.language)]
    except NotFound:
        return [trouble.merchant_id]


def _facts(words: Words, trouble: Trouble) -> list[str]:
    facts, told = trouble.facts, list[str]()
    told += [str(facts[name]) for name in ("host", "gateway", "name", "key") if name in facts]
    if trouble.kind is TroubleKind.INVARIANT_BROKEN:
        told.append(trouble.subject)
    if int(facts.get("merchants", 1)) > 1:
        told.append(f"{words.number(int(facts['merchants']))} {words.t('پذیرنده', 'merchants')}")
    if "free_bytes" in facts:
        free = words.digits(f"{int(facts['free_bytes']) / 2**30:.1f}")
        told.append(f"{free} GiB {words.t('جای خالی', 'free')}")
    for name, label in (
        ("goes_back_at", words.t("برمی‌گردد در", "goes back at")),
        ("ends_at", words.t("پایان:", "ends")),
        ("last_at", words.t("آخرین:", "last")),
    ):
        if name in facts:
            told.append(f"{label} {words.time(int(facts[name]))}")
    if "seconds" in facts:
        told.append(f"{words.number(int(facts['seconds']))} {words.t('ثانیه', 'seconds')}")
    if facts.get("here"):
        told.append(words.t("از دید همین سرور", "as this server sees it"))
    return told


def _counted(words: Words, trouble: Trouble) -> str:
    """How much waits, in words; empty where the kind counts nothing."""
    if "endpoints" in trouble.facts:
        return f"{words.number(trouble.count)} {words.t('نشانی دیگر', 'more endpoints')}"
    counted = WORDS[trouble.kind].counted
    if not counted[0]:
        return ""
    return f"{words.number(trouble.count)}{'+' if trouble.count >= COUNTED else ''} {_in(words, counted)}"


def _in(words: Words, text: tuple[str, str]) -> str:
    """A text of the troubles' own table, which has English first."""
    return words.t(text[1], text[0])
