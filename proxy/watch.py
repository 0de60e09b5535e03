"""When to ask the gateway again: the watch of a payment, from its link to the last answer that is worth having.

The watch starts when the pay link exists, not at the return, and its end is counted in the gateway's answers: a
gateway that is down for days does not end it.
"""

from typing import Final

from proxy.clock import HOUR, MINUTE, SECOND
from proxy.facts import Canceled, Fact, InvoiceIssued, NotPaid
from proxy.frozen import dataclass
from proxy.payment import Payment, Status

# After a return or an unclear answer: how long after the last call.
SOON: Final = (0, 3 * SECOND, 10 * SECOND, 30 * SECOND, 60 * SECOND, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE)
# With no return: how long after the link. Some gateways give the money back when nobody checks within 15 minutes.
FROM_LINK: Final = (
    *(minutes * MINUTE for minutes in (2, 4, 7, 10, 14, 20, 30)),
    *(hours * HOUR for hours in (1, 3, 12, 24, 72)),
)
JITTER: Final = 0.1
# Most gateways issue an invoice within it.
SOON_ISSUED: Final = SECOND


@dataclass(frozen=True, slots=True)
class Watch:
    """The due work of one payment. `soon` is the entry of SOON that it waits for, None on the slow schedule.

    `version` rises with every change, so that a slow checker does not overwrite a newer plan.
    """

    merchant_id: str
    payment_id: str
    terminal_id: str
    due_at: int
    soon: int | None = None
    version: int = 1


def begin(payment: Payment) -> Watch:
    """The watch of a payment that is only stored: at `expires_at` somebody must say that no invoice came."""
    return Watch(payment.merchant_id, payment.id, payment.terminal_id, payment.expires_at)


def expect(payment: Payment, jitter: float) -> Watch:
    """The watch of a payment whose invoice is being asked for: due when the first check after the link will be.

    So the answer need not move it, which in a create is one row and one place in an index less to write.
    """
    due_at = payment.created_at + SOON_ISSUED + round(FROM_LINK[0] * (1 + JITTER * abs(jitter)))
    return Watch(payment.merchant_id, payment.id, payment.terminal_id, min(due_at, payment.expires_at))


def hurry(watch: Watch, due_at: int) -> Watch:
    """The watch when the customer is back: somebody checks now, and if that one dies, the watcher does at `due_at`."""
    return _due(watch, due_at, 0)


def after(watch: Watch, payment: Payment, fact: Fact, now: int, jitter: float) -> Watch | None:
    """The watch once `fact` was learnt and `payment` is what came of it; None when it is over.

    `jitter` is uniform in [-1, 1] and moves a delay by up to a tenth; a point counted from the link only to later.
    """
    if payment.linked_at is None:
        waiting = payment.status is Status.CREATED
        return _due(watch, payment.expires_at, None) if waiting else None
    if not payment.open_invoice_keys():
        return None
    clear = isinstance(fact, NotPaid | Canceled)
    if clear and now >= payment.linked_at + FROM_LINK[-1]:
        return None
    # A cancel answers the return; what may still follow is late money, for which the slow schedule is enough.
    if isinstance(fact, InvoiceIssued) and _expected(watch, payment.linked_at):
        return watch
    soon = None if isinstance(fact, Canceled | InvoiceIssued) else _next_soon(watch.soon, clear=clear)
    if soon is None:
        due_at = _next_slow(payment.linked_at, now, jitter)
    else:
        due_at = now + round(SOON[soon] * (1 + JITTER * jitter))
    # At its expiry the merchant is owed an answer.
    expiring = payment.status is Status.PENDING and now < payment.expires_at
    return _due(watch, min(due_at, payment.expires_at) if expiring else due_at, soon)


def _expected(watch: Watch, linked_at: int) -> bool:
    """Whether the watch is due when the first check from the link is, jitter and all."""
    first, latest = FROM_LINK[0], round(FROM_LINK[0] * (1 + JITTER)) + SOON_ISSUED
    return watch.soon is None and first <= watch.due_at - linked_at <= latest


def _next_soon(soon: int | None, *, clear: bool) -> int | None:
    """The entry of SOON to wait for next. Clear answers use the schedule up; unclear ones stay on its last entry."""
    if clear:
        return None if soon is None or soon + 1 == len(SOON) else soon + 1
    return 1 if soon is None else min(soon + 1, len(SOON) - 1)


def _next_slow(linked_at: int, now: int, jitter: float) -> int:
    """The next point of FROM_LINK. Jitter only puts it off: one that came before its time would be due again."""
    passed = 0
    for delay in FROM_LINK:
        if linked_at + delay > now:
            return linked_at + delay + round((delay - passed) * JITTER * abs(jitter))
        passed = delay
    return now + SECOND


def _due(watch: Watch, due_at: int, soon: int | None) -> Watch:
    return Watch(watch.merchant_id, watch.payment_id, watch.terminal_id, due_at, soon, watch.version + 1)
