"""Invariants, checked while Dargah runs: a count above 0 is a bug, or somebody changed the database."""

from collections.abc import Iterator
from typing import Final

from proxy.payments.payment import Status
from proxy.payments.records import Change

PAID_UNCHECKED: Final = "paid_unchecked"
PAID_AMOUNT: Final = "paid_amount"
PAID_UNDONE: Final = "paid_undone"
EVENT_UNNUMBERED: Final = "event_unnumbered"
PAID_UNCLAIMED: Final = "paid_unclaimed"
PAID_UNTOLD: Final = "paid_untold"
PENDING_UNWATCHED: Final = "pending_unwatched"

INVARIANTS: Final = (
    PAID_UNCHECKED,
    PAID_AMOUNT,
    PAID_UNDONE,
    EVENT_UNNUMBERED,
    PAID_UNCLAIMED,
    PAID_UNTOLD,
    PENDING_UNWATCHED,
)
_CHECK: Final = "gateway.check"


def violations(change: Change) -> Iterator[str]:
    """The names of the invariants that this stored change broke."""
    before, after = change.before, change.after
    if before.status is Status.PAID:
        if after.status is not Status.PAID:
            yield PAID_UNDONE
    elif after.status is Status.PAID:
        if after.captured_rials != after.amount_rials:
            yield PAID_AMOUNT
        if not any(entry.kind == _CHECK for entry in change.entries):
            yield PAID_UNCHECKED
