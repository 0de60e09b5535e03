"""What the gateway keeps: terminals and invoices."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

MIN_AMOUNT_RIALS = 1000
# A larger amount does not fit the ledger's 64-bit column.
MAX_AMOUNT_RIALS = 10**18

Answer = dict[str, Any]
"""One JSON answer of the script, before it meets the wire."""


class State(StrEnum):
    OPEN = "open"
    CAPTURED = "captured"
    CANCELED = "canceled"
    FAILED = "failed"


class ReturnMethod(StrEnum):
    GET = "get"
    POST = "post"


class ReturnExtra(StrEnum):
    """What some hosts add to the return beside invoice_key."""

    STATUS = "status"
    BANK_CODE = "bank_code"
    CARD_NUMBER = "card_number"


@dataclass(frozen=True, slots=True)
class Terminal:
    """An account at the gateway. A registered domain also covers its subdomains."""

    api_key: str
    enabled: bool = True
    registered_domain: str | None = None
    registered_ip: str | None = None
    return_method: ReturnMethod = ReturnMethod.GET
    return_extras: tuple[ReturnExtra, ...] = ()


@dataclass(frozen=True, slots=True)
class Invoice:
    """One invoice. Times are milliseconds since the epoch; `capture_due_at` is a payment that the bank lands later."""

    invoice_key: str
    api_key: str
    amount_rials: int
    return_url: str
    created_at: int
    state: State = State.OPEN
    bank_code: str | None = None
    captured_at: int | None = None
    capture_due_at: int | None = None
    checks: int = 0
