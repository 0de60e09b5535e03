"""What is written of a payment: a change as a whole, and the two steps of a create, done for all creates that wait.

A change is the row, its claims, its events with their deliveries, and its schedule. In a create the steps are the
intent, and the invoice that it came to: a statement for many rows costs two thirds of as many statements.
"""

from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Final

import orjson

from proxy.audit.log import write_audit
from proxy.database.transaction import Outcome, Row, Transaction, WholeStep
from proxy.gateways.port import Captured, InvoiceIssued
from proxy.kernel.background import FairShares, in_turn
from proxy.kernel.errors import NotFound, OrderAlreadyPaid, StaleVersion
from proxy.payments.change import (
    BankCodeTaken,
    Change,
    Decide,
    Intent,
    InvoiceKeyTaken,
    OrderBeingConfirmed,
    OrderPaidByAnother,
    StoredCreation,
)
from proxy.payments.check_schedule import CheckSchedule, DueChecks
from proxy.payments.payment import UNPAID, GatewayStep, Payment, Status
from proxy.payments.storage.rows import (
    changed_payment_row,
    columns_behind,
    entry_row,
    issued_payment_row,
    new_payment_row,
    payment_of,
    reply_columns,
    schedule_row,
    stored_of,
)
from proxy.webhooks.delivery import EventClaims, Lease
from proxy.webhooks.event import Event
from proxy.webhooks.storage.events import _write_event


async def write_change(transaction: Transaction, change: Change, lease: Lease | None = None) -> EventClaims:
    """The step behind Store.transition, with its conflicts."""
    if change.after.version == change.before.version:
        await _answer_request(transaction, change)
    else:
        await _update_payment(transaction, change)
    events = [await _with_order(transaction, change.after, event) for event in change.events]
    written = [await _write_event(transaction, event, change.after.version, None, lease) for event in events]
    await transaction.run_all("add_entry", [entry_row(change.after, entry) for entry in change.entries])
    if change.audit is not None:
        await write_audit(transaction, change.audit)
    await write_schedules(transaction, (change,))
    return EventClaims(
        [claim for _, each in written for claim in each.claims], any(each.waiting for _, each in written)
    )


async def _with_order(transaction: Transaction, payment: Payment, event: Event) -> Event:
    """A payment that ends unpaid names the payment that paid its order, as of the step that ends it."""
    if event.type not in UNPAID:
        return event
    rows = await transaction.rows("order_owner", _order(payment))
    return replace(event, data={**event.data, "order_paid_by": rows[0][0] if rows else None})


async def _answer_request(transaction: Transaction, change: Change) -> None:
    """The lease and the reply belong to the request that asked the gateway, even if the payment has changed since."""
    if change.release or change.reply is not None:
        key = (change.before.merchant_id, change.before.id)
        await transaction.run("answer_request", (*key, int(change.release), *reply_columns(change.reply)))


async def _update_payment(transaction: Transaction, change: Change) -> None:
    if await transaction.run("update_payment", changed_payment_row(change)) == 0:
        raise StaleVersion
    before, after = change.before, change.after
    known = before.invoice_keys()
    for invoice_key in after.invoice_keys():
        if invoice_key not in known:
            await _claim_invoice_key(transaction, after, invoice_key)
    if after.intent is not before.intent:
        await _claim_confirm(transaction, before, after)
        reverses = after.intent is not None and after.intent.step is GatewayStep.REVERSE
        if reverses and isinstance(change.fact, Captured):
            # A forged return may name the receipt of another payment, whose money is not to be given back.
            await _claim_bank_code(transaction, after, change.fact.bank_code)
    if after.is_reversed and not before.is_reversed:
        # The order may be paid anew, and no verify is waited for. The bank_code stays claimed: its money is not new.
        await transaction.run("release_order", (*_order(after), after.id))
        await transaction.run("first_verify", (after.merchant_id, after.id, after.updated_at))
    if after.status is Status.PAID and before.status is not Status.PAID:
        await _claim_money(transaction, after)
    elif after.review is not None and after.review != before.review and after.review.bank_code is not None:
        # Seen is seen, but money under review takes nothing from the payment that had the number first.
        await transaction.run("claim_bank_code", (after.merchant_id, after.review.bank_code, after.id))


async def _claim_invoice_key(transaction: Transaction, payment: Payment, invoice_key: str) -> None:
    key = (payment.merchant_id, payment.terminal_id, invoice_key)
    if await transaction.run("claim_invoice_key", (*key, payment.id)) == 1:
        return
    [(owner,)] = await transaction.rows("invoice_key_owner", key)
    if owner != payment.id:
        raise InvoiceKeyTaken


async def _claim_confirm(transaction: Transaction, before: Payment, after: Payment) -> None:
    """One payment of an order is confirmed at a time, and none of a paid one."""
    order = _order(after)
    if after.intent is None:
        await transaction.run("release_confirm", (*order, after.id))
    elif before.intent is None and after.intent.step is GatewayStep.CONFIRM:
        if await transaction.run("claim_confirm", (*order, after.id)) == 0:
            [(owner,)] = await transaction.rows("confirm_owner", order)
            if owner != after.id:
                raise OrderBeingConfirmed(owner)
        paid = await transaction.rows("order_owner", order)
        if paid and paid[0][0] != after.id:
            raise OrderPaidByAnother(paid[0][0])


async def _claim_money(transaction: Transaction, payment: Payment) -> None:
    """The bank_code first, then the order, because a known code means that the money itself is not new."""
    await _claim_bank_code(transaction, payment, payment.bank_code)
    order = _order(payment)
    if await transaction.run("claim_order", (*order, payment.id)) == 0:
        [(owner,)] = await transaction.rows("order_owner", order)
        if owner != payment.id:
            raise OrderPaidByAnother(owner)


async def _claim_bank_code(transaction: Transaction, payment: Payment, bank_code: str | None) -> None:
    code = (payment.merchant_id, bank_code)
    if await transaction.run("claim_bank_code", (*code, payment.id)) == 0:
        [(owner,)] = await transaction.rows("bank_code_owner", code)
        if owner != payment.id:
            raise BankCodeTaken(owner)


def _order(payment: Payment) -> Row:
    return (payment.merchant_id, payment.storefront, payment.mode.value, payment.order_id)


async def write_schedules(transaction: Transaction, changes: Sequence[Change]) -> None:
    """Writes the changes' schedules; one statement moves on all that only change their due time."""
    moved: list[Row] = []
    for change in changes:
        if change.schedule is None:
            continue
        read, after = change.schedule.read, change.schedule.after
        if after is None:
            await _end_schedule(transaction, change, read)
        elif read is None:
            await transaction.run("insert_watch", schedule_row(after))
        elif after != read:
            key = (read.merchant_id, read.payment_id, read.version)
            moved.append((*key, after.due_at, after.soon, after.version, after.point))
    await transaction.run_all("update_watch", moved)


async def _end_schedule(transaction: Transaction, change: Change, read: CheckSchedule | None) -> None:
    if change.after.version != change.before.version:
        await transaction.run("end_watch", (change.after.merchant_id, change.after.id))
    elif read is not None:
        await transaction.run("end_watch_as_read", (read.merchant_id, read.payment_id, read.version))


Note = tuple[str, str, Decide]


async def note_all(transaction: Transaction, notes: Sequence[Note]) -> list[Outcome]:
    """The step behind Store.note. The second of two for one payment sees the newer schedule and does nothing."""
    outcomes, changes = [], list[Change]()
    for merchant_id, link, decide in notes:
        row = await transaction.row("watched_by_link", (merchant_id, link))
        if row is None:
            outcomes.append(Outcome(error=NotFound("payment")))
            continue
        payment = payment_of(row)
        change = decide(payment, _schedule_of(payment, columns_behind(row)))
        outcomes.append(Outcome((payment, _schedule_after(change))))
        if change is not None:
            changes.append(change)
    entries = [entry_row(change.after, entry) for change in changes for entry in change.entries]
    await transaction.run_all("add_entry", entries)
    await write_schedules(transaction, changes)
    return outcomes


def _schedule_after(change: Change | None) -> CheckSchedule | None:
    return None if change is None or change.schedule is None else change.schedule.after


def _schedule_of(payment: Payment, row: Row) -> CheckSchedule | None:
    due_at, soon, version, point = row
    if version is None:
        return None
    return CheckSchedule(payment.merchant_id, payment.id, payment.terminal_id, due_at, soon, version, point)


# Of how many due schedules a claim chooses at least, though it may have room for fewer: their merchants take turns.
LEAST_LOOK: Final = 256


async def claim_due_checks(
    transaction: Transaction, now: int, lease_until: int, limit: int, shares: FairShares, since: int
) -> DueChecks:
    look = max(limit, LEAST_LOOK)
    due = await transaction.rows("due_watches", (since, now, look))
    chosen = [[row[0], row[1]] for row in in_turn(due, itemgetter(0), shares, limit)]
    # Those that are due at the very time where the look ended are looked at again.
    reached = max(due[-1][2], since + 1) if len(due) == look and len(chosen) < limit else None
    if not chosen:
        return DueChecks([], reached)
    claimed = []
    for row in await transaction.rows("watched_payments", (now, orjson.dumps(chosen).decode())):
        payment = payment_of(row)
        due_at, soon, version, point = columns_behind(row)
        schedule = CheckSchedule(payment.merchant_id, payment.id, payment.terminal_id, due_at, soon, version + 1, point)
        claimed.append((payment, schedule))
    leases = [(schedule.merchant_id, schedule.payment_id, lease_until) for _, schedule in claimed]
    await transaction.run_all("lease_watch", leases)
    place = {payment_id: number for number, (_, payment_id) in enumerate(chosen)}
    return DueChecks(sorted(claimed, key=lambda each: place[each[0].id]), reached)


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


def whole_create(create: Create) -> WholeStep:
    """The step of one of `create_all` as one statement."""
    payment, intent, schedule = create
    watch = (schedule.due_at, schedule.soon, schedule.version, schedule.point)
    value = StoredCreation(payment, intent, None, fresh=True)
    return WholeStep("create_at_once", (*watch, *new_payment_row(payment, intent)), value)


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
        isinstance(change.fact, InvoiceIssued)
        and change.before.status is Status.CREATED
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


def whole_issue(change: Change) -> WholeStep | None:
    """The step of one of `issue_all` as one statement, where the schedule stays and one line tells of it."""
    schedule = change.schedule
    if len(change.entries) != 1 or (schedule is not None and schedule.after != schedule.read):
        return None
    _, _, *line = entry_row(change.after, change.entries[0])
    return WholeStep("issue_at_once", (*_invoice(change), change.after.id, *line, *issued_payment_row(change)))


async def _update_all(transaction: Transaction, changes: Sequence[Change]) -> list[Outcome]:
    rows = [issued_payment_row(change) for change in changes]
    if await transaction.run_all("issue_payment", rows) == len(rows):
        return [Outcome()] * len(rows)
    if len(rows) == 1:
        return [Outcome(error=StaleVersion())]
    raise StaleBatch


async def _issue(transaction: Transaction, change: Change) -> Outcome:
    [(owner,)] = await transaction.rows("invoice_key_owner", _invoice(change))
    if owner != change.after.id:
        return Outcome(error=InvoiceKeyTaken())
    if await transaction.run("issue_payment", issued_payment_row(change)) == 0:
        return Outcome(error=StaleVersion())
    return Outcome()


def _invoice(change: Change) -> tuple[str, str, str | None]:
    return (change.after.merchant_id, change.after.terminal_id, change.after.invoice_key)
