"""The rules of a family's bank as data, what its steps come to, and what it refuses its customers."""

from collections.abc import Callable
from enum import StrEnum
from typing import Self

from proxy.gateways.family import Traits
from proxy.gateways.simulation.ledger import Invoice
from proxy.kernel.frozen import dataclass


class UnknownInvoiceError(Exception):
    """No invoice has that key."""


class AlreadyCapturedError(Exception):
    """The money was taken; the customer can no longer cancel or fail."""


class LinkExpiredError(Exception):
    """The customer comes too late to pay."""


class NothingPaidError(Exception):
    """There is no money to give back."""


class BankFullError(Exception):
    """The ledger has as many invoices as it can hold."""


def _same(number: str) -> str:
    return number


@dataclass(frozen=True, slots=True)
class Terms:
    """A family's rules about money and time, in milliseconds; without any, what is paid is captured.

    `link_lasts` counts from the request, `gives_back_after` from the payment, `reverse_within` from the payment too, or
    from the confirm where the family settles. `receipt` writes the bank's twelve digits as the family does.
    """

    confirms: bool = False
    settles: bool = False
    link_lasts: int | None = None
    gives_back_after: int | None = None
    reverse_within: int | None = None
    receipt: Callable[[str], str] = _same

    @classmethod
    def of(cls, traits: Traits, receipt: Callable[[str], str] = _same) -> Self:
        return cls(
            traits.confirms,
            traits.settles,
            traits.link_lasts,
            traits.gives_back_after,
            traits.reverse_within,
            receipt,
        )


PLAIN = Terms()


class StepResult(StrEnum):
    """What came of a confirm, a settle or a reverse."""

    DONE = "done"
    BEFORE = "before"
    """It was done before; nothing changed."""
    NOT_PAID = "not_paid"
    CANCELED = "canceled"
    """Canceled, or failed."""
    NOT_CONFIRMED = "not_confirmed"
    """The money is there, and it is to be confirmed first."""
    TOO_LATE = "too_late"
    """For confirm: the money went back unconfirmed. For reverse: the time is over, or the money is settled."""
    REVERSED = "reversed"
    """The money was given back before."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step at the bank: the invoice after it, and what came of it."""

    invoice: Invoice
    result: StepResult
