"""Zibal's codes: the one table of their meanings, texts and advice.

The results of calls begin at 100, the statuses of payments are below: no number has two meanings. Not in the table is
the success, 100. The words are those of Zibal's document.
"""

from collections.abc import Mapping
from typing import Final

from proxy.gateways.family import Meaning, Text

SUCCESS: Final = 100
NO_MERCHANT: Final = 102
INACTIVE: Final = 103
TOO_SMALL: Final = 105
BAD_CALLBACK: Final = 106
TOO_LARGE: Final = 113
WRONG_IP: Final = 115
BAD_FEE_MODE: Final = 116
VERIFIED_BEFORE: Final = 201
NOT_PAID: Final = 202
UNKNOWN_TRACK_ID: Final = 203
INTERNAL_ERROR: Final = -2
"""A status. The document has no result for it."""
WAITING: Final = -1
PAID_AND_VERIFIED: Final = 1
PAID: Final = 2
CANCELED: Final = 3
REFUNDED: Final = 15
BEING_REFUNDED: Final = 16
REVERSED: Final = 18

_OUR_FAULT: Final[Text] = ("this is a fault of Dargah's", "این خطای ماست")
_RIGHT_MERCHANT: Final[Text] = (
    "Set the right merchant; `zibal` is the one for tests.",
    "merchant درست را بگذارید؛ `zibal` برای آزمایش است.",
)
_BY_OPERATOR: Final[Text] = ("an operator can set it", "گردانندهٔ سامانه آن را اصلاح کند")


def _refusal(
    words: str, explanation: Text, for_operator: Text | None = None, for_developer: Text | None = None
) -> Meaning:
    """A code that refuses a request for good, and tells of the terminal or of our call."""
    return Meaning(words, explanation, for_developer, for_operator, refuses=True, alerts=True)


def _splitting(words: str) -> Meaning:
    explanation = ("it refuses how the money is to be split", "تسهیم مبلغ را نمی‌پذیرد")
    return _refusal(words, explanation, for_developer=_OUR_FAULT)


_RESULTS: Final[Mapping[int, Meaning]] = {
    NO_MERCHANT: _refusal(
        "merchant یافت نشد",
        ("the terminal's merchant is wrong", "merchant ترمینال نادرست است"),
        _RIGHT_MERCHANT,
        _BY_OPERATOR,
    ),
    INACTIVE: _refusal(
        "merchant غیرفعال / عدم امضای قرارداد درگاه مربوطه",
        ("the terminal is not active, or its contract not signed", "ترمینال فعال نیست یا قرارداد آن امضا نشده است"),
        (
            "Sign the terminal's contract in Zibal's panel, or ask Zibal to enable it.",
            "قرارداد درگاه را در پنل زیبال امضا کنید یا از زیبال بخواهید آن را فعال کند.",
        ),
    ),
    104: _refusal(
        "merchant نامعتبر",
        ("the terminal's merchant is not valid", "merchant ترمینال معتبر نیست"),
        _RIGHT_MERCHANT,
        _BY_OPERATOR,
    ),
    TOO_SMALL: Meaning(
        "amount بایستی بزرگتر از 1,000 ریال باشد",
        ("it does not take so small an amount", "مبلغ کمتر از حد مجاز است"),
        refuses=True,
    ),
    BAD_CALLBACK: _refusal(
        "callbackUrl نامعتبر می‌باشد",
        ("it does not take the return address", "نشانی بازگشت را نمی‌پذیرد"),
        (
            "Give the terminal a base URL for returns under the domain registered at Zibal.",
            "برای ترمینال نشانی بازگشتی زیر دامنهٔ ثبت‌شده نزد زیبال بگذارید.",
        ),
        (
            "give it a base URL for returns under the registered domain",
            "برای ترمینال نشانی بازگشتی از دامنهٔ ثبت‌شده بگذارید",
        ),
    ),
    107: _splitting("percentMode نامعتبر می‌باشد"),
    108: _splitting("یک یا چند ذی‌نفع در multiplexingInfos نامعتبر می‌باشند"),
    109: _splitting("یک یا چند ذی‌نفع در multiplexingInfos غیرفعال می‌باشند"),
    110: _splitting("id = self در multiplexingInfos وجود ندارد"),
    111: _splitting("amount با مجموع سهم‌ها در multiplexingInfos برابر نمی‌باشد"),
    112: _refusal(
        "موجودی کیف پول کارمزد جهت کسر کارمزد کافی نیست",
        ("the wallet that pays its fees is empty", "موجودی کیف پول کارمزد کافی نیست"),
        (
            "Charge the wallet in Zibal's panel.",
            "کیف پول کارمزد را در پنل زیبال شارژ کنید.",
        ),
    ),
    TOO_LARGE: Meaning(
        "amount مبلغ تراکنش از سقف میزان تراکنش بیشتر است",
        ("it does not take so large an amount", "مبلغ از سقف مجاز بیشتر است"),
        refuses=True,
    ),
    114: _refusal(
        "کد ملی ارسالی نامعتبر است",
        ("it does not take the national code", "کد ملی را نمی‌پذیرد"),
        for_developer=_OUR_FAULT,
    ),
    WRONG_IP: _refusal(
        "ip شما در پنل کاربری ثبت نشده است",
        ("the server's IP is not the one registered for the terminal", "IP سرور همان IP ثبت‌شدهٔ ترمینال نیست"),
        (
            "Register this server's public IP for the terminal in Zibal's panel.",
            "IP عمومی این سرور را در پنل زیبال برای ترمینال ثبت کنید.",
        ),
        ("register it at Zibal", "آن را نزد زیبال ثبت کنید"),
    ),
    BAD_FEE_MODE: _refusal(
        "feeMode نامعتبر می‌باشد",
        ("it refuses who is to pay its fee", "پرداخت‌کنندهٔ کارمزد را نمی‌پذیرد"),
        for_developer=_OUR_FAULT,
    ),
    VERIFIED_BEFORE: Meaning("قبلا تایید شده", ("it was verified before", "پیش‌تر تأیید شده است")),
    NOT_PAID: Meaning(
        "سفارش پرداخت نشده یا ناموفق بوده است",
        ("it is not paid, or failed", "پرداخت نشده یا ناموفق بوده است"),
    ),
    UNKNOWN_TRACK_ID: Meaning(
        "trackId نامعتبر می‌باشد",
        ("it does not know the payment", "پرداخت را نمی‌شناسد"),
        for_operator=(
            "The merchant was changed after the payment was made: set the one that it was made with.",
            "merchant پس از ساخت پرداخت عوض شده است: همان را که پرداخت با آن ساخته شده بگذارید.",
        ),
        alerts=True,
    ),
}

_STATUSES: Final[Mapping[int, Meaning]] = {
    INTERNAL_ERROR: Meaning("خطای داخلی", ("it met an error of its own", "خطایی در خود زیبال رخ داده است")),
    WAITING: Meaning("در انتظار پرداخت", ("it is not paid so far", "هنوز پرداخت نشده است")),
    PAID_AND_VERIFIED: Meaning("پرداخت شده - تاییدشده", ("it is paid and verified", "پرداخت و تأیید شده است")),
    PAID: Meaning("پرداخت شده - تاییدنشده", ("it is paid and not verified", "پرداخت شده و تأیید نشده است")),
    CANCELED: Meaning("لغوشده توسط کاربر", ("the customer canceled", "مشتری لغو کرده است")),
    4: Meaning("شماره کارت نامعتبر می‌باشد", ("the card's number is wrong", "شمارهٔ کارت نادرست است")),
    5: Meaning("موجودی حساب کافی نمی‌باشد", ("the account has too little", "موجودی حساب کافی نیست")),
    6: Meaning("رمز واردشده اشتباه می‌باشد", ("the password was wrong", "رمز نادرست است")),
    7: Meaning("تعداد درخواست‌ها بیش از حد مجاز می‌باشد", ("too many tries", "تلاش بیش از حد مجاز")),
    8: Meaning(
        "تعداد پرداخت اینترنتی روزانه بیش از حد مجاز می‌باشد",
        ("the card has too many payments of the day", "شمار پرداخت‌های روزانهٔ کارت بیش از حد مجاز است"),
    ),
    9: Meaning(
        "مبلغ پرداخت اینترنتی روزانه بیش از حد مجاز می‌باشد",
        ("the card has reached its amount of the day", "مبلغ پرداخت‌های روزانهٔ کارت بیش از حد مجاز است"),
    ),
    10: Meaning("صادرکننده‌ی کارت نامعتبر می‌باشد", ("the card's issuer is wrong", "صادرکنندهٔ کارت معتبر نیست")),
    11: Meaning("خطای سوییچ", ("the banks' switch failed", "خطای سوییچ بانکی")),
    12: Meaning("کارت قابل دسترسی نمی‌باشد", ("the card could not be reached", "کارت در دسترس نیست")),
    REFUNDED: Meaning("تراکنش استرداد شده", ("it was refunded", "مبلغ استرداد شده است")),
    BEING_REFUNDED: Meaning("تراکنش در حال استرداد", ("it is being refunded", "مبلغ در حال استرداد است")),
    REVERSED: Meaning("تراکنش ریورس شده", ("it was reversed", "مبلغ برگشت خورده است")),
    21: Meaning(
        "پذیرنده نامعتبر است",
        ("the bank does not take the terminal", "بانک ترمینال را معتبر نمی‌داند"),
        for_operator=("Ask Zibal's support.", "با پشتیبانی زیبال تماس بگیرید."),
        alerts=True,
    ),
}

CODES: Final[Mapping[int, Meaning]] = {**_RESULTS, **_STATUSES}
