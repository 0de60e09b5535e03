"""ZarinPal's error codes: the one table of their meanings, texts and advice.

The words are those of its list of errors. Not in the table are the successes, 100 and 101 (done before).
"""

from collections.abc import Mapping
from typing import Final

from proxy.gateways.family import Meaning, Text

SUCCESS: Final = 100
DONE_BEFORE: Final = 101
INVALID: Final = -9
WRONG_TERMINAL: Final = -10
INACTIVE: Final = -11
TOO_MANY: Final = -12
WRONG_DOMAIN: Final = -14
TOO_LARGE: Final = -41
AMOUNT_DIFFERS: Final = -50
NOT_PAID: Final = -51
INTERNAL_ERROR: Final = -52
ANOTHERS: Final = -53
UNKNOWN_AUTHORITY: Final = -54
BANK_CANNOT_REVERSE: Final = -60
NOT_REVERSIBLE: Final = -61
IP_NEEDED: Final = -62
REVERSAL_TOO_LATE: Final = -63

_OUR_FAULT: Final[Text] = ("this is a fault of Dargah's", "این خطای ماست")
_ASK_SUPPORT: Final[Text] = (
    "Ask ZarinPal's support; the panel shows what they miss.",
    "با پشتیبانی زرین‌پال تماس بگیرید؛ کمبودها در پنل دیده می‌شود.",
)
_DOMAIN: Final[Text] = (
    (
        "Give the terminal a base URL for returns under the registered domain, subdomain included, or register "
        "Dargah's domain in ZarinPal's panel."
    ),
    (
        "برای ترمینال نشانی بازگشتی زیر همان دامنهٔ ثبت‌شده، با زیردامنه‌اش، بگذارید یا دامنهٔ درگاه را در پنل زرین‌پال "
        "ثبت کنید."
    ),
)
_DOMAIN_FOR_DEVELOPER: Final[Text] = (
    "give it a base URL for returns there, or register this one at ZarinPal",
    "برای ترمینال نشانی بازگشتی از آن دامنه بگذارید یا این دامنه را نزد زرین‌پال ثبت کنید",
)


def _refusal(
    words: str, explanation: Text, for_operator: Text | None = None, for_developer: Text | None = None
) -> Meaning:
    """A code that refuses a request for good, and tells of the terminal or of our call."""
    return Meaning(words, explanation, for_developer, for_operator, refuses=True, alerts=True)


CODES: Final[Mapping[int, Meaning]] = {
    INVALID: _refusal(
        "Validation error",
        ("it refuses a field of the call, or the amount", "یکی از مقدارهای درخواست یا مبلغ را نمی‌پذیرد"),
        for_developer=("see whether the amount is within its limits", "ببینید مبلغ در محدودهٔ مجاز است"),
    ),
    WRONG_TERMINAL: _refusal(
        "Terminal is not valid, please check merchant_id or ip address",
        ("the merchant_id or the server's IP is wrong", "merchant_id یا IP سرور نادرست است"),
        (
            "Set the right merchant_id, and register this server's public IP where the terminal is locked to one.",
            "merchant_id درست را بگذارید و اگر ترمینال به IP محدود است IP عمومی این سرور را ثبت کنید.",
        ),
        ("an operator can set it", "گردانندهٔ سامانه آن را اصلاح کند"),
    ),
    INACTIVE: _refusal(
        "Terminal is not active, please contact our support team",
        ("the terminal is not active", "ترمینال فعال نیست"),
        _ASK_SUPPORT,
    ),
    TOO_MANY: Meaning(
        "Too many attempts, please try again later",
        ("too many calls in a short time", "تلاش بیش از حد در زمان کوتاه"),
        for_operator=(
            "Wait: payments are still watched. If it goes on, see whether another system verifies the same payments.",
            "صبر کنید؛ پرداخت‌ها پی گرفته می‌شوند. اگر ادامه یافت ببینید سامانهٔ دیگری همین‌ها را تأیید نمی‌کند.",
        ),
    ),
    -13: _refusal(
        "Terminal limit reached",
        ("the terminal has reached its limit of transactions", "ترمینال به سقف تراکنش‌های خود رسیده است"),
        _ASK_SUPPORT,
    ),
    WRONG_DOMAIN: _refusal(
        "The callback URL domain does not match the registered terminal domain",
        (
            "the return address is not under the domain registered for the terminal",
            "نشانی بازگشت از دامنهٔ ثبت‌شدهٔ ترمینال نیست",
        ),
        _DOMAIN,
        _DOMAIN_FOR_DEVELOPER,
    ),
    -15: _refusal(
        "Terminal user is suspended",
        ("the terminal is suspended", "ترمینال به حالت تعلیق درآمده است"),
        _ASK_SUPPORT,
    ),
    -16: _refusal(
        "Terminal user level is not valid",
        ("the merchant's level is below silver", "سطح پذیرنده پایین‌تر از نقره‌ای است"),
        _ASK_SUPPORT,
    ),
    -17: _refusal(
        "Terminal user level is not valid",
        ("the merchant is limited at the blue level", "پذیرنده در سطح آبی محدود است"),
        _ASK_SUPPORT,
    ),
    -18: _refusal(
        "The referrer address does not match the registered domain",
        ("the domain is not the one registered for the terminal", "دامنه همان دامنهٔ ثبت‌شدهٔ ترمینال نیست"),
        _DOMAIN,
        _DOMAIN_FOR_DEVELOPER,
    ),
    -19: _refusal(
        "Terminal user transactions are banned",
        ("no transaction may be made for the terminal", "ایجاد تراکنش برای ترمینال ممکن نیست"),
        _ASK_SUPPORT,
    ),
    **{
        code: _refusal(
            "Wages are not valid",
            ("it refuses how the money is to be split", "تسهیم مبلغ را نمی‌پذیرد"),
            for_developer=_OUR_FAULT,
        )
        for code in range(-39, -29)
    },
    -40: _refusal(
        "Invalid extra params, expire_in is not valid",
        ("it refuses an extra field of the call", "یکی از مقدارهای اضافی درخواست را نمی‌پذیرد"),
        for_developer=_OUR_FAULT,
    ),
    TOO_LARGE: Meaning(
        "Maximum amount is 100,000,000 tomans",
        ("it does not take so large an amount", "این مبلغ از سقف مجاز بیشتر است"),
        refuses=True,
    ),
    AMOUNT_DIFFERS: Meaning(
        "Session is not valid, amounts values is not the same",
        (
            "the customer paid another amount than the one to be confirmed",
            "مبلغ پرداخت‌شده با مبلغی که باید تأیید شود یکی نیست",
        ),
    ),
    NOT_PAID: Meaning(
        "Session is not valid, session is not active paid try",
        ("it is not paid", "پرداخت نشده است"),
    ),
    INTERNAL_ERROR: Meaning(
        "Oops!!, please contact our support team",
        ("it met an error of its own", "خطایی در خود زرین‌پال رخ داده است"),
        for_operator=(
            "Payments are still watched. If it goes on, ask ZarinPal's support.",
            "پرداخت‌ها همچنان پی گرفته می‌شوند. اگر ادامه یافت با پشتیبانی زرین‌پال تماس بگیرید.",
        ),
    ),
    ANOTHERS: Meaning(
        "Session is not this merchant_id session",
        ("the payment is of another merchant_id", "پرداخت از merchant_id دیگری است"),
        for_operator=(
            "The merchant_id was changed after the payment was made: set the one that it was made with.",
            "merchant_id پس از ساخت پرداخت عوض شده است: همان را که پرداخت با آن ساخته شده بگذارید.",
        ),
        alerts=True,
    ),
    UNKNOWN_AUTHORITY: Meaning(
        "Invalid authority",
        ("it does not know the payment", "پرداخت را نمی‌شناسد"),
        for_operator=(
            "See whether gateway_url is the host that made the payment: the sandbox and the live one share none.",
            "ببینید gateway_url همان میزبان سازندهٔ پرداخت است؛ محیط آزمایشی و واقعی پرداخت مشترکی ندارند.",
        ),
        alerts=True,
    ),
    -55: Meaning(
        "Manual payment request not found",
        ("it does not find the transaction", "تراکنش را نمی‌یابد"),
        alerts=True,
    ),
    BANK_CANNOT_REVERSE: Meaning(
        "Session can not be reversed with bank",
        ("the bank does not reverse it", "بانک آن را برنمی‌گرداند"),
        for_operator=(
            "Give the money back as a refund from ZarinPal's panel.",
            "مبلغ را از پنل زرین‌پال استرداد کنید.",
        ),
    ),
    NOT_REVERSIBLE: Meaning(
        "Session is not in success status",
        ("it is not successful, or was reversed before", "موفق نیست یا پیش‌تر برگشت خورده است"),
    ),
    IP_NEEDED: Meaning(
        "Terminal ip limit must be active",
        ("to reverse, the terminal needs the server's IP", "برای برگشت باید IP سرور برای ترمینال ثبت شده باشد"),
        for_operator=(
            "Register this server's public IP in the terminal's settings at ZarinPal.",
            "IP عمومی این سرور را در تنظیمات ترمینال نزد زرین‌پال ثبت کنید.",
        ),
        alerts=True,
    ),
    REVERSAL_TOO_LATE: Meaning(
        "Maximum time for reverse this session is expired",
        ("its 30 minutes to reverse are over", "مهلت ۳۰ دقیقه‌ای برگشت گذشته است"),
        for_operator=(
            "Give the money back as a refund from ZarinPal's panel.",
            "مبلغ را از پنل زرین‌پال استرداد کنید.",
        ),
    ),
}
