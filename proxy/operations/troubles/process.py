"""Troubles that this process sees: circuits, clock, disk, keys and commits. Another replica may see others."""

import resource
import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from proxy.database.repository import Heartbeat
from proxy.gateways.circuit_breaker import CircuitBreaker, UnclearGateway
from proxy.kernel.clock import NOTABLE_SKEW, SECOND, Now
from proxy.kernel.errors import NotFound
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import merchant_of_id
from proxy.merchants.cache import MerchantCache
from proxy.merchants.merchant import Mode, Terminal
from proxy.merchants.storage.repository import MerchantRepository
from proxy.merchants.vault import Vault
from proxy.operations.backups import Backups
from proxy.operations.clock_watch import ClockWatch
from proxy.operations.doctor.doctor import LEAST_FREE_BYTES
from proxy.operations.troubles.noticed import Noticed
from proxy.operations.troubles.trouble import (
    BACKUP_EVERY,
    CALLS_WAITING,
    ENDED_FOR,
    ENDS_WITHIN,
    FILES_PART,
    JUMPED_FOR,
    NAMED,
    SLOW_COMMIT_SECONDS,
    UNCLEAR_FOR,
    Trouble,
    TroubleKind,
)
from proxy.operators.records import Operator

# One slow commit is no trouble; so many looks one after the other are.
SLOW_LOOKS: Final = 3
# A credential that nobody has tried to open for so long may have been set anew.
_UNUSABLE_FOR: Final = UNCLEAR_FOR
_HERE: Final[Mapping[str, int | str]] = {"here": 1}


@dataclass(frozen=True, slots=True)
class Seen:
    """What the process knows of itself. `commit_seconds` is how long the last probing commit took; `broken` counts
    violated invariants by name; `waiting_calls` counts those to gateways, and `open_files` the files and sockets, with
    how many there may be; `database` is the file, None for a server's.
    """

    ready: Callable[[], Awaitable[Mapping[str, bool]]]
    commit_seconds: Callable[[], float]
    broken: Callable[[], Mapping[str, int]]
    operators: Callable[[], Awaitable[Sequence[Operator]]]
    heartbeat: Heartbeat
    merchants: MerchantRepository
    merchant_cache: MerchantCache
    vault: Vault
    breaker: CircuitBreaker
    waiting_calls: Callable[[], int]
    open_files: Callable[[], tuple[int, int]]
    noticed: Noticed
    clock_watch: ClockWatch | None
    backups: Backups | None
    database: Path | None


class ProcessTroubles:
    """Reads them; what has no time of its own is wrong since this object first saw it."""

    def __init__(self, seen: Seen, now: Now) -> None:
        self._seen = seen
        self._now = now
        self._since: dict[tuple[TroubleKind, str], int] = {}
        self._slow = 0
        self._unusable: dict[tuple[str, str], tuple[int, int]] = {}

    async def troubles(self) -> list[Trouble]:
        """All of them, in no order."""
        found = [
            *await self._database(),
            *self._disk(),
            *self._invariants(),
            *self._own_work(),
            *self._amounts(),
            *self._clock(),
            *await self._backup(),
            *await self._gateways(),
            *self._credentials(),
            *await self._keys(),
            *await self._operators(),
        ]
        self._since = {each.key: each.since for each in found}
        return found

    def _trouble(
        self,
        kind: TroubleKind,
        subject: str = "",
        merchant_id: str | None = None,
        *,
        since: int | None = None,
        count: int = 1,
        urgent: bool = True,
        facts: Mapping[str, int | str] = _HERE,
    ) -> Trouble:
        began = self._since.get((kind, subject), self._now()) if since is None else since
        return Trouble(kind, subject, merchant_id, began, count, urgent, facts)

    async def _database(self) -> list[Trouble]:
        if not (await self._seen.ready())["store"]:
            return [self._trouble(TroubleKind.DATABASE_UNAVAILABLE)]
        seconds = self._seen.commit_seconds()
        self._slow = self._slow + 1 if seconds > SLOW_COMMIT_SECONDS else 0
        if self._slow < SLOW_LOOKS:
            return []
        return [self._trouble(TroubleKind.DATABASE_SLOW, count=round(seconds * SECOND))]

    def _disk(self) -> list[Trouble]:
        """The file's disk, which has room for a backup, too."""
        database = self._seen.database
        if database is None:
            return []
        free = shutil.disk_usage(database.resolve().parent).free
        low = free < LEAST_FREE_BYTES
        if not low and (self._seen.backups is None or free >= database.stat().st_size):
            return []
        return [self._trouble(TroubleKind.DISK_LOW, urgent=low, facts={"free_bytes": free, **_HERE})]

    def _invariants(self) -> list[Trouble]:
        return [
            self._trouble(TroubleKind.INVARIANT_BROKEN, name, count=count)
            for name, count in self._seen.broken().items()
            if count
        ]

    def _own_work(self) -> list[Trouble]:
        """Loops that fail, calls that queue, and files that run out."""
        loops, waiting = self._seen.noticed.failing_loops(), self._seen.waiting_calls()
        used, limit = self._seen.open_files()
        found = [
            self._trouble(TroubleKind.LOOP_FAILING, name, since=since, facts={"name": name, **_HERE})
            for name, since in loops.items()
        ]
        if waiting > CALLS_WAITING:
            found.append(self._trouble(TroubleKind.CALLS_WAITING, count=waiting, urgent=False))
        if used > FILES_PART * limit:
            found.append(self._trouble(TroubleKind.FILES_LOW, count=used))
        return found

    def _amounts(self) -> list[Trouble]:
        return [
            self._trouble(
                TroubleKind.AMOUNTS_JUMPED,
                f"{shop.merchant_id} {shop.storefront}",
                shop.merchant_id,
                since=shop.at,
                facts={"name": shop.storefront, **_HERE},
            )
            for shop in self._seen.noticed.jumped_shops()
        ][:NAMED]

    def _clock(self) -> list[Trouble]:
        watch = self._seen.clock_watch
        if watch is None:
            return []
        found, skew = [], watch.skew
        if abs(skew) > NOTABLE_SKEW:
            facts = {"seconds": round(skew / SECOND), **_HERE}
            found.append(self._trouble(TroubleKind.CLOCK_DIFFERS, facts=facts))
        passed = watch.clock.since_jump()
        if passed is not None and passed < JUMPED_FOR:
            since, jumps = self._now() - passed, watch.clock.jumps
            found.append(self._trouble(TroubleKind.CLOCK_JUMPED, since=since, count=jumps, urgent=False))
        return found

    async def _backup(self) -> list[Trouble]:
        """Where one was ever taken of the file, they are set up."""
        backups = self._seen.backups
        if backups is None:
            return []
        found = [self._trouble(TroubleKind.BACKUP_FAILED)] if backups.failed else []
        at, now = await self._seen.heartbeat.last_backup(), self._now()
        if at is not None and now - at > BACKUP_EVERY:
            facts = {"last_at": at}
            found.append(self._trouble(TroubleKind.BACKUP_OLD, since=at + BACKUP_EVERY, urgent=False, facts=facts))
        return found

    async def _gateways(self) -> list[Trouble]:
        found = []
        for terminal_id, unclear in list(self._seen.breaker.unclear(UNCLEAR_FOR).items())[:NAMED]:
            merchant_id = merchant_of_id(terminal_id)
            try:
                terminal = await self._seen.merchant_cache.terminal(merchant_id or "", terminal_id)
            except NotFound:
                continue
            found.append(gateway_trouble(terminal, unclear, self._now()))
        return found

    def _credentials(self) -> list[Trouble]:
        """Those that did not open when they were last needed, some while ago at most."""
        now, unusable = self._now(), self._seen.vault.unusable
        self._unusable = {
            key: self._unusable[key] if self._unusable.get(key, (0, 0))[0] == count else (count, now)
            for key, count in unusable.items()
        }
        recent = [key for key, (_, at) in self._unusable.items() if now - at < _UNUSABLE_FOR]
        return [
            self._trouble(
                TroubleKind.SECRET_UNUSABLE,
                owner_id,
                merchant_of_id(owner_id),
                count=unusable[owner_id, name],
                facts={"name": name, **_HERE},
            )
            for owner_id, name in recent[:NAMED]
        ]

    async def _keys(self) -> list[Trouble]:
        kek_id = self._seen.vault.kek_id
        if not await self._seen.merchants.sealed_otherwise(kek_id, 1):
            return []
        return [self._trouble(TroubleKind.KEYS_OLD, urgent=False, facts={"key": kek_id})]

    async def _operators(self) -> list[Trouble]:
        now = self._now()
        return [
            self._trouble(
                TroubleKind.OPERATOR_ENDING,
                each.id,
                since=each.expires_at - ENDS_WITHIN,
                urgent=False,
                facts={"name": each.name, "ends_at": each.expires_at},
            )
            for each in await self._seen.operators()
            if each.expires_at is not None
            and each.revoked_at is None
            and now - ENDED_FOR < each.expires_at <= now + ENDS_WITHIN
        ][:NAMED]


def open_files() -> tuple[int, int]:
    """The files and sockets that the process has open, and how many it may; none are seen where there is no /proc."""
    folder, limit = Path("/proc/self/fd"), resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    used = sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0
    return used, sys.maxsize if limit == resource.RLIM_INFINITY else limit


def gateway_trouble(terminal: Terminal, unclear: UnclearGateway, now: int) -> Trouble:
    """That the gateway behind the terminal gives no clear answer, as this process sees it."""
    facts = {"mode": terminal.mode.value, "gateway": terminal.gateway, "open": int(unclear.is_open), **_HERE}
    urgent = terminal.mode is Mode.LIVE and terminal.enabled
    since = now - unclear.lasts
    return Trouble(
        TroubleKind.GATEWAY_UNCLEAR, terminal.id, terminal.merchant_id, since, unclear.failures, urgent, facts
    )
