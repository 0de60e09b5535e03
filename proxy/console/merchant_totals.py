"""What a merchant took today, in seven days and in the Iranian month: summed up when somebody looks at its page.

As the daily totals of all merchants are, the sums are read in bounded steps in the background, and kept for a while: a
page waits for a moment at most, and shows what there is.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import astuple
from datetime import timedelta
from typing import Final

import structlog

from proxy.console.daily_totals import ENDED, MAX_ROWS, ROWS_AT_ONCE, SHARE, WAIT_SECONDS
from proxy.kernel.clock import DAY, MINUTE, SECOND, Now
from proxy.kernel.frozen import dataclass
from proxy.locale.day_ranges import NamedRange, named_range, tehran_day
from proxy.locale.persian import tehran_midnight
from proxy.merchants.merchant import Mode
from proxy.payments.payment import Status
from proxy.payments.search import DayStretch, id_at, place_at
from proxy.stores.store import Store

log = structlog.get_logger()

PERIODS: Final = (NamedRange.TODAY, NamedRange.WEEK, NamedRange.MONTH)
KEEP_TODAY: Final = 10 * SECOND
KEEP_BEFORE: Final = 30 * MINUTE
"""How long a day before is kept: late money still changes it."""
MAX_MERCHANTS: Final = 200
"""How many merchants' sums are kept: 8 kB each."""
MAX_READINGS: Final = 4
"""How many merchants are read at once; who comes later is shown what there is."""


@dataclass(frozen=True, slots=True)
class MerchantSums:
    """Of live payments that began in some days: how many, how many ended, how many customers paid, what of it was kept,
    and what went back, by the gateway or because the shop had it reversed.
    """

    count: int = 0
    ended: int = 0
    succeeded: int = 0
    paid: int = 0
    paid_rials: int = 0
    given_back: int = 0
    given_back_rials: int = 0

    def __add__(self, other: "MerchantSums") -> "MerchantSums":
        return MerchantSums(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class _Read:
    """A day's sums, when they were read, and how long that took."""

    sums: MerchantSums
    at: int
    seconds: float


class MerchantTotals:
    def __init__(self, store: Store, now: Now) -> None:
        self._store = store
        self._now = now
        self._kept: OrderedDict[str, dict[int, _Read]] = OrderedDict()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._tick: Callable[[], float] = lambda: asyncio.get_running_loop().time()

    async def periods(self, merchant_id: str) -> Mapping[NamedRange, MerchantSums | None]:
        """The sums of each period, within WAIT_SECONDS; None for one whose days were not all read so far."""
        if merchant_id not in self._tasks and len(self._tasks) < MAX_READINGS and self._due(merchant_id):
            reading = self._refresh(merchant_id)
            self._tasks[merchant_id] = asyncio.create_task(reading, name=f"totals {merchant_id}")
        if task := self._tasks.get(merchant_id):
            await asyncio.wait([task], timeout=WAIT_SECONDS)
        return {period: self._sums(merchant_id, period) for period in PERIODS}

    async def stop(self) -> None:
        """Ends the readings that are under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _sums(self, merchant_id: str, period: NamedRange) -> MerchantSums | None:
        days = self._kept.get(merchant_id, {})
        wanted = self._days(period)
        return sum((days[day].sums for day in wanted), MerchantSums()) if days.keys() >= set(wanted) else None

    def _days(self, *periods: NamedRange) -> list[int]:
        """The midnights at which the days of these periods begin, newest first."""
        now = self._now()
        first = min(named_range(period, now)[0] or now for period in periods)
        today = tehran_day(now)
        days = (today - tehran_day(first)).days + 1
        return [tehran_midnight(today - timedelta(days=back)) for back in range(days)]

    def _due(self, merchant_id: str) -> list[int]:
        """The days to be read anew, newest first."""
        now, days = self._now(), self._kept.get(merchant_id, {})
        return [day for place, day in enumerate(self._days(*PERIODS)) if not _is_fresh(days.get(day), now, place)]

    async def _refresh(self, merchant_id: str) -> None:
        try:
            for day in self._due(merchant_id):
                read = await self._read(merchant_id, day)
                days = self._kept.setdefault(merchant_id, {})
                days[day] = read
                self._kept.move_to_end(merchant_id)
            self._forget(merchant_id)
        except Exception as error:  # noqa: BLE001  the page shows what there is, and the next look tries again
            log.warning("merchant_totals_failed", merchant_id=merchant_id, error=type(error).__name__)
        finally:
            del self._tasks[merchant_id]

    def _forget(self, merchant_id: str) -> None:
        """The days of this merchant that no period has any more, and the merchants that nobody looks at."""
        wanted = set(self._days(*PERIODS))
        for day in self._kept[merchant_id].keys() - wanted:
            del self._kept[merchant_id][day]
        while len(self._kept) > MAX_MERCHANTS:
            self._kept.popitem(last=False)

    async def _read(self, merchant_id: str, midnight: int) -> _Read:
        at, began, sums, rows = self._now(), self._tick(), MerchantSums(), 0
        end = tehran_midnight(tehran_day(midnight) + timedelta(days=1))
        after, until = id_at(merchant_id, place_at(midnight)), id_at(merchant_id, place_at(end))
        while rows < MAX_ROWS:
            stretch = await self._store.payments.day_sums((merchant_id, after, until), midnight, DAY, ROWS_AT_ONCE)
            sums += _sums_of(stretch)
            rows += sum(each.count for each in stretch.sums)
            if stretch.reached is None:
                break
            after = stretch.reached
        return _Read(sums, at, self._tick() - began)


def _is_fresh(read: _Read | None, now: int, days_ago: int) -> bool:
    if read is None:
        return False
    keep = KEEP_BEFORE if days_ago else KEEP_TODAY
    return 0 <= now - read.at < max(keep, SHARE * read.seconds * SECOND)


def _sums_of(stretch: DayStretch) -> MerchantSums:
    total = MerchantSums()
    for each in stretch.sums:
        if each.mode is not Mode.LIVE:
            continue
        paid, back = each.status is Status.PAID, each.is_reversed or each.status is Status.GIVEN_BACK
        kept = paid and not each.is_reversed
        total += MerchantSums(
            count=each.count,
            ended=each.count if each.status in ENDED else 0,
            succeeded=each.count if paid else 0,
            paid=each.count if kept else 0,
            paid_rials=each.amount_rials if kept else 0,
            given_back=each.count if back else 0,
            given_back_rials=each.amount_rials if back else 0,
        )
    return total
