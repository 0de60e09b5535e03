"""A payment that the gateway refused, as the error that its storefront gets, with what to do about each code."""

from collections.abc import Mapping
from typing import Final

from proxy.errors import GatewayRefused
from proxy.payment import Payment

_ADVICE: Final[Mapping[int, tuple[str, str]]] = {
    100: ("it wants a POST (100); this is a fault of Dargah's", "درخواست POST نبوده است (۱۰۰)؛ این خطای ماست"),
    101: (
        "the terminal's api_key is wrong (101); an operator can set it",
        "api_key ترمینال نادرست است (۱۰۱)؛ گردانندهٔ سامانه آن را اصلاح کند",
    ),
    102: ("it does not take this amount (102)", "این مبلغ را نمی‌پذیرد (۱۰۲)"),
    103: (
        "it misses the return address (103); this is a fault of Dargah's",
        "نشانی بازگشت نرسیده است (۱۰۳)؛ این خطای ماست",
    ),
    203: (
        (
            "the return address is not under the domain registered for the terminal (203); give it a base URL "
            "for returns there, or register this one at the gateway"
        ),
        (
            "نشانی بازگشت از دامنهٔ ثبت‌شدهٔ ترمینال نیست (۲۰۳)؛ برای ترمینال نشانی بازگشتی از آن دامنه بگذارید "
            "یا این دامنه را نزد درگاه ثبت کنید"
        ),
    ),
    204: (
        "the server's IP is not the one registered for the terminal (204); register it at the gateway",
        "IP سرور همان IP ثبت‌شدهٔ ترمینال نیست (۲۰۴)؛ آن را نزد درگاه ثبت کنید",
    ),
    302: ("the terminal is disabled (302)", "ترمینال غیرفعال است (۳۰۲)"),
}


def refusal(payment: Payment) -> GatewayRefused:
    """The error of a payment that failed because no invoice could be had."""
    code = payment.failure.gateway_error_code if payment.failure else None
    why, why_fa = _ADVICE.get(code or 0, ("it gave no invoice", "صورتحسابی نداد"))
    return GatewayRefused(
        f"The gateway refused this payment: {why}.", f"درگاه این پرداخت را نپذیرفت: {why_fa}.", payment.id, code
    )
