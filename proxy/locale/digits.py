"""Numbers as Persian readers write them, and back."""

import re
from typing import Final

from proxy.kernel.money import RIALS_PER_TOMAN

LATIN_DIGITS: Final = "0123456789"
PERSIAN_DIGITS: Final = "۰۱۲۳۴۵۶۷۸۹"
ARABIC_DIGITS: Final = "٠١٢٣٤٥٦٧٨٩"
_TO_PERSIAN: Final = str.maketrans(f"{LATIN_DIGITS},", f"{PERSIAN_DIGITS}٬")
# Keyboards give either set of digits, and spreadsheets either pair of separators.
_TO_LATIN: Final = str.maketrans(f"{PERSIAN_DIGITS}{ARABIC_DIGITS}٬٫", f"{LATIN_DIGITS}{LATIN_DIGITS},.")
_GROUPED: Final = re.compile(r"\d{1,3}(?:,\d{3})+|\d+")
_DIGITS: Final = 18


def persian_digits(text: str) -> str:
    """`text` with Persian digits and thousands separators in the place of the Latin ones."""
    return text.translate(_TO_PERSIAN)


def latin_digits(text: str) -> str:
    """`text` with Latin digits and separators in the place of the Persian and Arabic ones."""
    return text.translate(_TO_LATIN)


def persian_number(number: int) -> str:
    """Persian digits, grouped by thousands."""
    return persian_digits(f"{number:,}")


def persian_toman(amount_rials: int) -> str:
    """The amount in toman; an odd rial as a decimal."""
    toman, odd_rials = divmod(amount_rials, RIALS_PER_TOMAN)
    return persian_number(toman) + (f"٫{persian_number(odd_rials)}" if odd_rials else "")


def latin_toman(amount_rials: int) -> str:
    """The same in Latin digits."""
    toman, odd_rials = divmod(amount_rials, RIALS_PER_TOMAN)
    return f"{toman:,}" + (f".{odd_rials}" if odd_rials else "")


def parse_number(text: str) -> int:
    """The whole number that people wrote: in any of the digits, grouped by thousands or not. Raises ValueError."""
    plain = latin_digits(text).strip()
    if len(plain) > 2 * _DIGITS or not plain.isascii() or not _GROUPED.fullmatch(plain):
        raise ValueError("is not a whole number")
    return int(plain.replace(",", ""))
