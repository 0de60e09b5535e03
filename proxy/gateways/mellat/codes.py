"""Behpardakht Mellat's response codes: the one table of their meanings, texts and advice.

Numbers and words are those of table 11 of its guide (1.29; 20, 26 to 30, 36 to 39, 56, 57, 115 to 117, 211 and 997 came
by 1.39). One table serves all calls and the customer's return. Not in it is the success, 0.
"""

from collections.abc import Mapping
from typing import Final

from proxy.gateways.family import Meaning, Text

SUCCESS: Final = 0
CANCELED: Final = 17
NUMBER_USED: Final = 41
SALE_NOT_FOUND: Final = 42
VERIFIED_BEFORE: Final = 43
SETTLED_BEFORE: Final = 45
REVERSED: Final = 48
NO_REFERENCE: Final = 54
INVALID_SALE: Final = 55

_OUR_FAULT: Final[Text] = ("this is a fault of Dargah's", "این خطای ماست")
_OPERATOR_SETS: Final[Text] = ("an operator can set it", "گردانندهٔ سامانه آن را اصلاح کند")
_ASK_BANK: Final[Text] = (
    "Ask Behpardakht's support what the terminal misses.",
    "از پشتیبانی به‌پرداخت بپرسید ترمینال چه کم دارد.",
)
_TRY_LATER: Final[Text] = (
    "Try again later; payments are still watched.",
    "بعداً دوباره بیازمایید؛ پرداخت‌ها همچنان پی گرفته می‌شوند.",
)


def _card(words: str, english: str, persian: str) -> Meaning:
    """A code with which the customer's bank refuses the payment."""
    return Meaning(words, (english, persian))


def _terminal(words: str, explanation: Text, for_operator: Text, for_developer: Text | None = None) -> Meaning:
    """A code that refuses a request for good, and tells of the terminal or of our call."""
    return Meaning(words, explanation, for_developer, for_operator, refuses=True, alerts=True)


def _trouble(words: str, english: str, persian: str) -> Meaning:
    """A code that tells of trouble at the gateway or a bank, which may pass."""
    return Meaning(words, (english, persian), for_operator=_TRY_LATER)


_CARD: Final[Mapping[int, Meaning]] = {
    11: _card("شماره کارت نامعتبر است", "the card number is wrong", "شمارهٔ کارت نادرست است"),
    12: _card("موجودی کافی نیست", "the card's balance is too low", "موجودی کارت کافی نیست"),
    13: _card("رمز نادرست است", "the card's password is wrong", "رمز کارت نادرست است"),
    14: _card(
        "تعداد دفعات وارد کردن رمز بیش از حد مجاز است",
        "a wrong password was entered too often",
        "رمز بیش از حد مجاز نادرست وارد شده است",
    ),
    15: _card("کارت نامعتبر است", "the card is not valid", "کارت معتبر نیست"),
    16: _card(
        "دفعات برداشت وجه بیش از حد مجاز است",
        "the card was charged too often",
        "دفعات برداشت از کارت بیش از حد مجاز است",
    ),
    CANCELED: _card("کاربر از انجام تراکنش منصرف شده است", "the customer canceled", "مشتری از پرداخت منصرف شده است"),
    18: _card("تاریخ انقضای کارت گذشته است", "the card has expired", "تاریخ انقضای کارت گذشته است"),
    19: _card(
        "مبلغ برداشت وجه بیش از حد مجاز است",
        "the amount is above the card's limit",
        "مبلغ از سقف برداشت کارت بیشتر است",
    ),
    56: _card(
        "خطا در احراز مالکیت دارنده کارت (مانا)",
        "the card's owner could not be checked (Mana)",
        "مالکیت کارت احراز نشد (مانا)",
    ),
    57: _card(
        "خطا در استعلام هویت دارنده کارت",
        "the card holder's identity could not be checked",
        "هویت دارندهٔ کارت استعلام نشد",
    ),
    98: _card(
        "سقف استفاده از رمز ایستا به پایان رسیده است",
        "the static password was used as often as it may be",
        "سقف استفاده از رمز ایستا پر شده است",
    ),
    111: _card("صادر کننده کارت نامعتبر است", "the card's issuer is not valid", "صادرکنندهٔ کارت معتبر نیست"),
    114: _card(
        "دارنده کارت مجاز به انجام این تراکنش نیست",
        "the card holder may not make this payment",
        "دارندهٔ کارت اجازهٔ این پرداخت را ندارد",
    ),
    115: _card(
        "شما امکان انجام این تراکنش را ندارید",
        "this customer may not make this payment",
        "این مشتری اجازهٔ این پرداخت را ندارد",
    ),
    995: _card(
        "تعلق کارت بانکی به مشتری احراز نشد",
        "the card is not proved to be the customer's",
        "تعلق کارت به مشتری احراز نشد",
    ),
}

FAILED: Final = frozenset(_CARD)
"""The customer canceled, or the customer's bank refused."""

_TERMINAL: Final[Mapping[int, Meaning]] = {
    20: _terminal(
        "پارامترهای احراز هویت مشتری ارسال نشده است",
        ("it wants the customer's identity with the request", "احراز هویت مشتری را همراه درخواست می‌خواهد"),
        _ASK_BANK,
    ),
    21: _terminal(
        "پذیرنده نامعتبر است",
        ("the merchant is not valid, or the service is not active", "پذیرنده معتبر نیست یا سرویس او فعال نیست"),
        _ASK_BANK,
    ),
    23: _terminal(
        "خطای امنیتی رخ داده است",
        ("it reports a security error", "خطای امنیتی می‌دهد"),
        (
            "See whether terminal_id, username and password belong together, and this server's IP is registered.",
            "ببینید terminal_id و username و password از یک پایانه‌اند و IP این سرور ثبت شده است.",
        ),
    ),
    24: _terminal(
        "اطلاعات کاربری پذیرنده نامعتبر است",
        ("the terminal's username or password is wrong", "نام کاربری یا رمز ترمینال نادرست است"),
        (
            "Set the terminal's terminal_id, username and password as Behpardakht gave them.",
            "terminal_id و username و password ترمینال را همان‌گونه که به‌پرداخت داده است بگذارید.",
        ),
        _OPERATOR_SETS,
    ),
    32: _terminal(
        "فرمت اطلاعات وارد شده صحیح نمی‌باشد",
        ("it cannot read a field of the call", "یکی از مقدارهای درخواست را نمی‌خواند"),
        _ASK_BANK,
        _OUR_FAULT,
    ),
    33: _terminal(
        "حساب نامعتبر است",
        ("the merchant's account is not valid", "حساب پذیرنده معتبر نیست"),
        _ASK_BANK,
    ),
    35: _terminal(
        "تاریخ نامعتبر است",
        ("it does not take the date of the call", "تاریخ درخواست را نمی‌پذیرد"),
        ("See whether this server's clock is right.", "ببینید ساعت این سرور درست است."),
        _OUR_FAULT,
    ),
    62: _terminal(
        "مسیر بازگشت به سایت در دامنه ثبت شده برای پذیرنده قرار ندارد",
        (
            "the return address is not under the domain registered for the terminal",
            "نشانی بازگشت از دامنهٔ ثبت‌شدهٔ ترمینال نیست",
        ),
        (
            (
                "Give the terminal a base URL for returns under the registered domain "
                "(`dargah terminal update ID --return-base-url URL`), or have Behpardakht register Dargah's domain."
            ),
            (
                "برای ترمینال نشانی بازگشتی از دامنهٔ ثبت‌شده بگذارید "
                "(`dargah terminal update ID --return-base-url URL`)، یا از به‌پرداخت بخواهید دامنهٔ درگاه را ثبت کند."
            ),
        ),
        (
            "give it a base URL for returns there, or register this one at Behpardakht",
            "برای ترمینال نشانی بازگشتی از آن دامنه بگذارید یا این دامنه را نزد به‌پرداخت ثبت کنید",
        ),
    ),
    417: _terminal(
        "شناسه پرداخت کننده نامعتبر است",
        ("it wants a payer's number, which Dargah does not have", "شناسهٔ پرداخت‌کننده می‌خواهد که درگاه ندارد"),
        ("Ask Behpardakht to take payerId 0.", "از به‌پرداخت بخواهید payerId صفر را بپذیرد."),
    ),
    418: _terminal(
        "اشکال در تعریف اطلاعات مشتری",
        ("the merchant's data at the bank are incomplete", "اطلاعات پذیرنده نزد بانک ناقص است"),
        _ASK_BANK,
    ),
    421: _terminal(
        "IP نامعتبر است",
        ("the server's IP is not the one registered for the terminal", "IP سرور همان IP ثبت‌شدهٔ ترمینال نیست"),
        (
            "Have Behpardakht register this server's public IP for the terminal.",
            "از به‌پرداخت بخواهید IP عمومی این سرور را برای ترمینال ثبت کند.",
        ),
        ("register it at Behpardakht", "آن را نزد به‌پرداخت ثبت کنید"),
    ),
}

_TROUBLE: Final[Mapping[int, Meaning]] = {
    26: _trouble("موسسه امکان ارسال درخواست ندارد", "the bank cannot send the request", "بانک درخواست را نمی‌فرستد"),
    27: _trouble(
        "دستگاه امکان انجام تراکنش ندارد", "the device cannot make the payment", "دستگاه پرداخت را انجام نمی‌دهد"
    ),
    28: _trouble("دستگاه قادر به پاسخگویی نیست", "the device does not answer", "دستگاه پاسخ نمی‌دهد"),
    29: _trouble(
        "فروشگاه امکان انجام تراکنش ندارد", "the shop cannot make the payment", "فروشگاه پرداخت را انجام نمی‌دهد"
    ),
    30: _trouble(
        "درخواست قبلی در حال انجام است", "the call before is still under way", "درخواست قبلی هنوز در جریان است"
    ),
    31: _trouble("پاسخ نامعتبر است", "it had a wrong answer from a bank", "پاسخ نادرستی از بانک گرفته است"),
    34: _trouble("خطای سیستمی", "it has an error of its own", "خطای داخلی دارد"),
    36: _trouble(
        "موسسه، شاپرک یا مقصد تراکنش Sign Off است", "a bank or Shaparak is signed off", "بانک یا شاپرک در دسترس نیست"
    ),
    37: _trouble("شرکت پرداخت یا شاپرک Sign Off است", "Shaparak is signed off", "شاپرک در دسترس نیست"),
    38: _trouble("تعویض کلید در حال انجام است", "keys are being changed", "کلیدها در حال تعویض‌اند"),
    39: _trouble("شاپرک قادر به پاسخگویی نیست", "Shaparak does not answer", "شاپرک پاسخ نمی‌دهد"),
    112: _trouble(
        "خطای سوییچ صادر کننده کارت", "the switch of the card's bank failed", "سوئیچ بانک صادرکننده خطا داده است"
    ),
    113: _trouble(
        "پاسخی از صادر کننده کارت دریافت نشد", "the card's bank did not answer", "بانک صادرکننده پاسخ نداده است"
    ),
    116: _trouble(
        "صادر کننده کارت قادر به پاسخگویی نیست", "the card's bank cannot answer", "بانک صادرکننده پاسخگو نیست"
    ),
    117: _trouble(
        "در حال حاضر صادر کننده کارت قادر به پاسخگویی نیست",
        "the card's bank cannot answer now",
        "بانک صادرکننده اکنون پاسخگو نیست",
    ),
    211: _trouble(
        "امکان انجام تراکنش توسط این دستگاه مقدور نیست",
        "the device cannot make this payment now",
        "دستگاه اکنون این پرداخت را انجام نمی‌دهد",
    ),
    415: _trouble("زمان جلسه کاری به پایان رسیده است", "the session is over", "زمان نشست پایان یافته است"),
    416: _trouble("خطا در ثبت اطلاعات", "it could not store the call", "درخواست را ثبت نکرد"),
    419: _trouble(
        "تعداد دفعات ورود اطلاعات از حد مجاز گذشته است", "data were entered too often", "ورود اطلاعات از حد گذشته است"
    ),
    997: _trouble("سامانه مقصد غیرفعال است", "the destination is inactive", "سامانهٔ مقصد فعال نیست"),
}

_SALE: Final[Mapping[int, Meaning]] = {
    25: Meaning(
        "مبلغ نامعتبر است",
        ("it does not take this amount", "این مبلغ را نمی‌پذیرد"),
        refuses=True,
    ),
    NUMBER_USED: Meaning(
        "شماره درخواست تکراری است",
        ("the order number was used before", "شمارهٔ درخواست پیش‌تر به کار رفته است"),
        for_operator=(
            "See whether another system uses the same terminal: order numbers must not meet.",
            "ببینید سامانهٔ دیگری همین ترمینال را به کار نمی‌برد؛ شماره‌های درخواست نباید یکی شوند.",
        ),
    ),
    SALE_NOT_FOUND: Meaning("تراکنش Sale یافت نشد", ("it knows no such payment", "چنین پرداختی نمی‌شناسد")),
    VERIFIED_BEFORE: Meaning(
        "قبلا درخواست Verify داده شده است", ("the payment was verified before", "پرداخت پیش‌تر تأیید شده است")
    ),
    44: Meaning("درخواست Verify یافت نشد", ("it knows of no verify of the payment", "تأییدی برای پرداخت نمی‌شناسد")),
    SETTLED_BEFORE: Meaning(
        "تراکنش Settle شده است", ("the payment was settled before", "واریز پرداخت پیش‌تر درخواست شده است")
    ),
    46: Meaning("تراکنش Settle نشده است", ("the payment is not settled", "واریز پرداخت درخواست نشده است")),
    47: Meaning("تراکنش Settle یافت نشد", ("it knows of no settle of the payment", "واریزی برای پرداخت نمی‌شناسد")),
    REVERSED: Meaning("تراکنش Reverse شده است", ("the money went back to the customer", "پول به مشتری برگشته است")),
    51: Meaning("تراکنش تکراری است", ("the call is a repetition", "درخواست تکراری است")),
    NO_REFERENCE: Meaning(
        "تراکنش مرجع موجود نیست", ("there is no payment of that reference", "پرداختی با این شمارهٔ مرجع نیست")
    ),
    INVALID_SALE: Meaning("تراکنش نامعتبر است", ("the payment is not valid", "پرداخت معتبر نیست")),
    61: Meaning("خطا در واریز", ("the money could not be paid out", "واریز انجام نشد"), for_operator=_ASK_BANK),
    412: Meaning("شناسه قبض نادرست است", ("the number of a bill is wrong", "شناسهٔ قبض نادرست است")),
    413: Meaning("شناسه پرداخت نادرست است", ("the payment number of a bill is wrong", "شناسهٔ پرداخت نادرست است")),
    414: Meaning("سازمان صادر کننده قبض نامعتبر است", ("a bill's issuer is wrong", "صادرکنندهٔ قبض نادرست است")),
}

CODES: Final[Mapping[int, Meaning]] = dict(sorted({**_CARD, **_TERMINAL, **_TROUBLE, **_SALE}.items()))
