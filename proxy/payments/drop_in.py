"""What Dargah notices of drop-in shops: whether they read the return, and whether their amounts change the unit."""

from collections import OrderedDict, deque
from collections.abc import Hashable
from statistics import median
from typing import Final

from proxy.kernel.clock import MINUTE
from proxy.kernel.frozen import dataclass
from proxy.payments import history
from proxy.payments.change import Change
from proxy.payments.check_schedule import CheckSchedule
from proxy.payments.payment import Payment, Status
from proxy.payments.storage.repository import PaymentRepository

# A shop that reads a return asks within seconds; what comes later is a timer of its own.
SOON: Final = 2 * MINUTE
MAX_KEPT: Final = 10_000


class DropInChecks:
    """A drop-in shop's first check soon after a payment, which shows that the shop read the return.

    The noted checks are those of one process. Two processes may each note one, with the same meaning.
    """

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


RECENT: Final = 5
FEWEST_BEFORE: Final = 10
MOST_KEPT: Final = 40
MAX_STOREFRONTS: Final = 10_000
# A shop's middle order drifts by a half or twice; a unit mixed up is ten times, and it is so for each order.
LEAST_EACH: Final = 2.5
LEAST_FACTOR: Final = 6.0
MOST_FACTOR: Final = 16.0


@dataclass(frozen=True, slots=True)
class Jump:
    """The middle amount before and now, in rials."""

    usual_rials: int
    recent_rials: int


class AmountJumps:
    """Detects when a shop's amounts jump by about ten times: it has begun to send toman for rial, or the reverse.

    One dear order says nothing; several in a row, all far from the middle of those before, do. The state is small: a
    few amounts per storefront, of the storefronts seen last, in this process. Call `observe` with each amount.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, deque[int]] = OrderedDict()

    def observe(self, key: Hashable, amount_rials: int) -> Jump | None:
        """The jump that this amount completes. It is reported once: the new amounts are then the usual ones.

        `key` names the storefront of the amounts.
        """
        amounts = self._kept.setdefault(key, deque(maxlen=MOST_KEPT))
        self._kept.move_to_end(key)
        if len(self._kept) > MAX_STOREFRONTS:
            self._kept.popitem(last=False)
        amounts.append(amount_rials)
        jump = _jump(list(amounts))
        if jump is not None:
            self._kept[key] = deque(list(amounts)[-RECENT:], maxlen=MOST_KEPT)
        return jump


def _jump(amounts: list[int]) -> Jump | None:
    before, recent = amounts[:-RECENT], amounts[-RECENT:]
    if len(before) < FEWEST_BEFORE:
        return None
    usual, now = median(before), median(recent)
    each = min(recent) / usual if now > usual else usual / max(recent)
    factor = max(usual, now) / min(usual, now)
    return Jump(round(usual), round(now)) if each >= LEAST_EACH and LEAST_FACTOR <= factor <= MOST_FACTOR else None
