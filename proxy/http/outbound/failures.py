"""The names of outbound failures, from the errors of aiohttp, the TLS library and the kernel; and how long a peer that
answers 429 or 503 wants to be left alone.
"""

import ssl
from collections.abc import Iterator
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp

from proxy.http.outbound.connector import Dial
from proxy.http.outbound.egress_proxy import TunnelFailed
from proxy.kernel.clock import DAY, SECOND

_MAX_CAUSES: Final = 8
MAX_SECONDS: Final = DAY // SECOND  # a receiver may not put us off for longer
_MAX_DIGITS: Final = 9
_PUT_OFF: Final = frozenset({429, 503})


def failure_name(error: Exception, dial: Dial) -> str:
    """One of the names of `WebhookResult.error`. The error's own text is dropped: it may quote a URL or a key."""
    for cause in _causes(error):
        if isinstance(cause, TunnelFailed):
            return cause.name
    if isinstance(error, aiohttp.ClientConnectorError) and dial.blocked:
        return "blocked_address"
    tls = _tls_name(error)
    if tls is not None:
        return tls
    for kinds, name in _NAMES:
        if isinstance(error, kinds):
            return name
    return "bad_response"


# The first that fits wins: several of them inherit from each other.
_NAMES: Final[tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...]] = (
    (aiohttp.ConnectionTimeoutError, "connect_timeout"),
    (TimeoutError, "timeout"),
    (aiohttp.ClientConnectorDNSError, "dns"),
    (aiohttp.ClientSSLError, "tls"),
    (aiohttp.ClientConnectorError, "refused"),
    ((aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError), "bad_url"),
    ((aiohttp.ClientPayloadError, aiohttp.ClientResponseError), "bad_response"),
    ((aiohttp.ClientConnectionError, OSError, RuntimeError), "reset"),
    (ValueError, "bad_url"),
)

# OpenSSL's X509_V_ERR_*, of verify_code.
_VERIFY: Final = {
    9: "tls_not_yet_valid",  # one of the two clocks is wrong, or the certificate is too new
    10: "tls_expired",
    62: "tls_wrong_host",
    64: "tls_wrong_host",
    18: "tls_self_signed",
    **dict.fromkeys((2, 19, 20, 21), "tls_unknown_authority"),
}
# What a server says that wants a certificate of ours, and got none or one that it does not know.
_CLIENT_CERTIFICATE: Final = (
    "CERTIFICATE_REQUIRED",
    "ALERT_HANDSHAKE_FAILURE",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_UNKNOWN_CA",
    "ALERT_CERTIFICATE_UNKNOWN",
)
# What OpenSSL says of the peer, and the name of it; the first that fits wins.
_HANDSHAKE: Final = (
    (_CLIENT_CERTIFICATE, "tls_client_certificate"),
    (("UNSUPPORTED_PROTOCOL", "ALERT_PROTOCOL_VERSION"), "tls_too_old"),
    (("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST"), "tls_not_spoken"),
)


def _tls_name(error: Exception) -> str | None:
    for cause in _causes(error):
        if isinstance(cause, aiohttp.ClientError):
            continue  # aiohttp's own inherit from ssl's, without what those know
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _VERIFY.get(cause.verify_code, "tls")
        if isinstance(cause, ssl.SSLEOFError):
            return "tls_cut_off" if isinstance(error, aiohttp.ClientConnectorError) else None
        if isinstance(cause, ssl.SSLError) or "[SSL" in str(cause):
            said = str(cause)
            return next((name for words, name in _HANDSHAKE if any(word in said for word in words)), "tls")
    # A connection that was made and then cut before it could be used: nothing but the handshake is in between.
    cut = isinstance(error, aiohttp.ClientConnectorError) and isinstance(
        error.os_error, ConnectionResetError | ConnectionAbortedError
    )
    return "tls_cut_off" if cut else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if cause is None:
            return
        yield cause
        inner = getattr(cause, "os_error", None) or getattr(cause, "certificate_error", None)
        cause = inner if isinstance(inner, BaseException) and inner is not cause else cause.__cause__


def retry_after_seconds(status: int, value: str | None, now: int) -> int | None:
    """The Retry-After header (RFC 9110, 10.2.3): the wait from `now` (ms epoch), from 0 to 24 h.

    None when there is no such header or it says nothing.
    """
    if value is None or status not in _PUT_OFF:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return MAX_SECONDS if len(text) > _MAX_DIGITS else min(int(text), MAX_SECONDS)
    try:
        moment = parsedate_to_datetime(text)
        at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0, min(round(at - now / SECOND), MAX_SECONDS))
