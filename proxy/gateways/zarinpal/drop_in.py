"""The drop-in in ZarinPal's protocol: a shop's call as it means it, and ZarinPal's words for the state of a payment.

A shop's merchant_id is its token, an authority `A` and the payment's link. No I/O.

The codes make public clients do what is safe. Money that a person must look at is -52, "call our support".
-53 is never said, as it would tell that the authority is another shop's.
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
from proxy.gateways.zarinpal.codes import (
    AMOUNT_DIFFERS,
    CODES,
    DONE_BEFORE,
    INACTIVE,
    INTERNAL_ERROR,
    INVALID,
    NOT_PAID,
    NOT_REVERSIBLE,
    SUCCESS,
    TOO_MANY,
    UNKNOWN_AUTHORITY,
    WRONG_DOMAIN,
    WRONG_TERMINAL,
)
from proxy.kernel.errors import DargahError, Forbidden, InvalidInput, MerchantArchived, RateLimited, Unauthenticated
from proxy.kernel.money import Currency, to_rials

PREFIX: Final = "A"
LINK_SECRET_CHARS: Final = 20  # 119 bits, so that the authority has its 36 characters
MAX_DESCRIPTION_CHARS: Final = 500
MAX_UNVERIFIED: Final = 100
_CURRENCIES: Final = {currency.value: currency for currency in Currency}
_STATUSES: Final = {
    InvoiceState.OPEN: "IN_BANK",
    InvoiceState.UNDER_REVIEW: "IN_BANK",
    InvoiceState.CANCELED: "FAILED",
    InvoiceState.EXPIRED: "FAILED",
    InvoiceState.GIVEN_BACK: "REVERSED",
}


def return_params(invoice: ShopInvoice) -> dict[str, str]:
    """`Authority` and `Status`, which is OK of a paid payment alone."""
    return {"Authority": invoice.key, "Status": "OK" if invoice.state is InvoiceState.PAID else "NOK"}


SHOP_SIDE: Final = ShopSide(
    key_field="merchant_id",
    hosts=("payment.zarinpal.com", "api.zarinpal.com", "www.zarinpal.com", "sandbox.zarinpal.com"),
    return_params=return_params,
    key=lambda link, _number: f"{PREFIX}{link}",
    link_secret_chars=LINK_SECRET_CHARS,
    uuid_tokens=True,
)


def token_of(fields: Mapping[str, Any]) -> str:
    """The token in `merchant_id`. Raises Unauthenticated when there is no text of it."""
    text = text_of(fields.get("merchant_id")).lower()
    if not text or not text.isascii():
        raise Unauthenticated
    return text


def link_of(fields: Mapping[str, Any]) -> str:
    """The link in `authority`, empty for what is no authority."""
    text = text_of(fields.get("authority"))
    return text.removeprefix(PREFIX) if text.startswith(PREFIX) else ""


def read_request(
    fields: Mapping[str, Any], currency: Currency, origins: Sequence[str], *, any_https: bool
) -> ShopRequest:
    """The fields of request.json. `currency` is that of a call that names none. Raises CallRefused."""
    named = fields.get("currency")
    unit = currency if named is None or named == "" else _CURRENCIES.get(text_of(named).upper())
    if unit is None:
        raise CallRefused(refusal(INVALID, "currency", "The currency must be IRR or IRT."))
    try:
        amount_rials = to_rials(whole_number(fields.get("amount")), unit)
    except InvalidInput as error:
        raise CallRefused(refusal(INVALID, "amount", f"The amount {error.errors[0].detail}.")) from None
    description = description_of(fields.get("description"))
    if not 0 < len(description) <= MAX_DESCRIPTION_CHARS:
        wanted = f"The description must have 1 to {MAX_DESCRIPTION_CHARS} characters."
        raise CallRefused(refusal(INVALID, "description", wanted))
    try:
        return_url = check_return_url(text_of(fields.get("callback_url")) or None, origins, any_https=any_https)
    except ReturnUrlInvalid:
        raise CallRefused(refusal(INVALID, "callback_url", "The callback_url must be an http(s) URL.")) from None
    except ReturnUrlForeign:
        raise CallRefused(refusal(WRONG_DOMAIN)) from None
    told = fields.get("metadata")
    try:
        order_id = order_id_of(told.get("order_id") if isinstance(told, Mapping) else None)
    except ValueError as error:
        raise CallRefused(refusal(INVALID, "order_id", f"The order_id {error}.")) from None
    return ShopRequest(amount_rials, unit, return_url, order_id, description)


def issued_answer(authority: str) -> dict[str, Any]:
    """The answer to request.json: the payment exists."""
    return _success({"code": SUCCESS, "message": "Success", "authority": authority, "fee_type": "Merchant", "fee": 0})


def check_amount(fields: Mapping[str, Any], invoice: ShopInvoice) -> None:
    """Raises CallRefused with -50 unless the amount of verify.json is the one of the request, in its unit."""
    if whole_number(fields.get("amount")) != invoice.amount:
        raise CallRefused(refusal(AMOUNT_DIFFERS))


def verify_answer(invoice: ShopInvoice, card_mask: str | None, fee: int, *, first: bool) -> dict[str, Any]:
    """The answer to verify.json: 100 of the first one of a paid payment, 101 of each later one."""
    if invoice.state is InvoiceState.PAID:
        return _success(
            {
                "wages": None,
                "code": SUCCESS if first else DONE_BEFORE,
                "message": "Paid" if first else "Verified",
                "card_hash": "",
                "card_pan": card_mask or "",
                "ref_id": reference_number(invoice),
                "fee_type": "Merchant",
                "fee": fee,
                "shaparak_fee": 0,
                "order_id": invoice.order_id,
            }
        )
    if invoice.state is InvoiceState.UNKNOWN:
        return refusal(UNKNOWN_AUTHORITY)
    return refusal(INTERNAL_ERROR if invoice.state is InvoiceState.UNDER_REVIEW else NOT_PAID)


def reverse_answer(invoice: ShopInvoice, *, done: bool) -> dict[str, Any]:
    """The answer to reverse.json, `done` where the money of the paid payment went back at the shop's wish.

    100 is said of what the shop had reversed before, too: the answer to the first call may be lost, and -61 would be
    taken for money that is still there.
    """
    if done:
        return _success({"code": SUCCESS, "message": "Reversed"})
    return refusal(INTERNAL_ERROR if invoice.state is InvoiceState.UNDER_REVIEW else NOT_REVERSIBLE)


def inquiry_answer(invoice: ShopInvoice, *, verified: bool) -> dict[str, Any]:
    """The answer to inquiry.json; PAID is one that the shop has not verified."""
    if invoice.state is InvoiceState.UNKNOWN:
        return refusal(UNKNOWN_AUTHORITY)
    status = _STATUSES.get(invoice.state) or ("VERIFIED" if verified else "PAID")
    return _success({"code": SUCCESS, "message": "Success", "status": status})


def unverified_answer(listed: Sequence[tuple[ShopInvoice, str, str]]) -> dict[str, Any]:
    """The answer to unVerified.json: paid payments, each with its callback_url and its time in Tehran."""
    authorities = [
        {"authority": invoice.key, "amount": invoice.amount, "callback_url": url, "referer": "/", "date": date}
        for invoice, url, date in listed
    ]
    return _success({"code": SUCCESS, "message": "Success", "authorities": authorities})


def refusal(code: int, field: str | None = None, words: str | None = None) -> dict[str, Any]:
    """An error answer in ZarinPal's form and words, with what is wrong with a field of the call."""
    validations = [] if field is None else [{field: words}]
    return {"data": [], "errors": {"code": code, "message": CODES[code].words, "validations": validations}}


def error_answer(error: DargahError) -> dict[str, Any]:
    """An error of the tree as ZarinPal would say it. Our own trouble is -52: nothing is known."""
    match error:
        case Unauthenticated() | Forbidden():
            return refusal(WRONG_TERMINAL)
        case RateLimited():
            return refusal(TOO_MANY)
        case MerchantArchived():
            return refusal(INACTIVE, "merchant_id", error.detail)
        case InvalidInput() if any(each.field == "amount" for each in error.errors):
            return refusal(INVALID, "amount", f"The amount {error.errors[0].detail}.")
        case InvalidInput():
            # Of a validated order only the terminal can be refused: none is switched on, or several and none is named.
            return refusal(INACTIVE)
        case _:
            return refusal(INTERNAL_ERROR)


def _success(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"data": data, "errors": []}
