"""Payments as CSV for spreadsheets, a line for each: UTF-8 with its mark, CRLF, times in Tehran and in UTC."""

import asyncio
import csv
import io
import re
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from functools import lru_cache
from typing import Any, Final

import orjson

from proxy.kernel.clock import HOUR, MINUTE, SECOND, rfc3339
from proxy.kernel.money import to_toman
from proxy.locale.persian import jalali_time
from proxy.payments.scan import PaymentScan
from proxy.payments.search import PaymentLine

# They take two or three milliseconds to write.
WRITTEN_AT_ONCE: Final = 250
MARK: Final = "\ufeff"
"""By which spreadsheets know UTF-8."""
# What makes a spreadsheet take a cell for a formula, as OWASP lists it, also full-width or small. A cell begins where
# the text does, and at whatever separates columns somewhere: Excel takes `;` or `؛` by the machine's language.
_SIGNS: Final = "=+\\-@＝＋－＠﹦﹢﹣﹫"
_SEPARATORS: Final = ";؛,،|\t\r\n"
_UNSEEN: Final = "[\\s\x00-\x1f\"'\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]*"
_FORMULA: Final = re.compile(f"(^|[{_SEPARATORS}])(?={_UNSEEN}[{_SIGNS}])|^(?=[\t\r\n])")
# Most texts have no separator and begin with no sign: they are known by these, which is quicker by far.
_SIGN_FIRST: Final = re.compile(f"{_UNSEEN}[{_SIGNS}]")
_SEPARATED: Final = re.compile(f"[{_SEPARATORS}]")
COLUMNS: Final = (
    ("شناسهٔ پرداخت", "payment"), ("پذیرنده", "merchant"), ("فروشگاه", "storefront"), ("سفارش", "order_id"),
    ("وضعیت", "status"), ("نوع", "mode"), ("مبلغ (ریال)", "amount_rials"), ("مبلغ (تومان)", "amount_toman"),
    ("کد پیگیری بانک", "bank_code"), ("کلید صورت‌حساب", "invoice_key"),
    ("زمان ساخت (تهران)", "created (Jalali, Tehran)"),
    ("زمان پرداخت (تهران)", "paid (Jalali, Tehran)"), ("زمان ساخت (UTC)", "created_at"),
    ("زمان پرداخت (UTC)", "paid_at"), ("درگاه", "gateway"), ("ترمینال", "terminal_id"),
    ("پروتکل فروشگاه", "protocol"), ("دیر رسیده", "late"), ("مبلغ گرفته‌شده (ریال)", "captured_rials"),
    ("کارت", "card_mask"), ("شمارهٔ مرجع", "trace_number"), ("کارمزد درگاه (ریال)", "fee_rials"),
    ("علت برگشت", "given_back"),
)  # fmt: skip
"""The columns' names, in Persian and in English."""


class PaymentCsv:
    """Writes the file: `names` are the columns', and `words` what statuses and modes are called."""

    def __init__(self, names: Iterable[str], words: Mapping[str, str]) -> None:
        self._names = names
        self._words = words

    def head(self) -> bytes:
        """The mark and the first line."""
        return (MARK + _written([list(self._names)])).encode()

    def lines(self, lines: Iterable[PaymentLine]) -> bytes:
        return _written(map(self._cells, lines)).encode()

    async def chunks(self, scan: PaymentScan) -> AsyncGenerator[bytes]:
        """The whole file, as the payments are read; between chunks others have their turn."""
        yield self.head()
        async with aclosing(scan.batches()) as pages:
            async for page in pages:
                for start in range(0, len(page.lines), WRITTEN_AT_ONCE):
                    yield self.lines(page.lines[start : start + WRITTEN_AT_ONCE])
                    await asyncio.sleep(0)

    def _cells(self, line: PaymentLine) -> tuple[object, ...]:
        receipt: Mapping[str, Any] = _NOTHING if line.receipt is None else orjson.loads(line.receipt)
        created_at, paid_at, words = line.created_at, line.paid_at, self._words
        return (
            line.id,
            line.merchant_id,
            line.storefront,
            safe_cell(line.order_id),
            words.get(line.status, line.status),
            words.get(line.mode, line.mode),
            line.amount_rials,
            to_toman(line.amount_rials),
            safe_cell(line.bank_code),
            safe_cell(line.invoice_key),
            _in_tehran(created_at),
            None if paid_at is None else _in_tehran(paid_at),
            _in_utc(created_at),
            None if paid_at is None else _in_utc(paid_at),
            line.gateway,
            line.terminal_id,
            line.protocol,
            line.late,
            line.captured_rials,
            safe_cell(receipt.get("card_mask")),
            safe_cell(receipt.get("trace_number")),
            receipt.get("fee_rials"),
            None if line.given_back is None else orjson.loads(line.given_back)["reason"],
        )


_NOTHING: Final[Mapping[str, Any]] = {}


def _in_tehran(at: int) -> str:
    block, rest = divmod(at, 30 * MINUTE)
    hour, minute = _half_hour(block)
    return f"{hour}{minute + rest // MINUTE:02}"


# Tehran's time differs from UTC by half hours, whichever its law is. A month has 1440 of them.
@lru_cache(maxsize=4096)
def _half_hour(block: int) -> tuple[str, int]:
    text = jalali_time(block * 30 * MINUTE)
    return text[:-2], int(text[-2:])


def _in_utc(at: int) -> str:
    """As `rfc3339`."""
    hour, rest = divmod(at, HOUR)
    second, millisecond = divmod(rest, SECOND)
    return f"{_hour(hour)}{second // 60:02}:{second % 60:02}.{millisecond:03}Z"


@lru_cache(maxsize=4096)
def _hour(hour: int) -> str:
    return rfc3339(hour * HOUR)[:14]


def _written(rows: Iterable[Iterable[object]]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerows(rows)
    return written.getvalue()


def safe_cell(text: str | None) -> str | None:
    """A text that a spreadsheet would run is shown as text; an order_id is anybody's."""
    if text is None or not (_SIGN_FIRST.match(text) or _SEPARATED.search(text)):
        return text
    return _FORMULA.sub(r"\1'", text)
