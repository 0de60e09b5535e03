"""The headings by which the columns of banks' and gateways' files are known, in Persian and English."""

import unicodedata
from typing import Final

from proxy.money import Currency

_LETTERS: Final = str.maketrans({"ي": "ی", "ى": "ی", "ك": "ک", "ة": "ه", "أ": "ا", "إ": "ا", "ٔ": None, "ً": None})
_RIAL: Final = ("ریال", "rial", "irr")
_TOMAN: Final = ("تومان", "toman", "irt")


def normal(heading: str) -> str:
    """A heading as it is compared: letters and digits alone, in one form of each letter."""
    text = unicodedata.normalize("NFKC", heading).translate(_LETTERS).casefold()
    return "".join(char for char in text if char.isalnum())


def _with_units(*names: str) -> frozenset[str]:
    units = ("", *_RIAL, *_TOMAN, "rials", "tomans", "بهریال", "بهتومان")
    return frozenset(normal(name) + unit for name in names for unit in units)


CODE: Final = frozenset(
    normal(name)
    for name in (
        "کد پیگیری", "شماره پیگیری", "کد پیگیری بانک", "کد رهگیری", "شماره رهگیری", "کد مرجع", "شماره مرجع",
        "شماره ارجاع", "شماره مرجع تراکنش", "کد پیگیری تراکنش",
        "bank_code", "bank code", "tracking code", "tracking number", "trace number",
        "trace no", "reference", "reference number", "reference no", "ref", "ref no", "rrn",
    )
)  # fmt: skip
AMOUNT: Final = _with_units(
    "مبلغ", "مبلغ تراکنش", "مبلغ واریز", "مبلغ واریزی", "مبلغ بستانکار", "بستانکار", "واریز",
    "amount", "credit", "deposit", "transaction amount", "paid amount",
)  # fmt: skip
DATE: Final = frozenset(
    normal(name)
    for name in (
        "تاریخ", "تاریخ تراکنش", "تاریخ واریز", "تاریخ پرداخت", "تاریخ و ساعت", "تاریخ و زمان", "زمان تراکنش", "date",
        "transaction date", "payment date", "date time", "paid_at", "captured_at", "timestamp",
    )
)  # fmt: skip
TIME: Final = frozenset(normal(name) for name in ("ساعت", "زمان", "ساعت تراکنش", "time", "transaction time"))
TOTALS: Final = frozenset(normal(name) for name in ("جمع", "جمع کل", "مجموع", "total", "sum", "grand total"))


def currency_of(heading: str) -> Currency | None:
    """The unit that a normal heading names, if it does."""
    if any(unit in heading for unit in _TOMAN):
        return Currency.IRT
    return Currency.IRR if any(unit in heading for unit in _RIAL) else None
