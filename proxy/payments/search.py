"""Lists of payments: a merchant's own by a filter, and the console's search over all merchants.

The search finds the newest payments, a payment by a number, and a day's sums. No index by time or by number spans the
merchants, because every create would pay for it. A walk spans them in stretches: each is one step that reads a bounded
number of places in the merchants' own indexes.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import PAYMENT, base62, merchant_key
from proxy.merchants.merchant import Mode
from proxy.payments.payment import Payment, Status


@dataclass(frozen=True, slots=True)
class PaymentFilter:
    """A filter of payments, newest first; `after` is the id of the last one of the page before."""

    storefront: str | None = None
    order_id: str | None = None
    status: Status | None = None
    after: str | None = None
    limit: int = 20
    mode: Mode | None = None

    def accepts(self, payment: Payment) -> bool:
        """Whether the filter accepts the payment, at any place of the list."""
        return (
            self.storefront in {None, payment.storefront}
            and self.mode in {None, payment.mode}
            and self.status in {None, payment.status}
            and self.order_id in {None, payment.order_id}
        )


@dataclass(frozen=True, slots=True)
class PaymentPage:
    """A page of payments, and the id of the last one that was read; None when there is nothing behind it.

    It may have fewer payments than its limit although there are more.
    """

    payments: Sequence[Payment]
    reached: str | None


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

    BANK_CODE = "bank_code"
    INVOICE_KEY = "invoice_key"
    ORDER_ID = "order_id"


@dataclass(frozen=True, slots=True)
class SearchCriteria:
    """The wanted payments, newest first, between the places `since` and `before`."""

    status: Status | None = None
    before: str = FIRST_PLACE
    since: str = ""
    limit: int = 20


@dataclass(frozen=True, slots=True)
class MatchingIds:
    """Payments' ids from a stretch of merchants; `reached` is the place of the next stretch, None when there is none
    behind it.
    """

    ids: Sequence[str]
    reached: str | None


@dataclass(frozen=True, slots=True)
class DayRow:
    """The columns of a payment that a day's sums need."""

    id: str
    status: Status
    mode: Mode
    amount_rials: int
    created_at: int


def place_of(payment_id: str) -> str:
    """A payment's place by time among all merchants' payments: its id without the merchant's key."""
    return payment_id[-PLACE_CHARS:]


def place_at(at: int) -> str:
    """The place before everything of that millisecond."""
    return base62(at, 8)


def id_at(merchant_id: str, place: str) -> str:
    """A merchant's id at a place."""
    return f"{PAYMENT}_{merchant_key(merchant_id)}{place}"
