"""Looks at a URL as a stranger would: its status, its clock and its certificate. For `dargah doctor` alone."""

import asyncio
import ssl
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from proxy.adapters.connector import Dial, system_tls
from proxy.adapters.failures import RAISED, failure_name
from proxy.records import Seen

LOOK_SECONDS: Final = 5.0


class HttpProber:
    """Implements ports.Prober. A session per look: looks are rare, and none should ride on a connection of another."""

    def __init__(self, *, seconds: float = LOOK_SECONDS, tls: ssl.SSLContext | None = None) -> None:
        self._timeout = aiohttp.ClientTimeout(total=seconds)
        self._seconds = seconds
        self._tls = tls or system_tls()

    async def look(self, url: str, request_id: str) -> Seen:
        connector = aiohttp.TCPConnector(ssl=self._tls, force_close=True)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=self._timeout, trust_env=False) as session,
                session.get(url, headers={"X-Request-Id": request_id}, allow_redirects=False) as answer,
            ):
                ends_at = await self._certificate_ends_at(url)
                return Seen(
                    answer.status, None, answer.headers.get("X-Request-Id"), _date(answer.headers.get("Date")), ends_at
                )
        except RAISED as error:
            return Seen(None, failure_name(error, Dial()), None, None, None)

    async def _certificate_ends_at(self, url: str) -> int | None:
        parts = urlsplit(url)
        if parts.scheme != "https":
            return None
        with suppress(OSError, TimeoutError, ssl.SSLError):
            async with asyncio.timeout(self._seconds):
                _, writer = await asyncio.open_connection(parts.hostname, parts.port or 443, ssl=self._tls)
            certificate = writer.get_extra_info("peercert") or {}
            writer.close()
            if "notAfter" in certificate:
                return int(ssl.cert_time_to_seconds(certificate["notAfter"])) * 1000
        return None


def _date(header: str | None) -> int | None:
    with suppress(ValueError):
        return int(parsedate_to_datetime(header).timestamp() * 1000) if header else None
    return None
