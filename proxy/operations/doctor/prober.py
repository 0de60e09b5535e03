"""Looks at a URL as a stranger would: its status, its clock and its certificate. For `dargah doctor` alone."""

import asyncio
import ssl
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from proxy.http.outbound.connector import BoundedResolver, Dial, system_tls
from proxy.http.outbound.egress_proxy import Egress, Tunnel, TunnelFailed, Tunnels
from proxy.http.outbound.exchange import RAISED, Pool
from proxy.http.outbound.failures import failure_name
from proxy.kernel.frozen import dataclass


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The result of a probe of a URL: its status or a named error, and values of its headers and certificate.

    `request_id` is the returned X-Request-Id; `date` and `certificate_ends_at` are milliseconds since the epoch.
    """

    status: int | None
    error: str | None
    request_id: str | None
    date: int | None
    certificate_ends_at: int | None


LOOK_SECONDS: Final = 5.0
_NOBODY: Final = "dargah.invalid:443"


class Prober:
    """Implements ports.Prober. A session per look: looks are rare, and none should ride on a connection of another."""

    def __init__(
        self, *, seconds: float = LOOK_SECONDS, tls: ssl.SSLContext | None = None, egress: Egress | None = None
    ) -> None:
        self._timeout = aiohttp.ClientTimeout(total=seconds)
        self._seconds = seconds
        self._tls = tls
        self._egress = egress

    async def look(self, url: str, request_id: str, *, from_outside: bool = True) -> ProbeResult:
        egress = None if from_outside else self._egress
        names = BoundedResolver()
        tunnels = None if egress is None else Tunnels(egress, names, lambda _: None)
        pool = Pool(tunnels=tunnels, resolver=names, ssl=self._tls or True, force_close=True)
        try:
            async with (
                aiohttp.ClientSession(connector=pool, timeout=self._timeout, trust_env=False) as session,
                session.get(url, headers={"X-Request-Id": request_id}, allow_redirects=False) as answer,
            ):
                ends_at = await self._certificate_ends_at(url) if egress is None else None
                return ProbeResult(
                    answer.status, None, answer.headers.get("X-Request-Id"), _date(answer.headers.get("Date")), ends_at
                )
        except RAISED as error:
            return ProbeResult(None, failure_name(error, Dial()), None, None, None)
        finally:
            await names.close()

    async def proxy_problem(self) -> str | None:
        """The fault of the egress proxy, or None. The check asks it for an impossible name."""
        if self._egress is None:
            return None
        names = BoundedResolver()
        try:
            (await Tunnel(self._egress, names).to(_NOBODY, self._seconds)).close()
        except TunnelFailed as error:
            return None if error.name == "proxy_refused" else error.name
        finally:
            await names.close()
        return None

    async def _certificate_ends_at(self, url: str) -> int | None:
        parts = urlsplit(url)
        if parts.scheme != "https":
            return None
        with suppress(OSError, TimeoutError, ssl.SSLError):
            async with asyncio.timeout(self._seconds):
                tls = self._tls or system_tls()
                _, writer = await asyncio.open_connection(parts.hostname, parts.port or 443, ssl=tls)
            certificate = writer.get_extra_info("peercert") or {}
            writer.close()
            if "notAfter" in certificate:
                return int(ssl.cert_time_to_seconds(certificate["notAfter"])) * 1000
        return None


def _date(header: str | None) -> int | None:
    with suppress(ValueError):
        return int(parsedate_to_datetime(header).timestamp() * 1000) if header else None
    return None
