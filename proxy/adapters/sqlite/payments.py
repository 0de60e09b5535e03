"""Payments, their watches and their timelines: the Payments port on SQLite."""

import sqlite3
from collections.abc import Callable
from typing import Final

from proxy.adapters.sqlite.creates import create_all, issue_all, issues
from proxy.adapters.sqlite.lanes import LIST_LIMIT, SQL, Lanes
from proxy.adapters.sqlite.transition import write_change
from proxy.adapters.sqlite.unsettled import read_unsettled
from proxy.adapters.store.payment_rows import (
    PAYMENT_COLUMNS,
    entry_of,
    payment_of,
    stored_of,
    watch_of,
)
from proxy.adapters.store.steps import Shared
from proxy.errors import LeaseLost, NotFound
from proxy.merchant import Mode
from proxy.payment import Payment
from proxy.records import Change, Entry, Intent, PaymentFilter, Stored, Unsettled
from proxy.watch import Watch

# Sorts after every id: the page before the first one.
_AFTER_ALL_IDS: Final = "~"


class SqlitePayments(Lanes):
    async def create_payment(self, payment: Payment, intent: Intent, watch: Watch) -> Stored:
        return await self._write.do(Shared(create_all, (payment, intent, watch)))  # type: ignore[arg-type]  # still a closure

    async def stored(self, merchant_id: str, storefront: str, mode: Mode, key: str) -> Stored | None:
        intent_key = (merchant_id, storefront, mode.value, key)
        row = await self._read.do(lambda connection: connection.execute(SQL["stored_by_key"], intent_key).fetchone())
        return None if row is None else stored_of(row)

    async def lease_request(self, payment: Payment, now: int, lease_until: int) -> Stored:
        return await self._write.do(lambda connection: _lease_request(connection, payment, now, lease_until))

    async def transition(self, change: Change) -> None:
        if issues(change):
            await self._write.do(Shared(issue_all, change))  # type: ignore[arg-type]  # still a closure
        else:
            await self._write.do(lambda connection: write_change(connection, change))

    async def payment(self, merchant_id: str, payment_id: str) -> Payment:
        return await self._read.do(_one_payment("payment_by_id", merchant_id, payment_id))

    async def payment_by_link(self, merchant_id: str, link: str) -> Payment:
        return await self._read.do(_one_payment("payment_by_link", merchant_id, link))

    async def list_payments(self, merchant_id: str, wanted: PaymentFilter) -> list[Payment]:
        query, parameters = _list_query(merchant_id, wanted)
        return await self._read.do(
            lambda connection: [payment_of(row) for row in connection.execute(query, parameters)]
        )

    async def watch(self, merchant_id: str, payment_id: str) -> Watch | None:
        key = (merchant_id, payment_id)
        row = await self._read.do(lambda connection: connection.execute(SQL["watch"], key).fetchone())
        return None if row is None else watch_of(row)

    async def claim_watches(self, now: int, lease_until: int, limit: int) -> list[tuple[Payment, Watch]]:
        return await self._write.do(lambda connection: _claim_watches(connection, now, lease_until, limit))

    async def next_watch_at(self) -> int | None:
        due_at: int | None = await self._read.do(
            lambda connection: connection.execute(SQL["next_watch_at"]).fetchone()[0]
        )
        return due_at

    async def timeline(self, merchant_id: str, payment_id: str, limit: int = LIST_LIMIT) -> list[Entry]:
        return [entry_of(row) for row in reversed(await self._rows("timeline", (merchant_id, payment_id, limit)))]

    async def unsettled_since(self, since: int, after: str | None, limit: int) -> Unsettled:
        return await self._read.do(lambda connection: read_unsettled(connection, since, after, limit))


def _lease_request(connection: sqlite3.Connection, payment: Payment, now: int, lease_until: int) -> Stored:
    key = (payment.merchant_id, payment.id)
    if connection.execute(SQL["lease_request"], (*key, now, lease_until)).rowcount == 0:
        raise LeaseLost
    return stored_of(connection.execute(SQL["stored_by_id"], key).fetchone())


def _one_payment(query: str, merchant_id: str, key: str) -> Callable[[sqlite3.Connection], Payment]:
    def step(connection: sqlite3.Connection) -> Payment:
        row = connection.execute(SQL[query], (merchant_id, key)).fetchone()
        if row is None:
            raise NotFound("payment")
        return payment_of(row)

    return step


def _list_query(merchant_id: str, wanted: PaymentFilter) -> tuple[str, tuple[object, ...]]:
    """The query whose index narrows most; each takes as many of the parameters as it names."""
    status = None if wanted.status is None else wanted.status.value
    parameters = (
        merchant_id,
        wanted.after or _AFTER_ALL_IDS,
        wanted.limit,
        None if wanted.mode is None else wanted.mode.value,
        wanted.storefront,
        status,
        wanted.order_id,
    )
    if wanted.order_id is not None:
        return SQL["list_payments_of_order"], parameters
    if status is not None:
        return SQL["list_payments_with_status"], parameters[:6]
    if wanted.storefront is not None:
        return SQL["list_payments_of_storefront"], parameters[:5]
    return SQL["list_payments"], parameters[:4]


def _claim_watches(
    connection: sqlite3.Connection, now: int, lease_until: int, limit: int
) -> list[tuple[Payment, Watch]]:
    claimed = []
    for row in connection.execute(SQL["due_watches"], (now, limit)).fetchall():
        payment = payment_of(row)
        soon, version = row[PAYMENT_COLUMNS:]
        watch = Watch(payment.merchant_id, payment.id, payment.terminal_id, lease_until, soon, version + 1)
        claimed.append((payment, watch))
    leases = [(watch.merchant_id, watch.payment_id, lease_until) for _, watch in claimed]
    connection.executemany(SQL["lease_watch"], leases)
    return claimed
