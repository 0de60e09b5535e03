"""Sums over payments: of a filter by status, and the settlement report by terminal and day.

Both read line after line in bounded steps, between which the store does other things, and keep the sums alone.
"""

from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import field
from datetime import date
from typing import Final

import orjson

from proxy.kernel.clock import DAY
from proxy.kernel.frozen import dataclass
from proxy.locale.day_ranges import tehran_day
from proxy.merchants.merchant import Mode
from proxy.payments.payment import Status
from proxy.payments.scan import PaymentScan
from proxy.payments.search import PAID_WITHIN, Bounds, PaymentFilter, PaymentLine
from proxy.payments.storage.repository import PaymentRepository

MAX_DAYS: Final = 92
"""Of a report: a season."""
Progress = Callable[[int], None]
"""Is told how many payments were looked at so far."""


@dataclass(slots=True)
class Sum:
    count: int = 0
    rials: int = 0

    def add(self, rials: int) -> None:
        self.count += 1
        self.rials += rials


@dataclass(slots=True)
class Totals:
    """The payments of a filter: how many were looked at, and by status how many there are, and of how many rials.

    `reversed` are those of the paid ones whose money went back because the shop asked for it.
    """

    looked: int = 0
    statuses: dict[Status, Sum] = field(default_factory=lambda: {status: Sum() for status in Status})
    reversed: Sum = field(default_factory=Sum)

    @property
    def count(self) -> int:
        return sum(each.count for each in self.statuses.values())

    @property
    def paid_rials(self) -> int:
        """What was paid and kept."""
        return self.statuses[Status.PAID].rials - self.reversed.rials


async def totals_of(scan: PaymentScan, progress: Progress = lambda _: None) -> Totals:
    totals = Totals()
    async with aclosing(scan.batches()) as pages:
        async for page in pages:
            totals.looked += page.looked
            for line in page.lines:
                totals.statuses[Status(line.status)].add(line.amount_rials)
                if line.is_reversed:
                    totals.reversed.add(line.amount_rials)
            progress(totals.looked)
    return totals


@dataclass(slots=True)
class SettlementDay:
    """What a terminal's gateway should pay out for a day in Tehran, in rials; live payments or tests.

    `paid` is what was captured as asked, `late` those of it that had been told as unpaid before. `fees_rials` are the
    fees that the gateway told, of `fees_told` payments. `given_back` is money that was not kept, or that the shop had
    reversed, and `reviews` money that did not move as asked: neither is in `paid`.
    """

    merchant_id: str
    terminal_id: str
    gateway: str
    day: date
    paid: Sum = field(default_factory=Sum)
    late: Sum = field(default_factory=Sum)
    fees_told: int = 0
    fees_rials: int = 0
    given_back: Sum = field(default_factory=Sum)
    reviews: Sum = field(default_factory=Sum)

    @property
    def net_rials(self) -> int:
        """What is expected on the account: the captures less the fees that are known."""
        return self.paid.rials - self.fees_rials

    def add(self, line: PaymentLine) -> None:
        captured = line.captured_rials or 0
        if line.status == Status.GIVEN_BACK or line.is_reversed:
            told = orjson.loads(line.given_back)["amount_rials"] if line.given_back else None
            self.given_back.add(told or line.amount_rials)
        elif line.status == Status.NEEDS_REVIEW:
            self.reviews.add(captured)
        else:
            self.paid.add(captured)
            if line.late:
                self.late.add(captured)
            fee = orjson.loads(line.receipt)["fee_rials"] if line.receipt else None
            if fee is not None:
                self.fees_told += 1
                self.fees_rials += fee


@dataclass(frozen=True, slots=True)
class ReportPeriod:
    """The days of a report in Tehran's time, [since, until) in milliseconds since the epoch."""

    since: int
    until: int

    @property
    def too_long(self) -> bool:
        return self.until - self.since > MAX_DAYS * DAY


async def settlement_report(
    payments: PaymentRepository,
    merchant_id: str | None,
    period: ReportPeriod,
    *,
    mode: Mode = Mode.LIVE,
    terminal_id: str | None = None,
    progress: Progress = lambda _: None,
) -> list[SettlementDay]:
    """A row for each terminal and day on which money moved, by merchant, terminal and day.

    The day is that on which the payment was known as paid, given back or to be reviewed.
    """
    wanted = PaymentFilter(
        statuses=(Status.PAID, Status.GIVEN_BACK, Status.NEEDS_REVIEW),
        mode=mode,
        terminal_id=terminal_id,
        created=Bounds(max(0, period.since - PAID_WITHIN), period.until),
    )
    days: dict[tuple[str, str, date], SettlementDay] = {}
    looked = 0
    async with aclosing(PaymentScan(payments, merchant_id, wanted).batches()) as pages:
        async for page in pages:
            looked += page.looked
            _add(days, page.lines, period)
            progress(looked)
    return [days[key] for key in sorted(days)]


def _add(days: dict[tuple[str, str, date], SettlementDay], lines: Iterable[PaymentLine], period: ReportPeriod) -> None:
    for line in lines:
        at = line.updated_at if line.paid_at is None else line.paid_at
        if period.since <= at < period.until:
            day = tehran_day(at)
            key = (line.merchant_id, line.terminal_id, day)
            if (row := days.get(key)) is None:
                row = days[key] = SettlementDay(line.merchant_id, line.terminal_id, line.gateway, day)
            row.add(line)
