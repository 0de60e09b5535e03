"""A payment's life: `apply(payment, fact, now)` decides every transition; nothing else does.

    created ──InvoiceIssued──▶ pending ──Captured──▶ paid
       │                          ├──Canceled, Withdrawn──▶ canceled ─┐
       └─RequestRefused,          ├──NotPaid, time up──▶ expired ─────┼─Captured──▶ paid, late
         TimeUp──▶ failed         ├──TooLate, Reversed, not wanted──▶ given_back
                                  └──Captured, but not as asked──▶ needs_review

A fact is a gateway's answer, what a return brought, the end of the payment's time, the shop's withdrawal, or the
operator's decision. A customer's return says nothing of success. An unclear answer changes nothing; a capture changes
something in every state; nothing overturns a stored success. Money without a bank_code is unclear until the expiry,
because the number may still come, and reviewed from then on.

Where a family captures by a call of ours (confirm, settle) or gives back by one (reverse), the payment holds the call
as an intent before it is made, until an answer ends it. Money that must not be kept is not confirmed: where the gateway
gives it back by itself the payment ends as given back, and where the gateway keeps it, it needs review. A paid payment
that its shop has reversed (AskedBack) stays paid, with `given_back` beside it.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from proxy.gateways.port import (
    AmountDiffers,
    Canceled,
    Captured,
    CheckOutcome,
    CheckUnknown,
    Confirmed,
    InvoiceIssued,
    NotPaid,
    PaidUnconfirmed,
    RequestRefused,
    RequestUnknown,
    Reversed,
    TooLate,
)
from proxy.kernel import frozen
from proxy.payments.payment import (
    OPEN,
    AskedBack,
    CallIntent,
    Fact,
    Failure,
    FailureReason,
    GatewayStep,
    GivenBack,
    GivenBackReason,
    OperatorDecision,
    Payment,
    Receipt,
    Resolution,
    ReturnEvidence,
    Review,
    ReviewReason,
    Status,
    TimeUp,
    Withdrawn,
)
from proxy.webhooks.event import EventType

Applied = tuple[Payment, tuple[EventType, ...]]


class IllegalFact(Exception):
    """The fact cannot be true of a payment in this state: a programming error, or a resolve of nothing."""


def apply(payment: Payment, fact: Fact, now: int) -> Applied:
    """The payment after `fact`, and the events that this makes.

    The very same payment object and no event when nothing changes; otherwise the version is one higher.
    Raises IllegalFact for a `check` fact about an invoice that is not this payment's, and for a OperatorDecision
    where no review is open.
    """
    if payment.is_asked_back and isinstance(fact, CheckOutcome) and _is_intended(payment, fact.invoice_key):
        return _answered_reversal(payment, fact, now)
    return _APPLY[type(fact)](payment, fact, now)


def _changed(payment: Payment, now: int, **changes: Any) -> Payment:
    return frozen.replace(payment, version=payment.version + 1, updated_at=now, **changes)


def _invoice_issued(payment: Payment, fact: InvoiceIssued, now: int) -> Applied:
    if payment.status is Status.CREATED:
        pending = _changed(payment, now, status=Status.PENDING, invoice_key=fact.invoice_key, linked_at=now)
        return pending, ()
    if fact.invoice_key in payment.invoice_keys():
        return payment, ()
    # Two requests for one payment were both answered: the first is in the customer's hands, this one never will be.
    spares = (*payment.spare_invoice_keys, fact.invoice_key)
    return _changed(payment, now, spare_invoice_keys=spares, linked_at=payment.linked_at or now), ()


def _request_refused(payment: Payment, fact: RequestRefused, now: int) -> Applied:
    if payment.status is not Status.CREATED:
        return payment, ()
    return _failed(payment, Failure(FailureReason.GATEWAY_REFUSED, fact.error_code), now)


def _time_up(payment: Payment, _fact: TimeUp, now: int) -> Applied:
    if payment.status is not Status.CREATED or now < payment.expires_at:
        return payment, ()
    return _failed(payment, Failure(FailureReason.NO_INVOICE), now)


def _failed(payment: Payment, failure: Failure, now: int) -> Applied:
    return _changed(payment, now, status=Status.FAILED, failure=failure), (EventType.FAILED,)


def _captured(payment: Payment, fact: Captured, now: int) -> Applied:
    _own(payment, fact.invoice_key)
    if fact.invoice_key not in payment.open_invoice_keys() or payment.intends(GatewayStep.REVERSE, fact.invoice_key):
        return payment, ()
    reason = _review_reason(payment, fact)
    if reason is None:
        late, capture = payment.status is not Status.PENDING, _capture_changes(payment, fact)
        paid = _changed(payment, now, status=Status.PAID, paid_at=now, late=late, failure=None, **capture)
        return paid, (EventType.PAID,)
    other = fact.bank_code_of or fact.order_paid_by
    reversible = fact.reversible_until is not None and now < fact.reversible_until
    # A receipt that is another payment's is not given back, whatever else is wrong with it.
    if reason in _UNWANTED and reversible and fact.bank_code_of is None:
        given_back = GivenBack(_UNWANTED[reason], fact.invoice_key, fact.amount_rials, other_payment_id=other)
        intent = CallIntent(GatewayStep.REVERSE, fact.invoice_key, now)
        return _changed(payment, now, intent=intent, given_back=given_back), ()
    return _reviewed(payment, reason, fact, now)


_UNWANTED: Final = {
    ReviewReason.AMOUNT_DIFFERS: GivenBackReason.AMOUNT_DIFFERS,
    ReviewReason.ORDER_PAID_TWICE: GivenBackReason.ORDER_PAID_TWICE,
    ReviewReason.ORDER_WITHDRAWN: GivenBackReason.ORDER_WITHDRAWN,
    ReviewReason.PAID_TWICE: GivenBackReason.PAID_TWICE,
}
"""Why money that did move is not to be kept. A bank_code of another payment is not among it: that money is wanted."""
_REVIEWS: Final = {given_back: review for review, given_back in _UNWANTED.items()}


def _reviewed(payment: Payment, reason: ReviewReason, fact: Captured, now: int) -> Applied:
    review = Review(
        reason,
        expected_rials=payment.amount_rials,
        captured_rials=fact.amount_rials,
        bank_code=fact.bank_code,
        invoice_key=fact.invoice_key,
        other_payment_id=fact.bank_code_of or fact.order_paid_by,
    )
    # Paid is final: a second capture of the same payment is reported and reviewed beside it.
    status = payment.status if payment.status is Status.PAID else Status.NEEDS_REVIEW
    changed = _changed(payment, now, status=status, review=review, **_capture_changes(payment, fact))
    return changed, (EventType.NEEDS_REVIEW,)


def _review_reason(payment: Payment, fact: Captured) -> ReviewReason | None:
    found = (
        (ReviewReason.PAID_TWICE, payment.captured_rials is not None),
        (ReviewReason.AMOUNT_DIFFERS, fact.amount_rials != payment.amount_rials),
        (ReviewReason.BANK_CODE_MISSING, fact.bank_code is None),
        (ReviewReason.BANK_CODE_REUSED, fact.bank_code_of is not None),
        (ReviewReason.ORDER_PAID_TWICE, fact.order_paid_by is not None),
        (ReviewReason.ORDER_WITHDRAWN, payment.withdrawn_at is not None),
    )
    return next((reason for reason, holds in found if holds), None)


def _capture_changes(payment: Payment, fact: Captured) -> dict[str, Any]:
    changes: dict[str, Any] = {
        "captured_invoice_keys": (*payment.captured_invoice_keys, fact.invoice_key),
        "intent": _other_intent(payment, fact.invoice_key),
    }
    if payment.captured_rials is None:
        changes |= {"captured_rials": fact.amount_rials, "bank_code": fact.bank_code}
        receipt = Receipt(fact.card_mask, fact.trace_number, fact.fee_rials)
        if receipt != _NO_RECEIPT:
            changes["receipt"] = receipt
    return changes


_NO_RECEIPT: Final = Receipt()


def _is_intended(payment: Payment, invoice_key: str) -> bool:
    return payment.intent is not None and payment.intent.invoice_key == invoice_key


def _other_intent(payment: Payment, invoice_key: str) -> CallIntent | None:
    """The payment's intent after an answer about this invoice, which ends it when it was about that."""
    intent = payment.intent
    return None if intent is None or intent.invoice_key == invoice_key else intent


def _paid_unconfirmed(payment: Payment, fact: PaidUnconfirmed, now: int) -> Applied:
    _own(payment, fact.invoice_key)
    if fact.invoice_key not in payment.open_invoice_keys() or payment.intent is not None or fact.order_busy:
        return payment, ()
    if _is_decided(payment, fact):
        return payment, ()
    reason = _unwanted_reason(payment, fact)
    if reason is None:
        return _changed(payment, now, intent=CallIntent(GatewayStep.CONFIRM, fact.invoice_key, now)), ()
    if fact.presumed:
        return payment, ()
    goes_back_at = None if fact.confirmed_before else fact.goes_back_at
    return _not_kept(payment, GivenBack(reason, fact.invoice_key, fact.amount_rials, goes_back_at), fact, now)


def _is_decided(payment: Payment, fact: PaidUnconfirmed) -> bool:
    """Whether this money was found not to be kept before: nothing makes it wanted again but an operator."""
    given, review = payment.given_back, payment.review
    lapses = given is not None and given.invoice_key == fact.invoice_key and not fact.confirmed_before
    return lapses or (review is not None and review.invoice_key == fact.invoice_key)


def _unwanted_reason(payment: Payment, fact: PaidUnconfirmed) -> GivenBackReason | None:
    if payment.captured_rials is not None:
        return GivenBackReason.PAID_TWICE
    if fact.amount_rials not in {None, payment.amount_rials}:
        return GivenBackReason.AMOUNT_DIFFERS
    if fact.order_paid_by is not None:
        return GivenBackReason.ORDER_PAID_TWICE
    return None if payment.withdrawn_at is None else GivenBackReason.ORDER_WITHDRAWN


def _not_kept(payment: Payment, given: GivenBack, fact: PaidUnconfirmed | AmountDiffers, now: int) -> Applied:
    """Money that is not confirmed: given back where the gateway does so by itself, else reviewed, once for each."""
    other = fact.order_paid_by if isinstance(fact, PaidUnconfirmed) else None
    intent = _other_intent(payment, fact.invoice_key)
    if given.by is not None and not payment.is_asked_back:
        return _given_back(payment, replace(given, other_payment_id=other), now)
    if payment.review is not None and payment.review.invoice_key == fact.invoice_key:
        return payment, ()
    review = Review(
        _REVIEWS[given.reason],
        payment.amount_rials,
        given.amount_rials,
        None,
        given.invoice_key,
        other_payment_id=other,
    )
    status = payment.status if payment.status is Status.PAID else Status.NEEDS_REVIEW
    return _changed(payment, now, status=status, review=review, intent=intent), (EventType.NEEDS_REVIEW,)


def _given_back(payment: Payment, given: GivenBack, now: int) -> Applied:
    """The end as given back, told once for an invoice. What is paid or reviewed stays so, and has it beside."""
    before, intent = payment.given_back, _other_intent(payment, given.invoice_key)
    # While the call that gives it back is decided and not made, nobody was told.
    if before is not None and payment.is_asked_back and before.invoice_key != given.invoice_key:
        return payment, ()
    told = before is not None and before.invoice_key == given.invoice_key and (before.by or before.at) is not None
    if told and before is not None:
        if given.at is None or before.at is not None:
            return payment, ()
        return _changed(payment, now, given_back=replace(before, at=given.at), intent=intent), ()
    status = payment.status if payment.status in _MONEY_KEPT else Status.GIVEN_BACK
    return _changed(payment, now, status=status, given_back=given, intent=intent), (EventType.GIVEN_BACK,)


_MONEY_KEPT: Final = frozenset({Status.PAID, Status.NEEDS_REVIEW})


def _confirmed(payment: Payment, fact: Confirmed, now: int) -> Applied:
    _own(payment, fact.invoice_key)
    if not payment.intends(GatewayStep.CONFIRM, fact.invoice_key):
        return payment, ()
    return _changed(payment, now, intent=CallIntent(GatewayStep.SETTLE, fact.invoice_key, now)), ()


def _reversed(payment: Payment, fact: Reversed, now: int) -> Applied:
    _own(payment, fact.invoice_key)
    if fact.invoice_key not in payment.open_invoice_keys():
        return payment, ()
    if payment.intends(GatewayStep.REVERSE, fact.invoice_key) and payment.given_back is not None:
        return _given_back(payment, replace(payment.given_back, at=now), now)
    return _given_back(payment, GivenBack(GivenBackReason.REVERSED, fact.invoice_key, at=now), now)


def _too_late(payment: Payment, fact: TooLate, now: int) -> Applied:
    _own(payment, fact.invoice_key)
    if fact.invoice_key not in payment.open_invoice_keys():
        return payment, ()
    given = payment.given_back
    if payment.intends(GatewayStep.REVERSE, fact.invoice_key) and given is not None:
        captured = Captured(fact.invoice_key, given.amount_rials or 0, None, order_paid_by=given.other_payment_id)
        return _reviewed(payment, _REVIEWS[given.reason], captured, now)
    return _given_back(payment, GivenBack(GivenBackReason.TOO_LATE, fact.invoice_key, at=now), now)


def _amount_differs(payment: Payment, fact: AmountDiffers, now: int) -> Applied:
    _own(payment, fact.invoice_key)
    if fact.invoice_key not in payment.open_invoice_keys():
        return payment, ()
    reason = GivenBackReason.AMOUNT_DIFFERS
    return _not_kept(payment, GivenBack(reason, fact.invoice_key, fact.amount_rials, fact.goes_back_at), fact, now)


def _not_paid(payment: Payment, fact: NotPaid, now: int) -> Applied:
    _own(payment, fact.invoice_key)
    handed = fact.invoice_key == payment.invoice_key
    if payment.status is not Status.PENDING or not handed or now < payment.expires_at:
        return _answered(payment, fact.invoice_key, now)
    intent = _other_intent(payment, fact.invoice_key)
    return _changed(payment, now, status=Status.EXPIRED, intent=intent), (EventType.EXPIRED,)


def _canceled(payment: Payment, fact: Canceled, now: int) -> Applied:
    _own(payment, fact.invoice_key)
    if payment.status is not Status.PENDING or fact.invoice_key != payment.invoice_key:
        return _answered(payment, fact.invoice_key, now)
    intent = _other_intent(payment, fact.invoice_key)
    return _changed(payment, now, status=Status.CANCELED, intent=intent), (EventType.CANCELED,)


def _answered(payment: Payment, invoice_key: str, now: int) -> Applied:
    """The payment without the intent that this answer ends; the very same one where it has none."""
    intent = _other_intent(payment, invoice_key)
    return (payment, ()) if intent is payment.intent else (_changed(payment, now, intent=intent), ())


def _withdrawn(payment: Payment, _fact: Withdrawn, now: int) -> Applied:
    if payment.status not in OPEN or payment.intent is not None:
        return payment, ()
    return _changed(payment, now, status=Status.CANCELED, withdrawn_at=now), (EventType.CANCELED,)


def _asked_back(payment: Payment, fact: AskedBack, now: int) -> Applied:
    unasked = payment.intent is None and payment.given_back is None
    if payment.status is not Status.PAID or not unasked or now >= fact.until:
        return payment, ()
    invoice_key = payment.captured_invoice_keys[0]
    given_back = GivenBack(GivenBackReason.MERCHANT_REVERSED, invoice_key, payment.captured_rials)
    return _changed(payment, now, intent=CallIntent(GatewayStep.REVERSE, invoice_key, now), given_back=given_back), ()


def _answered_reversal(payment: Payment, fact: CheckOutcome, now: int) -> Applied:
    """What became of money that the shop wants back: gone, or kept as before. Paid it stays."""
    if isinstance(fact, Reversed) and payment.given_back is not None:
        given_back = replace(payment.given_back, at=now)
        return _changed(payment, now, given_back=given_back, intent=None), (EventType.GIVEN_BACK,)
    kept = isinstance(fact, TooLate) or (isinstance(fact, CheckUnknown) and fact.not_reversed)
    return (_changed(payment, now, given_back=None, intent=None), ()) if kept else (payment, ())


def _return_evidence(payment: Payment, fact: ReturnEvidence, now: int) -> Applied:
    # A call that is under way is about what was brought before it.
    if payment.intent is not None or payment.status is Status.PAID or fact.evidence == payment.evidence:
        return payment, ()
    return _changed(payment, now, evidence=fact.evidence), ()


def _check_unknown(payment: Payment, fact: CheckUnknown, now: int) -> Applied:
    _own(payment, fact.invoice_key)
    if fact.captured_rials is None or now < payment.expires_at:
        return payment, ()
    return _captured(payment, Captured(fact.invoice_key, fact.captured_rials, None), now)


def _request_unknown(payment: Payment, _fact: RequestUnknown, _now: int) -> Applied:
    return payment, ()


def _resolved(payment: Payment, fact: OperatorDecision, now: int) -> Applied:
    review = payment.review
    if review is None or review.resolution is not None:
        raise IllegalFact(f"payment {payment.id} has no open review")
    resolution = Resolution(fact.decision, fact.note, fact.by, now)
    resolved = _changed(payment, now, review=replace(review, resolution=resolution))
    return resolved, (EventType.REVIEW_RESOLVED,)


def _own(payment: Payment, invoice_key: str) -> None:
    if invoice_key not in payment.invoice_keys():
        raise IllegalFact(f"payment {payment.id} never had the invoice that was checked")


_APPLY: Final[dict[type, Callable[[Payment, Any, int], Applied]]] = {
    InvoiceIssued: _invoice_issued,
    RequestRefused: _request_refused,
    RequestUnknown: _request_unknown,
    Captured: _captured,
    PaidUnconfirmed: _paid_unconfirmed,
    Confirmed: _confirmed,
    TooLate: _too_late,
    Reversed: _reversed,
    AmountDiffers: _amount_differs,
    NotPaid: _not_paid,
    Canceled: _canceled,
    CheckUnknown: _check_unknown,
    ReturnEvidence: _return_evidence,
    TimeUp: _time_up,
    Withdrawn: _withdrawn,
    AskedBack: _asked_back,
    OperatorDecision: _resolved,
}
