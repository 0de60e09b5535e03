"""The side of a family that faces shops: Dargah as a gateway to shops that speak the family's protocol. No I/O."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from enum import Enum, auto
from hashlib import sha256
from typing import Any, Final

from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import SECRET_CHARS
from proxy.kernel.money import Currency
from proxy.kernel.text import is_blank, one_line, refused_in
from proxy.kernel.urls import ascii_url, head_of, origin_of, with_params

MAX_RETURN_URL_CHARS: Final = 4096
MAX_ORDER_ID_CHARS: Final = 100
_EXACT_FLOAT: Final = 2**53
# Digits of any script, or a database's decimal that is whole. With three zeros it may be a separator of thousands.
_INTEGER: Final = re.compile("(\\d{1,19})(?:[.\u066b](?:[0\u0660\u06f0]{1,2}|[0\u0660\u06f0]{4,9}))?")
# Marks that pastes and right-to-left editors leave around a value: half-spaces, direction marks, a byte order mark.
_MARKS: Final = "\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
# Stripped in one go: white space and marks that take turns would else be taken off one by one, each by a copy.
_AROUND: Final = _MARKS + "".join(filter(str.isspace, map(chr, range(0x3001))))


class InvoiceState(Enum):
    """The state of a shop's invoice. UNKNOWN is one whose key was never given out."""

    OPEN = auto()
    PAID = auto()
    CANCELED = auto()
    EXPIRED = auto()
    GIVEN_BACK = auto()
    UNDER_REVIEW = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True)
class ShopInvoice:
    """A payment as its shop knows it. `amount` is in the unit in which the shop asked. A paid one has a bank_code, and
    the bank's trace number where it told one.
    """

    key: str
    state: InvoiceState
    amount: int
    bank_code: str | None
    order_id: str = ""
    trace_number: str | None = None


@dataclass(frozen=True, slots=True)
class ShopRequest:
    """A shop's request of an invoice. `order_id` is None when the shop gave none."""

    amount_rials: int
    currency: Currency
    return_url: str
    order_id: str | None
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopSide:
    """How shops of the protocol name a payment, and what their customers bring back.

    `key_field` is where shops put their token, and `hosts` are the gateway's, in whose place Dargah's address stands.
    `key` gives the shop's name of a payment from its link and its number; `numbers` is whether a payment needs a number
    for that, and `link_secret_chars` how long the random part of the link may be. `uuid_tokens` is whether a token has
    the form of a UUID.
    """

    key_field: str
    hosts: tuple[str, ...] = ()
    return_params: Callable[[ShopInvoice], Mapping[str, str]] = field(repr=False)
    key: Callable[[str, int | None], str] = field(repr=False, default=lambda link, _number: link)
    link_secret_chars: int = SECRET_CHARS
    numbers: bool = False
    uuid_tokens: bool = False


class CallRefused(Exception):
    """A shop's call that is answered with a refusal, in its protocol's form."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        super().__init__()
        self.answer = answer


def shop_url(return_url: str, params: Mapping[str, str]) -> str:
    """The shop's own URL with the parameters of the return added; as ASCII."""
    return with_params(ascii_url(return_url), params)


class ReturnUrlInvalid(ValueError):
    """A return URL that no customer can be sent to."""


class ReturnUrlForeign(ValueError):
    """A return URL of an origin that the merchant does not have."""


def check_return_url(url: str | None, origins: Sequence[str], *, any_https: bool) -> str:
    """`url` when it leads to one of `origins`, or with `any_https` to any by https.

    Raises ReturnUrlInvalid or ReturnUrlForeign.
    """
    if url is None or len(url) > MAX_RETURN_URL_CHARS or refused_in(url):
        raise ReturnUrlInvalid
    try:
        origin = origin_of(head_of(url))
    except ValueError:
        raise ReturnUrlInvalid from None
    if origin not in origins and not (any_https and origin.startswith("https://")):
        raise ReturnUrlForeign
    return url


def whole_number(value: object) -> object:
    """A whole number of a number, or of a text that is one; any other value unchanged."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT_FLOAT:
        return int(value)
    found = _INTEGER.fullmatch(text_of(value)) if isinstance(value, str) else None
    return int(found[1]) if found else value


def order_id_of(value: object) -> str | None:
    """The order's number as it was sent; None when there is none. Raises ValueError for one that cannot be kept.

    It names the order to both sides, so it is never dropped or changed on the way.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if not isinstance(value, str) or is_blank(value) or refused_in(value) or len(value.strip()) > MAX_ORDER_ID_CHARS:
        raise ValueError(f"must be one line that can be seen, of at most {MAX_ORDER_ID_CHARS} characters")
    return value.strip()


def text_of(value: object) -> str:
    """The text without invisible characters around it; empty for other types than text and whole numbers."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return ""
    return value.strip(_AROUND)


def description_of(value: object) -> str:
    """What an order is about, as one line; empty for what is no text."""
    return one_line(text_of(value)).strip()


def reference_number(invoice: ShopInvoice) -> int:
    """The bank's number of a paid invoice, for a protocol whose clients read nothing but a number there.

    It is the bank_code where that is one, else the bank's trace number, else 52 bits of the bank_code's digest: always
    the same for one invoice, and below 2**53, so that every client's JSON keeps it.
    """
    for text in (invoice.bank_code, invoice.trace_number):
        if text and text.isascii() and text.isdigit() and 0 < int(text) < _EXACT_FLOAT:
            return int(text)
    return int.from_bytes(sha256((invoice.bank_code or "").encode()).digest()[:7]) >> 4
