"""NovinPal's error codes: the one table of their meanings, texts and advice.

A public client has the list of its documents (101 to 123). 105, 106, 109 and 113 are not in it, and no list of the
codes of `verify` was found: a code that is not here leaves the outcome unknown.
"""

from collections.abc import Mapping
from typing import Final

from proxy.gateways.family import Meaning, Text

_OUR_FAULT: Final[Text] = ("this is a fault of Dargah's", "این خطای ماست")
_ASK_SUPPORT: Final[Text] = (
    "Ask NovinPal's support what the terminal misses.",
    "از پشتیبانی نوین‌پال بپرسید ترمینال چه کم دارد.",
)
_TRY_LATER: Final[Text] = (
    "Try again later; payments are still watched.",
    "بعداً دوباره بیازمایید؛ پرداخت‌ها همچنان پی گرفته می‌شوند.",
)


def _terminal(
    words: str, english: str, persian: str, for_operator: Text = _ASK_SUPPORT, for_developer: Text | None = None
) -> Meaning:
    """A code that refuses a request for good, and tells of the terminal or of our call."""
    return Meaning(words, (english, persian), for_developer, for_operator, refuses=True, alerts=True)


def _trouble(words: str, english: str, persian: str) -> Meaning:
    return Meaning(words, (english, persian), for_operator=_TRY_LATER)


CODES: Final[Mapping[int, Meaning]] = {
    101: _terminal(
        "آی پی سایت پذیرنده مجاز نیست",
        "the server's IP is not the one registered for the terminal",
        "IP سرور همان IP ثبت‌شدهٔ ترمینال نیست",
        (
            "Register this server's public IP for the terminal at NovinPal.",
            "IP عمومی این سرور را نزد نوین‌پال برای ترمینال ثبت کنید.",
        ),
        ("register it at NovinPal", "آن را نزد نوین‌پال ثبت کنید"),
    ),
    102: _terminal("ترمینال بلاک شده است", "the terminal is blocked", "ترمینال مسدود شده است"),
    103: _terminal(
        "آدرس بازگشتی متعلق به سایت پذیرنده نیست",
        "the return address is not under the domain registered for the terminal",
        "نشانی بازگشت از دامنهٔ ثبت‌شدهٔ ترمینال نیست",
        (
            (
                "Give the terminal a base URL for returns under the registered domain "
                "(`dargah terminal update ID --return-base-url URL`), or register Dargah's domain at NovinPal."
            ),
            (
                "برای ترمینال نشانی بازگشتی از دامنهٔ ثبت‌شده بگذارید "
                "(`dargah terminal update ID --return-base-url URL`)، یا دامنهٔ درگاه را نزد نوین‌پال ثبت کنید."
            ),
        ),
        (
            "give it a base URL for returns there, or register this one at NovinPal",
            "برای ترمینال نشانی بازگشتی از آن دامنه بگذارید یا این دامنه را نزد نوین‌پال ثبت کنید",
        ),
    ),
    104: _trouble("خطای PSP", "its payment provider has an error", "شرکت پرداخت آن خطا داده است"),
    107: _trouble("PSP یافت نشد", "it found no payment provider", "شرکت پرداختی نیافت"),
    108: _trouble("خطای سرور", "it has an error of its own", "خطای داخلی دارد"),
    110: Meaning(
        "مبلغ اشتباه وارد شده یا کمتر از 10000 ریال است",
        ("it does not take this amount: 10,000 rials at least", "این مبلغ را نمی‌پذیرد؛ دست‌کم ۱۰٬۰۰۰ ریال"),
        refuses=True,
    ),
    111: _terminal(
        "کلید API اشتباه است",
        "the terminal's api_key is wrong",
        "api_key ترمینال نادرست است",
        (
            "Set the right one: `dargah terminal update ID --new-api-key`.",
            "کلید درست را بگذارید: `dargah terminal update ID --new-api-key`.",
        ),
        ("an operator can set it", "گردانندهٔ سامانه آن را اصلاح کند"),
    ),
    112: _terminal("پذیرنده غیرفعال است", "the merchant is not active", "پذیرنده فعال نیست"),
    114: _terminal(
        "متد ارسال شده اشتباه است",
        "it wants another method",
        "متد درخواست را نمی‌پذیرد",
        for_developer=_OUR_FAULT,
    ),
    115: _terminal("ترمینال تأیید نشده است", "the terminal is not approved", "ترمینال تأیید نشده است"),
    116: _terminal("ترمینال غیرفعال است", "the terminal is not active", "ترمینال فعال نیست"),
    117: _terminal("ترمینال رد شده است", "the terminal was rejected", "ترمینال رد شده است"),
    118: _terminal("ترمینال تعلیق شده است", "the terminal is suspended", "ترمینال تعلیق شده است"),
    119: _terminal("ترمینالی تعریف نشده است", "the merchant has no terminal", "پذیرنده ترمینالی ندارد"),
    120: _terminal(
        "حساب کاربری پذیرنده به حالت تعلیق درآمده است",
        "the merchant's account is suspended",
        "حساب پذیرنده تعلیق شده است",
    ),
    121: _terminal(
        "حساب کاربری پذیرنده تأیید نشده است", "the merchant's account is not approved", "حساب پذیرنده تأیید نشده است"
    ),
    122: _terminal("حساب کاربری پذیرنده یافت نشد", "it knows no such merchant", "چنین پذیرنده‌ای نمی‌شناسد"),
    123: Meaning(
        "کارت نامعتبر است",
        ("the customer paid with another card than the allowed one", "مشتری با کارتی جز کارت مجاز پرداخته است"),
    ),
}
