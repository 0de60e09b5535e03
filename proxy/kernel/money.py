"""Amounts: whole rials, shown with their toman. A factor of ten is this field's commonest complaint."""

from enum import StrEnum

from proxy.kernel.errors import InvalidInput, invalid

MIN_RIALS = 1000  # the gateway's own least amount (its code 102)
MAX_RIALS = 2**53 - 1  # what a JSON number carries exactly in every language; a 64-bit column holds more
RIALS_PER_TOMAN = 10


class Currency(StrEnum):
    """ISO 4217's IRR (rial), and IRT, the field's own code for toman."""

    IRR = "IRR"
    IRT = "IRT"


def to_rials(amount: object, currency: Currency) -> int:
    """Whole rials of `amount` in `currency`.

    Raises InvalidInput for anything but an int (a bool, float or string is refused, not converted), for
    less than 1000 rials and for more than JSON carries exactly.
    """
    if isinstance(amount, bool) or not isinstance(amount, int):
        raise _refused("amount_not_integer", "must be a whole number, not text or a fraction", "باید عدد صحیح باشد")
    rials = amount * RIALS_PER_TOMAN if currency is Currency.IRT else amount
    if rials < MIN_RIALS:
        raise _refused(
            "amount_too_small",
            "must be at least 1000 rial (100 toman)",
            "باید دست‌کم ۱۰۰۰ ریال (۱۰۰ تومان) باشد",
        )
    if rials > MAX_RIALS:
        raise _refused("amount_too_large", f"must be at most {MAX_RIALS} rial", "بیش از اندازه بزرگ است")
    return rials


def to_toman(rials: int) -> int | float:
    """The toman beside `rials`: whole where it is whole, else with its one decimal.

    Above 2**52 rials that is the nearest number that JSON carries, less than a rial off: the rials are authoritative.
    """
    whole, rest = divmod(rials, RIALS_PER_TOMAN)
    return whole if rest == 0 else rials / RIALS_PER_TOMAN


def _refused(code: str, detail: str, detail_fa: str) -> InvalidInput:
    return invalid("amount", code, detail, detail_fa)
