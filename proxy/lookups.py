"""What the console looks for over all merchants: the newest payments, one by a number of its, and a day's sums.

No index by time or by number spans the merchants, as every create would pay for it. What spans them here is a walk in
stretches: each is one step that reads a bounded number of places in the merchants' own indexes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from proxy.ids import PAYMENT, base62, merchant_key
from proxy.merchant import Mode
from proxy.payment import Payment, Status

PLACE_CHARS: Final = 18
FIRST_PLACE: Final = "~"
"""Sorts after every place: the page before the first one."""


class Number(StrEnum):
    """By what a payment is found."""

    BANK_CODE = "bank_code"
    INVOICE_KEY = "invoice_key"
    ORDER_ID = "order_id"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which payments, newest first: before the `before` and from the `since`, which are places."""

    status: Status | None = None
    before: str = FIRST_PLACE
    since: str = ""
    limit: int = 20


@dataclass(frozen=True, slots=True)
class Stretch:
    """Payments' ids from a stretch of merchants; `reached` is where it goes on, None when there is none behind it."""

    ids: Sequence[str]
    reached: str | None


@dataclass(frozen=True, slots=True)
class DayRow:
    """What a day's sums need of a payment."""

    id: str
    status: Status
    mode: Mode
    amount_rials: int
    created_at: int


class Lookups(Protocol):
    """The store's part in it."""

    async def newest_ids(self, merchant_id: str | None, after: str | None, wanted: Wanted, merchants: int) -> Stretch:
        """The newest of the next `merchants` merchants after an id, or of one; newest first, `wanted.limit` at most."""

    async def payments_of_ids(self, ids: Sequence[str]) -> list[Payment]:
        """Those that there are, in the order given; at most 1000."""

    async def find_ids(
        self, merchant_id: str | None, after: str | None, number: Number, text: str, merchants: int
    ) -> Stretch:
        """The payments with this number of the next merchants after an id, or of one; at most 50 of a stretch."""

    async def ids_of_amount(
        self, merchant_id: str | None, after: str | None, amount: int, rows: int, merchants: int
    ) -> Stretch:
        """Of the newest `rows` payments of each of the next merchants, or of one, those of so many rials or toman."""

    async def day_rows(self, merchant_id: str, after: str, limit: int) -> list[DayRow]:
        """A merchant's payments after an id, in id order."""


def place_of(payment_id: str) -> str:
    """Where a payment stands among all merchants' by time: its id without whose it is."""
    return payment_id[-PLACE_CHARS:]


def place_at(at: int) -> str:
    """The place before everything of that millisecond."""
    return base62(at, 8)


def id_at(merchant_id: str, place: str) -> str:
    """A merchant's id at a place."""
    return f"{PAYMENT}_{merchant_key(merchant_id)}{place}"
