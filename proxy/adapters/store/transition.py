"""One change of a payment, written as a whole: the row, its claims, its events with their deliveries, its watch."""

from collections.abc import Sequence
from hashlib import sha256

from proxy.adapters.store.audit import write_audit
from proxy.adapters.store.parts import LIST_LIMIT
from proxy.adapters.store.payment_rows import changed_payment_row, entry_row, reply_columns, watch_row
from proxy.adapters.store.registry_rows import endpoint_of
from proxy.adapters.store.transaction import Row, Transaction
from proxy.adapters.store.turns import TURN_COLUMNS, Told, begin
from proxy.errors import BankCodeSeen, InvoiceKeySeen, OrderPaidByAnother, StaleVersion
from proxy.ids import DELIVERY, base62, part_of
from proxy.merchant import EndpointState
from proxy.payment import Payment, Status
from proxy.records import Begun, Change, Lease, StoredEvent
from proxy.watch import Watch
from proxy.webhook import Event


async def write_change(transaction: Transaction, change: Change, lease: Lease | None = None) -> Begun:
    """The step behind Store.transition, with its conflicts."""
    if change.after.version == change.before.version:
        await _answer_request(transaction, change)
    else:
        await _update_payment(transaction, change)
    begun = [await _write_event(transaction, event, change.after.version, None, lease) for event in change.events]
    await transaction.run_all("add_entry", [entry_row(change.after, entry) for entry in change.entries])
    if change.audit is not None:
        await write_audit(transaction, change.audit)
    await write_watches(transaction, (change,))
    return Begun([claim for _, each in begun for claim in each.claims], any(each.waiting for _, each in begun))


async def write_event(
    transaction: Transaction, event: Event, payment_version: int | None, but: str | None = None
) -> StoredEvent:
    """Numbers and freezes the event, and makes a delivery for each endpoint that wants it, enabled or not.

    The endpoint `but` gets none: it is what the event tells of.
    """
    stored, _ = await _write_event(transaction, event, payment_version, but, None)
    return stored


async def _write_event(
    transaction: Transaction, event: Event, payment_version: int | None, but: str | None, lease: Lease | None
) -> tuple[StoredEvent, Begun]:
    [(sequence,)] = await transaction.rows("next_sequence", (event.merchant_id,))
    body = event.body(sequence)
    [(traceparent,)] = await transaction.rows(
        "insert_event",
        (
            event.merchant_id,
            event.id,
            sequence,
            event.storefront,
            event.mode,
            event.type,
            event.payment_id,
            payment_version,
            event.occurred_at,
            body,
            part_of(event.id),
        ),
    )
    stored = StoredEvent(
        event.id,
        event.merchant_id,
        sequence,
        event.storefront,
        event.type,
        event.payment_id,
        event.occurred_at,
        body,
        traceparent,
    )
    return stored, await _write_deliveries(transaction, stored, but, lease)


async def _write_deliveries(
    transaction: Transaction, event: StoredEvent, but: str | None, lease: Lease | None
) -> Begun:
    written, served = list[Row](), list[Told]()
    for row in await transaction.rows("turns_of_merchant", (event.merchant_id, LIST_LIMIT)):
        endpoint = endpoint_of(row[TURN_COLUMNS:])
        if endpoint.id != but and endpoint.wants(event.type, event.storefront):
            each = delivery_id(event.id, endpoint.id)
            written.append(_delivery_row(event, endpoint.id, each))
            if endpoint.state is EndpointState.ENABLED:
                served.append((endpoint, row, each))
    await transaction.run_all("insert_delivery", written)
    return await begin(transaction, event, served, lease)


def _delivery_row(event: StoredEvent, endpoint_id: str, delivery_id: str) -> Row:
    return (
        event.merchant_id,
        delivery_id,
        endpoint_id,
        event.id,
        event.payment_id,
        event.occurred_at,
        part_of(event.id),
    )


def delivery_id(event_id: str, endpoint_id: str) -> str:
    """Follows from the event and the endpoint, so that the store needs no randomness of its own.

    It has the event's merchant and time: the two are kept in the same part.
    """
    number = int.from_bytes(sha256(f"{event_id}/{endpoint_id}".encode()).digest()[:16])
    return f"{DELIVERY}_{event_id[-26:-10]}{base62(number, 10)}"


async def _answer_request(transaction: Transaction, change: Change) -> None:
    """The lease and the reply belong to whoever asked the gateway, whatever became of the payment since."""
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
    if after.status is Status.PAID and before.status is not Status.PAID:
        await _claim_money(transaction, after)
    elif after.review is not None and after.review != before.review:
        # Seen is seen, but money under review takes nothing from the payment that had the number first.
        await transaction.run("claim_bank_code", (after.merchant_id, after.review.bank_code, after.id))


async def _claim_invoice_key(transaction: Transaction, payment: Payment, invoice_key: str) -> None:
    key = (payment.merchant_id, payment.terminal_id, invoice_key)
    if await transaction.run("claim_invoice_key", (*key, payment.id)) == 1:
        return
    [(owner,)] = await transaction.rows("invoice_key_owner", key)
    if owner != payment.id:
        raise InvoiceKeySeen


async def _claim_money(transaction: Transaction, payment: Payment) -> None:
    """The bank_code first, then the order: a code that was seen says that the money itself is not new."""
    code = (payment.merchant_id, payment.bank_code)
    if await transaction.run("claim_bank_code", (*code, payment.id)) == 0:
        [(owner,)] = await transaction.rows("bank_code_owner", code)
        if owner != payment.id:
            raise BankCodeSeen(owner)
    order = (payment.merchant_id, payment.storefront, payment.mode.value, payment.order_id)
    if await transaction.run("claim_order", (*order, payment.id)) == 0:
        [(owner,)] = await transaction.rows("order_owner", order)
        if owner != payment.id:
            raise OrderPaidByAnother(owner)


async def write_watches(transaction: Transaction, changes: Sequence[Change]) -> None:
    """What the changes make of their watches; one statement for all that only move one on."""
    moved: list[Row] = []
    for change in changes:
        read, watch = change.watch_read, change.watch
        if watch is None:
            await _end_watch(transaction, change, read)
        elif read is None:
            await transaction.run("insert_watch", watch_row(watch))
        elif watch != read:
            key = (read.merchant_id, read.payment_id, read.version)
            moved.append((*key, watch.due_at, watch.soon, watch.version))
    await transaction.run_all("update_watch", moved)


async def _end_watch(transaction: Transaction, change: Change, read: Watch | None) -> None:
    if change.after.version != change.before.version:
        await transaction.run("end_watch", (change.after.merchant_id, change.after.id))
    elif read is not None:
        await transaction.run("end_watch_as_read", (read.merchant_id, read.payment_id, read.version))
