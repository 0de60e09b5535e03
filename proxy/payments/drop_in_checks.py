"""Notes a drop-in shop's first check soon after a payment, which shows that the shop read the return."""

from collections import OrderedDict
from typing import Final

from proxy.kernel.clock import MINUTE
from proxy.payments import history
from proxy.payments.check_schedule import CheckSchedule
from proxy.payments.payment import Payment, Status
from proxy.payments.records import Change
from proxy.payments.storage.repository import PaymentRepository

# A shop that reads a return asks within seconds; what comes later is a timer of its own.
SOON: Final = 2 * MINUTE
MAX_KEPT: Final = 10_000


class DropInChecks:
    """The noted checks of one process. Two processes may each note one, with the same meaning."""

    def __init__(self) -> None:
        self._noted: OrderedDict[str, None] = OrderedDict()

    def is_first(self, payment: Payment, now: int) -> bool:
        """Whether this check of a paid payment is the first here, and soon after it was paid."""
        if payment.status is not Status.PAID or payment.paid_at is None or now - payment.paid_at > SOON:
            return False
        if payment.id in self._noted:
            return False
        self._noted[payment.id] = None
        if len(self._noted) > MAX_KEPT:
            self._noted.popitem(last=False)
        return True


async def note_check(payments: PaymentRepository, payment: Payment, now: int) -> None:
    """Records the shop's own check."""

    def noted(payment: Payment, _schedule: CheckSchedule | None) -> Change:
        return Change(payment, payment, entries=(history.drop_in_check(now),))

    await payments.note(payment.merchant_id, payment.link, noted)
