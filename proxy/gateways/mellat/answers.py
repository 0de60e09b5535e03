"""The meaning of an answer of Behpardakht Mellat, and of a customer's return. No I/O.

Its guide (1.29 and 1.39) is the source, with these readings of what it leaves open:

- No call tells the amount: it is bound to the order number that `bpPayRequest` was sent with.
- `bpVerifyRequest` is to be called again until 0, 43 or 48 come. What it answers to a payment that nobody made is not
  said: 42, 54 and 55 ("no such payment") are taken as not paid so far, the codes about the customer's card as canceled,
  and all others as unknown, 112 and 113 (a bank was silent) among them.
- 45 (settled before) from `bpVerifyRequest` means that it was verified, too.
"""

import re
from typing import Final

from proxy.gateways.answers import Answer, NoAnswer, card_mask, joined_key, parts_of
from proxy.gateways.family import ReturnClaim
from proxy.gateways.mellat.codes import (
    CODES,
    FAILED,
    INVALID_SALE,
    NO_REFERENCE,
    REVERSED,
    SALE_NOT_FOUND,
    SETTLED_BEFORE,
    SUCCESS,
    VERIFIED_BEFORE,
)
from proxy.gateways.mellat.soap import returned
from proxy.gateways.outcomes import check_refused, check_unknown, request_refused, request_unknown
from proxy.gateways.port import (
    Canceled,
    Captured,
    CheckOutcome,
    CheckUnknown,
    Confirmed,
    Evidence,
    Inquiry,
    InvoiceIssued,
    NotPaid,
    RequestOutcome,
    RequestUnknown,
    Reversed,
    TooLate,
)

REF_ID: Final = "RefId"
RES_CODE: Final = "ResCode"
SALE_ORDER_ID: Final = "SaleOrderId"
SALE_REFERENCE_ID: Final = "SaleReferenceId"
CARD: Final = "CardHolderPan"
FINAL_AMOUNT: Final = "FinalAmount"
EVIDENCE: Final = (REF_ID, RES_CODE, SALE_ORDER_ID, SALE_REFERENCE_ID, CARD, FINAL_AMOUNT)

_ISSUED: Final = re.compile(r"0\s*,\s*([0-9A-Za-z_.~-]{1,150})", re.ASCII)
_CODE: Final = re.compile(r"0|[1-9][0-9]{0,4}", re.ASCII)
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)  # below 10**18, so below the 2**63 of a SOAP long
_NO_SUCH_SALE: Final = frozenset({SALE_NOT_FOUND, NO_REFERENCE, INVALID_SALE})


def claim(invoice_key: str, evidence: Evidence) -> ReturnClaim:
    """What a return says. The guide makes it a duty to compare RefId and SaleOrderId with our own, so one that brings
    another of either is foreign, and one that misses either claims nothing.
    """
    order_id, ref_id = parts_of(invoice_key)
    told = (evidence.get(SALE_ORDER_ID) or order_id, evidence.get(REF_ID) or ref_id)
    if told != (order_id, ref_id):
        return ReturnClaim.FOREIGN
    code = evidence.get(RES_CODE, "")
    if not _CODE.fullmatch(code):
        return ReturnClaim.NOTHING
    if int(code) != SUCCESS:
        return ReturnClaim.UNPAID
    return ReturnClaim.NOTHING if sale_of(invoice_key, evidence) is None else ReturnClaim.PAID


def sale_of(invoice_key: str, evidence: Evidence) -> str | None:
    """The SaleReferenceId of a return that names this very invoice; None without one."""
    named = (evidence.get(SALE_ORDER_ID), evidence.get(REF_ID))
    sale = evidence.get(SALE_REFERENCE_ID, "")
    return sale if named == parts_of(invoice_key) and _NUMBER.fullmatch(sale) else None


def other_amount(inquiry: Inquiry) -> int | None:
    """The FinalAmount of the return where it is another than the one requested: the scheme of online discounts takes
    less from the customer. 0 and an empty one tell nothing.
    """
    told = inquiry.evidence.get(FINAL_AMOUNT, "")
    return int(told) if _NUMBER.fullmatch(told) and int(told) != inquiry.amount_rials else None


def pay_outcome(order_id: int, answer: Answer) -> RequestOutcome:
    """The outcome of an answer to `bpPayRequest`: `0,RefId`, or a code."""
    text = returned(answer, "bpPayRequest")
    if isinstance(text, NoAnswer):
        return request_unknown(text)
    issued = _ISSUED.fullmatch(text)
    key = None if issued is None else joined_key(order_id, issued[1])
    if key is not None:
        return InvoiceIssued(key)
    code = _code_of(text)
    return RequestUnknown("bad_answer") if code in {None, SUCCESS} else request_refused(code, CODES)


def verify_outcome(invoice_key: str, answer: Answer) -> CheckOutcome:
    """The outcome of an answer to `bpVerifyRequest`."""
    code = _answered(invoice_key, answer, "bpVerifyRequest")
    if isinstance(code, CheckUnknown):
        return code
    if code in {SUCCESS, VERIFIED_BEFORE, SETTLED_BEFORE}:
        return Confirmed(invoice_key)
    if code == REVERSED:
        return Reversed(invoice_key)
    if code in _NO_SUCH_SALE:
        return NotPaid(invoice_key)
    return Canceled(invoice_key) if code in FAILED else check_refused(invoice_key, code, CODES)


def settle_outcome(inquiry: Inquiry, answer: Answer) -> CheckOutcome:
    """The outcome of an answer to `bpSettleRequest`.

    46 and 47 (not settled), 61 (not paid out) and the like are unknown: verified money is there, so it is asked again.
    """
    code = _answered(inquiry.invoice_key, answer, "bpSettleRequest")
    if isinstance(code, CheckUnknown):
        return code
    if code in {SUCCESS, SETTLED_BEFORE}:
        sale = sale_of(inquiry.invoice_key, inquiry.evidence)
        mask = card_mask(inquiry.evidence.get(CARD))
        return Captured(inquiry.invoice_key, inquiry.amount_rials, sale, card_mask=mask)
    return Reversed(inquiry.invoice_key) if code == REVERSED else check_refused(inquiry.invoice_key, code, CODES)


def reversal_outcome(invoice_key: str, answer: Answer) -> CheckOutcome:
    """The outcome of an answer to `bpReversalRequest`: what was settled can no longer be reversed, only refunded."""
    code = _answered(invoice_key, answer, "bpReversalRequest")
    if isinstance(code, CheckUnknown):
        return code
    if code in {SUCCESS, REVERSED}:
        return Reversed(invoice_key)
    return TooLate(invoice_key) if code == SETTLED_BEFORE else check_refused(invoice_key, code, CODES)


def _answered(invoice_key: str, answer: Answer, operation: str) -> int | CheckUnknown:
    text = returned(answer, operation)
    if isinstance(text, NoAnswer):
        return check_unknown(invoice_key, text)
    code = _code_of(text)
    return CheckUnknown(invoice_key, "bad_answer") if code is None else code


def _code_of(text: str) -> int | None:
    return int(text) if _CODE.fullmatch(text) else None
