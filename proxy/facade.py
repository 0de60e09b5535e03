"""The drop-in, pure: a shop's call in the gateway's protocol as an order, and our truth in the protocol's words.

A code of the gateway's is passed on when it tells of the shop's side or of the terminal (102, 203, 204, 302). Its 100,
101 and 103 are faults between Dargah and the gateway: the shop's own key is right, so it is told 301.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from proxy.errors import DargahError, Forbidden, InvalidInput, OrderAlreadyPaid, Unauthenticated
from proxy.facts import CheckFact, CheckUnknown
from proxy.merchant import AmountUnit, Token, origin_of
from proxy.money import RIALS_PER_TOMAN, Currency, to_rials
from proxy.payment import Payment, Status
from proxy.wire import head_of, location, plain_url, refusal, with_params

MAX_RETURN_URL_CHARS: Final = 4096
MAX_ORDER_ID_CHARS: Final = 100
MAX_AMOUNT_DIGITS: Final = 19
_EXACT_FLOAT: Final = 2**53

NOT_POST, BAD_KEY, BAD_AMOUNT, NO_RETURN_URL = 100, 101, 102, 103
UNKNOWN_INVOICE, NOT_PAID, CANCELED, NOT_REGISTERED, BANK_UNREACHABLE, TERMINAL_OFF = 200, 201, 202, 203, 301, 302
PASSED_ON_REQUEST: Final = frozenset({BAD_AMOUNT, NOT_REGISTERED, 204, TERMINAL_OFF})
PASSED_ON_CHECK: Final = frozenset({NOT_REGISTERED, 204, TERMINAL_OFF})

UNDER_REVIEW: Final = (
    "پرداختی رسیده که با سفارش نمی‌خواند و در دست بررسی است؛ دوباره پرداخت نکنید و با فروشگاه تماس بگیرید"
)
_CURRENCIES: Final = {AmountUnit.RIAL: Currency.IRR, AmountUnit.TOMAN: Currency.IRT}
# What pastes and right-to-left editors leave around a value: half-spaces, direction marks, a byte order mark.
_MARKS: Final = "\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"


class Refused(Exception):
    """What the shop is answered instead; `description` where the protocol's own words would mislead."""

    def __init__(self, code: int, description: str | None = None) -> None:
        super().__init__(str(code))
        self.code = code
        self.description = description

    def answer(self) -> dict[str, Any]:
        return refusal(self.code, self.description)


@dataclass(frozen=True, slots=True)
class Asked:
    """A shop's `request`, understood. `order_id` is None when the shop gave none that can be used."""

    amount_rials: int
    currency: Currency
    return_url: str
    order_id: str | None


def api_key_of(fields: Mapping[str, Any]) -> str:
    """The token in a call. Raises Refused with 101 when there is no text of it."""
    text = _trimmed(fields.get("api_key"))
    if not text or not text.isascii():
        raise Refused(BAD_KEY)
    return text


def understand(fields: Mapping[str, Any], token: Token, origins: Sequence[str]) -> Asked:
    """The order in a `request`. Raises Refused with the first code that applies, in the protocol's order."""
    currency = _CURRENCIES[token.amount_unit]
    amount_rials = _rials(fields.get("amount"), currency)
    return_url = _return_url(fields.get("return_url"), token, origins)
    return Asked(amount_rials, currency, return_url, _order_id(fields.get("order_id")))


def created_answer(payment: Payment) -> dict[str, Any]:
    """What a `request` is answered once its payment is pending, or failed because the gateway refused it."""
    if payment.status is not Status.FAILED:
        return {"status": 1, "invoice_key": payment.link}
    code = payment.failure.gateway_error_code if payment.failure else None
    return refusal(code if code in PASSED_ON_REQUEST else BANK_UNREACHABLE)


def belongs(payment: Payment, token: Token) -> bool:
    """Whether a `check` with this token may know of this payment."""
    return payment.drop_in is not None and token.sees(payment.storefront, payment.mode, payment.terminal_id)


def worth_asking(payment: Payment) -> bool:
    """Whether the gateway may still tell more than is stored."""
    return payment.status in {Status.PENDING, Status.CANCELED, Status.EXPIRED}


def checked_answer(payment: Payment, fact: CheckFact | None) -> dict[str, Any]:
    """What a `check` is answered: the stored truth, or that the gateway could not be asked. Only `paid` is `status` 1.

    The amount is in the unit in which the shop asked for it. Money that came otherwise than asked is 202 with words of
    its own: 201 would have the shop ask again for ever, and 301 would say that nobody knows.
    """
    match payment.status:
        case Status.PAID:
            return {"status": 1, "amount": _in_unit(payment), "bank_code": payment.bank_code}
        case Status.NEEDS_REVIEW:
            return refusal(CANCELED, UNDER_REVIEW)
        case Status.CANCELED:
            return refusal(CANCELED)
        case Status.EXPIRED:
            return refusal(NOT_PAID)
        case Status.PENDING:
            return refusal(_open_code(fact))
        case _:
            # No invoice_key was ever given out for it.
            return refusal(UNKNOWN_INVOICE)


def error_answer(error: DargahError) -> dict[str, Any]:
    """An error of the tree as the script would say it. Our own trouble is 301: ask again, nothing is known."""
    match error:
        case Unauthenticated() | Forbidden():
            return refusal(BAD_KEY)
        case OrderAlreadyPaid():
            return refusal(BANK_UNREACHABLE, "این سفارش پیش‌تر پرداخت شده است")
        case InvalidInput():
            # Of a validated order only the terminal can be refused: none is switched on, or several and none is named.
            return refusal(TERMINAL_OFF)
        case _:
            return refusal(BANK_UNREACHABLE)


def shop_url(payment: Payment) -> str:
    """The shop's own URL with the invoice_key that it was given, and nothing else, added; as ASCII."""
    return with_params(location(payment.return_url or ""), {"invoice_key": payment.link})


def _open_code(fact: CheckFact | None) -> int:
    if not isinstance(fact, CheckUnknown):
        return NOT_PAID
    return fact.error_code if fact.error_code in PASSED_ON_CHECK else BANK_UNREACHABLE


def _in_unit(payment: Payment) -> int:
    return payment.amount_rials // RIALS_PER_TOMAN if payment.currency is Currency.IRT else payment.amount_rials


def _rials(value: object, currency: Currency) -> int:
    try:
        return to_rials(_whole(value), currency)
    except InvalidInput:
        raise Refused(BAD_AMOUNT) from None


def _whole(value: object) -> object:
    """A whole number of a number, or of a text of decimal digits in any script; whatever else it is, as it is."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT_FLOAT:
        return int(value)
    text = _trimmed(value) if isinstance(value, str) else ""
    if not text or len(text) > MAX_AMOUNT_DIGITS or not all(unicodedata.category(char) == "Nd" for char in text):
        return value
    return int(text)


def _return_url(value: object, token: Token, origins: Sequence[str]) -> str:
    url = plain_url(value)
    if url is None or len(url) > MAX_RETURN_URL_CHARS:
        raise Refused(NO_RETURN_URL)
    try:
        origin = origin_of(head_of(url))
        location(url)
    except ValueError:
        raise Refused(NO_RETURN_URL) from None
    if origin not in origins and not (token.any_https_return and origin.startswith("https://")):
        raise Refused(NOT_REGISTERED)
    return url


def _order_id(value: object) -> str | None:
    text = _trimmed(value)
    return text if 1 <= len(text) <= MAX_ORDER_ID_CHARS and text.isprintable() else None


def _trimmed(value: object) -> str:
    """The text without what surrounds it unseen; empty for what is neither text nor a whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return ""
    before = None
    while value != before:
        before, value = value, value.strip().strip(_MARKS)
    return value
