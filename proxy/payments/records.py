"""Records of payments that use-cases and repositories exchange: rows, claims, replies and conflicts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from proxy.audit.log import AuditEntry
from proxy.kernel.errors import StoreConflict
from proxy.kernel.frozen import dataclass
from proxy.merchants.merchant import Mode
from proxy.payments.check_schedule import CheckSchedule, ScheduleChange
from proxy.payments.facts import Fact
from proxy.payments.payment import Payment, Status
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


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class PaymentFilter:
    """A filter of payments, newest first; `after` is the id of the last one of the page before."""

    storefront: str | None = None
    order_id: str | None = None
    status: Status | None = None
    after: str | None = None
    limit: int = 20
    mode: Mode | None = None

    def accepts(self, payment: Payment) -> bool:
        """Whether the filter accepts the payment, at any place of the list."""
        return (
            self.storefront in {None, payment.storefront}
            and self.mode in {None, payment.mode}
            and self.status in {None, payment.status}
            and self.order_id in {None, payment.order_id}
        )


@dataclass(frozen=True, slots=True)
class PaymentPage:
    """A page of payments, and the id of the last one that was read; None when there is nothing behind it.

    It may have fewer payments than its limit although there are more.
    """

    payments: Sequence[Payment]
    reached: str | None


@dataclass(frozen=True, slots=True)
class DueChecks:
    """Claimed check schedules, with their payments.

    `reached` is the due time at which the next call begins, None when all due ones were read, or enough.
    """

    checks: Sequence[tuple[Payment, CheckSchedule]]
    reached: int | None


@dataclass(frozen=True, slots=True)
class UnsettledPage:
    """A stretch of the walk over all payments that may still turn out paid.

    `reached` is the place of the next stretch, the id of a payment or of a merchant; None when the walk is over.
    `payments` may be empty and the walk not over.
    """

    payments: Sequence[Payment]
    reached: str | None


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


Decide = Callable[[Payment, CheckSchedule | None], Change | None]
"""What is to be written of a payment and its schedule, if anything. It may be asked twice, and has no effects."""
