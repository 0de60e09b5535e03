"""The ledger as a bank would write it: what was captured, as CSV in Persian with Jalali dates."""

import csv
import io
from collections.abc import Iterable

from proxy.jalali import jalali_time
from proxy.simulator.ledger import Invoice, State

HEADINGS = ("شماره مرجع", "مبلغ (ریال)", "تاریخ", "ساعت")


def statement(invoices: Iterable[Invoice]) -> str:
    """One row for each captured invoice, in their order, after the mark by which spreadsheets know UTF-8."""
    text = io.StringIO("\ufeff")
    text.seek(0, io.SEEK_END)
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(HEADINGS)
    for invoice in invoices:
        if invoice.state is State.CAPTURED and invoice.captured_at is not None:
            day, clock = jalali_time(invoice.captured_at).split(" ")
            writer.writerow([invoice.bank_code, invoice.amount_rials, day, clock])
    return text.getvalue()
