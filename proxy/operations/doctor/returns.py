"""The findings about the ways by which the drop-in's customers go back to their shop."""

from collections.abc import Iterable, Sequence
from typing import Final

from proxy.kernel.clock import SECOND
from proxy.kernel.frozen import dataclass
from proxy.merchants.merchant import Mode, ReturnMethod, Scope, Token
from proxy.operations.doctor.base import Finding, fine, warning
from proxy.payments.change import Entry
from proxy.payments.drop_in import SOON
from proxy.payments.payment import Status
from proxy.payments.search import PaymentFilter
from proxy.payments.storage.repository import PaymentRepository

RECENT: Final = 50
FEWEST: Final = 3
# A customer who is sent on waits for no longer than this; later it was found out without them.
SENT_ON_WITHIN: Final = 30 * SECOND
_MAX_ENTRIES: Final = 100
_FA: Final = {ReturnMethod.GET: "GET", ReturnMethod.POST: "POST", ReturnMethod.BOTH: "هر دو"}


@dataclass(frozen=True, slots=True)
class ReturnRoute:
    """How a shop's customers go back to it."""

    storefront: str
    mode: Mode
    method: ReturnMethod


async def return_findings(
    payments: PaymentRepository, merchant_id: str, tokens: Sequence[Token], now: int
) -> list[Finding]:
    """A finding for each way of the tokens in use by which some customers went back lately."""
    ways = {
        ReturnRoute(t.storefront, t.mode, t.return_method) for t in tokens if Scope.FACADE in t.scopes and t.alive(now)
    }
    if not ways:
        return []
    followed: dict[ReturnRoute, list[bool]] = {}
    recent = await payments.list_payments(merchant_id, PaymentFilter(statuses=(Status.PAID,), limit=RECENT))
    for payment in recent.payments:
        if payment.drop_in is None or payment.paid_at is None or now - payment.paid_at <= SOON:
            continue
        way = ReturnRoute(payment.storefront, payment.mode, payment.drop_in)
        entries = await payments.timeline(merchant_id, payment.id, _MAX_ENTRIES) if way in ways else []
        if _went_back(payment.paid_at, entries):
            followed.setdefault(way, []).append(any(entry.kind == "drop_in.check" for entry in entries))
    return [return_finding(way, asked) for way, asked in followed.items() if len(asked) >= FEWEST]


def return_finding(way: ReturnRoute, asked: Sequence[bool]) -> Finding:
    """The finding for a shop that did, or did not, check after each of its customers' returns."""
    count, method = sum(asked), way.method
    subject = f"{way.storefront} ({way.mode})"
    observed = (
        f"of {len(asked)} customers who paid and went back by {method}, {count} were followed by a check of the shop's"
    )
    observed_fa = (
        f"از {len(asked)} مشتری که پرداختند و با {_FA[method]} بازگشتند، فروشگاه در پی {count} نفر check فرستاد"
    )
    if count:
        return fine("drop_in_return", subject, observed, observed_fa)
    if method is ReturnMethod.BOTH:
        return warning("drop_in_return", subject, (observed, observed_fa), _LOOK_THERE)
    options = f"--storefront {way.storefront} --mode {way.mode} --scope facade --return-method both"
    command = f"`dargah token create --merchant ID {options}`"
    advice = (
        f"It may read the return another way; give it a token whose returns go both ways: {command}. {_WEBHOOK[0]}",
        f"شاید بازگشت را جور دیگری می‌خواند؛ توکنی بدهید که بازگشتش به هر دو راه باشد: {command}. {_WEBHOOK[1]}",
    )
    return warning("drop_in_return", subject, (observed, observed_fa), advice)


_WEBHOOK: Final = (
    "A shop that credits from the webhook alone needs nothing.",
    "فروشگاهی که تنها با وب‌هوک اعتبار می‌دهد چیزی لازم ندارد.",
)
_LOOK_THERE: Final = (
    f"It is sent both ways already: see the shop's log at its return_url. {_WEBHOOK[0]}",
    f"بازگشت به هر دو راه می‌رود: لاگ فروشگاه را در return_url ببینید. {_WEBHOOK[1]}",
)


def _went_back(paid_at: int, entries: Iterable[Entry]) -> bool:
    """Whether the customer came from the gateway and was sent on. `drop_in` is in returns since checks are noted."""
    returns = (entry for entry in entries if entry.kind == "return" and "drop_in" in entry.data)
    return any(0 <= paid_at - entry.at <= SENT_ON_WITHIN for entry in returns)
