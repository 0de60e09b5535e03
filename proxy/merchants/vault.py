"""Sealed secrets: AES-256-GCM under a data key per secret, which a key of the ring (a KEK) wraps.

The blob, 89 bytes and the secret:

    1 byte    version
    12        nonce of the wrapping
    48        the data key, wrapped by the KEK (32 bytes and the tag)
    12        nonce of the secret
    n + 16    the secret, under the data key

Both layers bind version, merchant, owner (whose prefix tells the table) and name, so that a ciphertext moved to
another row does not open. Rotation wraps the data key anew and leaves the secret's own ciphertext as it is.

Version 2 is of secrets that leave for a destination (`is_destined`): the secret's own layer also binds the origin that
it may go to, so that under another URL it does not open. All others are of version 1, which a destined secret was once
too: `bind` alone still opens those.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from typing import Final

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from proxy.kernel.errors import CredentialUnusable, NotFound, VaultError
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import RandomBytes
from proxy.kernel.urls import origin_of

log = structlog.get_logger()

KEY_BYTES: Final = 32
_PLAIN: Final = b"\x01"
_WITH_ORIGIN: Final = b"\x02"
_NONCE_BYTES: Final = 12
_WRAP_END: Final = 1 + _NONCE_BYTES + KEY_BYTES + 16
_SECRET_START: Final = _WRAP_END + _NONCE_BYTES
MAX_UNUSABLE: Final = 1000
_NAME: Final = re.compile(r"[A-Za-z0-9_.]{1,40}")

API_KEY: Final = "api_key"
HEADERS: Final = "headers"
_CREDENTIAL: Final = "credential."


def credential_secret(credential: str) -> str:
    """The name of the secret that keeps this credential of a terminal. An api_key is from before there were others."""
    return credential if credential == API_KEY else f"{_CREDENTIAL}{credential}"


def credential_of(secret: str) -> str:
    """The credential that a terminal's secret of this name keeps."""
    return secret.removeprefix(_CREDENTIAL)


def is_destined(secret: str) -> bool:
    """Whether a secret of this name leaves for a destination, whose origin is part of its seal. Signing keys do not."""
    return secret in {API_KEY, HEADERS} or secret.startswith(_CREDENTIAL)


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """A secret as the store keeps it. (merchant_id, owner_id, name) is its key, and bound into the ciphertext."""

    merchant_id: str
    owner_id: str
    name: str
    kek_id: str
    blob: bytes


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
            found = "; ".join(self._missing(kek_id) for kek_id in missing)
            raise VaultError(f"{found}: add its line to the ring, which has {', '.join(self.keys)}")

    def _missing(self, kek_id: str) -> str:
        name = kek_id.rpartition("-")[0]
        if any(mine.rpartition("-")[0] == name for mine in self.keys):
            return f"the key {name} of the ring is not the one that sealed ({kek_id}): its bytes differ"
        return f"the key {kek_id} is not in the ring, and secrets in the database are sealed under it"


def generate_line(name: str, random_bytes: RandomBytes = os.urandom) -> str:
    """A new line for the ring. Raises VaultError for a name that a ring would refuse."""
    return f"{_checked_name(name)}:{base64.b64encode(random_bytes(KEY_BYTES)).decode()}"


class Vault:
    """The Vault over a KeyRing. Opening costs two AES-GCM calls and a key schedule, a few microseconds."""

    def __init__(self, ring: KeyRing, random_bytes: RandomBytes = os.urandom) -> None:
        self._ring = ring
        self._random_bytes = random_bytes
        self._keks = {kek_id: AESGCM(key) for kek_id, key in ring.keys.items()}
        self.unusable: dict[tuple[str, str], int] = {}
        """By owner and name, how often a secret did not open where it was needed; it is forgotten when it opens."""

    @property
    def kek_id(self) -> str:
        return self._ring.kek_id

    def derived_keys(self, purpose: str) -> tuple[bytes, ...]:
        """A key for this purpose alone of each key of the ring, the sealing one's first. None tells of another."""
        label = b"dargah derived key\0" + purpose.encode()
        return tuple(hmac.digest(key, label, hashlib.sha256) for key in self._ring.keys.values())

    def check(self, kek_ids: Iterable[str]) -> None:
        """Raises VaultError unless every one of `kek_ids` can be opened; it says which cannot, and why."""
        self._ring.check(kek_ids)

    def seal(self, merchant_id: str, owner_id: str, name: str, secret: str, origin: str | None = None) -> SealedSecret:
        version = _version_of(name)
        row = _row(version, merchant_id, owner_id, name)
        data_key = self._random_bytes(KEY_BYTES)
        nonce = self._random_bytes(_NONCE_BYTES)
        ciphertext = AESGCM(data_key).encrypt(nonce, secret.encode(), _bound_data(row, name, origin))
        blob = self._wrap(version, data_key, row) + nonce + ciphertext
        return SealedSecret(merchant_id, owner_id, name, self.kek_id, blob)

    def open(self, sealed: SealedSecret, origin: str | None = None) -> str:
        row = _row(_version_of(sealed.name), sealed.merchant_id, sealed.owner_id, sealed.name)
        data_key = self._unwrap(sealed, row)
        try:
            return _decrypt(sealed, data_key, _bound_data(row, sealed.name, origin))
        except InvalidTag:
            raise (_altered_error(sealed) if origin is None else _elsewhere(sealed, origin)) from None

    def open_named(self, secrets: Iterable[SealedSecret], name: str, url: str | None = None) -> str:
        """The one of this name, for the origin of `url` where it leaves for one. Raises VaultError and NotFound."""
        for sealed in secrets:
            if sealed.name == name:
                opened = self.open(sealed, None if url is None else _origin(sealed, url))
                self.unusable.pop((sealed.owner_id, name), None)
                return opened
        raise NotFound("secret")

    def open_destined(self, owner: tuple[str, str], secrets: Iterable[SealedSecret], name: str, url: str) -> str:
        """The same for the secrets of `owner`, a merchant and its record. Raises CredentialUnusable, and logs why."""
        merchant_id, owner_id = owner
        try:
            return self.open_named(secrets, name, url)
        except (VaultError, NotFound) as error:
            if (owner_id, name) in self.unusable or len(self.unusable) < MAX_UNUSABLE:
                self.unusable[owner_id, name] = self.unusable.get((owner_id, name), 0) + 1
            log.error("credential_unusable", merchant_id=merchant_id, kind=name, error=str(error))  # noqa: TRY400
            raise CredentialUnusable(owner_id, name) from None

    def bind(self, sealed: SealedSecret, origin: str) -> SealedSecret | None:
        if sealed.blob[:1] == _WITH_ORIGIN:
            return None
        row = _row(_PLAIN, sealed.merchant_id, sealed.owner_id, sealed.name)
        data_key = self._unwrap(sealed, row)
        try:
            secret = _decrypt(sealed, data_key, row)
        except InvalidTag:
            raise _altered_error(sealed) from None
        return self.seal(sealed.merchant_id, sealed.owner_id, sealed.name, secret, origin)

    def rewrap(self, sealed: SealedSecret) -> SealedSecret:
        version = _version_of(sealed.name)
        row = _row(version, sealed.merchant_id, sealed.owner_id, sealed.name)
        data_key = self._unwrap(sealed, row)
        return replace(sealed, kek_id=self.kek_id, blob=self._wrap(version, data_key, row) + sealed.blob[_WRAP_END:])

    def _wrap(self, version: bytes, data_key: bytes, row: bytes) -> bytes:
        nonce = self._random_bytes(_NONCE_BYTES)
        return version + nonce + self._keks[self.kek_id].encrypt(nonce, data_key, row)

    def _unwrap(self, sealed: SealedSecret, row: bytes) -> bytes:
        kek, blob = self._keks.get(sealed.kek_id), sealed.blob
        if kek is None:
            self._ring.check([sealed.kek_id])
        if kek is None or blob[:1] != row[:1]:
            raise _altered_error(sealed)
        try:
            return kek.decrypt(blob[1 : 1 + _NONCE_BYTES], blob[1 + _NONCE_BYTES : _WRAP_END], row)
        except (InvalidTag, ValueError):
            raise _altered_error(sealed) from None


def _origin(sealed: SealedSecret, url: str) -> str:
    try:
        return origin_of(url)
    except ValueError as error:
        raise VaultError(f"the URL of {sealed.owner_id} is none: {error}") from None


def _version_of(name: str) -> bytes:
    return _WITH_ORIGIN if is_destined(name) else _PLAIN


def _row(version: bytes, merchant_id: str, owner_id: str, name: str) -> bytes:
    # None of the parts can hold a NUL, so two different records never give the same bytes.
    return b"\0".join((version, merchant_id.encode(), owner_id.encode(), name.encode()))


def _bound_data(row: bytes, name: str, origin: str | None) -> bytes:
    """The bound data of a secret's own layer. Raises VaultError where an origin is missing, or none is wanted."""
    if (origin is not None) is not is_destined(name):
        raise VaultError(f"the secret {name} is sealed with an origin, or without one, and this is the other way")
    return row if origin is None else b"\0".join((row, origin.encode()))


def _decrypt(sealed: SealedSecret, data_key: bytes, bound: bytes) -> str:
    blob = sealed.blob
    try:
        return AESGCM(data_key).decrypt(blob[_WRAP_END:_SECRET_START], blob[_SECRET_START:], bound).decode()
    except ValueError:
        raise _altered_error(sealed) from None


def _altered_error(sealed: SealedSecret) -> VaultError:
    return VaultError(f"the secret {sealed.name} of {sealed.owner_id} is not the one that was sealed for it")


def _elsewhere(sealed: SealedSecret, origin: str) -> VaultError:
    return VaultError(f"the secret {sealed.name} of {sealed.owner_id} was not sealed for {origin}")


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
