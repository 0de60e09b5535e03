"""What is noticed of a change that can never be."""

from dataclasses import replace

from core.payments import PAID, PENDING, REVIEW
from proxy.invariants import PAID_AMOUNT, PAID_UNCHECKED, PAID_UNDONE, violations
from proxy.payment import Payment, Status
from proxy.records import Change, Entry

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
