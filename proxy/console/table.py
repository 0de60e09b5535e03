"""Payments as lines of CSV that spreadsheets open rightly: UTF-8 with its mark, Jalali dates, and no cell a formula."""

import csv
import io
from collections.abc import Sequence
from typing import Final

from proxy.clock import rfc3339
from proxy.console.language import MODES, STATUSES, Words
from proxy.jalali import jalali_time
from proxy.money import to_toman
from proxy.payment import Payment

EXPORTED: Final = 100_000
EXPORTED_AT_ONCE: Final = 500
_MARK: Final = "\ufeff"
# What makes a spreadsheet take a cell for a formula, as OWASP lists it.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
_HEAD: Final = (
    ("شناسهٔ پرداخت", "payment"), ("پذیرنده", "merchant"), ("فروشگاه", "storefront"), ("سفارش", "order_id"),
    ("وضعیت", "status"), ("نوع", "mode"), ("مبلغ (ریال)", "amount_rials"), ("مبلغ (تومان)", "amount_toman"),
    ("کد پیگیری بانک", "bank_code"), ("کلید صورت‌حساب", "invoice_key"),
    ("زمان ساخت (تهران)", "created (Jalali, Tehran)"),
    ("زمان پرداخت (تهران)", "paid (Jalali, Tehran)"), ("زمان ساخت (UTC)", "created_at"),
)  # fmt: skip


def head(words: Words) -> bytes:
    """The first line, after the mark by which spreadsheets know UTF-8."""
    return (_MARK + _line([words.pair(name) for name in _HEAD])).encode()


def line(words: Words, payment: Payment) -> str:
    persian, english, _ = STATUSES[payment.status]
    mode_fa, mode_en, _ = MODES[payment.mode]
    return _line(
        [
            payment.id,
            payment.merchant_id,
            payment.storefront,
            payment.order_id,
            words.t(persian, english),
            words.t(mode_fa, mode_en),
            payment.amount_rials,
            to_toman(payment.amount_rials),
            payment.bank_code or "",
            payment.invoice_key or "",
            jalali_time(payment.created_at),
            "" if payment.paid_at is None else jalali_time(payment.paid_at),
            rfc3339(payment.created_at),
        ]
    )


def _line(cells: Sequence[object]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerow([_cell(cell) for cell in cells])
    return written.getvalue()


def _cell(value: object) -> object:
    """A text that a spreadsheet would run is shown as text; an order_id is anybody's."""
    return f"'{value}" if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA) else value
