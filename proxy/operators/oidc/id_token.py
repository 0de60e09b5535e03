"""The ID token (OpenID Connect Core 1.0, 3.1.3.7): its signature, and the claims that it must have. No I/O."""

import base64
import hmac
from collections.abc import Collection, Mapping
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import ECKey, JWKRegistry, Key, KeySet, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from proxy.operators.oidc.refusals import Reason, SignInRefused

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519")
"""Signatures by a key pair alone: with HS256 whoever knows a public key, or our own secret, could sign."""
SKEW_SECONDS: Final = 60
MAX_TOKEN_CHARS: Final = 64 * 1024
MAX_KEYS: Final = 50
LEAST_RSA_BITS: Final = 2048
MAX_SUBJECT_CHARS: Final = 255
_TYPES: Final = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}


class UnknownKey(Exception):
    """The token names a key that the provider did not have when its keys were fetched."""


class _Registry(JWSRegistry):
    max_header_length = 8 * 1024  # some providers put their certificates into it


def signing_keys(document: Mapping[str, Any]) -> KeySet:
    """The public keys of a JWK set that may sign. Those of other kinds and uses are left out, and so are weak ones.

    Raises ValueError where none is left.
    """
    found = document.get("keys")
    entries = found[:MAX_KEYS] if isinstance(found, list) else []
    keys: list[Key] = [key for key in map(_signing_key, entries) if key is not None]
    if not keys:
        raise ValueError("no key that signs")
    return KeySet(keys)


def _signing_key(entry: object) -> RSAKey | ECKey | OKPKey | None:
    if (
        not isinstance(entry, dict)
        or entry.get("kty") not in _TYPES
        or entry.get("use", "sig") != "sig"
        or "d" in entry
    ):
        return None
    try:
        if entry["kty"] == "RSA" and _bits(entry["n"]) < LEAST_RSA_BITS:
            return None
        key = JWKRegistry.import_key(entry)
    except (JoseError, KeyError, ValueError, TypeError):
        return None
    assert isinstance(key, RSAKey | ECKey | OKPKey)
    return key


def _bits(number: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(f"{number}==")).bit_length()


def verified_claims(
    text: str, keys: KeySet, *, issuer: str, client_id: str, nonce: str, now_seconds: float
) -> Mapping[str, Any]:
    """The claims of a token that was issued for this client and this sign-in, and holds now.

    Raises SignInRefused, and UnknownKey.
    """
    if len(text) > MAX_TOKEN_CHARS:
        raise SignInRefused(Reason.TOKEN)
    try:
        claims = jwt.decode(text, keys, registry=_Registry(algorithms=ALGORITHMS, strict_check_header=False)).claims
    except InvalidKeyIdError:
        raise UnknownKey from None
    except (JoseError, ValueError, TypeError, RecursionError):
        raise SignInRefused(Reason.TOKEN) from None
    said = claims.get("nonce")
    if (
        claims.get("iss") != issuer
        or not _is_for(client_id, claims)
        or not isinstance(said, str)
        or not hmac.compare_digest(said.encode(errors="replace"), nonce.encode())
        or not _is_subject(claims.get("sub"))
    ):
        raise SignInRefused(Reason.TOKEN)
    _check_times(claims, now_seconds)
    return claims


def _is_for(client_id: str, claims: Mapping[str, Any]) -> bool:
    """Whether we are the audience; among several, the one that the token was issued to (`azp`)."""
    said = claims.get("aud")
    audience: Collection[Any] = said if isinstance(said, list) else [said]
    alone = len(audience) == 1 and "azp" not in claims
    return client_id in audience and (alone or claims.get("azp") == client_id)


def _is_subject(subject: object) -> bool:
    return isinstance(subject, str) and 0 < len(subject) <= MAX_SUBJECT_CHARS


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    expires_at, issued_at = _seconds(claims.get("exp")), _seconds(claims.get("iat"))
    if expires_at is None or issued_at is None:
        raise SignInRefused(Reason.TOKEN)
    begins_at = issued_at
    if "nbf" in claims:
        begins_at = max(begins_at, _seconds(claims["nbf"]) or float("inf"))
    if expires_at <= now - SKEW_SECONDS or begins_at > now + SKEW_SECONDS:
        raise SignInRefused(Reason.CLOCK)


def _seconds(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and 0 <= value < 2**53 else None  # type: ignore[operator,return-value]
