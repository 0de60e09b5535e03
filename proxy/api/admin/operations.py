"""Backups, tests of alerts and reconciliation of the operator's API: what an installation needs, and a bank's file."""

import time
from contextlib import aclosing
from typing import Annotated, Any, Final, Literal

import orjson
import structlog
from aiohttp import web
from pydantic import AfterValidator, Field

from proxy.api.admin.schemas import Number, Text
from proxy.api.fields import Cursor, Input, ModeName, Time, free_text
from proxy.api.middleware import MERCHANT_ID
from proxy.api.responses import json_answer, read_cursor, write_cursor
from proxy.api.services import AdminServices
from proxy.http.headers import SECURITY_HEADERS
from proxy.http.parsing import query_of, read_object, validated
from proxy.kernel.clock import parse_rfc3339, rfc3339
from proxy.merchants.merchant import Mode
from proxy.operations.alerts.alerter import no_channel
from proxy.operations.alerts.answers import SendResult, sentence
from proxy.operations.alerts.channels import Channel
from proxy.operations.backups import BackupNotSupported, CompleteBackup, Piece
from proxy.operations.reconciliation.cells import MAX_CODE_CHARS
from proxy.operations.reconciliation.matching import (
    MAX_PAGE,
    MAX_ROWS,
    Line,
    Match,
    MatchOutcome,
    Paid,
    Period,
    Reconciliation,
)
from proxy.operators.operators import Caller

log = structlog.get_logger()

BACKUP_TYPE: Final = "application/octet-stream"
LINES_EVERY_SECONDS: Final = 0.5


class AdminBackup:
    """The backup handler. It gets the authenticated operator as its caller."""

    def __init__(self, services: AdminServices) -> None:
        self._backups = services.backups
        self._operators = services.operators

    async def take_backup(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        if self._backups is None:
            raise BackupNotSupported
        pieces = self._backups.begin()
        await self._operators.noted(caller.name, "backup.take", {})
        response = web.StreamResponse(headers={**SECURITY_HEADERS, "Content-Type": BACKUP_TYPE})
        async with aclosing(pieces):
            await response.prepare(request)
            reported_at = float("-inf")
            try:
                async for piece in pieces:
                    if (
                        isinstance(piece, bytes | str | CompleteBackup)
                        or time.monotonic() - reported_at >= LINES_EVERY_SECONDS
                    ):
                        reported_at = time.monotonic()
                        await response.write(_to_bytes(piece))
                await response.write_eof()
            except ConnectionError:
                log.info("backup_left")  # who asked is gone
            except Exception:
                # The status is sent: that the last line is missing tells that it failed.
                log.exception("backup_failed")
                await response.write(b'{"error":"the copy failed; the server\'s log says why"}\n')
        return response


def _to_bytes(piece: Piece) -> bytes:
    match piece:
        case bytes():
            return piece
        case str():
            return _line({"sha256": piece})
        case CompleteBackup():
            return _line({"bytes": piece.size, "longest_pause_ms": piece.longest_pause_ms})
        case _:
            return _line({"pages": piece.pages, "total": piece.total})


def _line(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value) + b"\n"


class SendTest(Input):
    """`POST /alerts/test`: to which kind of channel; None is all."""

    channel: Literal["bot", "email", "webhook"] | None = None


class AdminAlerts:
    """The handler of alerts. It gets the authenticated operator as its caller."""

    def __init__(self, services: AdminServices) -> None:
        self._alerter = services.alerter
        self._operators = services.operators
        self._tasks = services.tasks

    async def test_alerts(self, request: web.Request, caller: Caller) -> web.Response:
        body = validated(SendTest, await read_object(request))
        if self._alerter is None:
            raise no_channel(body.channel)
        answers = await self._tasks.run(self._alerter.test(body.channel))
        taken = sum(answer.failure is None for _, answer in answers)
        data = {"channel": body.channel, "taken": taken, "failed": len(answers) - taken}
        await self._operators.noted(caller.name, "alerts.test", data)
        return json_answer({"data": [_answer_object(*each) for each in answers]})


def _answer_object(channel: Channel, answer: SendResult) -> dict[str, Any]:
    english, persian = sentence(channel.kind, answer)
    return {
        "channel": channel.kind,
        "target": channel.name.partition(" ")[2],
        "taken": answer.failure is None,
        "failure": answer.failure,
        "status": answer.status,
        "detail": english,
        "detail_fa": persian,
    }


class BankRow(Input):
    """One row of the bank's: its tracking number, the amount in rials, and whether the money went out."""

    bank_code: Annotated[str, Field(min_length=1, max_length=MAX_CODE_CHARS), AfterValidator(free_text)]
    amount_rials: Annotated[int, Field(ge=0, le=2**53 - 1)]
    reversal: bool = False


class Compare(Input):
    """`POST …/reconcile`"""

    rows: Annotated[list[BankRow], Field(min_length=1, max_length=MAX_ROWS)]
    mode: ModeName = Mode.LIVE


class PaidQuery(Input):
    """`GET …/paid?…`"""

    since: Time
    until: Time
    mode: ModeName = Mode.LIVE
    terminal_id: Text | None = None
    limit: Annotated[Number, Field(ge=1, le=MAX_PAGE)] = MAX_PAGE
    cursor: Cursor | None = None


class AdminReconcile:
    """The handlers of reconciliation. Each gets the authenticated operator as its caller."""

    def __init__(self, services: AdminServices) -> None:
        self._store = services.store
        self._operators = services.operators
        self._reconciliation = Reconciliation(services.store.payments)

    async def compare_rows(self, request: web.Request, caller: Caller) -> web.Response:
        merchant_id = await self._merchant(request)
        body = validated(Compare, await read_object(request))
        lines = [Line(row.bank_code, row.amount_rials, reversal=row.reversal) for row in body.rows]
        found = await self._reconciliation.compare(merchant_id, lines, body.mode)
        matched = sum(each.outcome is MatchOutcome.MATCHED for each in found)
        data = {"merchant_id": merchant_id, "rows": len(lines), "matched": matched}
        await self._operators.noted(caller.name, "payments.reconcile", data)
        return json_answer({"data": [_found_object(*each) for each in zip(lines, found, strict=True)]})

    async def list_paid(self, request: web.Request, _caller: Caller) -> web.Response:
        merchant_id = await self._merchant(request)
        query = validated(PaidQuery, query_of(request))
        since, until = parse_rfc3339(query.since), parse_rfc3339(query.until)
        period = Period(merchant_id, max(0, since), max(0, until), query.mode, query.terminal_id)
        scope = ("paid", merchant_id, str(since), str(until), query.mode.value, query.terminal_id)
        after = read_cursor(query.cursor, scope)
        page = await self._reconciliation.paid(period, after, query.limit)
        return json_answer(
            {"data": [_paid_object(each) for each in page.paid], "next_cursor": write_cursor(page.following, scope)}
        )

    async def _merchant(self, request: web.Request) -> str:
        merchant_id = request.match_info["merchant_id"]
        await self._store.merchants.merchant(merchant_id)
        request[MERCHANT_ID] = merchant_id
        return merchant_id


def _found_object(line: Line, found: Match) -> dict[str, Any]:
    payment = found.payment
    return {
        "bank_code": line.bank_code,
        "amount_rials": line.amount_rials,
        "outcome": found.outcome.value,
        "payment_id": payment and payment.id,
        "order_id": payment and payment.order_id,
        "captured_rials": found.captured_rials,
    }


def _paid_object(paid: Paid) -> dict[str, Any]:
    payment = paid.payment
    return {
        "payment_id": payment.id,
        "order_id": payment.order_id,
        "bank_code": payment.bank_code,
        "amount_rials": payment.captured_rials,
        "created_at": rfc3339(payment.created_at),
        "paid_at": rfc3339(payment.paid_at or payment.updated_at),
        "sure": paid.sure,
    }
