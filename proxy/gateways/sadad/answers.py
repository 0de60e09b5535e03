"""The meaning of Sadad's answers and of a customer's return: a fact where it says exactly one thing, else unknown.
No I/O.

The source is Sadad's purchase guide 1.10 (a PDF in github.com/ali-zahedi/az-iranian-bank-gateways), and where that
leaves something open, the clients that are named there.

An invoice_key is `OrderId:Token`: the first is our own number, and the second alone confirms the payment.
"""

from collections.abc import Mapping
from typing import Any, Final

from proxy.gateways.answers import (
    Answer,
    NoAnswer,
    bare,
    card_mask,
    fields_of,
    identifier,
    integer,
    joined_key,
    names_another,
    parts_of,
    signed,
)
from proxy.gateways.family import ReturnClaim
from proxy.gateways.outcomes import check_refused, check_unknown, request_refused, request_unknown
from proxy.gateways.port import (
    Captured,
    CheckOutcome,
    CheckUnknown,
    Evidence,
    Inquiry,
    InvoiceIssued,
    NotPaid,
    RequestOutcome,
    RequestUnknown,
    Reversed,
    TooLate,
)
from proxy.gateways.sadad.codes import CODES, FAILED, REPEATED, REVERSED, TOO_LATE

CARD: Final = "PrimaryAccNo"
EVIDENCE: Final = ("OrderId", "Token", "token", "ResCode", "SwitchResCode", CARD)
"""The guide writes Token, and Sadad's own sample in PHP (github.com/SadadPsp-Lab/PHP) reads `token`. SwitchResCode, the
bank's own code, is kept for people alone.
"""
_ENDINGS: Final[Mapping[int, type[NotPaid | TooLate | Reversed]]] = {
    FAILED: NotPaid,
    TOO_LATE: TooLate,
    REVERSED: Reversed,
}


def claim(invoice_key: str, evidence: Evidence) -> ReturnClaim:
    """What a return says: it must name both OrderId and Token."""
    order_id, token = parts_of(invoice_key)
    said = {name: bare(evidence.get(name, "")) for name in EVIDENCE}
    tokens = {said["Token"], said["token"]} - {""}
    if said["OrderId"] not in {"", order_id} or not tokens <= {token}:
        return ReturnClaim.FOREIGN
    if not said["OrderId"] or not tokens or not said["ResCode"]:
        return ReturnClaim.NOTHING
    return ReturnClaim.PAID if signed(said["ResCode"]) == 0 else ReturnClaim.UNPAID


def request_outcome(order_id: int, answer: Answer) -> RequestOutcome:
    """The outcome of an answer to PaymentRequest with this OrderId."""
    fields = fields_of(answer)
    if isinstance(fields, NoAnswer):
        return request_unknown(fields)
    code, token = signed(fields.get("ResCode")), identifier(fields.get("Token"))
    if code is None or (code != 0 and token is not None):  # a refusal with a token says two things
        return RequestUnknown("bad_answer")
    if code != 0:
        return request_refused(code, CODES)
    key = joined_key(order_id, token)
    return RequestUnknown("bad_answer") if key is None else InvoiceIssued(key)


def confirm_outcome(inquiry: Inquiry, answer: Answer) -> CheckOutcome:
    """The outcome of an answer to Advice/Verify.

    "Registered before" is a success (see REPEATED), because the token is our own. -1 is NotPaid: the guide gives it for
    a payment that failed and for one that does not exist, and neither has captured anything.
    """
    key = inquiry.invoice_key
    fields = fields_of(answer)
    if isinstance(fields, NoAnswer):
        return check_unknown(key, fields)
    code = signed(fields.get("ResCode"))
    if code is None:
        return CheckUnknown(key, "bad_answer")
    if names_another(fields.get("OrderId"), parts_of(key)[0]):
        return CheckUnknown(key, "other_invoice")
    if code == 0 or code in REPEATED:
        return _captured(inquiry, fields, repeated=code != 0)
    ending = _ENDINGS.get(code)
    return check_refused(key, code, CODES) if ending is None else ending(key)


def _captured(inquiry: Inquiry, fields: dict[str, Any], *, repeated: bool) -> CheckOutcome:
    """The captured money. No source shows the fields of a repeated answer: without an amount there it is the requested
    one, which Sadad has bound to the token. The card's mask is in the return alone.
    """
    key, amount = inquiry.invoice_key, integer(fields.get("Amount"))
    if repeated and fields.get("Amount") is None:
        amount = inquiry.amount_rials
    if not amount:
        return CheckUnknown(key, "bad_answer")
    bank_code = identifier(fields.get("RetrivalRefNo"))
    if bank_code is None:
        return CheckUnknown(key, "no_bank_code", captured_rials=amount)
    return Captured(
        key,
        amount,
        bank_code,
        card_mask=card_mask(inquiry.evidence.get(CARD)),
        trace_number=identifier(fields.get("SystemTraceNo")),
    )
