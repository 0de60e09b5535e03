"""What every look of the doctor's needs: the ports, a few at a time, each in its time."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from proxy.clock import DAY
from proxy.config.database import Database
from proxy.directory import Directory
from proxy.doctor.findings import Finding, fine, problem, warning
from proxy.ids import Ids
from proxy.ports import Gateway, Now, Prober, Store
from proxy.trial import Trial

MAX_LOOKS: Final = 100
AT_ONCE: Final = 16
LOOK_SECONDS: Final = 6.0
CERTIFICATE_DAYS: Final = 14
_OK: Final = 200

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the doctor knows of the process: the settings that matter here."""

    public_url: str
    development: bool
    database: Database
    admin_on_loopback: bool
    kek_id: str


class Base:
    def __init__(
        self,
        store: Store,
        directory: Directory,
        gateway: Gateway,
        trial: Trial,
        prober: Prober,
        ids: Ids,
        now: Now,
        around: Surroundings,
    ) -> None:
        self._store = store
        self._directory = directory
        self._gateway = gateway
        self._trial = trial
        self._prober = prober
        self._ids = ids
        self._now = now
        self._around = around

    async def _ours(self, check: str, base: str) -> Finding:
        """Whether this Dargah answers at a base of ours, as customers would find it."""
        marker = self._ids.random(16)
        seen = await self._prober.look(f"{base.rstrip('/')}/healthz", marker)
        if seen.error is not None or seen.status != _OK or seen.request_id != marker:
            why = seen.error or (f"HTTP {seen.status}" if seen.status != _OK else "another server answers")
            return problem(
                check,
                base,
                (f"Dargah is not reached there from here ({why})", f"از اینجا به درگاه در این نشانی نمی‌رسیم ({why})"),
                (
                    "See the name, the certificate and the reverse proxy; customers must reach it.",
                    "نام دامنه، گواهی و پراکسی را ببینید؛ مشتری باید به آن برسد.",
                ),
            )
        left = None if seen.certificate_ends_at is None else (seen.certificate_ends_at - self._now()) // DAY
        if left is not None and left < CERTIFICATE_DAYS:
            return warning(
                check,
                base,
                (f"its certificate ends in {left} days", f"گواهی آن تا {left} روز دیگر است"),
                ("Renew it.", "آن را تازه کنید."),
            )
        return fine(check, base, "this Dargah answers there", "همین درگاه در آن نشانی پاسخ می‌دهد")


async def each(items: list[Item], look: Callable[[Item], Awaitable[list[Finding]]]) -> list[Finding]:
    """The findings of each, a few at a time; what is beyond the limit is told."""
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
    """What `work` gives, or `otherwise` when it takes too long."""
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return await work
    except TimeoutError:
        return otherwise
