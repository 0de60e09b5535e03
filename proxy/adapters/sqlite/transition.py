"""One change of a payment, written as a whole: the row, its claims, its events with their deliveries, its watch."""

import sqlite3
from hashlib import sha256

from proxy.adapters.sqlite.lanes import LIST_LIMIT, SQL
from proxy.adapters.store.payment_rows import changed_payment_row, entry_row, reply_columns, watch_row
from proxy.adapters.store.registry_rows import audit_row, endpoint_of
from proxy.errors import BankCodeSeen, InvoiceKeySeen, OrderPaidByAnother, StaleVersion
from proxy.ids import DELIVERY, base62, merchant_key
from proxy.merchant import Endpoint, EndpointState
from proxy.payment import Payment, Status
from proxy.records import Change, StoredEvent
from proxy.watch import Watch
from proxy.webhook import Event


def write_change(connection: sqlite3.Connection, change: Change) -> None:
    """The step behind Store.transition, with its conflicts."""
    if change.after.version == change.before.version:
        _answer_request(connection, change)
    else:
        _update_payment(connection, change)
    for event in change.events:
        write_event(connection, event, change.after.version)
    for entry in change.entries:
        connection.execute(SQL["add_entry"], entry_row(change.after, entry))
    if change.audit is not None:
        connection.execute(SQL["insert_audit"], audit_row(change.audit))
    write_watch(connection, change)


def write_event(
    connection: sqlite3.Connection, event: Event, payment_version: int | None, but: str | None = None
) -> StoredEvent:
    """Numbers and freezes the event, and makes a delivery for each endpoint that wants it, enabled or not.

    The endpoint `but` gets none: it is what the event tells of.
    """
    (sequence,) = connection.execute(SQL["next_sequence"], (event.merchant_id,)).fetchone()
    body = event.body(sequence)
    connection.execute(
        SQL["insert_event"],
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
        ),
    )
    rows = connection.execute(SQL["list_endpoints"], (event.merchant_id, LIST_LIMIT)).fetchall()
    for endpoint in map(endpoint_of, rows):
        if endpoint.id != but and endpoint.wants(event.type, event.storefront):
            _write_delivery(connection, event, endpoint)
    return StoredEvent(
        event.id, event.merchant_id, sequence, event.storefront, event.type, event.payment_id, event.occurred_at, body
    )


def _write_delivery(connection: sqlite3.Connection, event: Event, endpoint: Endpoint) -> None:
    merchant_id, due_at = event.merchant_id, event.occurred_at
    connection.execute(
        SQL["insert_delivery"],
        (
            merchant_id,
            delivery_id(merchant_id, event.id, due_at, endpoint.id),
            endpoint.id,
            event.id,
            event.payment_id,
            due_at,
        ),
    )
    if endpoint.state is EndpointState.ENABLED:
        connection.execute(SQL["hasten_turn"], (merchant_id, endpoint.id, due_at))


def delivery_id(merchant_id: str, event_id: str, occurred_at: int, endpoint_id: str) -> str:
    """Follows from the event and the endpoint, so that the store needs no randomness of its own."""
    number = int.from_bytes(sha256(f"{event_id}/{endpoint_id}".encode()).digest()[:16])
    return f"{DELIVERY}_{merchant_key(merchant_id)}{base62(occurred_at, 8)}{base62(number, 10)}"


def _answer_request(connection: sqlite3.Connection, change: Change) -> None:
    """The lease and the reply belong to whoever asked the gateway, whatever became of the payment since."""
    if change.release or change.reply is not None:
        key = (change.before.merchant_id, change.before.id)
        connection.execute(SQL["answer_request"], (*key, int(change.release), *reply_columns(change.reply)))


def _update_payment(connection: sqlite3.Connection, change: Change) -> None:
    if connection.execute(SQL["update_payment"], changed_payment_row(change)).rowcount == 0:
        raise StaleVersion
    before, after = change.before, change.after
    known = before.invoice_keys()
    for invoice_key in after.invoice_keys():
        if invoice_key not in known:
            _claim_invoice_key(connection, after, invoice_key)
    if after.status is Status.PAID and before.status is not Status.PAID:
        _claim_money(connection, after)
    elif after.review is not None and after.review != before.review:
        # Seen is seen, but money under review takes nothing from the payment that had the number first.
        connection.execute(SQL["claim_bank_code"], (after.merchant_id, after.review.bank_code, after.id))


def _claim_invoice_key(connection: sqlite3.Connection, payment: Payment, invoice_key: str) -> None:
    key = (payment.merchant_id, payment.terminal_id, invoice_key)
    if connection.execute(SQL["claim_invoice_key"], (*key, payment.id)).rowcount == 1:
        return
    (owner,) = connection.execute(SQL["invoice_key_owner"], key).fetchone()
    if owner != payment.id:
        raise InvoiceKeySeen


def _claim_money(connection: sqlite3.Connection, payment: Payment) -> None:
    """The bank_code first, then the order: a code that was seen says that the money itself is not new."""
    code = (payment.merchant_id, payment.bank_code)
    if connection.execute(SQL["claim_bank_code"], (*code, payment.id)).rowcount == 0:
        (owner,) = connection.execute(SQL["bank_code_owner"], code).fetchone()
        if owner != payment.id:
            raise BankCodeSeen(owner)
    order = (payment.merchant_id, payment.storefront, payment.mode.value, payment.order_id)
    if connection.execute(SQL["claim_order"], (*order, payment.id)).rowcount == 0:
        (owner,) = connection.execute(SQL["order_owner"], order).fetchone()
        if owner != payment.id:
            raise OrderPaidByAnother(owner)


def write_watch(connection: sqlite3.Connection, change: Change) -> None:
    read, watch = change.watch_read, change.watch
    if watch is None:
        _end_watch(connection, change, read)
    elif read is None:
        connection.execute(SQL["insert_watch"], watch_row(watch))
    elif watch != read:
        key = (read.merchant_id, read.payment_id, read.version)
        connection.execute(SQL["update_watch"], (*key, watch.due_at, watch.soon, watch.version))


def _end_watch(connection: sqlite3.Connection, change: Change, read: Watch | None) -> None:
    if change.after.version != change.before.version:
        connection.execute(SQL["end_watch"], (change.after.merchant_id, change.after.id))
    elif read is not None:
        connection.execute(SQL["end_watch_as_read"], (read.merchant_id, read.payment_id, read.version))
