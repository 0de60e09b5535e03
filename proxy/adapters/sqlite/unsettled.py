"""The walk over all merchants' payments that may still turn out paid, one bounded stretch at a time."""

import sqlite3
from typing import Final

from proxy.adapters.sqlite.lanes import SQL
from proxy.adapters.store.payment_rows import payment_of
from proxy.ids import PAYMENT, base62, merchant_key, merchant_of_id
from proxy.payment import Payment
from proxy.records import Unsettled

# Reads and writes take turns on one connection: a merchant without such payments costs some ten microseconds.
MERCHANTS_AT_ONCE: Final = 200


def read_unsettled(connection: sqlite3.Connection, since: int, after: str | None, limit: int) -> Unsettled:
    """The step behind Store.unsettled_since."""
    found: list[Payment] = []
    merchants, resumed, more = merchants_from(connection, after)
    for merchant_id in merchants:
        # An id holds the time of its creation behind the merchant's key, so a time is a place among the ids.
        point = max(f"{PAYMENT}_{merchant_key(merchant_id)}{base62(since, 8)}", resumed)
        rows = connection.execute(SQL["unsettled_after"], (merchant_id, point, limit - len(found)))
        found += [payment_of(row) for row in rows]
        resumed = ""
        if len(found) == limit:
            return Unsettled(found, found[-1].id)
    return Unsettled(found, merchants[-1] if more else None)


def merchants_from(connection: sqlite3.Connection, after: str | None) -> tuple[list[str], str, bool]:
    """The next merchants of a walk, the record of the first one after which to go on, and whether there may be more.

    `after` is where the stretch before ended: a record's id, or a merchant's.
    """
    current = None if after is None else merchant_of_id(after)
    rows = connection.execute(SQL["list_merchants"], (current or after or "", MERCHANTS_AT_ONCE)).fetchall()
    following = [row[0] for row in rows]
    more = len(following) == MERCHANTS_AT_ONCE
    return (following, "", more) if current is None else ([current, *following], after or "", more)
