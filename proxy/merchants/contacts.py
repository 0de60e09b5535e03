"""How customers reach a merchant: telephone numbers, e-mail addresses and https addresses, up to three in one text."""

import re
import unicodedata
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from proxy.kernel.frozen import dataclass
from proxy.kernel.urls import ascii_url, origin_of

MAX_CONTACTS: Final = 3
MAX_CHARS: Final = 200
BETWEEN: Final = ", "
_BETWEEN: Final = re.compile(r"[,،;؛]")
_EMAIL: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_TELEPHONE: Final = re.compile(r"\+?[0-9]{3,15}")
_BETWEEN_DIGITS: Final = str.maketrans("", "", " -()\u200e")


class ContactKind(StrEnum):
    TELEPHONE = "tel"
    EMAIL = "mailto"
    ADDRESS = "https"


@dataclass(frozen=True, slots=True)
class Contact:
    """One way: its text as the merchant wrote it, and the link that opens it."""

    kind: ContactKind
    text: str
    link: str


def contacts_of(text: str) -> Sequence[Contact]:
    """The ways in a text, which commas separate; none where one of them is none, and where they are too many."""
    if len(text) > MAX_CHARS:
        return ()
    # As a whole first: an address may have commas.
    whole = _contact(text.strip())
    if whole is not None:
        return (whole,)
    found = [contact for part in _BETWEEN.split(text) if (contact := _contact(part.strip())) is not None]
    return found if len(found) == len(_BETWEEN.split(text)) <= MAX_CONTACTS else ()


def _contact(text: str) -> Contact | None:
    if _EMAIL.fullmatch(text):
        return Contact(ContactKind.EMAIL, text, f"mailto:{text}")
    number = "".join(map(_latin, text)).translate(_BETWEEN_DIGITS)
    if _TELEPHONE.fullmatch(number):
        return Contact(ContactKind.TELEPHONE, text, f"tel:{number}")
    try:
        return Contact(ContactKind.ADDRESS, text, ascii_url(text)) if origin_of(text).startswith("https://") else None
    except ValueError:
        return None


def _latin(char: str) -> str:
    return str(unicodedata.decimal(char)) if unicodedata.category(char) == "Nd" else char
