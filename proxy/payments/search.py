"""The filter of payments, and what the lists of them give: of one merchant, or of all.

The search finds the newest payments, a payment by a number, and a day's sums. No index by time spans the merchants,
because every create would pay for it. A walk spans them in stretches: each is one step that reads a bounded number of
places in the merchants' own indexes.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any, Final, NamedTuple

import orjson

from proxy.kernel.clock import DAY
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import PAYMENT, base62, merchant_key, number_of
from proxy.merchants.merchant import Mode
from proxy.payments.payment import GivenBackReason, Payment, Status

PAID_WITHIN: Final = 35 * DAY
"""How long before it was paid a payment may have been created, for the filter by that time: a customer has three days,
the checks go on for some more, and a recovery goes back a month.
"""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Values from `least` to before `below`; None is no limit."""

    least: int | None = None
    below: int | None = None

    def holds(self, value: int | None) -> bool:
        return (
            value is not None
            and (self.least is None or value >= self.least)
            and (self.below is None or value < self.below)
        )

    @property
    def is_open(self) -> bool:
        return self.least is None and self.below is None


ALL: Final = Bounds()


@dataclass(frozen=True, slots=True)
class PaymentFilter:
    """A filter of payments; `after` is the place, or the id, of the last one of the page before.

    `created` and `paid` are spans of milliseconds, `amount` of rials. Newest first by the time of creation, or oldest
    first.
    """

    storefront: str | None = None
    order_id: str | None = None
    statuses: tuple[Status, ...] = ()
    after: str | None = None
    limit: int = 20
    mode: Mode | None = None
    terminal_id: str | None = None
    gateway: str | None = None
    bank_code: str | None = None
    amount: Bounds = ALL
    created: Bounds = ALL
    paid: Bounds = ALL
    oldest_first: bool = False

    def accepts(self, payment: "Payment | PaymentLine") -> bool:
        """Whether the filter accepts the payment, at any place of the list."""
        return all(check(payment) for check in self.checks())

    def checks(self) -> list[Callable[[Any], bool]]:
        """The conditions of the filter, one for each field that is set."""
        checks: list[Callable[[Any], bool]] = [
            _equals(name, value) for name in _EQUAL if (value := getattr(self, name)) is not None
        ]
        if self.statuses:
            checks.append(lambda payment: payment.status in self.statuses)
        for span, name in ((self.amount, "amount_rials"), (self.created, "created_at"), (self.paid, "paid_at")):
            if not span.is_open:
                checks.append(_within(span, name))
        return checks

    @property
    def places(self) -> tuple[str, str]:
        """The places between which the payments are, both excluded, as far as places can tell."""
        least, below = self.created.least, self.created.below
        if self.paid.least is not None:
            least = max(least or 0, self.paid.least - PAID_WITHIN)
        if self.paid.below is not None:
            below = self.paid.below if below is None else min(below, self.paid.below)
        first = "" if least is None else place_at(max(0, least))
        last = FIRST_PLACE if below is None else place_at(max(0, below))
        after = self.after
        if after is not None and "_" in after:
            after = place_of(after)
        if self.oldest_first:
            return (first if after is None else max(first, after)), last
        return first, (last if after is None else min(last, after))

    def behind(self, place: str, limit: int | None = None) -> "PaymentFilter":
        """The same filter behind a place."""
        return replace(self, after=place, limit=limit or self.limit)


_EQUAL: Final = ("storefront", "mode", "order_id", "terminal_id", "gateway", "bank_code")


def _equals(name: str, value: object) -> Callable[[Any], bool]:
    return lambda payment: getattr(payment, name) == value


def _within(span: Bounds, name: str) -> Callable[[Any], bool]:
    return lambda payment: span.holds(getattr(payment, name))


class PaymentLine(NamedTuple):
    """The columns of a payment that lists, sums and exports need, as they are stored; the last two are JSON."""

    id: str
    merchant_id: str
    storefront: str
    mode: str
    status: str
    order_id: str
    terminal_id: str
    gateway: str
    protocol: str | None
    amount_rials: int
    captured_rials: int | None
    bank_code: str | None
    invoice_key: str | None
    late: int
    created_at: int
    updated_at: int
    paid_at: int | None
    receipt: str | None
    given_back: str | None

    @property
    def is_reversed(self) -> bool:
        """Whether it is paid and its money went back because the shop asked for it."""
        if self.status != Status.PAID or self.given_back is None:
            return False
        told = orjson.loads(self.given_back)
        return bool(told["reason"] == GivenBackReason.MERCHANT_REVERSED and told["at"] is not None)


@dataclass(frozen=True, slots=True)
class PaymentPage:
    """A page of payments, and the place of the last one that was read; None when there is nothing behind it.

    It may have fewer payments than its limit although there are more.
    """

    payments: Sequence[Payment]
    reached: str | None


@dataclass(frozen=True, slots=True)
class LinePage:
    """The accepted ones of `looked` payments that were read, and the place that was reached; None at the end."""

    lines: Sequence[PaymentLine]
    reached: str | None
    looked: int


@dataclass(frozen=True, slots=True)
class UnsettledPage:
    """A stretch of the walk over all payments that may still turn out paid.

    `reached` is the place of the next stretch, the id of a payment or of a merchant; None when the walk is over.
    `payments` may be empty and the walk not over.
    """

    payments: Sequence[Payment]
    reached: str | None


PLACE_CHARS: Final = 18
FIRST_PLACE: Final = "~"
"""Sorts after every place: the page before the first one."""


class Number(StrEnum):
    """The kinds of numbers by which a payment is found."""

    ID = "id"
    BANK_CODE = "bank_code"
    INVOICE_KEY = "invoice_key"
    ORDER_ID = "order_id"
    TRACE_NUMBER = "trace_number"
    CARD = "card"
    """The last four digits of a masked card."""


@dataclass(frozen=True, slots=True)
class MatchingIds:
    """Payments' ids from a stretch of merchants; `reached` is the place of the next stretch, None when there is none
    behind it.
    """

    ids: Sequence[str]
    reached: str | None


@dataclass(frozen=True, slots=True)
class DaySum:
    """How many payments of a status and mode began in one part of a day, and their amount. `is_reversed` are paid ones
    whose money went back because the shop asked for it.
    """

    status: Status
    mode: Mode
    part: int
    is_reversed: bool
    count: int
    amount_rials: int


@dataclass(frozen=True, slots=True)
class DayStretch:
    """The sums of a stretch of a merchant's payments; `reached` is the id behind which the next one begins, None at the
    end.
    """

    sums: Sequence[DaySum]
    reached: str | None


def place_of(payment_id: str) -> str:
    """A payment's place by time among all merchants' payments: its id without the merchant's key."""
    return payment_id[-PLACE_CHARS:]


_PLACE: Final = re.compile(r"[0-9A-Za-z]{17,18}~?")


def is_place(text: str) -> bool:
    """Whether a text can be a place that a page said."""
    return _PLACE.fullmatch(text) is not None


def time_of_place(place: str) -> int:
    """The millisecond of a place."""
    return number_of(place[:8])


def place_at(at: int) -> str:
    """The place before everything of that millisecond."""
    return base62(at, 8)


def id_at(merchant_id: str, place: str) -> str:
    """A merchant's id at a place."""
    return f"{PAYMENT}_{merchant_key(merchant_id)}{place}"
