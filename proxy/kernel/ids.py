"""Identifiers: their format, and the merchant that each of them carries.

Every id and token holds its merchant's key (8 base62 characters), so that a row, a customer's return or a call can be
routed to the merchant's shard or cell without a look-up, and every query can name the merchant first.
"""

import hashlib
import re
import zlib
from binascii import b2a_base64
from collections.abc import Callable
from functools import lru_cache
from typing import Final
from uuid import UUID

from proxy.kernel.clock import DAY

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
MERCHANT_KEY_CHARS: Final = 8
SECRET_CHARS: Final = 22  # 131 bits
OPERATOR_SECRET_CHARS: Final = 30
CHECKSUM_CHARS: Final = 6

PAYMENT, EVENT, DELIVERY, ENDPOINT, TERMINAL, TOKEN, MERCHANT, AUDIT, OPERATOR, SECOND_FACTOR, FILTER, RESEND = (
    "pay",
    "evt",
    "dlv",
    "ep",
    "trm",
    "tok",
    "mer",
    "aud",
    "opr",
    "fac",
    "flt",
    "rsd",
)
NO_MERCHANT: Final = "mer_00000000"
"""Whose key is in the ids of what belongs to the installation. A merchant gets it once in 2 ** 47."""
TOKEN_PATTERN: Final = r"\bdg_(?:live|test|op)_[0-9A-Za-z]{36}\b"  # noqa: S105  a pattern, no secret
"""What scanners of leaked secrets look for. The last six characters are a checksum: see `token_kind`."""

_ID = re.compile(r"[a-z]{2,4}_([0-9A-Za-z]{8})[0-9A-Za-z]{18}")
# The shorter one has its place in the 36 characters that a protocol allows.
_LINK = re.compile(r"([0-9A-Za-z]{8})[0-9A-Za-z]{27}(?:[0-9A-Za-z]{2})?")
# A link as it comes out of a message: between what was pasted around it, of which no character is one of its own.
_PASTED_LINK = re.compile(r"[^0-9A-Za-z]*([0-9A-Za-z]{35}(?:[0-9A-Za-z]{2})?)(?![0-9A-Za-z])(.*)", re.DOTALL)
_TOKEN = re.compile(r"dg_(live|test|op)_([0-9A-Za-z]{30})([0-9A-Za-z]{6})")
_API_TOKEN = re.compile(r"dg_(live|test)_(([0-9A-Za-z]{8})[0-9A-Za-z]{22})([0-9A-Za-z]{6})")

_UUID_TOKEN = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

RandomBytes = Callable[[int], bytes]


_BASE62_OF_BASE64: Final = bytes.maketrans(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", ALPHABET.encode()
)
_NOT_BASE62: Final = b"+/="
_TIME_CHARS: Final = 8
_PAIRS: Final = [first + second for first in ALPHABET for second in ALPHABET]

PARTITION_PERIOD: Final = 30 * DAY
"""Milliseconds of one partition of events, deliveries and attempts."""


def base62(number: int, width: int) -> str:
    """`number` in base 62, left-padded to `width`; digits beyond it are cut from the left."""
    digits = []
    for _ in range((width + 1) // 2):
        number, pair = divmod(number, len(_PAIRS))
        digits.append(_PAIRS[pair])
    return "".join(reversed(digits))[width % 2 :]


def _time_text(now: int) -> str:
    """The time in `_TIME_CHARS` digits."""
    head, pair = divmod(now, len(_PAIRS))
    return _head_of_time(head) + _PAIRS[pair]


@lru_cache(maxsize=16)
def _head_of_time(head: int) -> str:
    # Kept, because it is the same for four seconds.
    return base62(head, _TIME_CHARS - 2)


class Ids:
    """Makes identifiers from injected randomness (`os.urandom` outside tests)."""

    def __init__(self, random_bytes: RandomBytes) -> None:
        self._random_bytes = random_bytes
        self._numbered_at = self._thousandth = 0

    def random(self, chars: int) -> str:
        """`chars` random base62 characters, each as likely as another: of base64's digits, two are left out."""
        drawn = self._random_bytes(chars + 8)
        digits = b2a_base64(drawn, newline=False).translate(_BASE62_OF_BASE64, _NOT_BASE62)[:chars]
        return digits.decode() if len(digits) == chars else base62(int.from_bytes(drawn), chars)

    def merchant(self) -> str:
        return f"{MERCHANT}_{self.random(MERCHANT_KEY_CHARS)}"

    def record(self, kind: str, merchant_id: str, now: int) -> str:
        """An id of `kind` under the merchant, ordered by time so that an index grows at its end."""
        return f"{kind}_{merchant_key(merchant_id)}{_time_text(now)}{self.random(10)}"

    def link(self, merchant_id: str, now: int, secret_chars: int = SECRET_CHARS) -> str:
        """The token of a payment's pay and return links: the merchant's key, the time, and 131 random bits.

        The time keeps new links side by side in their index: a commit else writes one of its pages for each of them.
        """
        return f"{merchant_key(merchant_id)}{_time_text(now)[1:]}{self.random(secret_chars)}"

    def number(self, now: int) -> int:
        """A number below 2**53 that is another one each time, for gateways whose references are numbers: the time, and
        a thousandth of a millisecond.

        The first thousandth of a millisecond is random, because another process counts its own; the next ones follow
        it, so that of up to 1000 here no two are the same.
        """
        if now == self._numbered_at:
            self._thousandth = (self._thousandth + 1) % 1000
        else:
            self._numbered_at, self._thousandth = now, int.from_bytes(self._random_bytes(4)) % 1000
        return now * 1000 + self._thousandth

    def api_token(self, merchant_id: str, mode: str) -> str:
        """`dg_live_` or `dg_test_`, 30 base62 characters, and 6 of a CRC32 that scanners can verify."""
        body = f"{merchant_key(merchant_id)}{self.random(SECRET_CHARS)}"
        return f"dg_{mode}_{body}{_checksum(body)}"

    def uuid_token(self, merchant_id: str) -> str:
        """An API token as a UUID of version 4, for shops whose protocol wants one: the first 48 bits are the merchant's
        key, and 74 of the others are random.
        """
        merchant = number_of(merchant_key(merchant_id))
        drawn = int.from_bytes(self._random_bytes(10))
        high, low = drawn >> 62 & 0xFFF, drawn & (1 << 62) - 1
        return str(UUID(int=merchant << 80 | 4 << 76 | high << 64 | 2 << 62 | low))

    def payment_number(self) -> int:
        """A number of 16 digits with 52 random bits, below 2**53: as much as every client's JSON keeps."""
        return 1 << 52 | int.from_bytes(self._random_bytes(7)) & (1 << 52) - 1

    def operator_token(self) -> str:
        """`dg_op_`, 30 random base62 characters (178 bits), and the same checksum."""
        body = self.random(OPERATOR_SECRET_CHARS)
        return f"dg_op_{body}{_checksum(body)}"


def token_kind(text: str) -> str | None:
    """`live`, `test` or `op` when `text` is a well-formed token of ours, its checksum right; None otherwise.

    It says nothing of whether the token was ever issued: no store is asked.
    """
    match = _TOKEN.fullmatch(text)
    return match[1] if match and _checksum(match[2]) == match[3] else None


def merchant_key(merchant_id: str) -> str:
    """The 8 characters that a merchant's ids carry."""
    return merchant_id.removeprefix(f"{MERCHANT}_")


def merchant_of_id(record_id: str) -> str | None:
    """The merchant's id that a record's id carries, or None when it is not one of ours."""
    match = _ID.fullmatch(record_id)
    return f"{MERCHANT}_{match[1]}" if match else None


def partition_at(at: int) -> int:
    """The number of the partition of a time."""
    return at // PARTITION_PERIOD


def partition_of(record_id: str) -> int:
    """The number of the partition in which a record's id was made, or 0 when the id is not one of ours."""
    return partition_at(time_of_id(record_id))


def merchant_of_link(token: str) -> str | None:
    """The merchant's id that a pay or return token carries, or None when it is not one of ours."""
    match = _LINK.fullmatch(token)
    return f"{MERCHANT}_{match[1]}" if match else None


def time_of_link(token: str) -> int:
    """When a pay or return token was made, in milliseconds; 0 when it is not one of ours."""
    return number_of(token[MERCHANT_KEY_CHARS : MERCHANT_KEY_CHARS + _TIME_CHARS - 1]) if _LINK.fullmatch(token) else 0


def time_of_id(record_id: str) -> int:
    """When a record's id was made, in milliseconds; 0 when it is not one of ours."""
    return number_of(record_id[-18:-10]) if _ID.fullmatch(record_id) else 0


def number_of(digits: str) -> int:
    """The number that `base62` wrote."""
    number = 0
    for digit in digits:
        number = number * len(ALPHABET) + ALPHABET.index(digit)
    return number


def split_link(text: str) -> tuple[str, str]:
    """The pay or return token at the beginning of a path, and the rest behind it; the text itself where there is no
    token.

    Messengers and people paste full stops, quotes and invisible marks behind a link, and gateways `&invoice_key=…`.
    """
    match = _PASTED_LINK.fullmatch(text)
    return (match[1], match[2]) if match else (text, "")


def merchant_of_api_token(token: str) -> str | None:
    """The merchant's id in an API token with a correct checksum, or in one that is a UUID; None otherwise. No store is
    asked.
    """
    if (of_uuid := _UUID_TOKEN.fullmatch(token)) is not None:
        number = int(of_uuid[1] + of_uuid[2], 16)
        return (
            f"{MERCHANT}_{base62(number, MERCHANT_KEY_CHARS)}" if number < len(ALPHABET) ** MERCHANT_KEY_CHARS else None
        )
    match = _API_TOKEN.fullmatch(token)
    if match is None or _checksum(match[2]) != match[4]:
        return None
    return f"{MERCHANT}_{match[3]}"


def digest(token: str) -> bytes:
    """The stored form of a token: its SHA-256. The token has 131 random bits, so no salt or stretching is needed."""
    # A header may hold bytes that are no text, which Python keeps as surrogates.
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()


def _checksum(body: str) -> str:
    return base62(zlib.crc32(body.encode()), CHECKSUM_CHARS)
