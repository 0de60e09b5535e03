"""The common parts of the doctor's checks: the ports, a few checks at a time, each with its time-out."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import field
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

import aiohttp

from proxy.config.database import Database
from proxy.database.repository import Heartbeat
from proxy.gateways.port import Gateway
from proxy.http.outbound.connector import BoundedResolver, Dial, system_tls
from proxy.http.outbound.egress_proxy import Egress, Tunnel, TunnelFailed, Tunnels
from proxy.http.outbound.exchange import RAISED, Pool
from proxy.http.outbound.failures import failure_name
from proxy.kernel.clock import DAY, Now
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import Ids
from proxy.merchants.cache import MerchantCache
from proxy.merchants.storage.repository import MerchantRepository
from proxy.operations.doctor.connections import WEBHOOK, explanation
from proxy.operations.test_events import EventTester
from proxy.payments.storage.repository import PaymentRepository
from proxy.webhooks.retention import RetentionRepository
from proxy.webhooks.storage.repository import WebhookRepository

if TYPE_CHECKING:
    from proxy.operators.oidc.sign_in import SignIn


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


PROBE_SECONDS: Final = 5.0
_NOBODY: Final = "dargah.invalid:443"


class Prober:
    """Probes URLs. A session per look: looks are rare, and none should ride on a connection of another."""

    def __init__(
        self, *, seconds: float = PROBE_SECONDS, tls: ssl.SSLContext | None = None, egress: Egress | None = None
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


class Level(StrEnum):
    """A problem loses or refuses payments or events; a warning may, or will."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """`check` is a stable code and `subject` the record or URL it is about; `advice` is empty where all is well."""

    level: Level
    check: str
    subject: str
    detail: str
    detail_fa: str
    advice: str = ""
    advice_fa: str = ""


def fine(check: str, subject: str, detail: str, detail_fa: str) -> Finding:
    return Finding(Level.OK, check, subject, detail, detail_fa)


def warning(check: str, subject: str, detail: tuple[str, str], advice: tuple[str, str]) -> Finding:
    """`detail` and `advice` are English and Persian."""
    return Finding(Level.WARNING, check, subject, *detail, *advice)


def problem(check: str, subject: str, detail: tuple[str, str], advice: tuple[str, str]) -> Finding:
    """`detail` and `advice` are English and Persian."""
    return Finding(Level.PROBLEM, check, subject, *detail, *advice)


MAX_LOOKS: Final = 100
AT_ONCE: Final = 16
LOOK_SECONDS: Final = 6.0
CERTIFICATE_DAYS: Final = 14
_OK: Final = 200

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class InspectedSettings:
    """The settings of the process that matter to the doctor."""

    public_url: str
    development: bool
    database: Database
    admin_on_loopback: bool
    kek_id: str
    egress_proxy: str = ""
    gateway_ca_files: Mapping[str, str] = field(default_factory=dict)
    webhook_ca_files: Mapping[str, str] = field(default_factory=dict)
    """By host or host:port."""


@dataclass(frozen=True, slots=True)
class Repositories:
    """The repositories that the doctor reads."""

    heartbeat: Heartbeat
    merchants: MerchantRepository
    webhooks: WebhookRepository
    retention: RetentionRepository
    payments: PaymentRepository


class Checks:
    def __init__(
        self,
        store: Repositories,
        merchant_cache: MerchantCache,
        gateway: Gateway,
        event_tester: EventTester,
        prober: Prober,
        ids: Ids,
        now: Now,
        around: InspectedSettings,
        *,
        sign_in: "SignIn | None" = None,
    ) -> None:
        self._store = store
        self._merchant_cache = merchant_cache
        self._gateway = gateway
        self._event_tester = event_tester
        self._prober = prober
        self._ids = ids
        self._now = now
        self._around = around
        self._sign_in = sign_in

    async def _ours(self, check: str, base: str) -> Finding:
        """Whether this Dargah answers at a base of ours, as customers would find it."""
        marker = self._ids.random(16)
        result = await self._prober.look(f"{base.rstrip('/')}/healthz", marker)
        if result.error is not None or result.status != _OK or result.request_id != marker:
            said = result.error or (f"HTTP {result.status}" if result.status != _OK else "another server answers")
            known = explanation(said, WEBHOOK)
            why, why_fa = (said, said) if known is None else known[0]
            return problem(
                check,
                base,
                (
                    f"Dargah is not reached there from here ({why})",
                    f"از اینجا به درگاه در این نشانی نمی‌رسیم ({why_fa})",
                ),
                (
                    "See the name, the certificate and the reverse proxy; customers must reach it.",
                    "نام دامنه، گواهی و پراکسی را ببینید؛ مشتری باید به آن برسد.",
                ),
            )
        left = None if result.certificate_ends_at is None else (result.certificate_ends_at - self._now()) // DAY
        if left is not None and left < CERTIFICATE_DAYS:
            return warning(
                check,
                base,
                (f"its certificate ends in {left} days", f"گواهی آن تا {left} روز دیگر است"),
                ("Renew it.", "آن را تازه کنید."),
            )
        return fine(check, base, "this Dargah answers there", "همین درگاه در آن نشانی پاسخ می‌دهد")


async def each(items: list[Item], look: Callable[[Item], Awaitable[list[Finding]]]) -> list[Finding]:
    """The findings of each check, a few at a time; checks beyond the limit are reported."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(item: Item) -> list[Finding]:
        async with room:
            return await look(item)

    found = [finding for each in await asyncio.gather(*map(one, items[:MAX_LOOKS])) for finding in each]
    if len(items) > MAX_LOOKS:
        detail = (
            f"only the first {MAX_LOOKS} of {len(items)} were looked at",
            f"فقط {MAX_LOOKS} تای نخست از {len(items)} دیده شد",
        )
        found.append(warning("limit", str(len(items)), detail, ("Look at the others by hand.", "بقیه را دستی ببینید.")))
    return found


async def in_time(work: Awaitable[Item], otherwise: Item) -> Item:
    """The result of `work`, or `otherwise` when it takes too long."""
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return await work
    except TimeoutError:
        return otherwise
