"""The meaning of SEP's answers and of a customer's return: a fact where it says exactly one thing, else unknown.
No I/O.

The source is SEP's guide 3.3 (a PDF in github.com/ali-zahedi/az-iranian-bank-gateways), and where that leaves something
open, the clients that are named there.

An invoice_key is `ResNum:Token`: the first is our own number, which the return must name, and the second is what the
customer takes to the pay page. Neither confirms a payment. RefNum does, which only the return brings, and SEP does not
say whose ResNum it belongs to: that it was not used before is the core's to find, by its bank_code.
"""

import re
from collections.abc import Mapping
from datetime import datetime
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
from proxy.gateways.sep.codes import CODES, NOT_FOUND, REPEATED, REVERSED, TOO_LATE
from proxy.kernel.clock import DAY, MINUTE
from proxy.kernel.frozen import dataclass
from proxy.locale.persian import tehran

CONFIRM_WITHIN: Final = 30 * MINUTE
REVERSE_WITHIN: Final = 50 * MINUTE
EVIDENCE: Final = ("State", "Status", "RefNum", "ResNum", "Token")
_STATE_OK: Final = "ok"
_STATUS_OK: Final = "2"
_ENDINGS: Final[Mapping[int, type[NotPaid | TooLate | Reversed]]] = {
    NOT_FOUND: NotPaid,
    TOO_LATE: TooLate,
    REVERSED: Reversed,
}
_REF_NUM: Final = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class SepReceipt:
    """What a call about a payment names: the RefNum of its receipt, and the terminal."""

    ref_num: str
    terminal_id: str


@dataclass(frozen=True, slots=True)
class _SepResult:
    code: int
    detail: Mapping[str, Any]


def claim(invoice_key: str, evidence: Evidence) -> ReturnClaim:
    """What a return says. State or Status alone is enough; without a RefNum the customer has failed."""
    res_num, token = parts_of(invoice_key)
    said = {name: bare(evidence.get(name, "")) for name in EVIDENCE}
    if said["ResNum"] not in {"", res_num} or said["Token"] not in {"", token}:
        return ReturnClaim.FOREIGN
    if not said["ResNum"] or not (said["State"] or said["Status"]):
        return ReturnClaim.NOTHING
    paid = said["State"].casefold() == _STATE_OK or said["Status"] == _STATUS_OK
    return ReturnClaim.PAID if paid and _ref_num(evidence) is not None else ReturnClaim.UNPAID


def ref_num_of(inquiry: Inquiry) -> str | None:
    """The RefNum of a return that says that this invoice is paid; None where there is none."""
    paid = claim(inquiry.invoice_key, inquiry.evidence) is ReturnClaim.PAID
    return _ref_num(inquiry.evidence) if paid else None


def _ref_num(evidence: Evidence) -> str | None:
    ref_num = identifier(evidence.get("RefNum"))
    return ref_num if ref_num is not None and _REF_NUM.fullmatch(ref_num) else None


def request_outcome(res_num: int, answer: Answer) -> RequestOutcome:
    """The outcome of an answer to the token request with this ResNum."""
    fields = fields_of(answer)
    if isinstance(fields, NoAnswer):
        return request_unknown(fields)
    status, code = signed(fields.get("status")), signed(fields.get("errorCode"))
    if status == -1 and code:
        return request_refused(code, CODES)
    key = joined_key(res_num, identifier(fields.get("token")))
    # A success that carries an error code says two things, so it says nothing.
    if status != 1 or key is None or fields.get("errorCode") not in (None, "", 0, "0"):
        return RequestUnknown("bad_answer")
    return InvoiceIssued(key)


def confirm_outcome(inquiry: Inquiry, receipt: SepReceipt, now: int, answer: Answer) -> CheckOutcome:
    """The outcome of an answer to VerifyTransaction, at `now` in milliseconds since the epoch.

    "Repeated" is a success where the answer has the payment's details. -2 (not found) is NotPaid: a receipt that SEP
    does not know has captured nothing.
    """
    key = inquiry.invoice_key
    result = _result(key, receipt, answer)
    if isinstance(result, CheckUnknown):
        return result
    if result.code == 0 or (result.code == REPEATED and result.detail):
        return _captured(inquiry, result, now)
    ending = _ENDINGS.get(result.code)
    return check_refused(key, result.code, CODES) if ending is None else ending(key)


def reverse_outcome(inquiry: Inquiry, receipt: SepReceipt, answer: Answer) -> CheckOutcome:
    """The outcome of an answer to ReverseTransaction, whose codes are those of VerifyTransaction."""
    key = inquiry.invoice_key
    result = _result(key, receipt, answer)
    if isinstance(result, CheckUnknown):
        return result
    if result.code in {0, REVERSED} or (result.code == REPEATED and result.detail):
        return Reversed(key)
    return TooLate(key) if result.code == TOO_LATE else check_refused(key, result.code, CODES)


def _result(invoice_key: str, receipt: SepReceipt, answer: Answer) -> _SepResult | CheckUnknown:
    """The code, and the details of the receipt that was asked for; they are empty where the answer has none."""
    fields = fields_of(answer)
    if isinstance(fields, NoAnswer):
        return check_unknown(invoice_key, fields)
    code, success = signed(fields.get("ResultCode")), fields.get("Success") in (True, "true", "True")
    # Success of a refusal, or a failure of what succeeded, says two things. "Repeated" may be either.
    if code is None or (success != (code == 0) and code != REPEATED):
        return CheckUnknown(invoice_key, "bad_answer")
    detail = fields.get("TransactionDetail") or {}
    if not isinstance(detail, dict):
        return CheckUnknown(invoice_key, "bad_answer")
    asked = {"RefNum": receipt.ref_num, "TerminalNumber": receipt.terminal_id}
    if any(names_another(detail.get(name), ours) for name, ours in asked.items()):
        return CheckUnknown(invoice_key, "other_invoice")
    return _SepResult(code, detail)


def _captured(inquiry: Inquiry, result: _SepResult, now: int) -> CheckOutcome:
    """The captured money. OrginalAmount (their spelling; some clients read OriginalAmount) is what was asked for, and
    AffectiveAmount what the customer paid, which is less where the terminal gives discounts: the one that is not the
    requested amount is told.

    The bank_code is RefNum, because it is unique and nothing can be done without it. The trace number is RRN, which
    customers see on their receipts, else StraceNo.
    """
    detail = result.detail
    ref_num = identifier(detail.get("RefNum"))
    amount = integer(detail.get("OrginalAmount", detail.get("OriginalAmount")))
    affective = integer(detail.get("AffectiveAmount"))
    if ref_num is None or not amount or not affective:
        return CheckUnknown(inquiry.invoice_key, "bad_answer", error_code=result.code or None)
    return Captured(
        inquiry.invoice_key,
        affective if amount == inquiry.amount_rials else amount,
        ref_num,
        card_mask=card_mask(detail.get("MaskedPan")),
        trace_number=identifier(detail.get("RRN")) or identifier(detail.get("StraceNo")),
        reversible_until=_reversible_until(result, now),
    )


def _reversible_until(result: _SepResult, now: int) -> int:
    """50 minutes after the payment. The guide does not say how StraceDate is written, so that a time more than a day
    away is none; and a first success says that the payment is at most 30 minutes old.
    """
    earliest = now - CONFIRM_WITHIN
    paid_at = _milliseconds(result.detail.get("StraceDate"))
    if paid_at is None or abs(now - paid_at) > DAY:
        paid_at = earliest
    elif result.code == 0:
        paid_at = max(paid_at, earliest)
    return min(paid_at, now) + REVERSE_WITHIN


def _milliseconds(text: object) -> int | None:
    """A time such as `2021-03-15 11:13:54`, in Tehran where it has no offset; None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(bare(text).replace("/", "-"))
        return round((moment if moment.tzinfo else moment.replace(tzinfo=tehran())).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
