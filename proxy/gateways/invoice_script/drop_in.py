"""The drop-in: a shop's call in the script's protocol, and the protocol's words for the state of its payment. No I/O.

A code of the gateway's is passed on when it is about the shop's side or the terminal (102, 203, 204, 302). Its 100,
101 and 103 are faults between Dargah and the gateway: the shop's own key is right, so it gets 301.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from proxy.gateways.invoice_script.codes import Code, code_of
from proxy.gateways.invoice_script.wire import ReturnUrlsDiffer, refusal, return_url_of
from proxy.gateways.port import CheckOutcome, CheckUnknown
from proxy.kernel.errors import DargahError, Forbidden, InvalidInput, OrderAlreadyPaid, Unauthenticated
from proxy.kernel.money import Currency, to_rials
from proxy.kernel.text import is_blank, refused_in
from proxy.kernel.urls import ascii_url, head_of, origin_of, with_params

MAX_RETURN_URL_CHARS: Final = 4096
MAX_ORDER_ID_CHARS: Final = 100
_EXACT_FLOAT: Final = 2**53

UNDER_REVIEW: Final = (
    "پرداختی رسیده که با سفارش نمی‌خواند و در دست بررسی است؛ دوباره پرداخت نکنید و با فروشگاه تماس بگیرید"
)
BAD_ORDER_ID: Final = f"order_id باید یک خط دیدنی، بدون نویسهٔ کنترلی و حداکثر {MAX_ORDER_ID_CHARS} نویسه باشد"
TWO_RETURN_URLS: Final = "return_url و callback_url یکی نیستند؛ تنها یکی را بفرستید"
# Digits of any script, or a database's decimal that is whole. With three zeros it may be a separator of thousands.
_INTEGER: Final = re.compile("(\\d{1,19})(?:[.\u066b](?:[0\u0660\u06f0]{1,2}|[0\u0660\u06f0]{4,9}))?")
# Marks that pastes and right-to-left editors leave around a value: half-spaces, direction marks, a byte order mark.
_MARKS: Final = "\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
# Stripped in one go: white space and marks that take turns would else be taken off one by one, each by a copy.
_AROUND: Final = _MARKS + "".join(filter(str.isspace, map(chr, range(0x3001))))


class CallRefused(Exception):
    """The shop is answered this code; with a `description` where the protocol's own words would mislead."""

    def __init__(self, code: Code, description: str | None = None) -> None:
        super().__init__(str(code))
        self.code = code
        self.description = description

    def answer(self) -> dict[str, Any]:
        return refusal(self.code, self.description)


@dataclass(frozen=True, slots=True)
class ShopRequest:
    """A shop's `request`. `order_id` is None when the shop gave none."""

    amount_rials: int
    currency: Currency
    return_url: str
    order_id: str | None


class InvoiceState(Enum):
    """The state of a shop's invoice. UNKNOWN is one whose key was never given out."""

    OPEN = auto()
    PAID = auto()
    CANCELED = auto()
    EXPIRED = auto()
    UNDER_REVIEW = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True)
class ShopInvoice:
    """A payment as its shop knows it: `amount` in the unit in which the shop asked, and a bank_code when it is paid."""

    key: str
    state: InvoiceState
    amount: int
    bank_code: str | None


def api_key_of(fields: Mapping[str, Any]) -> str:
    """The token in a call. Raises Unauthenticated, which becomes 101, when there is no text of it."""
    text = _trim(fields.get("api_key"))
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
        case InvoiceState.CANCELED:
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


def shop_url(return_url: str, invoice: ShopInvoice) -> str:
    """The shop's own URL with the parameters of the return added; as ASCII."""
    added = return_params(invoice)
    return with_params(ascii_url(return_url), added)


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
        return to_rials(_integer(value), currency)
    except InvalidInput:
        raise CallRefused(Code.WRONG_AMOUNT) from None


def _integer(value: object) -> object:
    """A whole number of a number, or of a text that is one; any other value unchanged."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT_FLOAT:
        return int(value)
    found = _INTEGER.fullmatch(_trim(value)) if isinstance(value, str) else None
    return int(found[1]) if found else value


def _return_url(fields: Mapping[str, Any], origins: Sequence[str], *, any_https: bool) -> str:
    try:
        url = return_url_of(fields)
    except ReturnUrlsDiffer:
        raise CallRefused(Code.NO_RETURN_URL, TWO_RETURN_URLS) from None
    if url is None or len(url) > MAX_RETURN_URL_CHARS:
        raise CallRefused(Code.NO_RETURN_URL)
    try:
        origin = origin_of(head_of(url))
    except ValueError:
        raise CallRefused(Code.NO_RETURN_URL) from None
    if origin not in origins and not (any_https and origin.startswith("https://")):
        raise CallRefused(Code.WRONG_DOMAIN)
    return url


def _order_id(value: object) -> str | None:
    """The order's number as it was sent; None when there is none. Raises CallRefused for one that cannot be kept.

    It names the order to both sides, so it is never dropped or changed on the way.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if not isinstance(value, str) or is_blank(value) or refused_in(value) or len(value.strip()) > MAX_ORDER_ID_CHARS:
        raise CallRefused(Code.BANK_UNREACHABLE, BAD_ORDER_ID)
    return value.strip()


def _trim(value: object) -> str:
    """The text without invisible characters around it; empty for other types than text and whole numbers."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return ""
    return value.strip(_AROUND)
