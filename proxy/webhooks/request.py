"""The webhook request: its URL, signed headers and body, the port of its sender, and the result."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from proxy import __version__
from proxy.kernel.clock import SECOND
from proxy.kernel.frozen import dataclass
from proxy.webhooks.endpoint import Endpoint, EndpointSecrets


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """One webhook request: the headers are complete, the body is the frozen bytes."""

    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class WebhookResult:
    """The result of a request: an HTTP status, or a named error if there was none.

    `error` is one of timeout, connect_timeout, refused, reset, dns, tls, tls_expired, tls_not_yet_valid,
    tls_wrong_host, tls_self_signed, tls_unknown_authority, tls_client_certificate, tls_too_old, tls_not_spoken,
    tls_cut_off, blocked_address, bad_url, bad_response; of the egress proxy: proxy_unreachable, proxy_timeout,
    proxy_auth, proxy_refused, proxy_bad_response, proxy_needs_tls; or sealed_elsewhere, when the endpoint's own
    headers were sealed for another origin than its URL's. `excerpt` is the first 4 kB of the answer;
    `retry_after_seconds` is the parsed Retry-After header.
    """

    status: int | None
    error: str | None
    duration_ms: int
    excerpt: bytes = b""
    retry_after_seconds: int | None = None

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004  the HTTP class


class Sender(Protocol):
    """Posts a webhook. Never raises for errors of the receiver or the network."""

    async def send(self, request: WebhookRequest) -> WebhookResult: ...


SECRET_PREFIX: Final = "whsec_"  # noqa: S105  a public prefix
PRIVATE_PREFIX: Final = "whsk_"
PUBLIC_PREFIX: Final = "whpk_"


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


def _signature(key: str, signed: bytes) -> str:
    if key.startswith(SECRET_PREFIX):
        digest = _hmac(key).copy()
        digest.update(signed)
        return "v1," + base64.b64encode(digest.digest()).decode()
    return "v1a," + base64.b64encode(_ed25519(key).sign(signed)).decode()


@lru_cache(maxsize=4096)
def _hmac(key: str) -> hmac.HMAC:
    """With nothing hashed yet but the key: to be copied."""
    return hmac.new(_key_bytes(key, SECRET_PREFIX), digestmod="sha256")


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


USER_AGENT: Final = f"Dargah/{__version__} (webhooks)"


async def build_request(
    secrets: EndpointSecrets,
    endpoint: Endpoint,
    message_id: str,
    body: bytes,
    now: int,
    traceparent: str | None = None,
) -> WebhookRequest:
    """The request for these frozen bytes, to the endpoint's present URL, signed by its present keys.

    With `traceparent` the receiver gets the event's trace. Raises CredentialUnusable where the
    endpoint's own headers were sealed for another URL.
    """
    keys = await secrets.signing_keys(endpoint)
    headers = {**await secrets.headers(endpoint), **signed_headers(keys, message_id, body, now)}
    if traceparent is not None:
        headers["traceparent"] = traceparent
    return WebhookRequest(endpoint.url, headers, body)


def signed_headers(keys: list[str], message_id: str, body: bytes, now: int) -> dict[str, str]:
    """The headers of a message that is sent at `now` (milliseconds); timestamp and signature are new each time."""
    seconds = now // SECOND
    return {
        "content-type": "application/json",
        # RFC 9530. With it `dargah webhook verify` can tell an altered body from a wrong secret.
        "content-digest": content_digest(body),
        "user-agent": USER_AGENT,
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": sign(keys, message_id, seconds, body),
    }


def content_digest(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
