"""The check schedule of a payment: when to ask the gateway, from the pay link to the last useful answer.

The schedule starts when the pay link exists, not at the return, and its end is counted in the gateway's answers, each
at a point of its own: neither a gateway that is down for days nor a clock that jumps ahead ends it.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

from proxy.gateways.port import (
    AmountDiffers,
    Canceled,
    InvoiceIssued,
    NotPaid,
    PaidUnconfirmed,
    Reversed,
    TooLate,
)
from proxy.gateways.registry import FAMILIES
from proxy.kernel.clock import HOUR, MINUTE, SECOND
from proxy.kernel.frozen import dataclass
from proxy.payments.payment import Fact, Payment, Status

# After a return or an unclear answer: how long after the last call.
SOON: Final = (0, 3 * SECOND, 10 * SECOND, 30 * SECOND, 60 * SECOND, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE)
# With no return: how long after the link. Some gateways give the money back when nobody checks within 15 minutes.
FROM_LINK: Final = (
    *(minutes * MINUTE for minutes in (2, 4, 7, 10, 14, 20, 30)),
    *(hours * HOUR for hours in (1, 3, 12, 24, 72)),
)
# How long each of these points is waited for.
GAPS: Final = (FROM_LINK[0], *(later - earlier for earlier, later in pairwise(FROM_LINK)))
LAST_POINT: Final = len(FROM_LINK) - 1
# How often money that goes back by itself is asked for before it does.
CHECKS_IN_WINDOW: Final = 3
JITTER: Final = 0.1
# Most gateways issue an invoice within it.
SOON_ISSUED: Final = SECOND


@dataclass(frozen=True, slots=True)
class CheckSchedule:
    """The due work of one payment. `soon` is the entry of SOON that it waits for, None on the slow schedule.

    `version` is 0 until it is stored and rises with every change, so that a slow checker does not overwrite a newer
    plan. `point` is the entry of FROM_LINK that no clear answer has passed yet; None in a row that older code wrote,
    where the due time tells it.
    """

    merchant_id: str
    payment_id: str
    terminal_id: str
    due_at: int
    soon: int | None = None
    version: int = 1
    point: int | None = None


@dataclass(frozen=True, slots=True)
class ScheduleChange:
    """A schedule as it was `read`, None when none is stored, and the one that follows; `after` None ends it.

    Where the stored one has moved on since, it is left as it is, unless the payment itself changed so that it is over.
    """

    read: CheckSchedule | None
    after: CheckSchedule | None


@dataclass(frozen=True, slots=True)
class DueChecks:
    """Claimed check schedules, with their payments.

    `reached` is the due time at which the next call begins, None when all due ones were read, or enough.
    """

    checks: Sequence[tuple[Payment, CheckSchedule]]
    reached: int | None


def begin(payment: Payment) -> CheckSchedule:
    """The schedule of a payment without an invoice: the poller must end it at `expires_at`."""
    return CheckSchedule(payment.merchant_id, payment.id, payment.terminal_id, payment.expires_at, point=0)


def expect(payment: Payment, jitter: float) -> CheckSchedule:
    """The schedule while the invoice is requested: due when the first check after the link will be.

    So the answer need not move it, which in a create is one row and one place in an index less to write.
    """
    due_at = payment.created_at + SOON_ISSUED + round(FROM_LINK[0] * (1 + JITTER * abs(jitter)))
    return CheckSchedule(payment.merchant_id, payment.id, payment.terminal_id, min(due_at, payment.expires_at), point=0)


def resume(payment: Payment, now: int) -> CheckSchedule:
    """A new schedule for a payment that has none: it passes the points that lie in the past."""
    linked_at = now if payment.linked_at is None else payment.linked_at
    point = sum(linked_at + delay <= now for delay in FROM_LINK)
    due_at = linked_at + FROM_LINK[point] if point < len(FROM_LINK) else now
    return CheckSchedule(payment.merchant_id, payment.id, payment.terminal_id, due_at, version=0, point=point)


def unreached(schedule: CheckSchedule, now: int) -> CheckSchedule:
    """The schedule after an answer that passes no point, because only a clock jump made the check due."""
    return replace(schedule, due_at=now + FROM_LINK[-1])


def hurry(schedule: CheckSchedule, due_at: int) -> CheckSchedule:
    """The schedule when the customer is back: the return checks now; if it dies, the poller checks at `due_at`."""
    return _due(schedule, due_at, 0, schedule.point)


def after(schedule: CheckSchedule, payment: Payment, fact: Fact, now: int, jitter: float) -> CheckSchedule | None:
    """The schedule after `fact`, which led to `payment`; None when it is over.

    It is over once clear answers have passed every point of FROM_LINK. `jitter` is uniform in [-1, 1] and moves a delay
    by up to a tenth; a point counted from the link only to later.
    """
    linked_at = payment.linked_at
    if linked_at is None:
        waiting = payment.status is Status.CREATED
        return _due(schedule, payment.expires_at, None, schedule.point) if waiting else None
    if not payment.due_invoice_keys():
        return None
    clear = _is_clear(fact, payment)
    # A cancel answers the return; what may still follow is late money, for which the slow schedule is enough.
    if isinstance(fact, InvoiceIssued) and _is_expected(schedule, linked_at):
        return schedule
    soon = None if isinstance(fact, Canceled | InvoiceIssued) else _next_soon(schedule.soon, clear=clear)
    point = _inferred_point(schedule, linked_at) if schedule.point is None else schedule.point
    most = _most_wait(payment, linked_at, now)
    between = most is not None and schedule.soon is None and now < linked_at + FROM_LINK[min(point, LAST_POINT)]
    reached = schedule.due_at <= now and not between
    if clear and reached and point < len(FROM_LINK):
        point = _next_point(point, schedule, payment, now, quick_ended=schedule.soon is not None and soon is None)
    if clear and point == len(FROM_LINK):
        return None
    if soon is not None:
        due_at = now + round(SOON[soon] * (1 + JITTER * jitter))
    else:
        due_at = _next_slow(linked_at, point, now, jitter)
        if clear and not reached and not between and schedule.soon is None:
            # A check between two points, however often, neither passes the next one nor delays it.
            due_at = min(due_at, schedule.due_at)
    due_at = due_at if most is None else min(due_at, now + most)
    # At its expiry the merchant is owed an answer.
    expiring = payment.status is Status.PENDING and now < payment.expires_at
    return _due(schedule, min(due_at, payment.expires_at) if expiring else due_at, soon, point)


def _most_wait(payment: Payment, linked_at: int, now: int) -> int | None:
    """The longest wait for the next check while a customer may pay money that the gateway gives back by itself.

    None where the gateway keeps it, has it at once, or cannot be asked without the customer's return; and for a link
    of the future, which a clock that was wrong has made.
    """
    family = FAMILIES.get(payment.gateway)
    window = None if family is None or family.traits.needs_return else family.traits.gives_back_after
    if family is None or window is None or now < linked_at:
        return None
    payable = max(payment.expires_at, linked_at + family.traits.link_lasts)
    return window // CHECKS_IN_WINDOW if now < payable + window else None


def _is_clear(fact: Fact, payment: Payment) -> bool:
    """Whether it is an answer that leaves nothing to do now; money that is not kept is one, once that is decided."""
    clear = isinstance(fact, NotPaid | Canceled | TooLate | Reversed | AmountDiffers)
    return clear or (isinstance(fact, PaidUnconfirmed) and payment.intent is None)


def _is_expected(schedule: CheckSchedule, linked_at: int) -> bool:
    """Whether the schedule is due when the first check from the link is, jitter and all."""
    first, latest = FROM_LINK[0], round(FROM_LINK[0] * (1 + JITTER)) + SOON_ISSUED
    return schedule.soon is None and first <= schedule.due_at - linked_at <= latest


def _next_soon(soon: int | None, *, clear: bool) -> int | None:
    """The entry of SOON to wait for next. Clear answers use the schedule up; unclear ones stay on its last entry."""
    if clear:
        return None if soon is None or soon + 1 == len(SOON) else soon + 1
    return 1 if soon is None else min(soon + 1, len(SOON) - 1)


def _inferred_point(schedule: CheckSchedule, linked_at: int) -> int:
    """The point that a schedule of older code was planned for."""
    return max(0, sum(linked_at + delay <= schedule.due_at for delay in FROM_LINK) - 1)


def _next_point(point: int, schedule: CheckSchedule, payment: Payment, now: int, *, quick_ended: bool) -> int:
    """The point to ask at next, after a clear answer at a time that was planned.

    An answer passes the points with gaps that fit into the wait that it ended, so that no jump of the clock passes
    more. Where an unclear answer at a point had begun the quick schedule, the last answer of that passes the point.
    """
    linked_at = payment.linked_at or now
    if schedule.soon is None:
        expiry = schedule.due_at == payment.expires_at and linked_at + FROM_LINK[point] > now + GAPS[point] // 2
        return point if expiry else point + 1
    left, start = SOON[schedule.soon], point
    while point < len(FROM_LINK) and GAPS[point] <= left:
        left -= GAPS[point]
        point += 1
    return point + 1 if point == start and quick_ended and now >= linked_at + FROM_LINK[point] else point


def _next_slow(linked_at: int, point: int, now: int, jitter: float) -> int:
    """The due time for a point of FROM_LINK: its own, or its gap from now if that is near, over or too far.

    Jitter only puts it off: one that came before its time would be due again.
    """
    point = min(point, len(FROM_LINK) - 1)
    gap, at = GAPS[point], linked_at + FROM_LINK[point]
    if not now + gap // 2 <= at <= now + gap:
        at = now + gap
    return at + round(gap * JITTER * abs(jitter))


def _due(schedule: CheckSchedule, due_at: int, soon: int | None, point: int | None) -> CheckSchedule:
    return CheckSchedule(
        schedule.merchant_id, schedule.payment_id, schedule.terminal_id, due_at, soon, schedule.version + 1, point
    )
