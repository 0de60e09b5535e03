"""Dargahs as processes on one database, with merchants who can create at each of them. Benchmarks only."""

import asyncio
import base64
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from proxy.adapters import postgresql, sqlite
from proxy.adapters.vault import KeyRing, RingVault
from proxy.clock import system_now
from proxy.demo.stage import free_port
from proxy.merchant import Mode
from proxy.setup import HttpPolicy, Setup

START_SECONDS: Final = 30
KEYS: Final = "bench:" + base64.b64encode(bytes(range(32))).decode()  # the same in each process
# The limits stand, and are counted, but above what a core can do.
ABOVE_ALL: Final = {"DARGAH_TOKEN_CREATES_PER_MINUTE": "1000000", "DARGAH_ADDRESS_CREATES_PER_MINUTE": "1000000"}


@dataclass(frozen=True, slots=True)
class Dargahs:
    """Where they are reached, their processes, and an API token of each merchant."""

    urls: Sequence[str]
    pids: Sequence[int]
    tokens: Sequence[str]


async def open_database(database: Path | str) -> Any:
    if isinstance(database, Path):
        return await sqlite.open_store(database, now=system_now)
    return await postgresql.open_store(database)


def setup_of(store: Any, http: HttpPolicy | None = None) -> Setup:
    vault = RingVault(KeyRing.parse(KEYS), os.urandom)
    return Setup(store, vault, system_now, http=http or HttpPolicy(loopback=True))


@asynccontextmanager
async def dargahs(database: Path | str, count: int, upstream: str, merchants: int) -> AsyncIterator[Dargahs]:
    tokens = await open_shops(database, upstream, merchants)
    processes: list[asyncio.subprocess.Process] = []
    try:
        urls = []
        for _ in range(count):
            url, process = await _serve(database)
            urls.append(url)
            processes.append(process)
        yield Dargahs(urls, [process.pid for process in processes], tokens)
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            await process.wait()


async def open_shops(database: Path | str, upstream: str, merchants: int) -> list[str]:
    """So many merchants who can create: a token of each."""
    store = await open_database(database)
    setup = setup_of(store)
    tokens = []
    for number in range(merchants):
        merchant, _ = await setup.create_merchant(f"bench {number}", ["https://shop.example"], actor="bench")
        await setup.add_terminal(merchant.id, "main", upstream, "bench-key", mode=Mode.LIVE, actor="bench")
        tokens.append((await setup.issue_token(merchant.id, "main", actor="bench"))[1])
    await store.close()
    return tokens


def settings_of(database: Path | str, listen: str) -> dict[str, str]:
    """What a Dargah on it is started with, beside what it inherits."""
    return {
        "DARGAH_ENVIRONMENT": "development",
        "DARGAH_DATABASE": str(database),
        "DARGAH_LISTEN": listen,
        "DARGAH_ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
        "DARGAH_ADMIN_TOKEN": "a-token-that-only-benchmarks-use",
        "DARGAH_KEYS": KEYS,
        "DARGAH_LOG_LEVEL": "warning",
        **ABOVE_ALL,
    }


async def _serve(database: Path | str) -> tuple[str, asyncio.subprocess.Process]:
    listen = f"127.0.0.1:{free_port()}"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DARGAH_")}
    env = inherited | settings_of(database, listen)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "proxy", "serve", stdout=asyncio.subprocess.PIPE, env=env
    )
    assert process.stdout is not None
    async with asyncio.timeout(START_SECONDS):
        line = await process.stdout.readline()
    if b"ready on" not in line:
        raise SystemExit("a Dargah did not start: see its error output above")
    return f"http://{listen}", process
