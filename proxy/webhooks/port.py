"""The port of the webhook sender: a request and its result."""

from collections.abc import Mapping
from typing import Protocol

from proxy.kernel.frozen import dataclass


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """One webhook request: the headers are complete, the body is the frozen bytes."""

    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class WebhookResult:
    """The result of a request: an HTTP status, or a named error if there was none.

    `error` is one of timeout, connect_timeout, refused, reset, dns, tls, tls_expired, tls_wrong_host,
    tls_unknown_authority, tls_client_certificate, tls_cut_off, blocked_address, bad_url, bad_response; of the egress
    proxy: proxy_unreachable, proxy_timeout, proxy_auth, proxy_refused, proxy_bad_response, proxy_needs_tls; or
    sealed_elsewhere, when the endpoint's own headers were sealed for another origin than its URL's.
    `excerpt` is the first 4 kB of the answer; `retry_after_seconds` is the parsed Retry-After header.
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
