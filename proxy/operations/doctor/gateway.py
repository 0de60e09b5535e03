"""The finding about a terminal from the gateway's answer to a `check` of an impossible invoice. No invoice is made."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from proxy.gateways.family import LOOK, Family
from proxy.gateways.invoice_script import FAMILY as SCRIPT
from proxy.gateways.invoice_script.codes import Code
from proxy.gateways.port import INVOICE_SCRIPT, CheckResult, CheckUnknown, reason_of
from proxy.kernel.clock import SECOND
from proxy.merchants.merchant import Mode, ReturnMethod, Scope, Token
from proxy.operations.doctor.base import Finding, fine, problem, warning
from proxy.payments.change import Entry
from proxy.payments.drop_in import SOON
from proxy.payments.payment import Status
from proxy.payments.search import PaymentFilter
from proxy.payments.storage.repository import PaymentRepository

# Whether a terminal's registration was mended shows no probe, so a refusal because of it is told until it is changed.
_REGISTRATION: Final = frozenset({Code.WRONG_DOMAIN, Code.WRONG_IP})


def key_finding(subject: str, family: Family, result: CheckResult) -> Finding:
    """Whether the terminal's credentials are right, and its gateway reached."""
    outcome = result.outcome
    if not isinstance(outcome, CheckUnknown):
        detail = ("the gateway claims to know an invoice that cannot be", "درگاه صورتحسابی ناممکن را می‌شناسد")
        return warning("terminal_key", subject, detail, LOOK)
    if outcome.error_code is not None:
        return _code_finding(subject, family, outcome.error_code)
    said = reason_of(outcome) + (f": {result.excerpt}" if result.excerpt else "")
    detail = (f"the gateway gives no clear answer ({said})", f"پاسخ روشنی از درگاه نمی‌رسد ({said})")
    return problem("gateway_reachable", subject, detail, LOOK)


def _code_finding(subject: str, family: Family, code: int) -> Finding:
    meaning, explanation = family.codes.get(code), family.explanation(code)
    if meaning is None or explanation is None:
        return _bare_code(subject, code)
    if meaning.for_operator is not None:
        if meaning.alerts:
            return problem("terminal_key", subject, explanation, meaning.for_operator)
        return warning("gateway_reachable", subject, explanation, meaning.for_operator)
    # What is left tells of the invoice, except where it tells of our call.
    if meaning.alerts and code != _UNKNOWN_INVOICE.get(family.name):
        return _bare_code(subject, code)
    names = _names(family)
    return fine("terminal_key", subject, f"the gateway takes its {names}", f"درگاه {names} آن را می‌پذیرد")


# The script's code alerts, since for an invoice of ours it tells that the terminal is another.
_UNKNOWN_INVOICE: Final[Mapping[str, int]] = {INVOICE_SCRIPT: Code.UNKNOWN_INVOICE}


def _bare_code(subject: str, code: int) -> Finding:
    detail = (f"the gateway answered with the code {code}", f"درگاه کد {code} داد")
    return warning("gateway_reachable", subject, detail, LOOK)


def untested_finding(subject: str, family: Family) -> Finding:
    """Of a family that cannot be asked about an invoice that nobody paid."""
    names = _names(family)
    return fine(
        "terminal_key",
        subject,
        f"whether its {names} are right, only a payment shows: the gateway has no call that tells",
        f"درستی {names} آن را تنها یک پرداخت نشان می‌دهد: درگاه راهی برای آزمودن ندارد",
    )


def unknown_gateway_finding(subject: str, gateway: str) -> Finding:
    """A terminal of a family that this version does not have."""
    return problem(
        "terminal_gateway",
        subject,
        (
            f"its gateway is of the family {gateway}, which this version of Dargah does not have",
            f"درگاه آن از خانوادهٔ {gateway} است که این نسخه ندارد",
        ),
        (
            "Run the version that made it, on every replica; till then it can only be switched off.",
            "نسخه‌ای را که آن را ساخته روی همهٔ سرورها اجرا کنید؛ تا آن زمان تنها می‌توان خاموشش کرد.",
        ),
    )


def seal_finding(subject: str, family: Family, url: str) -> Finding:
    """A credential that does not open for the URL that it would go to: nothing is sent there."""
    names = _names(family)
    detail = (
        f"its {names} cannot be opened for {url}: the URL was changed without it, a row was altered or is missing, or "
        "the key that sealed it is not in the ring; the log says which"
    )
    detail_fa = (
        f"{names} آن برای {url} باز نمی‌شود: نشانی بی آن عوض شده، سطری دست خورده یا گم شده، یا کلید مهر آن در دسته‌کلید "
        "نیست؛ لاگ می‌گوید کدام"
    )
    asked = " ".join(f"--credential {credential.name}" for credential in family.credentials)
    command = f"`dargah terminal update ID --gateway-url URL {asked}`"
    advice = (
        f"Find out who changed it (`dargah audit list`), or bring the key back; then set all anew: {command}.",
        f"ببینید چه کسی عوضش کرده (`dargah audit list`) یا کلید را بازگردانید؛ سپس همه را از نو بگذارید: {command}.",
    )
    return problem("terminal_seal", subject, (detail, detail_fa), advice)


def _names(family: Family) -> str:
    return ", ".join(credential.name for credential in family.credentials)


def tells_of_registration(family: Family, code: int) -> bool:
    """Whether a refusal with this code tells what is registered for the terminal at its gateway."""
    if family.name == INVOICE_SCRIPT:
        return code in _REGISTRATION
    meaning = family.codes.get(code)
    return meaning is not None and meaning.alerts


def refused_finding(subject: str, family: Family, code: int, payment_id: str) -> Finding:
    """A create that the gateway refused lately because of the terminal's registration."""
    detail, detail_fa = family.explanation(code) or (str(code), str(code))
    return problem(
        "recent_refusal",
        subject,
        (f"{payment_id} was refused: {detail}", f"{payment_id} پذیرفته نشد: {detail_fa}"),
        family.advice(code),
    )


def return_host_finding(subject: str, host: str, shops: list[str]) -> Finding:
    """Whether the gateway sees returns under the shop's own domain, which it may insist on."""
    if any(_same_site(host, shop) for shop in shops):
        return fine(
            "return_host",
            subject,
            f"returns go to {host}, the shop's own domain",
            f"بازگشت به {host} از دامنهٔ فروشگاه است",
        )
    detail = (
        f"returns go to {host}, which is not under the shop's domain; a gateway that insists on it refuses payments",
        f"بازگشت به {host} است که از دامنهٔ فروشگاه نیست؛ درگاهی که بر آن پافشاری کند پرداخت را نمی‌پذیرد",
    )
    return warning("return_host", subject, detail, SCRIPT.advice(Code.WRONG_DOMAIN))


def referrer_finding(subject: str, origin: str, return_host: str) -> Finding:
    """The origin that the gateway sees customers come from, which some gateways verify, beside the host of their
    return.
    """
    host = urlsplit(origin).hostname or ""
    observed = f"customers come to the gateway from {origin} (Referer)"
    observed_fa = f"مشتری از {origin} به درگاه می‌رسد (سرآیند Referer)"
    if _same_site(host, return_host) or _same_site(return_host, host):
        return fine(
            "referrer",
            subject,
            f"{observed}; where it looks at that, register {host} there",
            f"{observed_fa}؛ اگر درگاه به آن نگاه می‌کند، {host} را نزد آن ثبت کنید",
        )
    detail = (
        f"{observed} and go back to {return_host}; a gateway that knows only the latter may turn all of them away",
        f"{observed_fa} و به {return_host} بازمی‌گردد؛ درگاهی که تنها دومی را بشناسد، شاید هیچ مشتری‌ای را نپذیرد",
    )
    advice = (
        f"If it does, register {host} at the gateway too, or reach Dargah under the same domain (DARGAH_PUBLIC_URL).",
        f"اگر چنین است، {host} را هم نزد درگاه ثبت کنید یا سامانه را زیر همان دامنه بیاورید (DARGAH_PUBLIC_URL).",
    )
    return warning("referrer", subject, detail, advice)


def _same_site(host: str, shop: str) -> bool:
    base = shop.removeprefix("www.")
    return host == base or host.endswith(f".{base}")


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
    recent = await payments.list_payments(merchant_id, PaymentFilter(status=Status.PAID, limit=RECENT))
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
