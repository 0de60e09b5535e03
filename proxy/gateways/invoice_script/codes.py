"""The script's error codes: the one table of their meanings, texts and advice.

A new code is a row here, and openapi.yaml where the API names codes.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final, Self

from proxy.gateways.family import Meaning


class Code(IntEnum):
    """An errorCode, with its row of the table."""

    meaning: Meaning

    def __new__(cls, number: int, meaning: Meaning) -> Self:
        code = int.__new__(cls, number)
        code._value_ = number
        code.meaning = meaning
        return code

    NOT_POST = (
        100,
        Meaning(
            "نوع درخواست باید POST باشد",
            ("it wants a POST", "درخواست POST نبوده است"),
            for_developer=("this is a fault of Dargah's", "این خطای ماست"),
            refuses=True,
            alerts=True,
        ),
    )
    WRONG_KEY = (
        101,
        Meaning(
            "api_key ارسال نشده است یا صحیح نیست",
            ("the terminal's api_key is wrong", "api_key ترمینال نادرست است"),
            for_developer=("an operator can set it", "گردانندهٔ سامانه آن را اصلاح کند"),
            for_operator=(
                "Set the right one: `dargah terminal update ID --new-api-key`.",
                "کلید درست را بگذارید: `dargah terminal update ID --new-api-key`.",
            ),
            refuses=True,
            alerts=True,
        ),
    )
    WRONG_AMOUNT = (
        102,
        Meaning(
            "مبلغ ارسال نشده است یا کمتر از ۱۰۰۰ ریال است",
            ("it does not take this amount", "این مبلغ را نمی‌پذیرد"),
            refuses=True,
            passed_on=True,
        ),
    )
    NO_RETURN_URL = (
        103,
        Meaning(
            "آدرس بازگشت ارسال نشده است",
            ("it misses the return address", "نشانی بازگشت نرسیده است"),
            for_developer=("this is a fault of Dargah's", "این خطای ماست"),
            refuses=True,
        ),
    )
    UNKNOWN_INVOICE = (
        200,
        Meaning(
            "شناسه پرداخت صحیح نیست",
            ("it does not know the invoice", "صورتحساب را نمی‌شناسد"),
            alerts=True,
        ),
    )
    NOT_PAID = (
        201,
        Meaning("پرداخت انجام نشده است", ("the invoice is not paid so far", "صورتحساب هنوز پرداخت نشده است")),
    )
    CANCELED = (
        202,
        Meaning(
            "پرداخت کنسل شده است یا خطایی در مراحل پرداخت رخ داده است",
            ("the customer canceled, or failed at the bank", "مشتری پرداخت را لغو کرده یا در بانک ناکام مانده است"),
        ),
    )
    WRONG_DOMAIN = (
        203,
        Meaning(
            "دامنه با دامنه ثبت شده برای ترمینال مطابقت ندارد",
            (
                "the return address is not under the domain registered for the terminal",
                "نشانی بازگشت از دامنهٔ ثبت‌شدهٔ ترمینال نیست",
            ),
            for_developer=(
                "give it a base URL for returns there, or register this one at the gateway",
                "برای ترمینال نشانی بازگشتی از آن دامنه بگذارید یا این دامنه را نزد درگاه ثبت کنید",
            ),
            for_operator=(
                (
                    "Give the terminal a base URL for returns under the shop's own domain, a CNAME of it that points "
                    "at Dargah (`dargah terminal update ID --return-base-url URL`), or register Dargah's domain at the "
                    "gateway."
                ),
                (
                    "برای ترمینال نشانی بازگشتی از دامنهٔ خود فروشگاه بگذارید که با CNAME به درگاه برسد "
                    "(`dargah terminal update ID --return-base-url URL`)، یا دامنهٔ درگاه را نزد درگاه پرداخت ثبت کنید."
                ),
            ),
            refuses=True,
            alerts=True,
            passed_on=True,
        ),
    )
    WRONG_IP = (
        204,
        Meaning(
            "آی‌پی با آی‌پی ثبت شده برای ترمینال مطابقت ندارد",
            ("the server's IP is not the one registered for the terminal", "IP سرور همان IP ثبت‌شدهٔ ترمینال نیست"),
            for_developer=("register it at the gateway", "آن را نزد درگاه ثبت کنید"),
            for_operator=(
                "Register this server's public IP for the terminal at the gateway.",
                "IP عمومی این سرور را نزد درگاه پرداخت برای ترمینال ثبت کنید.",
            ),
            refuses=True,
            alerts=True,
            passed_on=True,
        ),
    )
    BANK_UNREACHABLE = (
        301,
        Meaning(
            "خطایی در برقراری با سرور بانک رخ داده است",
            ("the gateway is reached and does not reach its bank", "درگاه پاسخ می‌دهد ولی به بانک نمی‌رسد"),
            for_operator=(
                "Try again later; payments are still watched.",
                "بعداً دوباره بیازمایید؛ پرداخت‌ها همچنان پی گرفته می‌شوند.",
            ),
        ),
    )
    TERMINAL_DISABLED = (
        302,
        Meaning(
            "ترمینال غیرفعال است",
            ("the terminal is disabled", "ترمینال غیرفعال است"),
            for_operator=("Ask the gateway to enable it.", "از درگاه پرداخت بخواهید آن را فعال کند."),
            refuses=True,
            alerts=True,
            passed_on=True,
        ),
    )


def code_of(number: int | None) -> Code | None:
    """The code of that number; None for one that is not in the protocol."""
    return None if number is None else _CODES.get(number)


_CODES: Final[Mapping[int, Code]] = {code.value: code for code in Code}
