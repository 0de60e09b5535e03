"""What a gateway's answer to a `check` of an impossible invoice tells of the terminal. None is ever made for it."""

from collections.abc import Mapping
from typing import Final

from proxy.doctor.findings import Finding, fine, problem, warning
from proxy.facts import CheckFact, CheckUnknown

UNKNOWN_INVOICE: Final = 200
_SET_KEY: Final = (
    "Set the right one: `dargah terminal update ID --new-api-key`.",
    "کلید درست را بگذارید: `dargah terminal update ID --new-api-key`.",
)
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
_REGISTER_IP: Final = (
    "Register this server's public IP for the terminal at the gateway.",
    "IP عمومی این سرور را نزد درگاه پرداخت برای ترمینال ثبت کنید.",
)
# The gateway's own codes, as problems: what is wrong, and what to do.
_CODES: Final[Mapping[int, tuple[tuple[str, str], tuple[str, str]]]] = {
    101: (("the gateway does not know this api_key (101)", "درگاه این api_key را نمی‌شناسد (۱۰۱)"), _SET_KEY),
    203: (
        ("the domain is not the one registered for the terminal (203)", "دامنه ثبت‌شدهٔ ترمینال نیست (۲۰۳)"),
        _RETURN_BASE,
    ),
    204: (("this server's IP is not the registered one (204)", "IP این سرور ثبت‌شده نیست (۲۰۴)"), _REGISTER_IP),
    302: (
        ("the terminal is disabled at the gateway (302)", "ترمینال نزد درگاه غیرفعال است (۳۰۲)"),
        ("Ask the gateway to enable it.", "از درگاه پرداخت بخواهید آن را فعال کند."),
    ),
}
_LOOK: Final = (
    "See whether the gateway_url is right, with any path before /invoice/, and whether this server can reach it.",
    "ببینید gateway_url درست است (با مسیر پیش از /invoice/) و این سرور به آن می‌رسد.",
)
_LATER: Final = (
    "Try again later; payments are still watched.",
    "بعداً دوباره بیازمایید؛ پرداخت‌ها همچنان پی گرفته می‌شوند.",
)


def key_finding(subject: str, fact: CheckFact) -> Finding:
    """Whether the terminal's key is right, and its gateway reached."""
    if not isinstance(fact, CheckUnknown):
        detail = ("the gateway claims to know an invoice that cannot be", "درگاه صورتحسابی ناممکن را می‌شناسد")
        return warning("terminal_key", subject, detail, _LOOK)
    code = fact.error_code
    if code == UNKNOWN_INVOICE:
        return fine("terminal_key", subject, "the gateway takes this api_key", "درگاه این api_key را می‌پذیرد")
    if code is not None and code in _CODES:
        return problem("terminal_key", subject, *_CODES[code])
    if code == 301:  # noqa: PLR2004  the script's code for its own bank
        detail = (
            "the gateway is reached and does not reach its bank (301)",
            "درگاه پاسخ می‌دهد ولی به بانک نمی‌رسد (۳۰۱)",
        )
        return warning("gateway_reachable", subject, detail, _LATER)
    if code is not None:
        detail = (f"the gateway answered with the code {code}", f"درگاه کد {code} داد")
        return warning("gateway_reachable", subject, detail, _LOOK)
    detail = (f"the gateway gives no clear answer ({fact.reason})", f"پاسخ روشنی از درگاه نمی‌رسد ({fact.reason})")
    return problem("gateway_reachable", subject, detail, _LOOK)


def refused_finding(subject: str, code: int, payment_id: str) -> Finding:
    """A create that the gateway refused lately with 203 or 204."""
    (detail, detail_fa), advice = _CODES[code]
    return problem(
        "recent_refusal",
        subject,
        (f"{payment_id} was refused: {detail}", f"{payment_id} پذیرفته نشد: {detail_fa}"),
        advice,
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
        f"returns go to {host}, which is not under the shop's domain; a gateway that insists on it answers 203",
        f"بازگشت به {host} است که از دامنهٔ فروشگاه نیست؛ درگاهی که بر آن پافشاری کند ۲۰۳ می‌دهد",
    )
    return warning("return_host", subject, detail, _RETURN_BASE)


def _same_site(host: str, shop: str) -> bool:
    base = shop.removeprefix("www.")
    return host == base or host.endswith(f".{base}")
