"""The two steps of a create, each done for all the creates that wait: the intent, and the invoice that it came to.

A statement for many rows costs two thirds of as many statements.
"""

from collections.abc import Sequence

from proxy.database.transaction import Outcome, Transaction
from proxy.kernel.errors import OrderAlreadyPaid, StaleVersion
from proxy.payments.check_schedule import CheckSchedule
from proxy.payments.payment import Payment, Status
from proxy.payments.records import Change, Intent, InvoiceKeyTaken, StoredCreation
from proxy.payments.storage.rows import (
    changed_payment_row,
    entry_row,
    new_payment_row,
    schedule_row,
    stored_of,
)
from proxy.payments.storage.transition import write_schedules

Create = tuple[Payment, Intent, CheckSchedule]


class StaleBatch(Exception):
    """At least one of several is stale, and which one is unknown: the batch is undone, and each runs alone."""


async def create_all(transaction: Transaction, creates: Sequence[Create]) -> list[Outcome]:
    """The step behind Store.create_payment, with its conflict."""
    rows = [new_payment_row(payment, intent) for payment, intent, _ in creates]
    if await transaction.run_all("insert_payment", rows) == len(rows):
        outcomes = [Outcome(StoredCreation(payment, intent, None, fresh=True)) for payment, intent, _ in creates]
    else:
        outcomes = [await _create_one(transaction, payment, intent) for payment, intent, _ in creates]
    fresh = [
        schedule_row(schedule)
        for (_, _, schedule), outcome in zip(creates, outcomes, strict=True)
        if outcome.error is None and outcome.value.fresh
    ]
    await transaction.run_all("insert_watch", fresh)
    return outcomes


async def _create_one(transaction: Transaction, payment: Payment, intent: Intent) -> Outcome:
    """The result of one create in a batch with a conflict: its key was known, or else its order is paid."""
    scope = (payment.merchant_id, payment.storefront, payment.mode.value)
    row = await transaction.row("stored_by_key", (*scope, intent.key))
    if row is None:
        [(owner,)] = await transaction.rows("order_owner", (*scope, payment.order_id))
        return Outcome(error=OrderAlreadyPaid(owner))
    stored = stored_of(row)
    if stored.payment.id != payment.id:
        return Outcome(stored)
    return Outcome(StoredCreation(payment, intent, None, fresh=True))


def issues(change: Change) -> bool:
    """Whether the change is an invoice for a payment that waited for one, and nothing else."""
    return (
        change.before.status is Status.CREATED
        and change.after.status is Status.PENDING
        and not change.events
        and change.audit is None
    )


async def issue_all(transaction: Transaction, changes: Sequence[Change]) -> list[Outcome]:
    """The step behind Store.transition for changes that `issues` says yes to.

    A stale one leaves its claim on the invoice, which is its payment's all the same: decided again, it claims it again.
    """
    claims = [(*_invoice(change), change.after.id) for change in changes]
    if await transaction.run_all("claim_invoice_key", claims) == len(claims):
        outcomes = await _update_all(transaction, changes)
    else:
        outcomes = [await _issue(transaction, change) for change in changes]
    done = [change for change, outcome in zip(changes, outcomes, strict=True) if outcome.error is None]
    entries = [entry_row(change.after, entry) for change in done for entry in change.entries]
    await transaction.run_all("add_entry", entries)
    await write_schedules(transaction, done)
    return outcomes


async def _update_all(transaction: Transaction, changes: Sequence[Change]) -> list[Outcome]:
    rows = [changed_payment_row(change) for change in changes]
    if await transaction.run_all("update_payment", rows) == len(rows):
        return [Outcome()] * len(rows)
    if len(rows) == 1:
        return [Outcome(error=StaleVersion())]
    raise StaleBatch


async def _issue(transaction: Transaction, change: Change) -> Outcome:
    [(owner,)] = await transaction.rows("invoice_key_owner", _invoice(change))
    if owner != change.after.id:
        return Outcome(error=InvoiceKeyTaken())
    if await transaction.run("update_payment", changed_payment_row(change)) == 0:
        return Outcome(error=StaleVersion())
    return Outcome()


def _invoice(change: Change) -> tuple[str, str, str | None]:
    return (change.after.merchant_id, change.after.terminal_id, change.after.invoice_key)
