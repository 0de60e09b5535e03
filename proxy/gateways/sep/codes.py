"""SEP's codes: the one table of their meanings, texts and advice.

The sources are its guide 3.3, and for 21 a client of its newer guide (github.com/ErfanDavoodiNasr/sep-java-sdk). 5 is a
number of two calls: from the token request it is what the table says, from VerifyTransaction a payment that was given
back, which is an outcome of its own.
"""

from collections.abc import Mapping
from typing import Final

from proxy.gateways.family import Meaning, Text

REPEATED: Final = 2
REVERSED: Final = 5
NOT_FOUND: Final = -2
TOO_LATE: Final = -6

_OURS: Final[Text] = ("this is a fault of Dargah's", "این خطای ماست")
_REGISTER_IP: Final[Text] = (
    "Register this server's public IP for the terminal at SEP.",
    "IP عمومی این سرور را نزد سپ برای ترمینال ثبت کنید.",
)
_SET_TERMINAL: Final[Text] = (
    "Set the terminal_id that SEP gave for this terminal.",
    "شمارهٔ ترمینالی را بگذارید که سپ داده است.",
)

CODES: Final[Mapping[int, Meaning]] = {
    REPEATED: Meaning("درخواست تکراری است", ("the same call was made before", "همین درخواست پیش‌تر رسیده است")),
    REVERSED: Meaning(
        "پارامترهای ارسالی نامعتبر است",
        ("it does not take the parameters of the request", "پارامترهای درخواست را نمی‌پذیرد"),
        for_developer=_OURS,
        refuses=True,
        alerts=True,
    ),
    8: Meaning(
        "آدرس سرور پذیرنده نامعتبر است",
        ("the server's IP is not the one registered for the terminal", "IP سرور همان IP ثبت‌شدهٔ ترمینال نیست"),
        for_operator=_REGISTER_IP,
        refuses=True,
        alerts=True,
    ),
    10: Meaning("توکن ارسال‌شده یافت نشد", ("it does not know the token", "توکن را نمی‌شناسد")),
    11: Meaning(
        "با این شماره ترمینال فقط تراکنش‌های توکنی قابل پرداخت هستند",
        ("the terminal takes payments by token only", "این ترمینال تنها پرداخت با توکن را می‌پذیرد"),
        for_developer=_OURS,
        refuses=True,
        alerts=True,
    ),
    12: Meaning(
        "شماره ترمینال ارسال‌شده یافت نشد",
        ("it does not know the terminal's number", "شمارهٔ ترمینال را نمی‌شناسد"),
        for_operator=_SET_TERMINAL,
        refuses=True,
        alerts=True,
    ),
    21: Meaning(
        "محدودیت‌های تسهیم رعایت نشده است",
        (
            "the terminal shares its payments among accounts, and Dargah names none",
            "پرداخت‌های این ترمینال میان چند حساب تسهیم می‌شود و ما حسابی نمی‌فرستیم",
        ),
        for_operator=(
            "Ask SEP for a terminal that is settled to one account.",
            "از سپ ترمینالی بخواهید که به یک حساب تسویه شود.",
        ),
        refuses=True,
        alerts=True,
    ),
    NOT_FOUND: Meaning("تراکنش یافت نشد", ("it does not know the payment", "پرداخت را نمی‌شناسد")),
    TOO_LATE: Meaning(
        "بیش از نیم ساعت از زمان اجرای تراکنش گذشته است",
        ("more than half an hour has passed since the payment", "بیش از نیم ساعت از پرداخت گذشته است"),
    ),
    -104: Meaning(
        "ترمینال ارسالی غیرفعال می‌باشد",
        ("the terminal is disabled", "ترمینال غیرفعال است"),
        for_operator=("Ask SEP to enable it.", "از سپ بخواهید آن را فعال کند."),
        alerts=True,
    ),
    -105: Meaning(
        "ترمینال ارسالی در سیستم موجود نمی‌باشد",
        ("there is no terminal of this number", "ترمینالی با این شماره نیست"),
        for_operator=_SET_TERMINAL,
        alerts=True,
    ),
    -106: Meaning(
        "آدرس آی‌پی درخواستی غیرمجاز می‌باشد",
        ("the server's IP is not allowed", "IP سرور مجاز نیست"),
        for_operator=_REGISTER_IP,
        alerts=True,
    ),
}
