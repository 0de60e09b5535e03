"""The drop-in in Zibal's protocol: a shop's call as it means it, and Zibal's words for the state of a payment.

A shop's merchant is its token, and a trackId the payment's number: below 2**53, as JSON numbers of every client are.
Amounts are rials. No I/O.

The results make public clients do what is safe. Money that a person must look at is -2, the internal error: 202 would
be taken for "not paid".
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from proxy.gateways.shop_side import (
    CallRefused,
    InvoiceState,
    ReturnUrlForeign,
    ReturnUrlInvalid,
    ShopInvoice,
    ShopRequest,
    ShopSide,
    check_return_url,
    description_of,
    order_id_of,
    reference_number,
    text_of,
    whole_number,
)
from proxy.gateways.zibal.codes import (
    BAD_CALLBACK,
    CANCELED,
    CODES,
    INACTIVE,
    INTERNAL_ERROR,
    NO_MERCHANT,
    NOT_PAID,
    PAID,
    PAID_AND_VERIFIED,
    REVERSED,
    SUCCESS,
    TOO_LARGE,
    TOO_SMALL,
    UNKNOWN_TRACK_ID,
    VERIFIED_BEFORE,
    WAITING,
)
from proxy.kernel.errors import DargahError, Forbidden, InvalidInput, MerchantArchived, Unauthenticated
from proxy.kernel.money import MAX_RIALS, Currency, to_rials

MAX_DESCRIPTION_CHARS: Final = 500
_WORDS: Final = {INTERNAL_ERROR: "خطای داخلی", SUCCESS: "success"}
_STATUSES: Final = {
    InvoiceState.OPEN: WAITING,
    InvoiceState.EXPIRED: WAITING,
    InvoiceState.CANCELED: CANCELED,
    InvoiceState.GIVEN_BACK: REVERSED,
    InvoiceState.UNDER_REVIEW: INTERNAL_ERROR,
}


def status_of(invoice: ShopInvoice, *, verified: bool) -> int:
    """Zibal's status of a payment; 2 is one that is paid and that the shop has not verified."""
    return _STATUSES.get(invoice.state) or (PAID_AND_VERIFIED if verified else PAID)


def return_params(invoice: ShopInvoice) -> dict[str, str]:
    """`trackId`, `success`, which is 1 of a paid payment alone, `status` and `orderId`."""
    return {
        "trackId": invoice.key,
        "success": "1" if invoice.state is InvoiceState.PAID else "0",
        "status": str(status_of(invoice, verified=False)),
        "orderId": invoice.order_id,
    }


SHOP_SIDE: Final = ShopSide(
    key_field="merchant",
    hosts=("gateway.zibal.ir", "gateway.zibal.io"),
    return_params=return_params,
    key=lambda _link, number: str(number or ""),
    numbers=True,
)


def token_of(fields: Mapping[str, Any]) -> str:
    """The token in `merchant`. Raises Unauthenticated when there is no text of it."""
    text = text_of(fields.get("merchant"))
    if not text or not text.isascii():
        raise Unauthenticated
    return text


def number_of(fields: Mapping[str, Any]) -> int | None:
    """The number in `trackId`, which some clients send as a text; None for what is no trackId."""
    number = whole_number(fields.get("trackId"))
    return number if type(number) is int and 0 < number < 1 << 53 else None


def read_request(fields: Mapping[str, Any], origins: Sequence[str], *, any_https: bool) -> ShopRequest:
    """The fields of `request`. Raises CallRefused."""
    amount = whole_number(fields.get("amount"))
    try:
        amount_rials = to_rials(amount, Currency.IRR)
    except InvalidInput:
        raise CallRefused(answered(TOO_LARGE if type(amount) is int and amount > MAX_RIALS else TOO_SMALL)) from None
    try:
        return_url = check_return_url(text_of(fields.get("callbackUrl")) or None, origins, any_https=any_https)
    except (ReturnUrlInvalid, ReturnUrlForeign):
        raise CallRefused(answered(BAD_CALLBACK)) from None
    try:
        order_id = order_id_of(fields.get("orderId"))
    except ValueError as error:
        raise CallRefused(answered(INTERNAL_ERROR, words=f"orderId {error}")) from None
    description = description_of(fields.get("description"))[:MAX_DESCRIPTION_CHARS]
    return ShopRequest(amount_rials, Currency.IRR, return_url, order_id, description or None)


def issued_answer(number: int) -> dict[str, Any]:
    """The answer to `request`: the payment exists."""
    return answered(SUCCESS, {"trackId": number})


def verify_answer(invoice: ShopInvoice, told: Mapping[str, Any], *, first: bool) -> dict[str, Any]:
    """The answer to `verify`: 100 of the first one of a paid payment, 201 of each later one, with the same numbers.

    `told` is what `numbers` gives.
    """
    if invoice.state is InvoiceState.PAID:
        return answered(SUCCESS if first else VERIFIED_BEFORE, told)
    if invoice.state is InvoiceState.UNKNOWN:
        return answered(UNKNOWN_TRACK_ID)
    return answered(INTERNAL_ERROR if invoice.state is InvoiceState.UNDER_REVIEW else NOT_PAID)


def numbers(
    invoice: ShopInvoice, *, verified: bool, card_mask: str | None, paid_at: str | None, description: str | None
) -> dict[str, Any]:
    """What `verify` and `inquiry` tell of a payment."""
    return {
        "paidAt": paid_at,
        "amount": invoice.amount,
        "status": status_of(invoice, verified=verified),
        "refNumber": None if invoice.bank_code is None else reference_number(invoice),
        "description": description,
        "cardNumber": card_mask,
        "orderId": invoice.order_id,
    }


def answered(result: int, more: Mapping[str, Any] | None = None, words: str | None = None) -> dict[str, Any]:
    """An answer in Zibal's form and words."""
    known = CODES[result].words if result in CODES and result not in _WORDS else _WORDS.get(result, "")
    return {**(more or {}), "result": result, "message": words or known}


def error_answer(error: DargahError) -> dict[str, Any]:
    """An error of the tree as Zibal would say it. Our own trouble is -2: nothing is known."""
    match error:
        case Unauthenticated() | Forbidden():
            return answered(NO_MERCHANT)
        case MerchantArchived():
            return answered(INACTIVE, words=error.detail_fa)
        case InvalidInput() if any(each.field == "amount" for each in error.errors):
            return answered(TOO_SMALL, words=error.errors[0].detail_fa)
        case InvalidInput():
            # Of a validated order only the terminal can be refused: none is switched on, or several and none is named.
            return answered(INACTIVE)
        case _:
            return answered(INTERNAL_ERROR)
