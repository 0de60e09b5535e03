"""The names of what goes wrong on the way out, from whatever aiohttp, the TLS library and the kernel raise."""

import ssl
from typing import Final

import aiohttp

from proxy.adapters.connector import Dial

RAISED: Final = (aiohttp.ClientError, OSError, TimeoutError, ValueError, RuntimeError)
"""Everything a call may raise that is not our own mistake; cancellation is not among it. uvloop has RuntimeErrors
where asyncio has OSErrors."""


def failure_name(error: Exception, dial: Dial) -> str:
    """One of the names of `records.Answer.error`. The error's own text is dropped: it may quote a URL or a key."""
    if isinstance(error, aiohttp.ClientConnectorError) and dial.blocked:
        return "blocked_address"
    for kinds, name in _NAMES:
        if isinstance(error, kinds):
            return name
    return "bad_response"


# The first that fits wins: several of them inherit from each other.
_NAMES: Final[tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...]] = (
    (aiohttp.ConnectionTimeoutError, "connect_timeout"),
    (TimeoutError, "timeout"),
    (aiohttp.ClientConnectorDNSError, "dns"),
    ((aiohttp.ClientSSLError, ssl.SSLError, ssl.CertificateError), "tls"),
    (aiohttp.ClientConnectorError, "refused"),
    ((aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError), "bad_url"),
    ((aiohttp.ClientPayloadError, aiohttp.ClientResponseError), "bad_response"),
    ((aiohttp.ClientConnectionError, OSError, RuntimeError), "reset"),
    (ValueError, "bad_url"),
)
