"""Payments of families that capture by a call of ours: every state against every fact of theirs, as one table."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest

from core.payments import (
    ASKED,
    ASKED_BACK,
    CONFIRMING,
    EXPIRED,
    EXPIRES_AT,
    LAPSING,
    PAID,
    PENDING,
    RETURNED,
    REVERSING,
    SETTLING,
    UNDONE,
    WITHDRAWN,
)
from proxy.gateways.port import (
    AmountDiffers,
    Canceled,
    Captured,
    CheckUnknown,
    Confirmed,
    NotPaid,
    PaidUnconfirmed,
    Reversed,
    TooLate,
)
from proxy.gateways.registry import FAMILIES
from proxy.payments.payment import (
    AskedBack,
    CallIntent,
    Fact,
    GatewayStep,
    GivenBack,
    GivenBackReason,
    Payment,
    ReturnEvidence,
    Review,
    ReviewReason,
    Status,
    Withdrawn,
)
from proxy.payments.transitions import IllegalFact, apply
from proxy.webhooks.event import EventType

# All of inv_1, learnt 1 ms before the expiry. States: confirming, settling and reversing have that call decided,
# lapsing is told as given back by a time, returned has been given back, held is reviewed and not confirmed. Cells: `.`
# nothing changes, `confirm` `settle` `reverse` that call is decided, `back-…` it is given back, with the reason, `r-…`
# it is reviewed, `gone` the gateway says that it is back, `no` the call is over and nothing else.
TABLE: Final = """
fact                    pending   confirming settling reversing withdrawn expired   lapsing  returned paid held
paid                    confirm   .          .        .         back-shop confirm   .        .        .    .
paid, kept              confirm   .          .        .         r-shop    confirm   .        .        .    .
paid less               back-less .          .        .         back-less back-less .        .        .    .
paid less, kept         r-less    .          .        .         r-less    r-less    .        .        .    .
paid, order paid        back-ord  .          .        .         back-ord  back-ord  .        .        .    .
paid, order busy        .         .          .        .         .         .         .        .        .    .
presumed                confirm   .          .        .         .         confirm   .        .        .    .
presumed, order paid    .         .          .        .         .         .         .        .        .    .
confirmed before, less  r-less    .          .        .         r-less    r-less    r-less   .        .    .
confirmed               .         settle     .        .         .         .         .        .        .    .
captured                paid      paid       paid     .         r-shop    late      late     .        .    late
captured less           r-less    r-less     r-less   .         r-less    r-less    r-less   .        .    r-less
captured less, undo     reverse   reverse    reverse  .         reverse   reverse   reverse  .        .    reverse
captured, code used     r-code    r-code     r-code   .         r-code    r-code    r-code   .        .    r-code
too late                back-late back-late  back-late r-less   back-late back-late gone     .        .    back-late
reversed                back-rev  back-rev   back-rev back-less back-rev  back-rev  gone     .        .    back-rev
amount differs          back-less back-less  back-less back-less back-less back-less .       .        .    back-less
not paid                .         no         no       no        .         .         .        .        .    .
canceled                canceled  canceled   canceled canceled  .         .         .        .        .    .
unclear                 .         .          .        .         .         .         .        .        .    .
evidence                evidence  .          .        .         evidence  evidence  evidence evidence .    evidence
withdrawn               withdrawn .          .        .         .         .         .        .        .    .
not reversed            .         .          .        .         .         .         .        .        .    .
asked back              .         .          .        .         .         .         .        .        ask  .
asked back, late        .         .          .        .         .         .         .        .        .    .
"""
# The same of a paid payment that is to be reversed for its shop, and of one that was.
REVERSALS: Final = """
fact                    asked      undone
paid                    .          .
paid, kept              .          .
paid less               .          .
paid less, kept         .          .
paid, order paid        .          .
paid, order busy        .          .
presumed                .          .
presumed, order paid    .          .
confirmed before, less  .          .
confirmed               .          .
captured                .          .
captured less           .          .
captured less, undo     .          .
captured, code used     .          .
too late                kept       .
reversed                back-asked .
amount differs          .          .
not paid                .          .
canceled                .          .
unclear                 .          .
evidence                .          .
withdrawn               .          .
not reversed            kept       .
asked back              .          .
asked back, late        .          .
"""
NOW: Final = EXPIRES_AT - 1
BY: Final = NOW + 900_000
LESS: Final = ASKED // 10
OTHER: Final = "pay_other"
BROUGHT: Final = {"RefNum": "r"}

HELD: Final = replace(
    PENDING, status=Status.NEEDS_REVIEW, review=Review(ReviewReason.ORDER_WITHDRAWN, ASKED, None, None, "inv_1")
)
STATES: Final = {
    "pending": PENDING,
    "confirming": CONFIRMING,
    "settling": SETTLING,
    "reversing": REVERSING,
    "withdrawn": WITHDRAWN,
    "expired": EXPIRED,
    "lapsing": LAPSING,
    "returned": RETURNED,
    "paid": PAID,
    "held": HELD,
    "asked": ASKED_BACK,
    "undone": UNDONE,
}
FACTS: Final[dict[str, Fact]] = {
    "paid": PaidUnconfirmed("inv_1", goes_back_at=BY),
    "paid, kept": PaidUnconfirmed("inv_1"),
    "paid less": PaidUnconfirmed("inv_1", LESS, goes_back_at=BY),
    "paid less, kept": PaidUnconfirmed("inv_1", LESS),
    "paid, order paid": PaidUnconfirmed("inv_1", goes_back_at=BY, order_paid_by=OTHER),
    "paid, order busy": PaidUnconfirmed("inv_1", goes_back_at=BY, order_busy=True),
    "presumed": PaidUnconfirmed("inv_1", goes_back_at=BY, presumed=True),
    "presumed, order paid": PaidUnconfirmed("inv_1", goes_back_at=BY, presumed=True, order_paid_by=OTHER),
    "confirmed before, less": PaidUnconfirmed("inv_1", LESS, confirmed_before=True, goes_back_at=BY),
    "confirmed": Confirmed("inv_1"),
    "captured": Captured("inv_1", ASKED, "888"),
    "captured less": Captured("inv_1", LESS, "888"),
    "captured less, undo": Captured("inv_1", LESS, "888", reversible_until=BY),
    "captured, code used": Captured("inv_1", ASKED, "888", bank_code_of=OTHER, reversible_until=BY),
    "too late": TooLate("inv_1"),
    "reversed": Reversed("inv_1"),
    "amount differs": AmountDiffers("inv_1", LESS, goes_back_at=BY),
    "not paid": NotPaid("inv_1"),
    "canceled": Canceled("inv_1"),
    "unclear": CheckUnknown("inv_1", "timeout"),
    "evidence": ReturnEvidence(BROUGHT),
    "withdrawn": Withdrawn(),
    "not reversed": CheckUnknown("inv_1", "unknown_code", error_code=-60, not_reversed=True),
    "asked back": AskedBack(NOW + 1),
    "asked back, late": AskedBack(NOW),
}
Expected = tuple[Payment, tuple[EventType, ...]]
Cell = Callable[[Payment, Fact], Expected]


def _intent(step: GatewayStep) -> Cell:
    def expected(payment: Payment, fact: Fact) -> Expected:
        given = payment.given_back
        if step is GatewayStep.REVERSE:
            given = GivenBack(GivenBackReason.AMOUNT_DIFFERS, "inv_1", LESS)
        return replace(payment, intent=CallIntent(step, "inv_1", NOW), given_back=given), ()

    return expected


def _back(reason: GivenBackReason) -> Cell:
    def expected(payment: Payment, fact: Fact) -> Expected:
        moved = {GivenBackReason.TOO_LATE: {"at": NOW}, GivenBackReason.REVERSED: {"at": NOW}}.get(reason, {"by": BY})
        if isinstance(fact, Reversed) and payment is REVERSING:
            moved = {"at": NOW}
        amount = {GivenBackReason.AMOUNT_DIFFERS: LESS}.get(reason)
        given = GivenBack(reason, "inv_1", amount, other_payment_id=getattr(fact, "order_paid_by", None), **moved)
        status = payment.status if payment.status is Status.NEEDS_REVIEW else Status.GIVEN_BACK
        return replace(payment, status=status, given_back=given, intent=None), (EventType.GIVEN_BACK,)

    return expected


def _review(reason: ReviewReason) -> Cell:
    def expected(payment: Payment, fact: Fact) -> Expected:
        captured = isinstance(fact, Captured | TooLate)
        amount = getattr(fact, "amount_rials", LESS)
        bank_code = getattr(fact, "bank_code", None)
        review = Review(reason, ASKED, amount, bank_code, "inv_1", getattr(fact, "bank_code_of", None))
        changes: dict[str, Any] = {"status": Status.NEEDS_REVIEW, "review": review, "intent": None}
        if captured:
            changes |= {"captured_invoice_keys": ("inv_1",), "captured_rials": amount, "bank_code": bank_code}
        return replace(payment, **changes), (EventType.NEEDS_REVIEW,)

    return expected


def _paid(payment: Payment, _fact: Fact) -> Expected:
    paid = replace(payment, status=Status.PAID, paid_at=NOW, captured_rials=ASKED, bank_code="888", intent=None)
    late = payment.status is not Status.PENDING
    return replace(paid, captured_invoice_keys=("inv_1",), late=late), (EventType.PAID,)


def _gone(payment: Payment, _fact: Fact) -> Expected:
    assert payment.given_back is not None
    return replace(payment, given_back=replace(payment.given_back, at=NOW)), ()


def _ask(payment: Payment, _fact: Fact) -> Expected:
    given = GivenBack(GivenBackReason.MERCHANT_REVERSED, "inv_1", ASKED)
    return replace(payment, intent=CallIntent(GatewayStep.REVERSE, "inv_1", NOW), given_back=given), ()


def _back_asked(payment: Payment, _fact: Fact) -> Expected:
    given = GivenBack(GivenBackReason.MERCHANT_REVERSED, "inv_1", ASKED, at=NOW)
    return replace(payment, intent=None, given_back=given), (EventType.GIVEN_BACK,)


def _canceled(payment: Payment, _fact: Fact) -> Expected:
    return replace(payment, status=Status.CANCELED, intent=None), (EventType.CANCELED,)


def _withdrawn(payment: Payment, fact: Fact) -> Expected:
    return replace(_canceled(payment, fact)[0], withdrawn_at=NOW), (EventType.CANCELED,)


CELLS: Final[dict[str, Cell]] = {
    "confirm": _intent(GatewayStep.CONFIRM),
    "settle": _intent(GatewayStep.SETTLE),
    "reverse": _intent(GatewayStep.REVERSE),
    "back-less": _back(GivenBackReason.AMOUNT_DIFFERS),
    "back-ord": _back(GivenBackReason.ORDER_PAID_TWICE),
    "back-shop": _back(GivenBackReason.ORDER_WITHDRAWN),
    "back-late": _back(GivenBackReason.TOO_LATE),
    "back-rev": _back(GivenBackReason.REVERSED),
    "r-less": _review(ReviewReason.AMOUNT_DIFFERS),
    "r-shop": _review(ReviewReason.ORDER_WITHDRAWN),
    "r-code": _review(ReviewReason.BANK_CODE_REUSED),
    "paid": _paid,
    "late": _paid,
    "gone": _gone,
    "ask": _ask,
    "back-asked": _back_asked,
    "kept": lambda payment, _fact: (replace(payment, intent=None, given_back=None), ()),
    "no": lambda payment, _fact: (replace(payment, intent=None), ()),
    "canceled": _canceled,
    "withdrawn": _withdrawn,
    "evidence": lambda payment, _fact: (replace(payment, evidence=BROUGHT), ()),
}


def _rows() -> list[Any]:
    return [*_rows_of(TABLE), *_rows_of(REVERSALS)]


def _rows_of(table: str) -> list[Any]:
    head, *lines = table.strip().splitlines()
    states = head.split()[1:]
    return [
        pytest.param(" ".join(line.split()[: -len(states)]), state, cell, id=f"{state}: {line.split()[0]}…{number}")
        for number, line in enumerate(lines)
        for state, cell in zip(states, line.split()[-len(states) :], strict=True)
    ]


@pytest.mark.parametrize(("fact", "state", "cell"), _rows())
def test_the_table_of_confirming_families(fact: str, state: str, cell: str) -> None:
    payment, learnt = STATES[state], FACTS[fact]
    after, events = apply(payment, learnt, NOW)
    if cell == ".":
        assert after is payment
        assert events == ()
        return
    expected, told = CELLS[cell](payment, learnt)
    assert (after, events) == (replace(expected, version=payment.version + 1, updated_at=NOW), told)
    if not isinstance(learnt, PaidUnconfirmed | Confirmed):
        assert apply(after, learnt, NOW) == (after, ()), "learnt twice, it changes nothing"


@pytest.mark.parametrize("fact", [fact for fact in FACTS.values() if hasattr(fact, "invoice_key")], ids=str)
def test_a_fact_of_an_invoice_that_is_not_the_payments_own_cannot_be_true(fact: Any) -> None:
    with pytest.raises(IllegalFact):
        apply(PENDING, replace(fact, invoice_key="inv_9"), NOW)


def test_the_table_has_every_fact_and_every_cell() -> None:
    rows = [row.values for row in _rows()]
    assert {fact for fact, _, _ in rows} == set(FACTS)
    assert {cell for _, _, cell in rows} - {"."} == set(CELLS)
    assert {state for _, state, _ in rows} == set(STATES)


def test_money_of_a_second_invoice_takes_nothing_from_what_is_told_of_a_reversal() -> None:
    for state in (ASKED_BACK, UNDONE):
        held, events = apply(state, PaidUnconfirmed("inv_2", goes_back_at=BY), NOW)
        if state is UNDONE:
            assert (held.status, held.given_back, events) == (Status.PAID, state.given_back, (EventType.NEEDS_REVIEW,))
        for fact in (TooLate("inv_2"), Reversed("inv_2"), AmountDiffers("inv_2", LESS, goes_back_at=BY)):
            after, _ = apply(state, fact, NOW)
            assert (after.status, after.intent, after.given_back) == (Status.PAID, state.intent, state.given_back)


def test_a_payment_that_gave_other_money_back_is_not_reversed() -> None:
    other = replace(PAID, given_back=GivenBack(GivenBackReason.PAID_TWICE, "inv_2", by=BY))
    assert apply(other, AskedBack(NOW + 1), NOW) == (other, ())


def test_every_family_that_reverses_what_is_paid_says_until_when() -> None:
    reversing = {name for name, family in FAMILIES.items() if family.traits.reverses_paid}
    assert reversing == {"zarinpal", "sep"}
    assert all(FAMILIES[name].traits.reverse_within for name in reversing)
