"""Detects when a shop's amounts jump by about ten times: the shop has begun to send toman for rial, or the reverse.

One dear order says nothing; several in a row, all far from the middle of those before, do. The state is small: a few
amounts per storefront, of the storefronts seen last, in this process.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass
from statistics import median
from typing import Final

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
    """The amounts of one process. Call `observe` with each amount."""

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
