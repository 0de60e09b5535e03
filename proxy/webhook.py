"""Webhook messages by Standard Webhooks 1.0.0: the event, its frozen body, its signatures, and when to try again."""

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from proxy.clock import HOUR, MINUTE, SECOND, rfc3339
from proxy.frozen import dataclass
from proxy.merchant import Mode

MAX_BODY_BYTES: Final = 20_000
SECRET_PREFIX: Final = "whsec_"  # noqa: S105  a public prefix
PRIVATE_PREFIX: Final = "whsk_"
PUBLIC_PREFIX: Final = "whpk_"
HMAC_BLOCK_BYTES: Final = 64  # of SHA-256

# Between one attempt and the next: 75.6 hours in all.
RETRY_DELAYS: Final = (
    5 * SECOND,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    14 * HOUR,
    20 * HOUR,
    24 * HOUR,
)
MAX_ATTEMPTS: Final = len(RETRY_DELAYS) + 1
JITTER: Final = 0.2


class DeliveryStatus(StrEnum):
    """`failed` means that the schedule is used up; nothing else ends an undelivered one but the endpoint's deletion."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `data` is the payload but for the sequence, which the store gives at the commit.

    `mode` is the payment's; what is about no payment is in none.
    """

    id: str
    merchant_id: str
    storefront: str | None
    type: str
    payment_id: str | None
    occurred_at: int
    data: Mapping[str, Any]
    mode: Mode | None = None

    def body(self, sequence: int) -> bytes:
        """The bytes that are frozen, signed and sent: `{"type", "timestamp", "data"}`, under 20 kB."""
        message = {
            "type": self.type,
            "timestamp": rfc3339(self.occurred_at),
            "data": {**self.data, "sequence": sequence},
        }
        return orjson.dumps(message)


def new_secret(random_32_bytes: bytes) -> str:
    """A `v1` key as merchants see it: `whsec_` and standard base64."""
    return SECRET_PREFIX + base64.b64encode(random_32_bytes).decode()


def private_key(random_32_bytes: bytes) -> str:
    """A `v1a` key as we keep it: `whsk_` and base64 of the Ed25519 seed with its public key."""
    public = Ed25519PrivateKey.from_private_bytes(random_32_bytes).public_key().public_bytes_raw()
    return PRIVATE_PREFIX + base64.b64encode(random_32_bytes + public).decode()


def public_key(private: str) -> str:
    """The `whpk_` key with which a merchant verifies what `private` (a `whsk_` key) signs."""
    return PUBLIC_PREFIX + base64.b64encode(_key_bytes(private, PRIVATE_PREFIX)[32:]).decode()


def sign(keys: Sequence[str], message_id: str, timestamp_seconds: int, body: bytes) -> str:
    """The `webhook-signature` header over the exact bytes: one signature per key, `v1` before `v1a`.

    `keys` are `whsec_` or `whsk_` texts. Raises ValueError for anything else.
    """
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp_seconds, body)
    signatures = [_signature(key, signed) for key in keys]
    if len(signatures) > 1:
        signatures.sort(key=lambda signature: signature.startswith("v1a,"))
    return " ".join(signatures)


def verified_by(public: str, signature: str, message_id: str, timestamp_seconds: int, body: bytes) -> bool:
    """Whether a `v1a` signature is of the `whpk_` key's private half. Raises ValueError when the key is none."""
    key = Ed25519PublicKey.from_public_bytes(_key_bytes(public, PUBLIC_PREFIX))
    kind, _, text = signature.partition(",")
    try:
        key.verify(base64.b64decode(text), b"%s.%d.%s" % (message_id.encode(), timestamp_seconds, body))
    except (InvalidSignature, binascii.Error):
        return False
    return kind == "v1a"


def retry_at(attempts: int, now: int, jitter: float) -> int | None:
    """When to try again after `attempts` failed ones, or None when the schedule is used up.

    `jitter` is uniform in [-1, 1]; it moves the delay by up to a fifth, so that a merchant who comes back is not hit
    by all that waited at the same moment.
    """
    if attempts >= MAX_ATTEMPTS:
        return None
    return now + round(RETRY_DELAYS[attempts - 1] * (1 + JITTER * jitter))


def _signature(key: str, signed: bytes) -> str:
    if key.startswith(SECRET_PREFIX):
        return "v1," + base64.b64encode(_hmac_sha256(key, signed)).decode()
    return "v1a," + base64.b64encode(_ed25519(key).sign(signed)).decode()


def _hmac_sha256(key: str, signed: bytes) -> bytes:
    inner, outer = (half.copy() for half in _hmac_halves(key))
    inner.update(signed)
    outer.update(inner.digest())
    return outer.digest()


@lru_cache(maxsize=4096)
def _hmac_halves(key: str) -> tuple["hashlib._Hash", "hashlib._Hash"]:
    """RFC 2104's two hashes with the padded key in them: to copy them costs a fourth of what `hmac.digest` does."""
    secret = _key_bytes(key, SECRET_PREFIX)
    block = (hashlib.sha256(secret).digest() if len(secret) > HMAC_BLOCK_BYTES else secret).ljust(
        HMAC_BLOCK_BYTES, b"\0"
    )
    return hashlib.sha256(bytes(byte ^ 0x36 for byte in block)), hashlib.sha256(bytes(byte ^ 0x5C for byte in block))


@lru_cache(maxsize=4096)
def _ed25519(key: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(_key_bytes(key, PRIVATE_PREFIX)[:32])


def _key_bytes(key: str, prefix: str) -> bytes:
    if not key.startswith(prefix):
        raise ValueError(f"a signing key starts with {prefix}")
    try:
        return base64.b64decode(key[len(prefix) :], validate=True)
    except binascii.Error as error:
        raise ValueError("a signing key is standard base64 after its prefix") from error
