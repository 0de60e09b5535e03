"""Sealed secrets: AES-256-GCM under a data key per secret, which a key of the ring (a KEK) wraps.

The blob, version 1, 89 bytes and the secret:

    1 byte    version
    12        nonce of the wrapping
    48        the data key, wrapped by the KEK (32 bytes and the tag)
    12        nonce of the secret
    n + 16    the secret, under the data key

Both layers bind version, merchant, owner (whose prefix tells the table) and name, so that a ciphertext moved to
another row does not open. Rotation wraps the data key anew and leaves the secret's own ciphertext as it is.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from proxy.errors import VaultError
from proxy.ids import RandomBytes
from proxy.records import Sealed

KEY_BYTES: Final = 32
_VERSION: Final = b"\x01"
_NONCE_BYTES: Final = 12
_WRAP_END: Final = 1 + _NONCE_BYTES + KEY_BYTES + 16
_SECRET_START: Final = _WRAP_END + _NONCE_BYTES
_NAME: Final = re.compile(r"[A-Za-z0-9_.]{1,40}")


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys by their id, the first of which seals. An id is the key's name and a fingerprint of its bytes.

    The fingerprint gives a wrong key under a right name another id, so that it is found out at the start.
    """

    kek_id: str
    keys: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "KeyRing":
        """The ring of `name:base64` lines (commas separate too, `#` begins a comment line).

        Raises VaultError that says which line is wrong, without its content.
        """
        keys: dict[str, bytes] = {}
        names: set[str] = set()
        for number, line in _entries(text):
            name, key = _parse_line(number, line)
            if name in names or key in keys.values():
                raise VaultError(f"key ring, line {number}: the key {name} is there twice")
            names.add(name)
            keys[_kek_id(name, key)] = key
        if not keys:
            raise VaultError("the key ring is empty: make a key with `dargah keys generate`")
        return cls(next(iter(keys)), keys)

    def check(self, kek_ids: Iterable[str]) -> None:
        """Raises VaultError that names each of `kek_ids` (those of the stored secrets) that cannot be opened."""
        missing = sorted(set(kek_ids) - self.keys.keys())
        if missing:
            raise VaultError("; ".join(self._missing(kek_id) for kek_id in missing))

    def _missing(self, kek_id: str) -> str:
        name = kek_id.rpartition("-")[0]
        if any(mine.rpartition("-")[0] == name for mine in self.keys):
            return f"the key {name} of the ring is not the one that sealed ({kek_id}): its bytes differ"
        return f"the key {kek_id} is not in the ring, and secrets in the database are sealed under it: add its line"


def generate_line(name: str, random_bytes: RandomBytes = os.urandom) -> str:
    """A new line for the ring. Raises VaultError for a name that a ring would refuse."""
    return f"{_checked_name(name)}:{base64.b64encode(random_bytes(KEY_BYTES)).decode()}"


class RingVault:
    """The Vault over a KeyRing. Opening costs two AES-GCM calls and a key schedule, a few microseconds."""

    def __init__(self, ring: KeyRing, random_bytes: RandomBytes = os.urandom) -> None:
        self._ring = ring
        self._random_bytes = random_bytes
        self._keks = {kek_id: AESGCM(key) for kek_id, key in ring.keys.items()}

    @property
    def kek_id(self) -> str:
        return self._ring.kek_id

    def check(self, kek_ids: Iterable[str]) -> None:
        """Raises VaultError unless every one of `kek_ids` can be opened; it says which cannot, and why."""
        self._ring.check(kek_ids)

    def seal(self, merchant_id: str, owner_id: str, name: str, secret: str) -> Sealed:
        bound = _bound(merchant_id, owner_id, name)
        data_key = self._random_bytes(KEY_BYTES)
        nonce = self._random_bytes(_NONCE_BYTES)
        ciphertext = AESGCM(data_key).encrypt(nonce, secret.encode(), bound)
        blob = self._wrap(data_key, bound) + nonce + ciphertext
        return Sealed(merchant_id, owner_id, name, self.kek_id, blob)

    def open(self, sealed: Sealed) -> str:
        blob, bound = sealed.blob, _bound(sealed.merchant_id, sealed.owner_id, sealed.name)
        data_key = self._unwrap(sealed, bound)
        try:
            secret = AESGCM(data_key).decrypt(blob[_WRAP_END:_SECRET_START], blob[_SECRET_START:], bound)
        except (InvalidTag, ValueError):
            raise _altered(sealed) from None
        return secret.decode()

    def rewrap(self, sealed: Sealed) -> Sealed:
        bound = _bound(sealed.merchant_id, sealed.owner_id, sealed.name)
        data_key = self._unwrap(sealed, bound)
        return replace(sealed, kek_id=self.kek_id, blob=self._wrap(data_key, bound) + sealed.blob[_WRAP_END:])

    def _wrap(self, data_key: bytes, bound: bytes) -> bytes:
        nonce = self._random_bytes(_NONCE_BYTES)
        return _VERSION + nonce + self._keks[self.kek_id].encrypt(nonce, data_key, bound)

    def _unwrap(self, sealed: Sealed, bound: bytes) -> bytes:
        kek, blob = self._keks.get(sealed.kek_id), sealed.blob
        if kek is None:
            self._ring.check([sealed.kek_id])
        if kek is None or blob[:1] != _VERSION:
            raise _altered(sealed)
        try:
            return kek.decrypt(blob[1 : 1 + _NONCE_BYTES], blob[1 + _NONCE_BYTES : _WRAP_END], bound)
        except (InvalidTag, ValueError):
            raise _altered(sealed) from None


def _bound(merchant_id: str, owner_id: str, name: str) -> bytes:
    # None of the parts can hold a NUL, so two different records never give the same bytes.
    return b"\0".join((_VERSION, merchant_id.encode(), owner_id.encode(), name.encode()))


def _altered(sealed: Sealed) -> VaultError:
    return VaultError(f"the secret {sealed.name} of {sealed.owner_id} is not the one that was sealed for it")


def _entries(text: str) -> Iterable[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#"):
            continue
        for entry in line.split(","):
            if entry.strip():
                yield number, entry.strip()


def _parse_line(number: int, line: str) -> tuple[str, bytes]:
    name, mark, encoded = line.partition(":")
    try:
        if not mark:
            raise VaultError("write it as name:base64, as `dargah keys generate` prints it")  # noqa: TRY301  same prefix
        key = base64.b64decode(encoded.strip(), validate=True)
        if len(key) != KEY_BYTES:
            raise VaultError(f"the key {name.strip()} has {len(key)} bytes and not {KEY_BYTES}")  # noqa: TRY301  same
        return _checked_name(name.strip()), key
    except binascii.Error:
        raise VaultError(f"key ring, line {number}: what follows the colon is not base64") from None
    except VaultError as error:
        raise VaultError(f"key ring, line {number}: {error}") from None


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise VaultError("a key's name has 1 to 40 letters, digits, dots or underscores")
    return name


def _kek_id(name: str, key: bytes) -> str:
    # 32 bits tell a wrong key from a right one; they are a MAC under the key, and so tell nothing of it.
    return f"{name}-{hmac.digest(key, b'dargah key fingerprint', hashlib.sha256).hex()[:8]}"
