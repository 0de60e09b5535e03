"""Which ID tokens are believed: the signature's key and algorithm, for whom, for which sign-in, and when."""

import base64
import hmac
import json
from typing import Any, Final

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey

from proxy.operators.oidc.id_token import SKEW_SECONDS, UnknownKey, signing_keys, verified_claims
from proxy.operators.oidc.refusals import Reason, SignInRefused

NOW: Final = 1_800_000_000
KEY: Final = RSAKey.generate_key(2048, {"kid": "first"}, auto_kid=False)
OTHER: Final = RSAKey.generate_key(2048, {"kid": "first"}, auto_kid=False)
KEYS: Final = signing_keys({"keys": [KEY.as_dict(private=False)]})
GOOD: Final[dict[str, Any]] = {
    "iss": "https://id.example.ir",
    "aud": "dargah",
    "sub": "7",
    "nonce": "n",
    "iat": NOW,
    "exp": NOW + 300,
}
GONE: Final = object()


def signed(key: RSAKey = KEY, alg: str = "RS256", kid: str = "first", **more: Any) -> str:
    claims = {name: value for name, value in (GOOD | more).items() if value is not GONE}
    return jwt.encode({"alg": alg, "kid": kid}, claims, key, algorithms=[alg])


def read(token: str, keys: KeySet = KEYS, at: float = NOW) -> Any:
    return verified_claims(token, keys, issuer="https://id.example.ir", client_id="dargah", nonce="n", now_seconds=at)


def refused(token: str, at: float = NOW) -> Reason:
    with pytest.raises(SignInRefused) as error:
        read(token, at=at)
    return error.value.reason


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"aud": ["dargah"]},
        {"aud": ["dargah", "other"], "azp": "dargah"},
        {"nbf": NOW + SKEW_SECONDS},
        {"exp": NOW - SKEW_SECONDS + 1},
        {"iat": NOW + SKEW_SECONDS},
    ],
)
def test_a_token_for_us_and_this_sign_in_is_believed(more: dict[str, Any]) -> None:
    assert read(signed(**more))["sub"] == "7"


@pytest.mark.parametrize(
    "more",
    [
        {"iss": "https://id.example.ir/"},
        {"iss": GONE},
        {"aud": "other"},
        {"aud": GONE},
        {"aud": ["other"]},
        {"aud": ["dargah", "other"]},
        {"aud": ["dargah", "other"], "azp": "other"},
        {"azp": "other"},
        {"nonce": "m"},
        {"nonce": GONE},
        {"nonce": 1},
        {"sub": ""},
        {"sub": 7},
        {"sub": "s" * 256},
        {"exp": GONE},
        {"iat": GONE},
        {"exp": "soon"},
        {"exp": True},
    ],
)
def test_a_token_for_others_or_another_sign_in_is_refused(more: dict[str, Any]) -> None:
    assert refused(signed(**more)) is Reason.TOKEN


@pytest.mark.parametrize(
    "more",
    [
        {"exp": NOW - SKEW_SECONDS},
        {"iat": NOW + SKEW_SECONDS + 1},
        {"nbf": NOW + SKEW_SECONDS + 1},
        {"nbf": "never"},
    ],
)
def test_a_token_that_does_not_hold_now_says_that_the_clocks_differ(more: dict[str, Any]) -> None:
    assert refused(signed(**more)) is Reason.CLOCK


def unsigned(alg: str) -> str:
    parts = ({"alg": alg, "kid": "first"}, GOOD)
    return ".".join(encoded(json.dumps(each).encode()) for each in parts) + "."


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "RS256", "EdDSA", "HS256"])
def test_a_token_without_a_signature_is_refused_whatever_it_says(alg: str) -> None:
    assert refused(unsigned(alg)) is Reason.TOKEN


def test_a_token_signed_with_what_everybody_knows_is_refused() -> None:
    said = unsigned("HS256").removesuffix(".")
    signature = hmac.digest(KEY.as_pem(private=False), said.encode(), "sha256")
    assert refused(f"{said}.{encoded(signature)}") is Reason.TOKEN


def test_a_token_of_another_key_by_the_same_name_is_refused() -> None:
    assert refused(signed(OTHER)) is Reason.TOKEN


def test_a_key_that_is_not_known_is_told_apart_so_that_the_keys_are_fetched_again() -> None:
    with pytest.raises(UnknownKey):
        read(signed(kid="second"))


@pytest.mark.parametrize(
    "text", ["", "a.b.c", "....", "." * 5000, "é.é.é", "[" * 9000, base64.b64encode(b"[" * 6000).decode() + ".e30.e30"]
)
def test_what_is_no_token_is_refused(text: str) -> None:
    assert refused(text) is Reason.TOKEN


def test_a_changed_claim_is_refused() -> None:
    header, _, signature = signed().split(".")
    claims = encoded(json.dumps(GOOD | {"sub": "1"}).encode())
    assert refused(f"{header}.{claims}.{signature}") is Reason.TOKEN


def test_only_public_keys_that_may_sign_are_taken_from_a_set() -> None:
    good = KEY.as_dict(private=False)
    small = good | {"n": good["n"][: 1024 // 6]}
    shared = OctKey.generate_key(256).as_dict(private=True)
    entries = [
        None,
        7,
        {},
        {"kty": "RSA"},
        {"kty": "AKP"},
        small,
        shared,
        good | {"use": "enc"},
        KEY.as_dict(private=True),
    ]
    with pytest.raises(ValueError, match="no key"):
        signing_keys({"keys": entries})
    assert [key.kid for key in signing_keys({"keys": [*entries, good]})] == ["first"]
    documents: list[dict[str, Any]] = [{}, {"keys": {}}, {"keys": "first"}, {"keys": []}]
    for document in documents:
        with pytest.raises(ValueError, match="no key"):
            signing_keys(document)
