"""Today's sums: of the payments that began since midnight in Tehran, read in bounded steps and kept for a moment."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import structlog

from proxy.kernel.clock import HOUR, SECOND, Now
from proxy.locale.persian import tehran, tehran_midnight
from proxy.merchants.merchant import Mode
from proxy.observability.statistics import DueStatistics
from proxy.payments.payment import OPEN, Status
from proxy.payments.search import id_at, place_at
from proxy.stores.store import Store

log = structlog.get_logger()

HOURS: Final = 24
KEEP: Final = 10 * SECOND
WAIT_SECONDS: Final = 2.0
# A few milliseconds of the store's thread each, between which it does other things.
ROWS_AT_ONCE: Final = 500
MERCHANTS_AT_ONCE: Final = 20
MAX_ROWS: Final = 50_000
MAX_MERCHANTS: Final = 2000
ENDED: Final = tuple(status for status in Status if status not in OPEN)


@dataclass(slots=True)
class DaySums:
    """Of live payments: how many in each state, what was paid, and both by the hour in which they began.

    `complete` is False when there was more than a reading looks at.
    """

    midnight: int
    at: int = 0
    statuses: Counter[Status] = field(default_factory=Counter)
    tests: int = 0
    paid_rials: int = 0
    hours: list[int] = field(default_factory=lambda: [0] * HOURS)
    hours_rials: list[int] = field(default_factory=lambda: [0] * HOURS)
    rows: int = 0
    complete: bool = True
    open: Counter[str] = field(default_factory=Counter)
    oldest: dict[str, int] = field(default_factory=dict)
    endpoints: Counter[str] = field(default_factory=Counter)
    due: DueStatistics = field(default_factory=lambda: DueStatistics(0, None, 0, None))

    @property
    def ended(self) -> int:
        return sum(self.statuses[status] for status in ENDED)


class DailyTotals:
    def __init__(self, store: Store, now: Now) -> None:
        self._store = store
        self._now = now
        self._sums: DaySums | None = None
        self._task: asyncio.Task[None] | None = None

    async def sums(self) -> DaySums | None:
        """The newest sums, some seconds old where reading them takes no longer; None when there are none yet."""
        kept = self._sums
        if self._task is None:
            if kept is not None and 0 <= self._now() - kept.at < KEEP:
                return kept
            self._task = asyncio.create_task(self._refresh(), name="day")
        await asyncio.wait([self._task], timeout=WAIT_SECONDS)
        return self._sums

    async def stop(self) -> None:
        """Ends a reading that is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _refresh(self) -> None:
        try:
            self._sums = await self._read()
        except Exception as error:  # noqa: BLE001  the page tells the age of what it shows, and the next look tries again
            log.warning("day_failed", error=type(error).__name__)
        finally:
            self._task = None

    async def _read(self) -> DaySums:
        now = self._now()
        today = datetime.fromtimestamp(now / SECOND, UTC).astimezone(tehran()).date()
        sums = DaySums(tehran_midnight(today), at=now)
        after, read_merchants = "", 0
        while merchants := await self._store.merchants.list_merchants(after, MERCHANTS_AT_ONCE):
            for merchant in merchants:
                await self._add(sums, merchant.id)
            await self._add_open(sums, after)
            after, read_merchants = merchants[-1].id, read_merchants + len(merchants)
            if read_merchants >= MAX_MERCHANTS or sums.rows >= MAX_ROWS:
                sums.complete = False
                break
        sums.due = await self._store.statistics.due_statistics()
        return sums

    async def _add(self, sums: DaySums, merchant_id: str) -> None:
        after = id_at(merchant_id, place_at(sums.midnight))
        while rows := await self._store.payments.day_rows(merchant_id, after, ROWS_AT_ONCE):
            sums.rows += len(rows)
            for row in rows:
                if row.mode is Mode.TEST:
                    sums.tests += 1
                    continue
                sums.statuses[row.status] += 1
                hour = min(max(0, row.created_at - sums.midnight) // HOUR, HOURS - 1)
                sums.hours[hour] += 1
                if row.status is Status.PAID:
                    sums.paid_rials += row.amount_rials
                    sums.hours_rials[hour] += row.amount_rials
            if len(rows) < ROWS_AT_ONCE:
                return
            if sums.rows >= MAX_ROWS:
                sums.complete = False
                return
            after = rows[-1].id

    async def _add_open(self, sums: DaySums, after: str) -> None:
        statistics = await self._store.statistics.open_statistics(after or None, MERCHANTS_AT_ONCE)
        sums.open.update(statistics.payments)
        sums.endpoints.update(statistics.endpoints)
        for status, at in statistics.oldest.items():
            sums.oldest[status] = min(at, sums.oldest.get(status, at))
