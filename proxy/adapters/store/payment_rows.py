"""Payments, watches and timeline entries as rows, in the column order of `sql/common/payments.sql`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from proxy.adapters.store.transaction import Row
from proxy.facts import Decision
from proxy.merchant import Mode, ReturnMethod
from proxy.money import Currency
from proxy.payment import Failure, FailureReason, Payment, Resolution, Review, ReviewReason, Status
from proxy.records import Change, Entry, Intent, Reply, Stored
from proxy.watch import Watch

PAYMENT_COLUMNS: Final = 28

# Look-ups in dicts: calling an Enum costs three times as much, and a payment is read with every step.
_MODES: Final[Mapping[str, Mode]] = {mode.value: mode for mode in Mode}
_CURRENCIES: Final[Mapping[str, Currency]] = {currency.value: currency for currency in Currency}
_STATUSES: Final[Mapping[str, Status]] = {status.value: status for status in Status}


def new_payment_row(payment: Payment, intent: Intent) -> Row:
    """The parameters of `insert_payment`."""
    return (
        payment.merchant_id,
        payment.id,
        payment.storefront,
        payment.terminal_id,
        payment.mode.value,
        payment.order_id,
        payment.amount_rials,
        payment.currency.value,
        payment.description,
        json_text(payment.metadata) if payment.metadata else "{}",
        payment.return_url,
        payment.link,
        payment.expires_at,
        payment.created_at,
        payment.updated_at,
        payment.status.value,
        payment.version,
        payment.invoice_key,
        payment.linked_at,
        _keys(payment.spare_invoice_keys),
        _keys(payment.captured_invoice_keys),
        payment.bank_code,
        payment.captured_rials,
        payment.paid_at,
        int(payment.late),
        _failure_text(payment.failure),
        _review_text(payment.review),
        payment.drop_in,
        intent.key,
        intent.digest,
        intent.lease_until,
        intent.traceparent,
    )


def changed_payment_row(change: Change) -> Row:
    """The parameters of `update_payment`."""
    before, after = change.before, change.after
    status, body = reply_columns(change.reply)
    return (
        before.merchant_id,
        before.id,
        before.version,
        after.updated_at,
        after.status.value,
        after.version,
        after.invoice_key,
        after.linked_at,
        _keys(after.spare_invoice_keys),
        _keys(after.captured_invoice_keys),
        after.bank_code,
        after.captured_rials,
        after.paid_at,
        int(after.late),
        _failure_text(after.failure),
        _review_text(after.review),
        int(change.release),
        status,
        body,
    )


def reply_columns(reply: Reply | None) -> tuple[int | None, bytes | None]:
    return (None, None) if reply is None else (reply.status, reply.body)


def payment_of(row: Row) -> Payment:
    """The payment of the first columns of a row."""
    return Payment(
        row[1],
        row[0],
        row[2],
        row[3],
        _MODES[row[4]],
        row[5],
        row[6],
        _CURRENCIES[row[7]],
        row[8],
        {} if row[9] == "{}" else orjson.loads(row[9]),
        row[10],
        row[11],
        row[12],
        row[13],
        row[14],
        _STATUSES[row[15]],
        row[16],
        row[17],
        row[18],
        () if row[19] is None else tuple(orjson.loads(row[19])),
        () if row[20] is None else tuple(orjson.loads(row[20])),
        row[21],
        row[22],
        row[23],
        row[24] == 1,
        None if row[25] is None else _failure_of(row[25]),
        None if row[26] is None else _review_of(row[26]),
        None if row[27] is None else ReturnMethod(row[27]),
    )


def stored_of(row: Row) -> Stored:
    """The payment, intent and reply of a row."""
    key, digest, lease_until, status, body = row[PAYMENT_COLUMNS:]
    reply = None if status is None else Reply(status, body)
    return Stored(payment_of(row), Intent(key, digest, lease_until), reply)


def watch_row(watch: Watch) -> Row:
    """The parameters of `insert_watch`."""
    return (watch.merchant_id, watch.payment_id, watch.terminal_id, watch.due_at, watch.soon, watch.version)


def watch_of(row: Row) -> Watch:
    return Watch(*row)


def entry_row(payment: Payment, entry: Entry) -> Row:
    """The parameters of `add_entry`."""
    return (payment.merchant_id, payment.id, entry.at, entry.kind, entry.duration_ms, json_text(entry.data))


def entry_of(row: Row) -> Entry:
    at, kind, duration_ms, data = row
    return Entry(at, kind, duration_ms, orjson.loads(data))


def json_text(value: Mapping[str, Any] | Sequence[Any]) -> str:
    return orjson.dumps(value, default=_plain).decode()


def _plain(value: object) -> object:
    """Mappings that are not dicts, such as a read-only view."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _keys(keys: tuple[str, ...]) -> str | None:
    return json_text(keys) if keys else None


def _failure_text(failure: Failure | None) -> str | None:
    if failure is None:
        return None
    return json_text({"reason": failure.reason.value, "gateway_error_code": failure.gateway_error_code})


def _failure_of(text: str) -> Failure:
    fields = orjson.loads(text)
    return Failure(FailureReason(fields["reason"]), fields["gateway_error_code"])


def _review_text(review: Review | None) -> str | None:
    # orjson writes a dataclass field by field, and a StrEnum as its value.
    return None if review is None else orjson.dumps(review).decode()


def _review_of(text: str) -> Review:
    fields = orjson.loads(text)
    resolution = fields.pop("resolution")
    reason = ReviewReason(fields.pop("reason"))
    return Review(reason, **fields, resolution=None if resolution is None else _resolution_of(resolution))


def _resolution_of(fields: Mapping[str, Any]) -> Resolution:
    return Resolution(Decision(fields["decision"]), fields["note"], fields["by"], fields["at"])
