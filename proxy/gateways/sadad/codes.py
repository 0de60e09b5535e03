"""Sadad's codes: the one table of their meanings, texts and advice.

The source is its purchase guide 1.10, with the words as github.com/alitnk/monopay and Parbad print them.
The codes of one meaning share a row's texts; the words are each code's own.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from proxy.gateways.family import Meaning, Text

REPEATED: Final = frozenset({100, 10})
"""Verify's "it was registered before". The guide's text has `010` there, which is most likely 100 with its digits
reversed by a reader of PDF: both are taken.
"""
FAILED: Final = -1
TOO_LATE: Final = 101
REVERSED: Final = 1105

_OURS: Final[Text] = ("this is a fault of Dargah's", "این خطای ماست")
_PARAMETERS: Final = Meaning(
    "",
    ("it does not take the parameters of the request", "پارامترهای درخواست را نمی‌پذیرد"),
    for_developer=_OURS,
    refuses=True,
    alerts=True,
)
_MERCHANT: Final = Meaning(
    "",
    ("it does not know the merchant_id or the terminal_id", "merchant_id یا terminal_id را نمی‌شناسد"),
    for_operator=(
        "Set the merchant_id and the terminal_id that Sadad gave.",
        "merchant_id و terminal_id را همان بگذارید که سداد داده است.",
    ),
    refuses=True,
    alerts=True,
)
_DISABLED: Final = Meaning(
    "",
    ("the terminal is disabled, or may not take this payment", "ترمینال غیرفعال است یا اجازهٔ این پرداخت را ندارد"),
    for_operator=("Ask Sadad to enable it.", "از سداد بخواهید آن را فعال کند."),
    refuses=True,
    alerts=True,
)
_IP: Final = Meaning(
    "",
    ("the server's IP is not the one registered for the terminal", "IP سرور همان IP ثبت‌شدهٔ ترمینال نیست"),
    for_operator=(
        "Register this server's public IP for the terminal at Sadad.",
        "IP عمومی این سرور را نزد سداد برای ترمینال ثبت کنید.",
    ),
    refuses=True,
    alerts=True,
)
_DOMAIN: Final = Meaning(
    "",
    (
        "the return address is not under the domain registered for the terminal",
        "نشانی بازگشت از دامنهٔ ثبت‌شدهٔ ترمینال نیست",
    ),
    for_operator=(
        "Give the terminal a base URL for returns under the registered domain, or register this one at Sadad.",
        "برای ترمینال نشانی بازگشتی از دامنهٔ ثبت‌شده بگذارید یا این دامنه را نزد سداد ثبت کنید.",
    ),
    refuses=True,
    alerts=True,
)
_CLOCK: Final = Meaning(
    "",
    ("the server's clock is wrong", "ساعت سرور نادرست است"),
    for_operator=(
        "Set the server's clock by NTP; the time is sent in Tehran's.",
        "ساعت سرور را با NTP تنظیم کنید؛ زمان به وقت تهران فرستاده می‌شود.",
    ),
    refuses=True,
    alerts=True,
)
_KEY: Final = Meaning(
    "",
    ("the signature is wrong: the key is not the terminal's", "امضا نادرست است: کلید از آنِ این ترمینال نیست"),
    for_operator=("Set the key that Sadad gave for the terminal.", "کلیدی را بگذارید که سداد برای ترمینال داده است."),
    refuses=True,
    alerts=True,
)
_AMOUNT: Final = Meaning(
    "", ("it does not take this amount", "این مبلغ را نمی‌پذیرد"), refuses=True
)  # the terminal's own limits, which no code tells
_BUSY: Final = Meaning(
    "",
    ("the gateway is out of service for the moment", "درگاه موقتاً خدمت نمی‌دهد"),
    for_operator=(
        "Try again later; payments are still watched.",
        "بعداً دوباره بیازمایید؛ پرداخت‌ها همچنان پی گرفته می‌شوند.",
    ),
)


def _row(meaning: Meaning, words: str) -> Meaning:
    return replace(meaning, words=words)


CODES: Final[Mapping[int, Meaning]] = {
    FAILED: Meaning(
        "پارامترهای ارسالی صحیح نیست و یا تراکنش در سیستم وجود ندارد",
        ("the payment failed, or it does not know it", "پرداخت ناموفق بوده یا آن را نمی‌شناسد"),
    ),
    3: _row(_DISABLED, "پذیرنده کارت فعال نیست"),
    23: _row(_DISABLED, "پذیرنده کارت نامعتبر است"),
    58: _row(_DISABLED, "انجام تراکنش مربوطه توسط پایانهٔ انجام‌دهنده مجاز نمی‌باشد"),
    61: _row(_AMOUNT, "مبلغ تراکنش از حد مجاز بالاتر است"),
    100: Meaning(
        "تراکنش تکراری است و پیش‌تر ثبت شده است",
        ("the payment was confirmed before", "این پرداخت پیش‌تر تأیید شده است"),
    ),
    TOO_LATE: Meaning(
        "مهلت ارسال تراکنش به پایان رسیده است",
        ("the time to confirm the payment is over", "مهلت تأیید پرداخت گذشته است"),
    ),
    1000: _row(_PARAMETERS, "ترتیب پارامترهای ارسالی اشتباه می‌باشد"),
    1001: _row(_PARAMETERS, "پارامترهای پرداخت اشتباه می‌باشد"),
    1002: _row(_BUSY, "خطا در سیستم، تراکنش ناموفق"),
    1003: _row(_IP, "آی‌پی پذیرنده اشتباه است"),
    1004: _row(_MERCHANT, "شماره پذیرنده اشتباه است"),
    1005: _row(_BUSY, "خطای دسترسی: لطفا بعدا تلاش فرمایید"),
    1006: _row(_BUSY, "خطا در سیستم"),
    1011: Meaning(
        "درخواست تکراری، شماره سفارش تکراری می‌باشد",
        ("the terminal has used this order number before", "این شمارهٔ سفارش پیش‌تر برای ترمینال به کار رفته است"),
        for_operator=(
            "See whether another system sends payments by this terminal.",
            "ببینید سامانهٔ دیگری هم با این ترمینال پرداخت می‌فرستد یا نه.",
        ),
        refuses=True,
        alerts=True,
    ),
    1012: _row(_KEY, "اطلاعات پذیرنده صحیح نیست: یکی از موارد تاریخ، زمان یا کلید تراکنش اشتباه است"),
    1015: _row(_BUSY, "پاسخ خطای نامشخص از سمت مرکز"),
    1017: _row(_AMOUNT, "مبلغ درخواستی از حد مجاز تعریف‌شده برای این پذیرنده بیشتر است"),
    1018: _row(_CLOCK, "اشکال در تاریخ و زمان سیستم"),
    1019: _row(_DISABLED, "امکان پرداخت از طریق سیستم شتاب برای این پذیرنده امکان‌پذیر نیست"),
    1020: _row(_DISABLED, "پذیرنده غیرفعال شده است"),
    1023: _row(_DOMAIN, "آدرس بازگشت پذیرنده نامعتبر است"),
    1024: _row(_CLOCK, "مهر زمانی پذیرنده نامعتبر است"),
    1025: _row(_KEY, "امضا تراکنش نامعتبر است"),
    1026: _row(_PARAMETERS, "شماره سفارش تراکنش نامعتبر است"),
    1027: _row(_MERCHANT, "شماره پذیرنده نامعتبر است"),
    1028: _row(_MERCHANT, "شماره ترمینال پذیرنده نامعتبر است"),
    1029: _row(_IP, "آدرس آی‌پی پرداخت در محدودهٔ آدرس‌های معتبر اعلام‌شده توسط پذیرنده نیست"),
    1030: _row(_DOMAIN, "آدرس دامنهٔ پرداخت در محدودهٔ آدرس‌های معتبر اعلام‌شده توسط پذیرنده نیست"),
    1033: _row(_DISABLED, "به علت مشکل در سایت پذیرنده، پرداخت برای این پذیرنده غیرفعال شده است"),
    1036: _row(_PARAMETERS, "اطلاعات اضافی ارسال نشده یا دارای اشکال است"),
    1037: _row(_MERCHANT, "شماره پذیرنده یا شماره ترمینال پذیرنده صحیح نمی‌باشد"),
    1053: _row(_MERCHANT, "درخواست معتبر از سمت پذیرنده صورت نگرفته است"),
    1055: _row(_PARAMETERS, "مقدار غیرمجاز در ورود اطلاعات"),
    1056: _row(_BUSY, "سیستم موقتا قطع می‌باشد"),
    1058: _row(_BUSY, "سرویس پرداخت اینترنتی خارج از سرویس می‌باشد"),
    1064: _row(_BUSY, "لطفا مجددا سعی بفرمایید"),
    1065: _row(_BUSY, "ارتباط ناموفق، لطفا چند لحظه دیگر مجددا سعی کنید"),
    1066: _row(_BUSY, "سیستم سرویس‌دهی پرداخت موقتا غیرفعال شده است"),
    1068: _row(_BUSY, "به علت بروزرسانی، سیستم موقتا قطع می‌باشد"),
    1072: _row(_PARAMETERS, "خطا در پردازش پارامترهای اختیاری پذیرنده"),
    1101: _row(_AMOUNT, "مبلغ تراکنش نامعتبر است"),
    1103: Meaning("توکن ارسالی نامعتبر است", ("it does not know the token", "توکن را نمی‌شناسد"), alerts=True),
    1104: Meaning(
        "اطلاعات تسهیم صحیح نیست",
        (
            "the terminal shares its payments among accounts, and Dargah names none",
            "پرداخت‌های این ترمینال میان چند حساب تسهیم می‌شود و ما حسابی نمی‌فرستیم",
        ),
        for_operator=(
            "Ask Sadad for a terminal that is settled to one account.",
            "از سداد ترمینالی بخواهید که به یک حساب تسویه شود.",
        ),
        refuses=True,
        alerts=True,
    ),
    REVERSED: Meaning(
        "تراکنش بازگشت داده شده است (مهلت زمانی به پایان رسیده است)",
        ("the payment was given back, because its time was over", "مهلت گذشته و پول بازگردانده شده است"),
    ),
}
