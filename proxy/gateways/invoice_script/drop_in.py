"""The drop-in: a shop's call in the script's protocol, and the protocol's words for the state of its payment. No I/O.

A code of the gateway's is passed on when it is about the shop's side or the terminal (102, 203, 204, 302). Its 100,
101 and 103 are faults between Dargah and the gateway: the shop's own key is right, so it gets 301.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from proxy.gateways.invoice_script.codes import Code, code_of
from proxy.gateways.invoice_script.wire import ReturnUrlsDiffer, refusal, return_url_of
from proxy.gateways.port import CheckOutcome, CheckUnknown
from proxy.gateways.shop_side import (
    MAX_ORDER_ID_CHARS,
    CallRefused,
    InvoiceState,
    ReturnUrlForeign,
    ReturnUrlInvalid,
    ShopInvoice,
    ShopRequest,
    check_return_url,
    order_id_of,
    text_of,
    whole_number,
)
from proxy.kernel.errors import (
    DargahError,
    Forbidden,
    InvalidInput,
    MerchantArchived,
    OrderAlreadyPaid,
    Unauthenticated,
)
from proxy.kernel.money import Currency, to_rials

UNDER_REVIEW: Final = (
    "پرداختی رسیده که با سفارش نمی‌خواند و در دست بررسی است؛ دوباره پرداخت نکنید و با فروشگاه تماس بگیرید"
)
BAD_ORDER_ID: Final = f"order_id باید یک خط دیدنی، بدون نویسهٔ کنترلی و حداکثر {MAX_ORDER_ID_CHARS} نویسه باشد"
TWO_RETURN_URLS: Final = "return_url و callback_url یکی نیستند؛ تنها یکی را بفرستید"


def refused(code: Code, description: str | None = None) -> CallRefused:
    """A refusal with this code, and a `description` where the protocol's own words would mislead."""
    return CallRefused(refusal(code, description))


def api_key_of(fields: Mapping[str, Any]) -> str:
    """The token in a call. Raises Unauthenticated, which becomes 101, when there is no text of it."""
    text = text_of(fields.get("api_key"))
    if not text or not text.isascii():
        raise Unauthenticated
    return text


def read_request(
    fields: Mapping[str, Any], currency: Currency, origins: Sequence[str], *, any_https: bool
) -> ShopRequest:
    """The fields of a `request`. Raises CallRefused with the first code that applies, in the protocol's order.

    `currency` is that of the shop's amounts; customers go back to `origins`, or with `any_https` to any by https.
    """
    amount_rials = _rials(fields.get("amount"), currency)
    return_url = _return_url(fields, origins, any_https=any_https)
    return ShopRequest(amount_rials, currency, return_url, _order_id(fields.get("order_id")))


def issued_answer(invoice_key: str) -> dict[str, Any]:
    """The answer to a `request` whose invoice exists."""
    return {"status": 1, "invoice_key": invoice_key}


def refused_answer(number: int | None) -> dict[str, Any]:
    """The answer to a `request` that the terminal's gateway refused with this code."""
    return refusal(_code_for_shop(number))


def check_answer(invoice: ShopInvoice, outcome: CheckOutcome | None) -> dict[str, Any]:
    """The answer to a `check`: the stored state, or that the gateway could not be asked. Only a paid one is `status` 1.

    Money that came otherwise than asked is 202 with words of its own: 201 would have the shop ask again for ever, and
    301 would say that nobody knows.
    """
    match invoice.state:
        case InvoiceState.PAID:
            return {"status": 1, "amount": invoice.amount, "bank_code": invoice.bank_code}
        case InvoiceState.UNDER_REVIEW:
            return refusal(Code.CANCELED, UNDER_REVIEW)
        case InvoiceState.CANCELED | InvoiceState.GIVEN_BACK:
            return refusal(Code.CANCELED)
        case InvoiceState.EXPIRED:
            return refusal(Code.NOT_PAID)
        case InvoiceState.OPEN:
            return refusal(_open_code(outcome))
        case InvoiceState.UNKNOWN:
            return refusal(Code.UNKNOWN_INVOICE)


def error_answer(error: DargahError) -> dict[str, Any]:
    """An error of the tree as the script would say it. Our own trouble is 301: ask again, nothing is known."""
    match error:
        case Unauthenticated() | Forbidden():
            return refusal(Code.WRONG_KEY)
        case MerchantArchived():
            return refusal(Code.TERMINAL_DISABLED, error.detail_fa)
        case OrderAlreadyPaid():
            return refusal(Code.BANK_UNREACHABLE, "این سفارش پیش‌تر پرداخت شده است")
        case InvalidInput():
            # Of a validated order only the terminal can be refused: none is switched on, or several and none is named.
            return refusal(Code.TERMINAL_DISABLED)
        case _:
            return refusal(Code.BANK_UNREACHABLE)


def return_params(invoice: ShopInvoice) -> dict[str, str]:
    """The parameters of a customer's return to the shop: the invoice_key, and of a paid one the bank_code.

    Some shops take a bank_code for "paid", so it is the stored check's and is sent with no other state. Some take a
    `status` for a failure, so nothing else is added.
    """
    added = {"invoice_key": invoice.key}
    return added if invoice.bank_code is None else added | {"bank_code": invoice.bank_code}


def _open_code(outcome: CheckOutcome | None) -> Code:
    if not isinstance(outcome, CheckUnknown):
        return Code.NOT_PAID
    return _code_for_shop(outcome.error_code if outcome.alert else None)


def _code_for_shop(number: int | None) -> Code:
    """The gateway's code in the form for the shop."""
    code = code_of(number)
    return code if code is not None and code.meaning.passed_on else Code.BANK_UNREACHABLE


def _rials(value: object, currency: Currency) -> int:
    try:
        return to_rials(whole_number(value), currency)
    except InvalidInput:
        raise refused(Code.WRONG_AMOUNT) from None


def _return_url(fields: Mapping[str, Any], origins: Sequence[str], *, any_https: bool) -> str:
    try:
        return check_return_url(return_url_of(fields), origins, any_https=any_https)
    except ReturnUrlsDiffer:
        raise refused(Code.NO_RETURN_URL, TWO_RETURN_URLS) from None
    except ReturnUrlInvalid:
        raise refused(Code.NO_RETURN_URL) from None
    except ReturnUrlForeign:
        raise refused(Code.WRONG_DOMAIN) from None


def _order_id(value: object) -> str | None:
    try:
        return order_id_of(value)
    except ValueError:
        raise refused(Code.BANK_UNREACHABLE, BAD_ORDER_ID) from None
