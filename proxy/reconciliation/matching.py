"""A bank's word beside ours: what we know of each tracking number, and which of our paid payments it does not name.

It only looks. Whatever it finds is for the operator to decide about.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from proxy.clock import DAY
from proxy.jalali import tehran, tehran_midnight
from proxy.lookups import FIRST_PLACE, Number, Stretch, Wanted, place_at, place_of
from proxy.merchant import Mode
from proxy.payment import Payment, Review, Status

MAX_ROWS: Final = 500
MAX_PAGE: Final = 500
# So many look-ups at once: the store takes them in one batch, and others come between two of them.
AT_ONCE: Final = 50
# Who has three days to pay may be paid for a day that the payment was not made on.
LONGEST_OPEN: Final = 4 * DAY


class Outcome(StrEnum):
    MATCHED = "matched"
    MISSING_HERE = "missing_here"
    AMOUNT_DIFFERS = "amount_differs"
    UNDER_REVIEW = "under_review"


# Of several payments that a number names, the one that explains the row best.
_BEST: Final = (Outcome.MATCHED, Outcome.UNDER_REVIEW, Outcome.AMOUNT_DIFFERS)


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the bank's."""

    bank_code: str
    amount_rials: int


@dataclass(frozen=True, slots=True)
class Found:
    """What we know of a line. `captured_rials` is what the gateway said to us."""

    outcome: Outcome
    payment: Payment | None = None
    captured_rials: int | None = None


@dataclass(frozen=True, slots=True)
class Period:
    """Of a merchant's payments in a mode, those of [since, until), in milliseconds; of one terminal or all."""

    merchant_id: str
    since: int
    until: int
    mode: Mode = Mode.LIVE
    terminal_id: str | None = None


@dataclass(frozen=True, slots=True)
class Paid:
    """`sure` when the money was taken within the period: the payment was both made and known as paid in it."""

    payment: Payment
    sure: bool


@dataclass(frozen=True, slots=True)
class PaidPage:
    """`following` is the id after which it goes on, None at the end."""

    paid: Sequence[Paid]
    following: str | None


class Books(Protocol):
    """The store's part in it."""

    async def find_ids(
        self, merchant_id: str | None, after: str | None, number: Number, text: str, merchants: int
    ) -> Stretch: ...
    async def newest_ids(
        self, merchant_id: str | None, after: str | None, wanted: Wanted, merchants: int
    ) -> Stretch: ...
    async def payments_of_ids(self, ids: Sequence[str]) -> list[Payment]: ...


class Reconciliation:
    def __init__(self, books: Books) -> None:
        self._books = books

    async def compare(self, merchant_id: str, lines: Sequence[Line], mode: Mode = Mode.LIVE) -> list[Found]:
        """What we know of each line, in their order; at most MAX_ROWS of them."""
        found: list[Found] = []
        for start in range(0, len(lines), AT_ONCE):
            some = lines[start : start + AT_ONCE]
            found += await asyncio.gather(*(self._compare(merchant_id, line, mode) for line in some))
        return found

    async def paid(self, period: Period, after: str | None, limit: int) -> PaidPage:
        """Paid payments whose money may have come in the period, newest first, after an id; a page may be empty."""
        span = Wanted(
            Status.PAID,
            min(place_of(after) if after else FIRST_PLACE, place_at(period.until)),
            place_at(max(0, period.since - LONGEST_OPEN)),
            limit,
        )
        ids = (await self._books.newest_ids(period.merchant_id, None, span, 1)).ids
        payments = await self._books.payments_of_ids(ids)
        following = ids[-1] if len(ids) == limit else None
        return PaidPage([_paid(each, period) for each in payments if _belongs(each, period)], following)

    async def _compare(self, merchant_id: str, line: Line, mode: Mode) -> Found:
        ids = (await self._books.find_ids(merchant_id, None, Number.BANK_CODE, line.bank_code, 1)).ids
        payments = await self._books.payments_of_ids(ids) if ids else []
        return explain(line, [payment for payment in payments if payment.mode is mode])


def whole_days(first_at: int, last_at: int, now: int) -> tuple[int, int]:
    """From the beginning of the first day in Tehran to the end of the last one, and not into the future."""
    first, last = (datetime.fromtimestamp(at / 1000, UTC).astimezone(tehran()).date() for at in (first_at, last_at))
    return tehran_midnight(first), min(tehran_midnight(last + timedelta(days=1)), now)


def explain(line: Line, payments: Iterable[Payment]) -> Found:
    """What a line is, by the payments that its number names."""
    found = [_beside(line, payment) for payment in payments]
    return min(found, key=lambda each: _BEST.index(each.outcome), default=Found(Outcome.MISSING_HERE))


def _beside(line: Line, payment: Payment) -> Found:
    review = payment.review
    second = review is not None and payment.bank_code != line.bank_code
    captured = review.captured_rials if second and review is not None else payment.captured_rials
    if captured != line.amount_rials:
        return Found(Outcome.AMOUNT_DIFFERS, payment, captured)
    first_and_paid = payment.status is Status.PAID and not second
    settled = first_and_paid or _decided(review)
    return Found(Outcome.MATCHED if settled else Outcome.UNDER_REVIEW, payment, captured)


def _decided(review: Review | None) -> bool:
    return review is not None and review.resolution is not None


def _belongs(payment: Payment, period: Period) -> bool:
    terminal = period.terminal_id in {None, payment.terminal_id}
    paid_at = payment.paid_at or payment.updated_at
    return payment.mode is period.mode and terminal and paid_at >= period.since


def _paid(payment: Payment, period: Period) -> Paid:
    paid_at = payment.paid_at or payment.updated_at
    return Paid(payment, payment.created_at >= period.since and paid_at < period.until)
