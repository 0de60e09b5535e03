"""What was paid today, yesterday and a week ago: summed up when somebody looks, in bounded steps, and kept for a while.

A day has the payments that began between two midnights in Tehran. No table keeps the sums: every create and every late
payment would have to pay for it, and the days would be wrong whenever one of them did not.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import field
from datetime import UTC, date, datetime, timedelta
from typing import Final

import structlog

from proxy.kernel.clock import DAY, HOUR, MINUTE, SECOND, Now
from proxy.kernel.frozen import dataclass
from proxy.locale.persian import tehran, tehran_midnight
from proxy.merchants.merchant import Mode
from proxy.payments.payment import OPEN, Status
from proxy.payments.search import DayStretch, id_at, place_at
from proxy.stores.store import Store

log = structlog.get_logger()

PART: Final = 10 * MINUTE
"""Days are compared up to the end of the last whole part."""
PARTS: Final = DAY // PART
PARTS_OF_HOUR: Final = HOUR // PART
BACK: Final = (0, 1, 7)
"""How many days ago each of the days is, newest first."""
KEEP: Final = {0: 10 * SECOND, 1: 5 * MINUTE, 7: 30 * MINUTE}
"""How long each is kept: late money still changes the days before."""
SHARE: Final = 20
"""A reading that takes long is kept longer, so that it takes a twentieth of the time at most."""
WAIT_SECONDS: Final = 0.1
"""How long a page waits for a reading: what takes longer is on it when it is loaded the next time."""
# A few milliseconds of the store's thread each, between which it does other things.
ROWS_AT_ONCE: Final = 1000
MERCHANTS_AT_ONCE: Final = 100
MAX_ROWS: Final = 5_000_000
MAX_MERCHANTS: Final = 20_000
ENDED: Final = frozenset(status for status in Status if status not in OPEN)


@dataclass(frozen=True, slots=True)
class Sums:
    """Of live payments that began in some time: what was paid and kept, by how many of them, how many were paid and
    then reversed for their shop, and how many ended.
    """

    paid_rials: int
    paid: int
    reversed: int
    ended: int

    @property
    def succeeded(self) -> int:
        """How many customers paid: a reversal is the shop's wish, and no failure."""
        return self.paid + self.reversed


@dataclass(slots=True)
class Day:
    """The live payments that began in a day: by status, and by the part of the day. `tests` counts the others.

    What was paid and then reversed for the shop brings no money in: it is in `reversed` and `reversed_rials`, and
    neither among the paid ones nor in their amount. `complete` is False when there was more than a reading looks at;
    `at` is when it began.
    """

    midnight: int
    at: int
    seconds: float = 0.0
    statuses: Counter[Status] = field(default_factory=Counter)
    tests: int = 0
    rows: int = 0
    complete: bool = True
    begun: list[int] = field(default_factory=lambda: [0] * PARTS)
    ended: list[int] = field(default_factory=lambda: [0] * PARTS)
    paid: list[int] = field(default_factory=lambda: [0] * PARTS)
    reversed: list[int] = field(default_factory=lambda: [0] * PARTS)
    reversed_rials: int = 0
    rials: list[int] = field(default_factory=lambda: [0] * PARTS)

    def add(self, stretch: DayStretch) -> None:
        for each in stretch.sums:
            self.rows += each.count
            if each.mode is Mode.TEST:
                self.tests += each.count
                continue
            part = min(max(0, each.part), PARTS - 1)
            self.begun[part] += each.count
            self.ended[part] += each.count if each.status in ENDED else 0
            if each.is_reversed:
                self.reversed[part] += each.count
                self.reversed_rials += each.amount_rials
                continue
            self.statuses[each.status] += each.count
            if each.status is Status.PAID:
                self.paid[part] += each.count
                self.rials[part] += each.amount_rials

    def sums(self, parts: int = PARTS) -> Sums:
        """Of its first parts."""
        return Sums(*(sum(of[:parts]) for of in (self.rials, self.paid, self.reversed, self.ended)))

    @property
    def hours_rials(self) -> list[int]:
        return _by_hour(self.rials)

    @property
    def hours_begun(self) -> list[int]:
        return _by_hour(self.begun)

    @property
    def hours_paid(self) -> list[int]:
        return _by_hour(self.paid)


@dataclass(frozen=True, slots=True)
class Days:
    """Today, and the days before that were read so far, by how many days ago. `parts` of today are over."""

    today: Day
    before: dict[int, Day]
    parts: int


class DailyTotals:
    def __init__(self, store: Store, now: Now) -> None:
        self._store = store
        self._now = now
        self._days: dict[int, Day] = {}
        self._task: asyncio.Task[None] | None = None
        self._tick: Callable[[], float] = lambda: asyncio.get_running_loop().time()

    async def days(self) -> Days | None:
        """The newest sums, some seconds old where reading them takes no longer; None before the first ones."""
        if self._task is None:
            if not self._due():
                return self._shown()
            self._task = asyncio.create_task(self._refresh(), name="days")
        await asyncio.wait([self._task], timeout=WAIT_SECONDS)
        return self._shown()

    async def stop(self) -> None:
        """Ends a reading that is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _shown(self) -> Days | None:
        """By the day that it is now: what was read before midnight is yesterday's."""
        kept = {day.midnight: day for day in self._days.values()}
        found = {back: kept[midnight] for back in BACK if (midnight := self._midnight(back)) in kept}
        if 0 not in found:
            return None
        today = found.pop(0)
        return Days(today, found, min(max(0, today.at - today.midnight) // PART, PARTS))

    def _due(self) -> list[int]:
        """The days to be read anew."""
        now = self._now()
        return [back for back in BACK if not self._is_fresh(back, now)]

    def _is_fresh(self, back: int, now: int) -> bool:
        day = self._days.get(back)
        if day is None or day.midnight != self._midnight(back):
            return False
        return 0 <= now - day.at < max(KEEP[back], SHARE * day.seconds * SECOND)

    def _midnight(self, back: int) -> int:
        return tehran_midnight(self._date() - timedelta(days=back))

    def _date(self) -> date:
        return datetime.fromtimestamp(self._now() / SECOND, UTC).astimezone(tehran()).date()

    async def _refresh(self) -> None:
        try:
            for back in self._due():
                self._days[back] = await self._read(self._midnight(back), self._midnight(back - 1))
        except Exception as error:  # noqa: BLE001  the page tells the age of what it shows, and the next look tries again
            log.warning("day_failed", error=type(error).__name__)
        finally:
            self._task = None

    async def _read(self, midnight: int, end: int) -> Day:
        day, began, after, merchants_read = Day(midnight, self._now()), self._tick(), "", 0
        while merchants := await self._store.merchants.list_merchants(after, MERCHANTS_AT_ONCE):
            for merchant in merchants:
                await self._add(day, merchant.id, end)
            after, merchants_read = merchants[-1].id, merchants_read + len(merchants)
            if merchants_read >= MAX_MERCHANTS or day.rows >= MAX_ROWS:
                day.complete = False
                break
        day.seconds = self._tick() - began
        return day

    async def _add(self, day: Day, merchant_id: str, end: int) -> None:
        after, until = id_at(merchant_id, place_at(day.midnight)), id_at(merchant_id, place_at(end))
        while True:
            span = (merchant_id, after, until)
            stretch = await self._store.payments.day_sums(span, day.midnight, PART, ROWS_AT_ONCE)
            day.add(stretch)
            if stretch.reached is None:
                return
            if day.rows >= MAX_ROWS:
                day.complete = False
                return
            after = stretch.reached


def _by_hour(parts: list[int]) -> list[int]:
    return [sum(parts[begin : begin + PARTS_OF_HOUR]) for begin in range(0, PARTS, PARTS_OF_HOUR)]
