"""The walk over all merchants' payments that may still turn out paid, one bounded stretch at a time."""

from typing import Final

from proxy.adapters.store.payment_rows import payment_of
from proxy.adapters.store.transaction import Transaction
from proxy.ids import PAYMENT, base62, merchant_key, merchant_of_id
from proxy.payment import Payment
from proxy.records import Unsettled

# Reads and writes take turns on one connection: a merchant without such payments costs some ten microseconds.
MERCHANTS_AT_ONCE: Final = 200


async def read_unsettled(transaction: Transaction, since: int, after: str | None, limit: int) -> Unsettled:
    """The step behind Store.unsettled_since."""
    found: list[Payment] = []
    merchants, resumed, more = await merchants_from(transaction, after)
    for merchant_id in merchants:
        # An id holds the time of its creation behind the merchant's key, so a time is a place among the ids.
        point = max(f"{PAYMENT}_{merchant_key(merchant_id)}{base62(since, 8)}", resumed)
        rows = await transaction.rows("unsettled_after", (merchant_id, point, limit - len(found)))
        found += [payment_of(row) for row in rows]
        resumed = ""
        if len(found) == limit:
            return Unsettled(found, found[-1].id)
    return Unsettled(found, merchants[-1] if more else None)


async def merchants_from(transaction: Transaction, after: str | None) -> tuple[list[str], str, bool]:
    """The next merchants of a walk, the record of the first one after which to go on, and whether there may be more.

    `after` is where the stretch before ended: a record's id, or a merchant's.
    """
    current = None if after is None else merchant_of_id(after)
    rows = await transaction.rows("list_merchants", (current or after or "", MERCHANTS_AT_ONCE))
    following = [row[0] for row in rows]
    more = len(following) == MERCHANTS_AT_ONCE
    return (following, "", more) if current is None else ([current, *following], after or "", more)
