"""Payments, their schedules and their timelines: the Payments port."""

from typing import Final

from proxy.database.repository import LIST_LIMIT
from proxy.database.transaction import Row, SharedStep, Transaction
from proxy.kernel.background import FairShares
from proxy.kernel.errors import LeaseLost, NotFound
from proxy.merchants.merchant import Mode
from proxy.payments.change import Change, Decide, Entry, Intent, StoredCreation
from proxy.payments.check_schedule import CheckSchedule, DueChecks
from proxy.payments.payment import Payment
from proxy.payments.search import UnsettledPage
from proxy.payments.storage.lists import PaymentSearch, read_unsettled
from proxy.payments.storage.rows import (
    entry_of,
    entry_row,
    payment_of,
    schedule_of,
    stored_of,
)
from proxy.payments.storage.writes import (
    claim_due_checks,
    create_all,
    issue_all,
    issues,
    note_all,
    whole_create,
    whole_issue,
    write_change,
)
from proxy.webhooks.delivery import EventClaims, Lease

_NOTHING: Final = EventClaims((), waiting=False)


class PaymentRepository(PaymentSearch):
    async def create_payment(self, payment: Payment, intent: Intent, schedule: CheckSchedule) -> StoredCreation:
        """Stores the payment with its intent and schedule; or gives the stored creation of the same key.

        Raises OrderAlreadyPaid when another payment of (merchant, storefront, mode, order_id) is paid. The key is
        looked at first, so a replay of the paid one is still a replay.
        """
        stored: StoredCreation = await self._write.do(SharedStep(create_all, (payment, intent, schedule), whole_create))
        return stored

    async def stored(self, merchant_id: str, storefront: str, mode: Mode, key: str) -> StoredCreation | None:
        """The storefront's payment under this Idempotency-Key in this mode, if there is one."""
        row = await self._row("stored_by_key", (merchant_id, storefront, mode.value, key))
        return None if row is None else stored_of(row)

    async def lease_request(self, payment: Payment, now: int, lease_until: int) -> StoredCreation:
        """Takes over a create without a reply after its lease has ended (or was released); gives it as stored now.

        Raises LeaseLost when another request has it.
        """
        return await self._write.do(lambda transaction: _lease_request(transaction, payment, now, lease_until))

    async def transition(self, change: Change, lease: Lease | None = None) -> EventClaims:
        """Writes the change with its events, and a delivery per endpoint that wants each event; with `lease` it claims
        those of them that may start at once, as `claim_deliveries` would.

        Where `before` and `after` are the same version, the stored version is not compared.

        Raises StaleVersion when `before` is not the stored version any more; InvoiceKeyTaken, BankCodeTaken or
        OrderPaidByAnother when `after` claims a value of another payment of the merchant. A payment that becomes paid
        claims its bank_code and its order; one that needs review claims nothing that is another's.
        """
        if issues(change):
            await self._write.do(SharedStep(issue_all, change, whole_issue))
            return _NOTHING
        return await self._write.do(
            lambda transaction: write_change(transaction, change, lease), change.after.merchant_id
        )

    async def payment(self, merchant_id: str, payment_id: str) -> Payment:
        """Raises NotFound."""
        return await self._one_payment("payment_by_id", (merchant_id, payment_id))

    async def payment_by_link(self, merchant_id: str, link: str) -> Payment:
        """Raises NotFound."""
        return await self._one_payment("payment_by_link", (merchant_id, link))

    async def payment_by_number(self, number: int) -> Payment:
        """The payment that this number names to its shop, whose merchant it does not tell. Raises NotFound."""
        return await self._one_payment("payment_by_number", (number,))

    async def verify_once(self, payment: Payment, entry: Entry) -> bool:
        """Whether this verify by the shop of a paid payment is the first; it is noted then, with the entry."""

        async def step(transaction: Transaction) -> bool:
            first = await transaction.run("first_verify", (payment.merchant_id, payment.id, entry.at)) == 1
            if first:
                await transaction.run("add_entry", entry_row(payment, entry))
            return first

        return await self._write.do(step, payment.merchant_id)

    async def is_verified(self, payment: Payment) -> bool:
        """Whether the shop has verified it."""
        row = await self._row("verified_at", (payment.merchant_id, payment.id))
        return row is not None and row[0] is not None

    async def unverified(
        self, merchant_id: str, storefront: str, mode: Mode, protocol: str, limit: int
    ) -> list[Payment]:
        """A storefront's newest payments that are paid and that it never verified."""
        rows = await self._rows("unverified", (merchant_id, storefront, mode.value, protocol, limit))
        return [payment_of(row) for row in rows]

    async def note(self, merchant_id: str, link: str, decide: Decide) -> tuple[Payment, CheckSchedule | None]:
        """Writes the decision of `decide` about a link's payment and its schedule as both are now: nothing, or a change
        of the timeline and the schedule alone. Gives the payment, and the schedule of that change. Raises NotFound.
        """
        noted: tuple[Payment, CheckSchedule | None] = await self._write.do(
            SharedStep(note_all, (merchant_id, link, decide)), merchant_id
        )
        return noted

    async def order_paid_by(self, merchant_id: str, storefront: str, mode: Mode, order_id: str) -> str | None:
        """The payment by which an order is paid, None while it is not."""
        rows = await self._rows("order_owner", (merchant_id, storefront, mode.value, order_id))
        return rows[0][0] if rows else None

    async def check_schedule(self, merchant_id: str, payment_id: str) -> CheckSchedule | None:
        row = await self._row("watch", (merchant_id, payment_id))
        return None if row is None else schedule_of(row)

    async def claim_due_checks(
        self, now: int, lease_until: int, limit: int, shares: FairShares | None = None, since: int = 0
    ) -> DueChecks:
        """Up to `limit` schedules that are due, oldest first, each moved to `lease_until` with its version raised and
        given with the due time that it had.

        They are chosen of a bounded number of those that are due at `since` or later. With `shares`, the process's
        places, no merchant gets more than it may take of them, and the one that holds the fewest comes first.
        """
        before = shares.copy() if shares is not None else FairShares.unlimited()

        async def step(transaction: Transaction) -> DueChecks:
            return await claim_due_checks(transaction, now, lease_until, limit, before.copy(), since)

        return await self._write.do(step)

    async def next_check_at(self) -> int | None:
        """When the earliest schedule is due."""
        [row] = await self._rows("next_check_at")
        due_at: int | None = row[0]
        return due_at

    async def timeline(self, merchant_id: str, payment_id: str, limit: int = LIST_LIMIT) -> list[Entry]:
        """The newest `limit` entries, oldest first."""
        return [entry_of(row) for row in reversed(await self._rows("timeline", (merchant_id, payment_id, limit)))]

    async def lines_with_fields(self, merchant_id: str, limit: int) -> list[tuple[str, Entry]]:
        """The entries that keep `fields` among the newest `limit` of the merchant's timelines, each with the terminal
        of its payment; in no order.
        """
        return [(row[0], entry_of(row[1:])) for row in await self._rows("lines_with_fields", (merchant_id, limit))]

    async def unsettled_since(self, since: int, after: str | None, limit: int) -> UnsettledPage:
        """Up to `limit` payments of all merchants that were created at or after `since` and are pending, canceled,
        expired or failed: merchants in id order, and each one's payments in the order of their creation.

        `after` is the `reached` of the stretch before. One call looks at a bounded number of merchants.
        """
        return await self._read.do(lambda transaction: read_unsettled(transaction, since, after, limit))

    async def trace_of_payment(self, merchant_id: str, payment_id: str) -> str | None:
        """The traceparent with which the payment was created, if there was one."""
        row = await self._row("trace_of_payment", (merchant_id, payment_id))
        return None if row is None else row[0]

    async def trace_of_link(self, merchant_id: str, link: str) -> str | None:
        """The same of the payment of a pay or return link."""
        row = await self._row("trace_of_link", (merchant_id, link))
        return None if row is None else row[0]

    async def _one_payment(self, query: str, key: Row) -> Payment:
        row = await self._row(query, key)
        if row is None:
            raise NotFound("payment")
        return payment_of(row)


async def _lease_request(transaction: Transaction, payment: Payment, now: int, lease_until: int) -> StoredCreation:
    key = (payment.merchant_id, payment.id)
    if await transaction.run("lease_request", (*key, now, lease_until)) == 0:
        raise LeaseLost
    [row] = await transaction.rows("stored_by_id", key)
    return stored_of(row)
