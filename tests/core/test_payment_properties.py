"""What holds for every order in which facts may be learnt."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from core.payments import ASKED, CREATED, CREATED_AT, EXPIRES_AT, PAID, PENDING, REVIEW
from proxy.gateways.port import Canceled, Captured, CheckUnknown, InvoiceIssued, NotPaid, RequestRefused, RequestUnknown
from proxy.payments.facts import Decision, Fact, OperatorDecision, TimeUp
from proxy.payments.invariants import PAID_AMOUNT, PAID_UNCHECKED, PAID_UNDONE, violations
from proxy.payments.payment import IllegalFact, Payment, Status, apply
from proxy.payments.records import Change, Entry
from proxy.webhooks.event import EventType

KEYS = st.sampled_from(["inv_1", "inv_2", "inv_3"])
FACTS: st.SearchStrategy[Fact] = st.one_of(
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
    st.just(TimeUp()),
    st.builds(OperatorDecision, st.sampled_from(Decision), st.just("note"), st.just("sara")),
)
TIMES = st.integers(CREATED_AT, EXPIRES_AT + 60_000)
LIVES = st.lists(st.tuples(FACTS, TIMES), max_size=12)
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
        if not isinstance(fact, OperatorDecision):
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
def test_open_invoices_only_become_fewer_by_a_capture_and_more_by_an_invoice(life: list[tuple[Fact, int]]) -> None:
    for before, fact, after, _ in steps(life):
        gone = set(before.open_invoice_keys()) - set(after.open_invoice_keys())
        come = set(after.open_invoice_keys()) - set(before.open_invoice_keys())
        assert gone <= ({fact.invoice_key} if isinstance(fact, Captured) else set())
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
