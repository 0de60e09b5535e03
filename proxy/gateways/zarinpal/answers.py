"""The meaning of ZarinPal's answers: a fact where an answer says exactly one thing, else unknown. No I/O.

An answer is `{"data": {…}, "errors": []}` or `{"data": [], "errors": {"code": -9, …}}`: what says nothing is an empty
array or object, null, or missing. One public client also met `errors` as an array of one object. An error comes with
HTTP 200 or 4xx, a success with 200 only. Sources: zarinpal.com/docs/paymentGateway (connectToGateway, Inquiry,
reverse) and the code of ZarinPal's own SDKs.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from proxy.gateways.answers import OK, Answer, NoAnswer, card_mask, fields_of, identifier, integer, is_key, signed
from proxy.gateways.outcomes import check_refused, check_unknown, request_refused, request_unknown
from proxy.gateways.port import (
    AmountDiffers,
    Canceled,
    Captured,
    CheckOutcome,
    CheckUnknown,
    Inquiry,
    InvoiceIssued,
    NotPaid,
    PaidUnconfirmed,
    RequestOutcome,
    RequestUnknown,
    Reversed,
    TooLate,
)
from proxy.gateways.zarinpal.codes import AMOUNT_DIFFERS, CODES, DONE_BEFORE, NOT_PAID, REVERSAL_TOO_LATE, SUCCESS

_STATUSES: Final[Mapping[str, Callable[[str], CheckOutcome]]] = {
    "PAID": PaidUnconfirmed,
    "VERIFIED": partial(PaidUnconfirmed, confirmed_before=True),
    "IN_BANK": NotPaid,
    "FAILED": Canceled,
    "REVERSED": Reversed,
}


def request_outcome(answer: Answer) -> RequestOutcome:
    """The outcome of an answer to request.json."""
    reply = _reply(answer)
    if isinstance(reply, NoAnswer):
        return request_unknown(reply)
    if isinstance(reply, int):
        return request_refused(reply, CODES)
    code, authority = signed(reply.get("code")), identifier(reply.get("authority"))
    if code != SUCCESS or authority is None or not authority.isascii() or not is_key(authority):
        return RequestUnknown("bad_answer")
    return InvoiceIssued(authority)


def check_outcome(authority: str, answer: Answer) -> CheckOutcome:
    """The outcome of an answer to inquiry.json, which tells no amount: verify.json is bound to it."""
    data = _data_about(authority, answer)
    if not isinstance(data, dict):
        return data
    status = data.get("status")
    made = _STATUSES.get(status) if isinstance(status, str) else None
    return CheckUnknown(authority, "bad_answer") if made is None else made(authority)


def confirm_outcome(inquiry: Inquiry, answer: Answer) -> CheckOutcome:
    """The outcome of an answer to verify.json, which refuses another amount than the requested one and names none.

    `fee` is taken for rials, as the request's currency and `shaparak_fee` are; the document does not say it.
    """
    authority = inquiry.invoice_key
    data = _data_about(authority, answer, {AMOUNT_DIFFERS: AmountDiffers, NOT_PAID: NotPaid})
    if not isinstance(data, dict):
        return data
    ref_id = identifier(data.get("ref_id"))
    if ref_id is None:
        return CheckUnknown(authority, "no_bank_code", captured_rials=inquiry.amount_rials)
    mask, fee = card_mask(data.get("card_pan")), integer(data.get("fee"))
    return Captured(authority, inquiry.amount_rials, ref_id, card_mask=mask, fee_rials=fee)


def reverse_outcome(authority: str, answer: Answer) -> CheckOutcome:
    """The outcome of an answer to reverse.json, of which `is_refusal` tells what inquiry.json must decide."""
    data = _data_about(authority, answer, {REVERSAL_TOO_LATE: TooLate})
    if not isinstance(data, dict):
        return data
    return Reversed(authority) if signed(data["code"]) == SUCCESS else CheckUnknown(authority, "bad_answer")


def is_refusal(outcome: CheckOutcome) -> bool:
    """Whether reverse.json was answered with a code: -61 is said of what was reversed before, too."""
    return isinstance(outcome, TooLate) or (isinstance(outcome, CheckUnknown) and outcome.error_code is not None)


def refused_reversal(refused: CheckOutcome, looked: CheckOutcome) -> CheckOutcome:
    """The outcome of a refused reversal, by that of the inquiry after it."""
    match refused, looked:
        case _, Reversed():
            return looked
        case CheckUnknown(), PaidUnconfirmed():
            return replace(refused, not_reversed=True)
        case TooLate(), CheckUnknown():
            return looked
        case _:
            return refused


def _data_about(
    authority: str, answer: Answer, told: Mapping[int, Callable[[str], CheckOutcome]] = MappingProxyType({})
) -> dict[str, Any] | CheckOutcome:
    """The data of a success about this authority, else the outcome; `told` are the codes that tell of its payment."""
    reply = _reply(answer)
    if isinstance(reply, NoAnswer):
        return check_unknown(authority, reply)
    if isinstance(reply, int):
        made = told.get(reply)
        return check_refused(authority, reply, CODES) if made is None else made(authority)
    if reply.get("authority") not in (None, authority):
        return CheckUnknown(authority, "other_invoice")
    return reply if signed(reply.get("code")) in {SUCCESS, DONE_BEFORE} else CheckUnknown(authority, "bad_answer")


def _reply(answer: Answer) -> dict[str, Any] | int | NoAnswer:
    """The data of a success, or the code of an error. An answer that says both says nothing."""
    if isinstance(answer, NoAnswer):
        return answer
    fields = fields_of(answer, reads_errors=True)
    if isinstance(fields, NoAnswer):
        return fields
    data, error = _part(fields.get("data")), _part(_only(fields.get("errors")))
    if answer.status == OK and data and error == {}:
        return data
    code = signed(error.get("code")) if error else None
    if data == {} and code is not None:
        return code
    return NoAnswer("bad_answer") if answer.status == OK else NoAnswer("http_status", http_status=answer.status)


def _only(errors: object) -> object:
    """The object in an array of one."""
    return errors[0] if isinstance(errors, list) and len(errors) == 1 and errors[0] else errors


def _part(value: object) -> dict[str, Any] | None:
    """The object that `data` or `errors` is, empty where it says nothing; None for what is neither."""
    if value is None or value == []:
        return {}
    return value if isinstance(value, dict) else None
