"""The meaning of an answer of NovinPal, and of a customer's return. No I/O.

Sources: novinpal.ir/docs (the endpoints, and that calls are forms) and seven public clients. They agree on the fields;
where they do not, or are silent, this is how it is read:

- The success of `verify` is `status` 1 in five of them and 100 in one: both count.
- An error is `errorCode` beside another `status`, with HTTP status 200 or 4xx.
- What `verify` answers to an unpaid invoice nobody shows. Their types have 0, -1 and -2 for `status`, and each client
  takes all of them for "not successful": with no errorCode they are taken as not paid so far, which is asked again.
  An errorCode that the table does not have leaves the outcome unknown, since it may be "done before".
"""

from typing import Any, Final

from proxy.gateways.answers import (
    OK,
    Answer,
    NoAnswer,
    card_mask,
    fields_of,
    identifier,
    integer,
    is_key,
    names_another,
    signed,
)
from proxy.gateways.family import ReturnClaim
from proxy.gateways.novinpal.codes import CODES
from proxy.gateways.outcomes import check_refused, check_unknown, request_refused, request_unknown
from proxy.gateways.port import (
    Captured,
    CheckOutcome,
    CheckUnknown,
    Evidence,
    InvoiceIssued,
    NotPaid,
    RequestOutcome,
    RequestUnknown,
)

REF_ID: Final = "refId"
SUCCESS: Final = "success"
EVIDENCE: Final = (REF_ID, SUCCESS)
_SUCCESSES: Final = frozenset({1, 100})
_UNPAID: Final = frozenset({0, -1, -2})


_Refusal = tuple[int, int | None]
"""`status` and `errorCode` of an answer that is no success."""


def claim(invoice_key: str, evidence: Evidence) -> ReturnClaim:
    """What a return says: `success=1` or 0, and the refId that it is about."""
    if evidence.get(REF_ID) not in {None, "", invoice_key}:
        return ReturnClaim.FOREIGN
    return {"1": ReturnClaim.PAID, "0": ReturnClaim.UNPAID}.get(evidence.get(SUCCESS, ""), ReturnClaim.NOTHING)


def request_outcome(answer: Answer) -> RequestOutcome:
    """The outcome of an answer to `request`."""
    meaning = _meaning(answer)
    if isinstance(meaning, NoAnswer):
        return request_unknown(meaning)
    if isinstance(meaning, tuple):
        _, code = meaning
        return RequestUnknown("bad_answer") if code is None else request_refused(code, CODES)
    key = identifier(meaning.get(REF_ID))
    # It becomes part of the customer's way there, and later of a call.
    if key is None or not is_key(key) or not key.isascii():
        return RequestUnknown("bad_answer")
    return InvoiceIssued(key)


def verify_outcome(invoice_key: str, answer: Answer) -> CheckOutcome:
    """The outcome of an answer to `verify`; `verifiedBefore` makes no difference, since the reference is our own."""
    meaning = _meaning(answer)
    if isinstance(meaning, NoAnswer):
        return check_unknown(invoice_key, meaning)
    if isinstance(meaning, dict):
        return _captured(invoice_key, meaning)
    status, code = meaning
    if code is not None:
        return check_refused(invoice_key, code, CODES)
    return NotPaid(invoice_key) if status in _UNPAID else CheckUnknown(invoice_key, "bad_answer")


def _captured(invoice_key: str, fields: dict[str, Any]) -> CheckOutcome:
    if names_another(fields.get(REF_ID), invoice_key):
        return CheckUnknown(invoice_key, "other_invoice")
    amount, bank_code = integer(fields.get("amount")), identifier(fields.get("refNumber"))
    if not amount:
        return CheckUnknown(invoice_key, "bad_answer")
    if bank_code is None:
        return CheckUnknown(invoice_key, "no_bank_code", captured_rials=amount)
    return Captured(invoice_key, amount, bank_code, card_mask=card_mask(fields.get("cardNumber")))


def _meaning(answer: Answer) -> dict[str, Any] | _Refusal | NoAnswer:
    """The fields of a success, a refusal, or why it is neither."""
    fields = fields_of(answer, reads_errors=True)
    if isinstance(fields, NoAnswer) or isinstance(answer, NoAnswer):
        return fields
    failed = answer.status != OK
    unclear = NoAnswer("http_status", http_status=answer.status) if failed else NoAnswer("bad_answer")
    status, code = signed(fields.get("status")), integer(fields.get("errorCode"))
    if status is None or (code is None and fields.get("errorCode") not in (None, "")):
        return unclear
    if status in _SUCCESSES:
        # A success with an error code, or on an error's HTTP status, says two things.
        return unclear if code or failed else fields
    return unclear if failed and not code else (status, code or None)
