"""Payments, schedules and timeline entries as rows. A payment's columns are listed in `sql/common/payments.sql`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from enum import StrEnum
from operator import attrgetter
from typing import Any, Final

import orjson

from proxy.database.repository import json_text
from proxy.database.transaction import Row, load_columns
from proxy.gateways.port import Evidence
from proxy.kernel.frozen import dataclass
from proxy.kernel.money import Currency
from proxy.merchants.merchant import Mode, ReturnMethod
from proxy.payments.change import Change, Entry, Intent, Reply, StoredCreation
from proxy.payments.check_schedule import CheckSchedule
from proxy.payments.payment import (
    CallIntent,
    Decision,
    Failure,
    FailureReason,
    GatewayStep,
    GivenBack,
    GivenBackReason,
    Payment,
    Receipt,
    Resolution,
    Review,
    ReviewReason,
    Status,
)


def _failure_text(failure: Failure) -> str:
    return json_text({"reason": failure.reason.value, "gateway_error_code": failure.gateway_error_code})


def _failure_of(text: str) -> Failure:
    fields = orjson.loads(text)
    return Failure(FailureReason(fields["reason"]), fields["gateway_error_code"])


def _review_of(text: str) -> Review:
    fields = orjson.loads(text)
    resolution = fields.pop("resolution")
    reason = ReviewReason(fields.pop("reason"))
    return Review(reason, **fields, resolution=None if resolution is None else _resolution_of(resolution))


def _resolution_of(fields: Mapping[str, Any]) -> Resolution:
    return Resolution(Decision(fields["decision"]), fields["note"], fields["by"], fields["at"])


def _record_text(record: object) -> str:
    # orjson writes a dataclass field by field, and a StrEnum as its value.
    return orjson.dumps(record).decode()


def _intent_of(text: str) -> CallIntent:
    fields = orjson.loads(text)
    return CallIntent(GatewayStep(fields.pop("step")), **fields)


def _given_back_of(text: str) -> GivenBack:
    fields = orjson.loads(text)
    return GivenBack(GivenBackReason(fields.pop("reason")), **fields)


@dataclass(frozen=True, slots=True)
class Codec:
    """The conversion of a type's values to a column and back. None is NULL, and NULL is `absent`."""

    encode: Callable[[Any], object]
    decode: Callable[[Any], object]
    absent: object = None


def _enum(kind: type[StrEnum]) -> Codec:
    # A look-up in a dict: calling an Enum costs three times as much, and a payment is read with every step. Its `value`
    # is a property written in Python.
    return Codec(str.__str__, {each.value: each for each in kind}.__getitem__)


PLAIN: Final = (str, int, str | None, int | None)
CODECS: Final[Mapping[object, Codec]] = {
    bool: Codec(int, bool),
    Mode: _enum(Mode),
    Currency: _enum(Currency),
    Status: _enum(Status),
    ReturnMethod | None: _enum(ReturnMethod),
    Mapping[str, Any]: Codec(lambda value: json_text(value) if value else "{}", orjson.loads),
    tuple[str, ...]: Codec(
        lambda keys: json_text(keys) if keys else None, lambda text: tuple(orjson.loads(text)), absent=()
    ),
    Evidence | None: Codec(lambda evidence: json_text(dict(evidence)), orjson.loads),
    Failure | None: Codec(_failure_text, _failure_of),
    Review | None: Codec(_record_text, _review_of),
    CallIntent | None: Codec(_record_text, _intent_of),
    Receipt | None: Codec(_record_text, lambda text: Receipt(**orjson.loads(text))),
    GivenBack | None: Codec(_record_text, _given_back_of),
}
"""By a field's type, for those that a column does not hold as they are."""

_CODED: Final = {field.name: CODECS[field.type] for field in fields(Payment) if field.type not in PLAIN}


class _Columns:
    """A list of a payment's columns, each of which has the name of its field."""

    def __init__(self, name: str) -> None:
        self.names = load_columns()[name]
        self._values = attrgetter(*self.names)
        self._encoders = [(place, _CODED[each].encode) for place, each in enumerate(self.names) if each in _CODED]
        coded = [(each, _CODED[each]) for each in self.names if each in _CODED]
        self._decoders = [(name, codec.decode, codec.absent) for name, codec in coded]

    def row_of(self, payment: Payment) -> Sequence[object]:
        row = list(self._values(payment))
        # Most of what is coded is absent from most payments.
        for place, encode in self._encoders:
            if (value := row[place]) is not None:
                row[place] = encode(value)
        return row

    def fields_of(self, row: Row) -> dict[str, Any]:
        """The payment's fields by their names, of the first columns of a row."""
        # A row may have columns of other tables behind these.
        values = dict(zip(self.names, row, strict=False))
        for name, decode, absent in self._decoders:
            value = values[name]
            values[name] = absent if value is None else decode(value)
        return values


_PAYMENT: Final = _Columns("payment")
_PROGRESS: Final = _Columns("payment_progress")
_ISSUE: Final = _Columns("payment_issue")
_NEW: Final = _Columns("new_payment")


def new_payment_row(payment: Payment, intent: Intent) -> Row:
    """The parameters of `insert_payment`."""
    return (intent.key, intent.digest, intent.lease_until, intent.traceparent, *_NEW.row_of(payment))


def changed_payment_row(change: Change) -> Row:
    """The parameters of `update_payment`."""
    return (*_change_row(change), *_PROGRESS.row_of(change.after))


def issued_payment_row(change: Change) -> Row:
    """The parameters of `issue_payment`."""
    return (*_change_row(change), *_ISSUE.row_of(change.after))


def _change_row(change: Change) -> Row:
    before = change.before
    return (before.merchant_id, before.id, before.version, int(change.release), *reply_columns(change.reply))


def reply_columns(reply: Reply | None) -> tuple[int | None, bytes | None]:
    return (None, None) if reply is None else (reply.status, reply.body)


def payment_of(row: Row) -> Payment:
    """The payment of the first columns of a row."""
    return Payment(**_PAYMENT.fields_of(row))


def columns_behind(row: Row) -> Row:
    """The columns of a row behind those of its payment."""
    return row[len(_PAYMENT.names) :]


def stored_of(row: Row) -> StoredCreation:
    """The payment, intent and reply of a row."""
    key, digest, lease_until, status, body = columns_behind(row)
    reply = None if status is None else Reply(status, body)
    return StoredCreation(payment_of(row), Intent(key, digest, lease_until), reply)


def schedule_row(schedule: CheckSchedule) -> Row:
    """The parameters of `insert_watch`."""
    key = (schedule.merchant_id, schedule.payment_id, schedule.terminal_id)
    return (*key, schedule.due_at, schedule.soon, schedule.version, schedule.point)


def schedule_of(row: Row) -> CheckSchedule:
    return CheckSchedule(*row)


def entry_row(payment: Payment, entry: Entry) -> Row:
    """The parameters of `add_entry`."""
    return (payment.merchant_id, payment.id, entry.at, entry.kind, entry.duration_ms, json_text(entry.data))


def entry_of(row: Row) -> Entry:
    at, kind, duration_ms, data = row
    return Entry(at, kind, duration_ms, orjson.loads(data))
