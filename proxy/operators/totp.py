"""One-time codes by time (RFC 6238), as every authenticator app makes them: SHA-1, six digits, steps of 30 seconds."""

import base64
import hmac
import re
from typing import Final
from urllib.parse import quote

from proxy.kernel.clock import SECOND
from proxy.kernel.ids import RandomBytes
from proxy.locale.persian import latin_digits

SECRET_BYTES: Final = 20  # as long as the hash, as RFC 4226 recommends
STEP: Final = 30 * SECOND
DIGITS: Final = 6
SKEW: Final = 1
"""Steps that a phone's clock may be off, before and after."""
RECOVERY_BYTES: Final = 10
_RECOVERY_CHARS: Final = 16
_CODE: Final = re.compile(f"[0-9]{{{DIGITS}}}")
_RECOVERY: Final = re.compile(f"[A-Z2-7]{{{_RECOVERY_CHARS}}}")
MAX_TYPED_CHARS: Final = 100


def new_secret(random_bytes: RandomBytes) -> str:
    """A new secret, in base32 as apps take it."""
    return base64.b32encode(random_bytes(SECRET_BYTES)).decode()


def new_recovery_code(random_bytes: RandomBytes) -> str:
    """80 random bits as 16 characters of base32 in groups of four."""
    text = base64.b32encode(random_bytes(RECOVERY_BYTES)).decode()
    return "-".join(text[start : start + 4] for start in range(0, _RECOVERY_CHARS, 4))


def step_at(now: int) -> int:
    """The number of the step at a time in milliseconds."""
    return now // STEP


def code_of(secret: str, step: int) -> str:
    """The code of one step."""
    mac = hmac.digest(base64.b32decode(secret), step.to_bytes(8), "sha1")
    offset = mac[-1] & 0xF
    number = int.from_bytes(mac[offset : offset + 4]) & 0x7FFF_FFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"


def matching_step(secret: str, code: str, now: int) -> int | None:
    """The newest step around now whose code this is, or None."""
    present, found = step_at(now), None
    for step in range(present - SKEW, present + SKEW + 1):
        if hmac.compare_digest(code_of(secret, step), code):
            found = step
    return found


def typed_code(text: str) -> str | None:
    """The six digits that somebody typed, in any script and grouped in any way; None where it is something else."""
    code = _plain(text)
    return code if _CODE.fullmatch(code) else None


def typed_recovery_code(text: str) -> str | None:
    """The 16 characters of a recovery code that somebody typed; None where it is something else."""
    code = _plain(text).upper()
    return code if _RECOVERY.fullmatch(code) else None


def provisioning_uri(secret: str, account: str, issuer: str) -> str:
    """What the QR code says to an app. Digits, period and hash are what apps take unless told otherwise."""
    label = quote(f"{issuer}:{account}", safe=":@")
    return f"otpauth://totp/{label}?secret={secret}&issuer={quote(issuer, safe='')}"


def _plain(text: str) -> str:
    """Without spaces, dashes and the marks of direction that messengers put around a number."""
    return "".join(char for char in latin_digits(text[:MAX_TYPED_CHARS]) if char.isascii() and char.isalnum())
