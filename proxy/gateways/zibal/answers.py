"""The meaning of Zibal's answers: a fact where an answer says exactly one thing, else unknown. No I/O.

`result` says what became of the call, `status` what became of the payment. Every amount is in rials. Source: Zibal's
own document of its IPG API (docs.zibal.ir/IPG/API), in a copy of 2026; public clients send and read the same.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from proxy.gateways.answers import Answer, NoAnswer, card_mask, fields_of, identifier, integer, signed
from proxy.gateways.outcomes import check_refused, check_unknown, request_refused, request_unknown
from proxy.gateways.port import (
    Canceled,
    Captured,
    CheckOutcome,
    CheckUnknown,
    InvoiceIssued,
    NotPaid,
    PaidUnconfirmed,
    RequestOutcome,
    RequestUnknown,
    Reversed,
)
from proxy.gateways.zibal.codes import (
    BEING_REFUNDED,
    CANCELED,
    CODES,
    INTERNAL_ERROR,
    NOT_PAID,
    PAID,
    PAID_AND_VERIFIED,
    REFUNDED,
    REVERSED,
    SUCCESS,
    VERIFIED_BEFORE,
    WAITING,
)

_UNPAID_STATUSES: Final[Mapping[int, Callable[[str], CheckOutcome]]] = {
    WAITING: NotPaid,
    # "Internal error": of the gateway's, so the customer may still pay or have paid. It is asked again, and never told
    # as a cancellation.
    INTERNAL_ERROR: NotPaid,
    **dict.fromkeys(range(CANCELED, 13), Canceled),  # by the customer, and for the bank's reasons
    REFUNDED: Reversed,
    BEING_REFUNDED: Reversed,
    REVERSED: Reversed,
}


def request_outcome(answer: Answer) -> RequestOutcome:
    """The outcome of an answer to `request`; the invoice_key is its trackId as text."""
    fields = fields_of(answer)
    if isinstance(fields, NoAnswer):
        return request_unknown(fields)
    result, named = signed(fields.get("result")), fields.get("trackId")
    track_id = integer(named)
    if result is not None and result != SUCCESS and not named:
        return request_refused(result, CODES)
    if result != SUCCESS or not track_id:
        return RequestUnknown("bad_answer")
    return InvoiceIssued(str(track_id))


def check_outcome(track_id: str, answer: Answer) -> CheckOutcome:
    """The outcome of an answer to `inquiry`."""
    told = _told(track_id, answer)
    if isinstance(told, CheckUnknown):
        return told
    result, fields = told
    if result != SUCCESS:
        return check_refused(track_id, result, CODES)
    status, amount = signed(fields.get("status")), integer(fields.get("amount"))
    if status not in {PAID, PAID_AND_VERIFIED}:
        return _unpaid(track_id, status)
    if not amount:
        return CheckUnknown(track_id, "bad_answer")
    return PaidUnconfirmed(track_id, amount, confirmed_before=status == PAID_AND_VERIFIED)


def confirm_outcome(track_id: str, answer: Answer) -> CheckOutcome:
    """The outcome of an answer to `verify`.

    "Verified before" without the payment's numbers is CheckUnknown with its code: `verified_outcome` reads them.
    """
    told = _told(track_id, answer)
    if isinstance(told, CheckUnknown):
        return told
    result, fields = told
    if result == NOT_PAID:
        return _unpaid(track_id, WAITING if fields.get("status") is None else signed(fields["status"]))
    captured = _captured(track_id, fields) if result in {SUCCESS, VERIFIED_BEFORE} else None
    if captured is None or (result == VERIFIED_BEFORE and not isinstance(captured, Captured)):
        return check_refused(track_id, result, CODES)
    return captured


def verified_outcome(track_id: str, answer: Answer) -> CheckOutcome:
    """The outcome of an answer to `inquiry` after `verify` said "verified before": Captured where it agrees, Reversed
    where the money went back since.
    """
    outcome = check_outcome(track_id, answer)
    told = _told(track_id, answer)
    if isinstance(outcome, PaidUnconfirmed) and outcome.confirmed_before and not isinstance(told, CheckUnknown):
        return _captured(track_id, told[1])
    return outcome if isinstance(outcome, Reversed | CheckUnknown) else CheckUnknown(track_id, "bad_answer")


def lacks_numbers(outcome: CheckOutcome) -> bool:
    """Whether `verify` said "verified before", and no more."""
    return isinstance(outcome, CheckUnknown) and outcome.error_code == VERIFIED_BEFORE


def _captured(track_id: str, fields: Mapping[str, Any]) -> CheckOutcome:
    """The payment that these fields say to be verified, by its amount, which is the requested one: `request` says
    feeMode 0. Only `inquiry` tells a wage, and not every answer to `verify` has a status.
    """
    amount, ref_number = integer(fields.get("amount")), identifier(fields.get("refNumber"))
    if not amount or (fields.get("status") is not None and signed(fields["status"]) != PAID_AND_VERIFIED):
        return CheckUnknown(track_id, "bad_answer")
    if ref_number is None:
        return CheckUnknown(track_id, "no_bank_code", captured_rials=amount)
    mask, wage = card_mask(fields.get("cardNumber")), integer(fields.get("wage"))
    return Captured(track_id, amount, ref_number, card_mask=mask, fee_rials=wage)


def _unpaid(track_id: str, status: int | None) -> CheckOutcome:
    """The outcome of a status that is none of a paid one."""
    if status is None or status in {PAID, PAID_AND_VERIFIED}:
        return CheckUnknown(track_id, "bad_answer")
    made = _UNPAID_STATUSES.get(status)
    return check_refused(track_id, status, CODES) if made is None else made(track_id)


def _told(track_id: str, answer: Answer) -> tuple[int, dict[str, Any]] | CheckUnknown:
    """The `result` and all fields of an answer about this trackId."""
    fields = fields_of(answer)
    if isinstance(fields, NoAnswer):
        return check_unknown(track_id, fields)
    named, result = fields.get("trackId"), signed(fields.get("result"))
    if named is not None and str(integer(named)) != track_id:
        return CheckUnknown(track_id, "other_invoice")
    return CheckUnknown(track_id, "bad_answer") if result is None else (result, fields)
