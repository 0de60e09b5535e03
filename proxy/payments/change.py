"""A payment's life in the store, step by step: its create with the reply, then each change, written as a whole.

Beside them what a change may not do: its conflicts with other payments, and the invariants. Those are checked while
Dargah runs: a count above 0 is a bug, or somebody changed the database.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from proxy.audit.log import AuditEntry
from proxy.kernel.errors import StoreConflict
from proxy.kernel.frozen import dataclass
from proxy.payments.check_schedule import CheckSchedule, ScheduleChange
from proxy.payments.payment import Fact, Payment, Status
from proxy.webhooks.event import Event


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a create as it was first given: replayed byte for byte for the same Idempotency-Key."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Intent:
    """A create as stored before the gateway is asked.

    `digest` is the SHA-256 of the request; until `lease_until` another request presumably asks the gateway.
    `traceparent` is the trace of the create; it is written, and not read with the intent.
    """

    key: str
    digest: bytes
    lease_until: int
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class StoredCreation:
    """A payment with its intent, and the reply once there is one. `fresh` when this very call created it."""

    payment: Payment
    intent: Intent
    reply: Reply | None
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a payment's timeline: a gateway call (redacted) or a return. `data` is small and JSON."""

    at: int
    kind: str
    duration_ms: int | None
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=False)
class Change:
    """One step of a payment's life, to be written as a whole.

    `before` and `after` are the same object when only the timeline or the schedule moves; else `fact` led from one to
    the other. Without a `schedule` the stored one is left as it is. `release` ends the lease of the create; `reply` is
    its answer. `audit` is the entry of an operator's step.
    """

    before: Payment
    after: Payment
    events: Sequence[Event] = ()
    entries: Sequence[Entry] = ()
    schedule: ScheduleChange | None = None
    release: bool = False
    reply: Reply | None = None
    audit: AuditEntry | None = None
    fact: Fact | None = None


class InvoiceKeyTaken(StoreConflict):
    """Another payment has this invoice_key."""


class _PaymentConflict(StoreConflict):
    def __init__(self, payment_id: str) -> None:
        super().__init__(payment_id)
        self.payment_id = payment_id


class BankCodeTaken(_PaymentConflict):
    """Another payment has this bank_code."""


class OrderPaidByAnother(_PaymentConflict):
    """Another payment of this order is paid."""


class OrderBeingConfirmed(_PaymentConflict):
    """Another payment of this order is being confirmed."""


Decide = Callable[[Payment, CheckSchedule | None], Change | None]
"""What is to be written of a payment and its schedule, if anything. It may be asked twice, and has no effects."""


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
_ASKED: Final = frozenset({"gateway.check", "gateway.confirm", "gateway.settle"})


def violations(change: Change) -> Iterator[str]:
    """The names of the invariants that this stored change broke."""
    before, after = change.before, change.after
    if before.status is Status.PAID:
        if after.status is not Status.PAID:
            yield PAID_UNDONE
    elif after.status is Status.PAID:
        if after.captured_rials != after.amount_rials:
            yield PAID_AMOUNT
        if not any(entry.kind in _ASKED for entry in change.entries):
            yield PAID_UNCHECKED
