"""Every state against every fact, as one table."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import pytest

from core.payments import (
    ASKED,
    CANCELED,
    CREATED,
    EXPIRED,
    EXPIRES_AT,
    FAILED,
    FAILED_WITH_SPARE,
    PAID,
    PENDING,
    REVIEW,
    REVIEWED,
)
from proxy.gateways.port import Canceled, Captured, CheckUnknown, InvoiceIssued, NotPaid, RequestRefused, RequestUnknown
from proxy.payments.facts import Decision, Fact, OperatorDecision, TimeUp
from proxy.payments.payment import (
    _APPLY,
    Failure,
    FailureReason,
    IllegalFact,
    Payment,
    Resolution,
    Review,
    ReviewReason,
    Status,
    apply,
)
from proxy.webhooks.event import EventType

# inv_1 is the invoice in the customer's hands, inv_2 a spare one. `failed+2` failed and got inv_2 after all; `paid` and
# `review` captured inv_1; `reviewed` has the operator's word. The fact is learnt at the expiry, or 1 ms before (early).
# Cells: `.` nothing changes, `!` cannot be true of this state, `spare` one more invoice to watch, `late` paid but late,
# `amount` `bank` `order` a review of that, `twice` a review beside what is captured already, `word` a resolved review.
TABLE: Final = """
fact                          created failed  failed+2 pending  canceled expired paid  review reviewed
invoice inv_1                 pending spare   spare    .        .        .       .     .      .
invoice inv_2                 pending spare   .        .        .        .       .     .      .
invoice inv_3                 pending spare   spare    spare    spare    spare   spare spare  spare
refused                       failed  .       .        .        .        .       .     .      .
request unclear               .       .       .        .        .        .       .     .      .
captured inv_1                !       !       !        paid     late     late    .     .      .
captured inv_1 early          !       !       !        paid     late     late    .     .      .
captured inv_2                !       !       late     paid     late     late    twice twice  twice
captured inv_1 less           !       !       !        amount   amount   amount  .     .      .
captured inv_1 more           !       !       !        amount   amount   amount  .     .      .
captured inv_2 less           !       !       amount   amount   amount   amount  twice twice  twice
captured inv_1 bank code used !       !       !        bank     bank     bank    .     .      .
captured inv_1 order paid     !       !       !        order    order    order   .     .      .
captured inv_1 all wrong      !       !       !        amount   amount   amount  .     .      .
captured inv_9                !       !       !        !        !        !       !     !      !
not paid inv_1 early          !       !       !        .        .        .       .     .      .
not paid inv_1                !       !       !        expired  .        .       .     .      .
not paid inv_2                !       !       .        .        .        .       .     .      .
not paid inv_9                !       !       !        !        !        !       !     !      !
canceled inv_1                !       !       !        canceled .        .       .     .      .
canceled inv_1 early          !       !       !        canceled .        .       .     .      .
canceled inv_2                !       !       .        .        .        .       .     .      .
canceled inv_9                !       !       !        !        !        !       !     !      !
check unclear inv_1           !       !       !        .        .        .       .     .      .
check unclear inv_2           !       !       .        .        .        .       .     .      .
check unclear inv_9           !       !       !        !        !        !       !     !      !
no bank code inv_1 early      !       !       !        .        .        .       .     .      .
no bank code inv_1            !       !       !        number   number   number  .     .      .
no bank code inv_2            !       !       number   number   number   number  twice twice  twice
no bank code inv_1 less       !       !       !        amount   amount   amount  .     .      .
no bank code inv_9            !       !       !        !        !        !       !     !      !
time up early                 .       .       .        .        .        .       .     .      .
time up                       failed  .       .        .        .        .       .     .      .
resolved                      !       !       !        !        !        !       !     word   !
"""

STATES: Final = {
    "created": CREATED,
    "failed": FAILED,
    "failed+2": FAILED_WITH_SPARE,
    "pending": PENDING,
    "canceled": CANCELED,
    "expired": EXPIRED,
    "paid": PAID,
    "review": REVIEW,
    "reviewed": REVIEWED,
}
OTHER_BANK: Final = "pay_other_bank_code"
OTHER_ORDER: Final = "pay_other_order"
RESOLVED: Final = OperatorDecision(Decision.ACCEPTED, "asked the customer", "sara")

FACTS: Final[dict[str, Fact]] = {
    **{f"invoice {key}": InvoiceIssued(key) for key in ("inv_1", "inv_2", "inv_3")},
    "refused": RequestRefused(101),
    "request unclear": RequestUnknown("timeout", timed_out=True),
    **{f"captured {key}": Captured(key, ASKED, "888") for key in ("inv_1", "inv_2", "inv_9")},
    "captured inv_1 less": Captured("inv_1", ASKED // 10, "888"),
    "captured inv_1 more": Captured("inv_1", ASKED + 1, "888"),
    "captured inv_2 less": Captured("inv_2", ASKED - 1, "888"),
    "captured inv_1 bank code used": Captured("inv_1", ASKED, "888", bank_code_of=OTHER_BANK),
    "captured inv_1 order paid": Captured("inv_1", ASKED, "888", order_paid_by=OTHER_ORDER),
    "captured inv_1 all wrong": Captured("inv_1", 1, "888", bank_code_of=OTHER_BANK, order_paid_by=OTHER_ORDER),
    **{f"not paid {key}": NotPaid(key) for key in ("inv_1", "inv_2", "inv_9")},
    **{f"canceled {key}": Canceled(key) for key in ("inv_1", "inv_2", "inv_9")},
    **{f"check unclear {key}": CheckUnknown(key, "timeout") for key in ("inv_1", "inv_2", "inv_9")},
    **{
        f"no bank code {key}": CheckUnknown(key, "no_bank_code", captured_rials=ASKED)
        for key in ("inv_1", "inv_2", "inv_9")
    },
    "no bank code inv_1 less": CheckUnknown("inv_1", "no_bank_code", captured_rials=ASKED - 1),
    "time up": TimeUp(),
    "resolved": RESOLVED,
}

Expected = tuple[Payment, tuple[EventType, ...]]


def _paid(payment: Payment, fact: Fact, now: int) -> Expected:
    assert isinstance(fact, Captured)
    paid = replace(payment, status=Status.PAID, paid_at=now, captured_rials=fact.amount_rials, bank_code=fact.bank_code)
    return replace(paid, captured_invoice_keys=(fact.invoice_key,)), (EventType.PAID,)


def _late(payment: Payment, fact: Fact, now: int) -> Expected:
    paid, events = _paid(payment, fact, now)
    return replace(paid, late=True, failure=None), events


def _review(reason: ReviewReason, other: str | None = None) -> Callable[[Payment, Fact, int], Expected]:
    def expected(payment: Payment, learnt: Fact, _now: int) -> Expected:
        fact = _captured(learnt)
        other_id = other or fact.bank_code_of or fact.order_paid_by
        review = Review(reason, ASKED, fact.amount_rials, fact.bank_code, fact.invoice_key, other_id)
        changed = replace(payment, status=Status.NEEDS_REVIEW, review=review, captured_rials=fact.amount_rials)
        changed = replace(changed, bank_code=fact.bank_code, captured_invoice_keys=(fact.invoice_key,))
        return changed, (EventType.NEEDS_REVIEW,)

    return expected


def _captured(fact: Fact) -> Captured:
    if isinstance(fact, CheckUnknown):
        assert fact.captured_rials is not None
        return Captured(fact.invoice_key, fact.captured_rials, None)
    assert isinstance(fact, Captured)
    return fact


def _twice(payment: Payment, fact: Fact, _now: int) -> Expected:
    """What was captured first stays what the payment says; the second capture is in the review."""
    fact = _captured(fact)
    review = Review(ReviewReason.PAID_TWICE, ASKED, fact.amount_rials, fact.bank_code, fact.invoice_key)
    changed = replace(payment, review=review, captured_invoice_keys=("inv_1", fact.invoice_key))
    return changed, (EventType.NEEDS_REVIEW,)


def _pending(payment: Payment, fact: Fact, now: int) -> Expected:
    assert isinstance(fact, InvoiceIssued)
    return replace(payment, status=Status.PENDING, invoice_key=fact.invoice_key, linked_at=now), ()


def _spare(payment: Payment, fact: Fact, now: int) -> Expected:
    assert isinstance(fact, InvoiceIssued)
    spares = (*payment.spare_invoice_keys, fact.invoice_key)
    return replace(payment, spare_invoice_keys=spares, linked_at=payment.linked_at or now), ()


def _failed(payment: Payment, fact: Fact, _now: int) -> Expected:
    refused = Failure(FailureReason.GATEWAY_REFUSED, 101)
    failure = refused if isinstance(fact, RequestRefused) else Failure(FailureReason.NO_INVOICE)
    return replace(payment, status=Status.FAILED, failure=failure), (EventType.FAILED,)


def _word(payment: Payment, _fact: Fact, now: int) -> Expected:
    assert payment.review is not None
    resolution = Resolution(RESOLVED.decision, RESOLVED.note, RESOLVED.by, now)
    return replace(payment, review=replace(payment.review, resolution=resolution)), (EventType.REVIEW_RESOLVED,)


CELLS: Final[dict[str, Callable[[Payment, Fact, int], Expected]]] = {
    "pending": _pending,
    "spare": _spare,
    "failed": _failed,
    "paid": _paid,
    "late": _late,
    "amount": _review(ReviewReason.AMOUNT_DIFFERS),
    "number": _review(ReviewReason.BANK_CODE_MISSING),
    "bank": _review(ReviewReason.BANK_CODE_REUSED, OTHER_BANK),
    "order": _review(ReviewReason.ORDER_PAID_TWICE, OTHER_ORDER),
    "twice": _twice,
    "expired": lambda payment, _fact, _now: (replace(payment, status=Status.EXPIRED), (EventType.EXPIRED,)),
    "canceled": lambda payment, _fact, _now: (replace(payment, status=Status.CANCELED), (EventType.CANCELED,)),
    "word": _word,
}


def _rows() -> list[tuple[str, str, str]]:
    """(fact, state, cell) of the whole table."""
    head, *lines = TABLE.strip().splitlines()
    states = head.split()[1:]
    rows = []
    for line in lines:
        cells = line.split()[-len(states) :]
        fact = " ".join(line.split()[: -len(states)])
        rows += [(fact, state, cell) for state, cell in zip(states, cells, strict=True)]
    return rows


@pytest.mark.parametrize(("fact", "state", "cell"), [pytest.param(*row, id=f"{row[1]}: {row[0]}") for row in _rows()])
def test_the_table(fact: str, state: str, cell: str) -> None:
    payment, learnt = STATES[state], FACTS[fact.removesuffix(" early")]
    now = EXPIRES_AT - 1 if fact.endswith(" early") else EXPIRES_AT
    if cell == "!":
        with pytest.raises(IllegalFact):
            apply(payment, learnt, now)
    elif cell == ".":
        after, events = apply(payment, learnt, now)
        assert after is payment
        assert events == ()
    else:
        expected, expected_events = CELLS[cell](payment, learnt, now)
        expected = replace(expected, version=payment.version + 1, updated_at=now)
        assert apply(payment, learnt, now) == (expected, expected_events)


def test_the_table_has_every_status_and_every_kind_of_fact() -> None:
    rows = _rows()
    assert {STATES[state].status for _, state, _ in rows} == set(Status)
    assert {type(FACTS[fact.removesuffix(" early")]) for fact, _, _ in rows} == set(_APPLY)
    assert len({(fact, state) for fact, state, _ in rows}) == len(rows)
    assert {fact.removesuffix(" early") for fact, _, _ in rows} == set(FACTS)
    assert {cell for _, _, cell in rows} - {"!", "."} == set(CELLS)
