"""The findings about a terminal and its gateway: credentials, host, domain and referrer. No I/O."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from proxy.gateways.family import LOOK, Family, Probe, Text
from proxy.gateways.port import Account, CheckOutcome, CheckResult, CheckUnknown, NotPaid, reason_of
from proxy.kernel.urls import host_of, is_loopback
from proxy.merchants.merchant import Mode
from proxy.operations.doctor.base import Finding, fine, problem, warning
from proxy.operations.doctor.connections import GATEWAY, explanation

NONE: Final[Mapping[str, str]] = MappingProxyType({})


def key_finding(
    subject: str, family: Family, probe: Probe, result: CheckResult, url: str = "", ca_files: Mapping[str, str] = NONE
) -> Finding:
    """Whether the terminal's credentials are right, and its gateway at `url` reached, by its answer to the probe.

    `ca_files` are those of DARGAH_GATEWAY_CA_FILES.
    """
    outcome = result.outcome
    if _is_unknown(probe, outcome):
        names = _names(family)
        taken = fine("terminal_key", subject, f"the gateway takes its {names}", f"درگاه {names} آن را می‌پذیرد")
        return taken if probe.tells_credentials else untested_finding(subject, family)
    if not isinstance(outcome, CheckUnknown):
        detail = ("the gateway claims to know an invoice that cannot be", "درگاه صورتحسابی ناممکن را می‌شناسد")
        return warning("terminal_key", subject, detail, LOOK)
    if outcome.error_code is not None:
        return _code_finding(subject, family, outcome.error_code)
    if result.http_status is None and (known := explanation(outcome.reason, GATEWAY, url, ca_files)) is not None:
        (why, why_fa), advice = known
        detail = (f"the gateway is not reached: {why}", f"به درگاه نمی‌رسیم: {why_fa}")
        return problem("gateway_reachable", subject, detail, advice)
    said = reason_of(outcome) + (f": {result.excerpt}" if result.excerpt else "")
    detail = (f"the gateway gives no clear answer ({said})", f"پاسخ روشنی از درگاه نمی‌رسد ({said})")
    return problem("gateway_reachable", subject, detail, LOOK)


def _is_unknown(probe: Probe, outcome: CheckOutcome) -> bool:
    """Whether the gateway said that it knows no such invoice."""
    if not isinstance(outcome, CheckUnknown):
        return isinstance(outcome, NotPaid) and probe.unknown_is_unpaid
    if outcome.error_code is not None:
        return outcome.error_code in probe.unknown_codes
    return outcome.http_status is not None and outcome.http_status == probe.unknown_status


def _code_finding(subject: str, family: Family, code: int) -> Finding:
    meaning, explanation = family.codes.get(code), family.explanation(code)
    if meaning is None or explanation is None or meaning.for_operator is None:
        bare = (f"the gateway answered with the code {code}", f"درگاه کد {code} داد")
        return warning("gateway_reachable", subject, explanation or bare, LOOK)
    if meaning.alerts:
        return problem("terminal_key", subject, explanation, meaning.for_operator)
    return warning("gateway_reachable", subject, explanation, meaning.for_operator)


def untested_finding(subject: str, family: Family) -> Finding:
    """Of a family whose gateway answers wrong credentials as it does right ones, or that has no harmless call."""
    names, traits = _names(family), family.traits
    locks = [lock for lock, holds in ((_IP, traits.locks_ip), (_DOMAIN, traits.locks_domain)) if holds]
    english = "".join(f", and {lock[0]}" for lock in locks)
    persian = "".join(f" و {lock[1]}" for lock in locks)
    return fine(
        "terminal_key",
        subject,
        f"whether its {names} are right{english}, only a payment shows: the gateway has no harmless call that tells",
        f"درستی {names}{persian} را تنها یک پرداخت نشان می‌دهد: درگاه پرسش بی‌ضرری ندارد که آن را بگوید",
    )


_IP: Final = ("this server's address registered", "ثبت نشانی این سرور")
_DOMAIN: Final = ("the domain of the returns", "ثبت دامنهٔ بازگشت")


def host_finding(subject: str, family: Family, account: Account, mode: Mode, *, development: bool) -> Finding | None:
    """Whether customers pay real money at the terminal's host, beside its mode; None where no host of the family's is
    known.
    """
    host, live = host_of(account.gateway_url), mode is Mode.LIVE
    if is_loopback(urlsplit(account.gateway_url).hostname or ""):
        said = (f"{host} is this machine: a simulator, or a tunnel", f"{host} همین ماشین است: شبیه‌ساز یا تونل")
        return (
            warning("gateway_host", subject, said, _NO_SIMULATOR) if live and not development else _good(subject, said)
        )
    if family.is_sandbox(account):
        said = (f"it is in the sandbox of {family.title[0]}", f"در محیط آزمایشی {family.title[1]} است")
        detail = (f"{said[0]}, and its mode is live: nobody pays money there", f"{said[1]} ولی حالت آن واقعی است")
        return problem("gateway_host", subject, detail, _LIVE_HOST) if live else _good(subject, said)
    known = host_of(family.gateway_url)
    if not known:
        return None
    if host != known:
        said = (
            f"{host} is not {known}, by which Dargah knows {family.title[0]}: see that it is theirs",
            f"{host} همان {known} نیست که {family.title[1]} را به آن می‌شناسیم؛ ببینید از خود آنان است",
        )
        return _good(subject, said)
    said = (f"{host} is the live host of {family.title[0]}", f"{host} میزبان واقعی {family.title[1]} است")
    detail = (f"{said[0]}: its test payments move real money", f"{said[1]}: پرداخت آزمایشی آن پول واقعی جابه‌جا می‌کند")
    return _good(subject, said) if live else warning("gateway_host", subject, detail, _TEST_HOST)


def _good(subject: str, said: Text) -> Finding:
    return fine("gateway_host", subject, *said)


_NO_SIMULATOR: Final = (
    "Behind a simulator no money moves: see that it is none.",
    "در شبیه‌ساز پولی جابه‌جا نمی‌شود؛ ببینید شبیه‌ساز نباشد.",
)
_LIVE_HOST: Final = (
    "Set the live gateway_url and credentials, or make a terminal of mode test.",
    "gateway_url و اطلاعات واقعی را بگذارید یا ترمینالی آزمایشی بسازید.",
)
_TEST_HOST: Final = (
    "Use the family's sandbox or `dargah simulator` for tests.",
    "برای آزمایش از محیط آزمایشی درگاه یا `dargah simulator` بهره ببرید.",
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
    return warning("return_host", subject, detail, _RETURN_BASE)


_RETURN_BASE: Final = (
    (
        "Give the terminal a base URL for returns under the shop's own domain, a CNAME of it that points at Dargah "
        "(`dargah terminal update ID --return-base-url URL`), or register Dargah's domain at the gateway."
    ),
    (
        "برای ترمینال نشانی بازگشتی از دامنهٔ خود فروشگاه بگذارید که با CNAME به درگاه برسد "
        "(`dargah terminal update ID --return-base-url URL`)، یا دامنهٔ درگاه را نزد درگاه پرداخت ثبت کنید."
    ),
)


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
