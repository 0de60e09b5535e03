"""Every state of a payment against every fact, as one table and in any order of facts, and a payment's history."""

from collections.abc import Callable
from dataclasses import field, replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.payments import (
    ASKED,
    CANCELED,
    CREATED,
    CREATED_AT,
    EXPIRED,
    EXPIRES_AT,
    FAILED,
    FAILED_WITH_SPARE,
    PAID,
    PENDING,
    REVIEW,
    REVIEWED,
)
from core.test_confirmed_payment import FACTS as CONFIRMING_FACTS
from proxy.gateways.port import (
    AmountDiffers,
    Canceled,
    Captured,
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
from proxy.kernel.frozen import dataclass
from proxy.merchants.merchant import Mode
from proxy.payments.change import PAID_AMOUNT, PAID_UNCHECKED, PAID_UNDONE, Change, Entry, violations
from proxy.payments.history import MAX_ENTRIES, DeliveryAttempts, EventDeliveries, merged
from proxy.payments.payment import (
    Decision,
    Fact,
    Failure,
    FailureReason,
    OperatorDecision,
    Payment,
    Resolution,
    ReturnEvidence,
    Review,
    ReviewReason,
    Status,
    TimeUp,
    Withdrawn,
)
from proxy.payments.transitions import _APPLY, IllegalFact, apply
from proxy.webhooks.delivery import Attempt, Delivery
from proxy.webhooks.event import EventType, StoredEvent
from proxy.webhooks.retry_policy import DeliveryStatus

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
    assert {STATES[state].status for _, state, _ in rows} | {Status.GIVEN_BACK} == set(Status)
    kinds = {type(FACTS[fact.removesuffix(" early")]) for fact, _, _ in rows}
    assert kinds | {type(fact) for fact in CONFIRMING_FACTS.values()} == set(_APPLY)
    assert len({(fact, state) for fact, state, _ in rows}) == len(rows)
    assert {fact.removesuffix(" early") for fact, _, _ in rows} == set(FACTS)
    assert {cell for _, _, cell in rows} - {"!", "."} == set(CELLS)


BY: Final = EXPIRES_AT + 900_000
KEYS = st.sampled_from(["inv_1", "inv_2", "inv_3"])
ANY_FACT: st.SearchStrategy[Fact] = st.one_of(
    st.builds(InvoiceIssued, KEYS),
    st.builds(RequestRefused, st.sampled_from([100, 101, 302])),
    st.builds(RequestUnknown, st.just("reset")),
    st.builds(
        Captured,
        KEYS,
        st.sampled_from([ASKED, ASKED, ASKED // 10]),
        st.sampled_from(["777", "888"]),
        st.sampled_from([None, None, "pay_other"]),
        st.sampled_from([None, None, "pay_other"]),
    ),
    st.builds(NotPaid, KEYS),
    st.builds(Canceled, KEYS),
    st.builds(CheckUnknown, KEYS, st.just("timeout")),
    st.builds(PaidUnconfirmed, KEYS, st.sampled_from([None, ASKED, 1]), st.booleans(), st.sampled_from([None, BY])),
    *(st.builds(kind, KEYS) for kind in (Confirmed, TooLate, Reversed)),
    st.builds(AmountDiffers, KEYS, st.just(1), st.sampled_from([None, BY])),
    st.builds(ReturnEvidence, st.sampled_from([{"RefNum": "1"}, {"RefNum": "2"}])),
    st.just(Withdrawn()),
    st.just(TimeUp()),
    st.builds(OperatorDecision, st.sampled_from(Decision), st.just("note"), st.just("sara")),
)
TIMES = st.integers(CREATED_AT, EXPIRES_AT + 60_000)
LIVES = st.lists(st.tuples(ANY_FACT, TIMES), max_size=12)
Step = tuple[Payment, Fact, Payment, tuple[EventType, ...]]
"""(before, fact, after, events)."""


def steps(life: list[tuple[Fact, int]]) -> list[Step]:
    """The facts that could be true when they were learnt; each is learnt a second time, which changes nothing."""
    taken, payment = list[Step](), CREATED
    for fact, now in life:
        try:
            after, events = apply(payment, fact, now)
        except IllegalFact:
            continue
        taken.append((payment, fact, after, events))
        payment = after
        if not isinstance(fact, OperatorDecision | PaidUnconfirmed):
            assert apply(payment, fact, now) == (payment, ())
    return taken


@given(LIVES)
def test_paid_is_final(life: list[tuple[Fact, int]]) -> None:
    for before, _, after, _ in steps(life):
        if before.status is Status.PAID:
            paid = (after.status, after.paid_at, after.bank_code, after.captured_rials, after.late)
            assert paid == (before.status, before.paid_at, before.bank_code, before.captured_rials, before.late)


@given(LIVES)
def test_the_version_rises_by_one_exactly_when_something_changes(life: list[tuple[Fact, int]]) -> None:
    for before, _, after, events in steps(life):
        if after is before:
            assert events == ()
        else:
            assert after != before
            assert after.version == before.version + 1


@given(LIVES)
def test_every_new_capture_changes_something_and_is_told(life: list[tuple[Fact, int]]) -> None:
    for before, fact, after, events in steps(life):
        if isinstance(fact, Captured) and fact.invoice_key in before.open_invoice_keys():
            assert after.version == before.version + 1
            assert fact.invoice_key in after.captured_invoice_keys
            assert after.status in {Status.PAID, Status.NEEDS_REVIEW}
            assert len(events) == 1


@given(LIVES)
def test_open_invoices_only_become_fewer_by_a_capture_or_return_and_more_by_an_invoice(
    life: list[tuple[Fact, int]],
) -> None:
    for before, fact, after, _ in steps(life):
        gone = set(before.open_invoice_keys()) - set(after.open_invoice_keys())
        come = set(after.open_invoice_keys()) - set(before.open_invoice_keys())
        assert gone <= ({fact.invoice_key} if isinstance(fact, Captured | Reversed | TooLate) else set())
        assert come <= ({fact.invoice_key} if isinstance(fact, InvoiceIssued) else set())


@given(LIVES)
def test_nothing_becomes_paid_but_by_a_capture_of_exactly_what_was_asked(life: list[tuple[Fact, int]]) -> None:
    for before, fact, after, events in steps(life):
        if EventType.PAID in events:
            assert isinstance(fact, Captured)
            assert fact.amount_rials == before.amount_rials == after.captured_rials
            assert (fact.bank_code_of, fact.order_paid_by) == (None, None)
            assert before.status is not Status.PAID


@given(LIVES)
def test_a_payment_that_ended_never_waits_again(life: list[tuple[Fact, int]]) -> None:
    for before, _, after, _ in steps(life):
        if before.status not in {Status.CREATED, Status.PENDING}:
            assert after.status not in {Status.CREATED, Status.PENDING}


CHECK = Entry(1, "gateway.check", 5, {})
REQUEST = Entry(1, "gateway.request", 5, {})


def found(before: Payment, after: Payment, *entries: Entry) -> list[str]:
    return list(violations(Change(before, after, entries=entries)))


def test_what_is_right_is_not_noticed() -> None:
    assert found(PENDING, PAID, CHECK) == []
    assert found(PENDING, REVIEW, CHECK) == []
    assert found(PAID, replace(PAID, version=4), CHECK) == []
    assert found(PENDING, PENDING) == []


def test_paid_without_a_check() -> None:
    assert found(PENDING, PAID) == [PAID_UNCHECKED]
    assert found(PENDING, PAID, REQUEST) == [PAID_UNCHECKED]


def test_paid_with_another_amount() -> None:
    assert found(PENDING, replace(PAID, captured_rials=1), CHECK) == [PAID_AMOUNT]
    assert found(PENDING, replace(PAID, captured_rials=None), CHECK) == [PAID_AMOUNT]


def test_paid_no_more() -> None:
    assert found(PAID, replace(PAID, status=Status.EXPIRED), CHECK) == [PAID_UNDONE]


MERCHANT = "mer_00000000"


def call(at: int, number: int = 0) -> Entry:
    return Entry(at, "gateway.check", 5, {"outcome": "unknown", "n": number})


def told(at: int, attempts_at: tuple[int, ...] = ()) -> EventDeliveries:
    event = StoredEvent(f"evt_{at}", MERCHANT, at, "main", "live", "payment.paid", "pay_1", at, b"{}")
    delivery = Delivery(
        f"dlv_{at}",
        MERCHANT,
        "ep_1",
        event.id,
        "pay_1",
        DeliveryStatus.PENDING,
        len(attempts_at),
        at,
        at,
        None,
        "main",
        Mode.LIVE,
    )
    attempts = [
        Attempt(number, started, 7, "failed", None, "timeout", b"") for number, started in enumerate(attempts_at, 1)
    ]
    return EventDeliveries(event, [DeliveryAttempts(delivery, attempts)])


def test_what_happened_in_one_millisecond_stands_in_the_order_of_cause_and_effect() -> None:
    history = merged([call(9), call(10, 1), call(10, 2), call(11)], [told(10, (10, 12))])
    assert [(entry.at, entry.kind, entry.data.get("n")) for entry in history.entries] == [
        (9, "gateway.check", 0),
        (10, "gateway.check", 1),
        (10, "gateway.check", 2),
        (10, "event", None),
        (10, "delivery", None),
        (10, "attempt", None),
        (11, "gateway.check", 0),
        (12, "attempt", None),
    ]
    assert not history.truncated


def test_events_of_several_times_are_woven_in() -> None:
    history = merged([call(5), call(15)], [told(10, (11, 20)), told(16)])
    assert [entry.at for entry in history.entries] == [5, 10, 10, 11, 15, 16, 16, 20]


def test_more_than_the_most_keeps_the_newest_and_says_so() -> None:
    calls = [call(at, at) for at in range(MAX_ENTRIES - 2)]
    whole = merged(calls, [told(MAX_ENTRIES)])
    assert (len(whole.entries), whole.truncated) == (MAX_ENTRIES, False)
    cut = merged([*calls, call(MAX_ENTRIES - 1, -1)], [told(MAX_ENTRIES)])
    assert (len(cut.entries), cut.truncated) == (MAX_ENTRIES, True)
    assert cut.entries[0].data["n"] == 1
    assert cut.entries[-1].kind == "delivery"


@dataclass(frozen=True, slots=True)
class Held:
    name: str
    secret: str = field(default="", repr=False)


def test_equal_values_are_one_key() -> None:
    assert {Held("a", "b"): 1}[Held("a", "b")] == 1
    assert Held("a", "b") != Held("a", "c")


@dataclass(frozen=True, slots=True)
class Other(Held):
    """Has the fields of Held."""


@dataclass(slots=True)
class Kept:
    names: list[str]


def test_records_are_equal_within_their_class() -> None:
    assert Held("a") != Other("a")
    assert Kept(["a"]) == Kept(["a"])
    with pytest.raises(TypeError, match="unhashable"):
        hash(Kept([]))


def test_what_is_kept_out_of_the_text_stays_out_of_it() -> None:
    assert repr(Held("a", "hidden")) == "Held(name='a')"


def test_a_field_that_does_not_exist_cannot_be_set() -> None:
    assert not hasattr(Held("a"), "__dict__")


def test_a_copy_leaves_what_it_was_made_of() -> None:
    assert replace(PENDING, status=Status.PAID).status is Status.PAID
    assert PENDING.status is Status.PENDING


def assigning(payment: Payment) -> None:
    """Never called: mypy, which is told of an error here, would call the remark unused if it found none."""
    payment.status = Status.PAID  # type: ignore[misc]


def test_a_record_with_other_values_is_another_record() -> None:
    payment = PENDING
    made = frozen.replace(payment, order_id="another")
    assert made == replace(payment, order_id="another") != payment
    with pytest.raises(TypeError, match="colour"):
        frozen.replace(payment, colour="red")
