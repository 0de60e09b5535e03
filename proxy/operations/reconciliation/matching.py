"""The bank's records beside ours: our payment of each tracking number, and our paid payments that the bank does not
name.

It only reads. Every difference is for the operator to decide about.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from proxy.kernel.clock import DAY
from proxy.kernel.frozen import dataclass
from proxy.locale.persian import ARABIC_DIGITS, LATIN_DIGITS, PERSIAN_DIGITS, tehran, tehran_midnight
from proxy.merchants.merchant import Mode
from proxy.payments.payment import Decision, Payment, Review, Status
from proxy.payments.scan import PaymentScan
from proxy.payments.search import Bounds, Number, PaymentFilter
from proxy.payments.storage.repository import PaymentRepository

MAX_ROWS: Final = 500
MAX_PAGE: Final = 500
# So many look-ups at once: the store takes them in one batch, and others come between two of them.
AT_ONCE: Final = 50


# Who has three days to pay may be paid for a day that the payment was not made on.
LONGEST_OPEN: Final = 4 * DAY


class MatchOutcome(StrEnum):
    MATCHED = "matched"
    MISSING_HERE = "missing_here"
    AMOUNT_DIFFERS = "amount_differs"
    UNDER_REVIEW = "under_review"
    # Of money that went out.
    REVERSED = "reversed"
    REFUNDED = "refunded"
    WENT_OUT = "went_out"


DIFFERENCES: Final = (
    MatchOutcome.MISSING_HERE,
    MatchOutcome.AMOUNT_DIFFERS,
    MatchOutcome.REVERSED,
    MatchOutcome.UNDER_REVIEW,
)
"""The outcomes that somebody must look at, in the order of their weight."""
_PERSIAN: Final = str.maketrans(LATIN_DIGITS, PERSIAN_DIGITS)
_ARABIC: Final = str.maketrans(LATIN_DIGITS, ARABIC_DIGITS)
# Of several payments that a number names, the one that explains the row best.
_BEST: Final = (MatchOutcome.MATCHED, MatchOutcome.UNDER_REVIEW, MatchOutcome.AMOUNT_DIFFERS)


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the bank's. `reversal` says that the money went out."""

    bank_code: str
    amount_rials: int
    reversal: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """The match of a line. `captured_rials` is the amount that the gateway reported."""

    outcome: MatchOutcome
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
    """`following` is the id after which the next page begins, None at the end."""

    paid: Sequence[Paid]
    following: str | None


class Reconciliation:
    def __init__(self, books: PaymentRepository) -> None:
        self._books = books

    async def compare(self, merchant_id: str, lines: Sequence[Line], mode: Mode = Mode.LIVE) -> list[Match]:
        """The match of each line, in their order; at most MAX_ROWS of them."""
        found: list[Match] = []
        for start in range(0, len(lines), AT_ONCE):
            some = lines[start : start + AT_ONCE]
            found += await asyncio.gather(*(self._compare(merchant_id, line, mode) for line in some))
        return found

    async def paid(self, period: Period, after: str | None, limit: int) -> PaidPage:
        """Paid payments with money that may have come in the period, newest first, after an id; a page may be empty."""
        span = PaymentFilter(
            statuses=(Status.PAID,),
            mode=period.mode,
            terminal_id=period.terminal_id,
            after=after,
            limit=limit,
            created=Bounds(max(0, period.since - LONGEST_OPEN), period.until),
        )
        page = await PaymentScan(self._books, period.merchant_id, span).page()
        return PaidPage([_paid(each, period) for each in page.payments if _belongs(each, period)], page.following)

    async def _compare(self, merchant_id: str, line: Line, mode: Mode) -> Match:
        for code in spellings(line.bank_code):
            ids = await self._books.find_ids(merchant_id, Number.BANK_CODE, code)
            payments = [each for each in await self._books.payments_of_ids(ids) if each.mode is mode] if ids else []
            if payments:
                return explain(replace(line, bank_code=code), payments)
        return explain(line, [])


def whole_days(first_at: int, last_at: int, now: int) -> tuple[int, int]:
    """From the beginning of the first day in Tehran to the end of the last one, and not into the future."""
    first, last = (datetime.fromtimestamp(at / 1000, UTC).astimezone(tehran()).date() for at in (first_at, last_at))
    return tehran_midnight(first), min(tehran_midnight(last + timedelta(days=1)), now)


def spellings(code: str) -> Sequence[str]:
    """The code as given, and with its Latin digits in Persian and in Arabic ones: gateways write all three."""
    return list(dict.fromkeys((code, code.translate(_PERSIAN), code.translate(_ARABIC))))


def explain(line: Line, payments: Iterable[Payment]) -> Match:
    """The outcome of a line, by the payments of its number."""
    if line.reversal:
        return _reversal(list(payments))
    found = [_beside(line, payment) for payment in payments]
    return min(found, key=lambda each: _BEST.index(each.outcome), default=Match(MatchOutcome.MISSING_HERE))


def _beside(line: Line, payment: Payment) -> Match:
    review = payment.review
    second = review is not None and payment.bank_code != line.bank_code
    captured = review.captured_rials if second and review is not None else payment.captured_rials
    if captured != line.amount_rials:
        return Match(MatchOutcome.AMOUNT_DIFFERS, payment, captured)
    first_and_paid = payment.status is Status.PAID and not second
    settled = first_and_paid or _decided(review)
    return Match(MatchOutcome.MATCHED if settled else MatchOutcome.UNDER_REVIEW, payment, captured)


def _reversal(payments: Sequence[Payment]) -> Match:
    """Money that went out: of no payment, of one whose operator or shop had it given back, or of another."""
    for payment in payments:
        resolution = None if payment.review is None else payment.review.resolution
        refunded = resolution is not None and resolution.decision is Decision.REFUNDED
        if not refunded and not payment.is_reversed:
            return Match(MatchOutcome.REVERSED, payment, payment.captured_rials)
    return (
        Match(MatchOutcome.REFUNDED, payments[0], payments[0].captured_rials)
        if payments
        else Match(MatchOutcome.WENT_OUT)
    )


def _decided(review: Review | None) -> bool:
    return review is not None and review.resolution is not None


def _belongs(payment: Payment, period: Period) -> bool:
    return (payment.paid_at or payment.updated_at) >= period.since and not payment.is_reversed


def _paid(payment: Payment, period: Period) -> Paid:
    paid_at = payment.paid_at or payment.updated_at
    return Paid(payment, payment.created_at >= period.since and paid_at < period.until)
