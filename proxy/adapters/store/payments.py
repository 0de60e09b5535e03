"""Payments, their watches and their timelines: the Payments port."""

from typing import Final

from proxy.adapters.store.creates import create_all, issue_all, issues
from proxy.adapters.store.notes import note_all
from proxy.adapters.store.parts import LIST_LIMIT, StoreParts
from proxy.adapters.store.payment_rows import (
    PAYMENT_COLUMNS,
    entry_of,
    payment_of,
    stored_of,
    watch_of,
)
from proxy.adapters.store.steps import Shared
from proxy.adapters.store.transaction import Row, Transaction
from proxy.adapters.store.transition import write_change
from proxy.adapters.store.unsettled import read_unsettled
from proxy.errors import LeaseLost, NotFound
from proxy.merchant import Mode
from proxy.payment import Payment
from proxy.ports import Decide
from proxy.records import Begun, Change, Entry, Intent, Lease, PaymentFilter, Stored, Unsettled
from proxy.watch import Watch

# Sorts after every id: the page before the first one.
_AFTER_ALL_IDS: Final = "~"
_NOTHING: Final = Begun((), waiting=False)


class StorePayments(StoreParts):
    async def create_payment(self, payment: Payment, intent: Intent, watch: Watch) -> Stored:
        stored: Stored = await self._write.do(Shared(create_all, (payment, intent, watch)))
        return stored

    async def stored(self, merchant_id: str, storefront: str, mode: Mode, key: str) -> Stored | None:
        row = await self._row("stored_by_key", (merchant_id, storefront, mode.value, key))
        return None if row is None else stored_of(row)

    async def lease_request(self, payment: Payment, now: int, lease_until: int) -> Stored:
        return await self._write.do(lambda transaction: _lease_request(transaction, payment, now, lease_until))

    async def transition(self, change: Change, lease: Lease | None = None) -> Begun:
        if issues(change):
            await self._write.do(Shared(issue_all, change))
            return _NOTHING
        return await self._write.do(
            lambda transaction: write_change(transaction, change, lease), change.after.merchant_id
        )

    async def payment(self, merchant_id: str, payment_id: str) -> Payment:
        return await self._one_payment("payment_by_id", (merchant_id, payment_id))

    async def payment_by_link(self, merchant_id: str, link: str) -> Payment:
        return await self._one_payment("payment_by_link", (merchant_id, link))

    async def note(self, merchant_id: str, link: str, decide: Decide) -> tuple[Payment, Watch | None]:
        noted: tuple[Payment, Watch | None] = await self._write.do(
            Shared(note_all, (merchant_id, link, decide)), merchant_id
        )
        return noted

    async def list_payments(self, merchant_id: str, wanted: PaymentFilter) -> list[Payment]:
        return [payment_of(row) for row in await self._rows(*_list_query(merchant_id, wanted))]

    async def watch(self, merchant_id: str, payment_id: str) -> Watch | None:
        row = await self._row("watch", (merchant_id, payment_id))
        return None if row is None else watch_of(row)

    async def claim_watches(self, now: int, lease_until: int, limit: int) -> list[tuple[Payment, Watch]]:
        return await self._write.do(lambda transaction: _claim_watches(transaction, now, lease_until, limit))

    async def next_watch_at(self) -> int | None:
        [row] = await self._rows("next_watch_at")
        due_at: int | None = row[0]
        return due_at

    async def timeline(self, merchant_id: str, payment_id: str, limit: int = LIST_LIMIT) -> list[Entry]:
        return [entry_of(row) for row in reversed(await self._rows("timeline", (merchant_id, payment_id, limit)))]

    async def unsettled_since(self, since: int, after: str | None, limit: int) -> Unsettled:
        return await self._read.do(lambda transaction: read_unsettled(transaction, since, after, limit))

    async def _one_payment(self, query: str, key: Row) -> Payment:
        row = await self._row(query, key)
        if row is None:
            raise NotFound("payment")
        return payment_of(row)


async def _lease_request(transaction: Transaction, payment: Payment, now: int, lease_until: int) -> Stored:
    key = (payment.merchant_id, payment.id)
    if await transaction.run("lease_request", (*key, now, lease_until)) == 0:
        raise LeaseLost
    [row] = await transaction.rows("stored_by_id", key)
    return stored_of(row)


def _list_query(merchant_id: str, wanted: PaymentFilter) -> tuple[str, Row]:
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
        return "list_payments_of_order", parameters
    if status is not None:
        return "list_payments_with_status", parameters[:6]
    if wanted.storefront is not None:
        return "list_payments_of_storefront", parameters[:5]
    return "list_payments", parameters[:4]


async def _claim_watches(
    transaction: Transaction, now: int, lease_until: int, limit: int
) -> list[tuple[Payment, Watch]]:
    claimed = []
    for row in await transaction.rows("due_watches", (now, limit)):
        payment = payment_of(row)
        soon, version = row[PAYMENT_COLUMNS:]
        watch = Watch(payment.merchant_id, payment.id, payment.terminal_id, lease_until, soon, version + 1)
        claimed.append((payment, watch))
    leases = [(watch.merchant_id, watch.payment_id, lease_until) for _, watch in claimed]
    await transaction.run_all("lease_watch", leases)
    return claimed
