"""Reads of all that a filter has: exports, sums and reports. How many run at once, and how much one answer looks at.

Each takes as much of the loop and of the database as nothing else needs; several share that, and hold others up more.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from proxy.kernel.background import FairShares
from proxy.kernel.errors import Unavailable, invalid

AT_ONCE: Final = 4
RETRY_SECONDS: Final = 10
MAX_LOOKED: Final = 2_000_000
"""Payments that are read before an answer begins: half a minute."""


class TooManyLongReads(Unavailable):
    code = "overloaded"

    def __init__(self) -> None:
        super().__init__(
            "Too many exports, sums and reports are being made. Nothing was done; ask again when one has ended.",
            "خروجی‌ها، جمع‌ها و گزارش‌های زیادی در دست ساخت است. کاری انجام نشد؛ پس از پایان یکی دوباره بخواهید.",
            RETRY_SECONDS,
        )


class LongReads:
    """The places of a process, which merchants and operators share."""

    def __init__(self, total: int = AT_ONCE) -> None:
        self._places = FairShares(total)

    @property
    def running(self) -> int:
        return self._places.taken

    @contextmanager
    def place(self, merchant_id: str = "") -> Iterator[None]:
        """Holds a place for as long as the context lasts; an operator's is nobody's. Raises TooManyLongReads."""
        if not self._places.has_room(merchant_id):
            raise TooManyLongReads
        self._places.take(merchant_id)
        try:
            yield
        finally:
            self._places.give_back(merchant_id)


def within_one_answer(field: str) -> Callable[[int], None]:
    """Is told how many payments were looked at so far. Raises InvalidInput of `field` when they are too many."""

    def check(looked: int) -> None:
        if looked > MAX_LOOKED:
            raise invalid(
                field,
                "too_much",
                f"there are more than {MAX_LOOKED:,} payments to look at: ask for fewer days, or for one merchant",
                f"بیش از {MAX_LOOKED} پرداخت باید خوانده شود: روزهای کمتر یا یک پذیرنده را بخواهید",
            )

    return check
