"""How long `dargah serve` takes from its start until /readyz says 200, and the memory that it then has.

In turns on an empty SQLite file and on one of 1,000,000 payments, a fifth of them open; then 100,000 of the open ones
come due within five minutes, and are asked about for a while at a gateway that says that they are paid.
"""

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import uvloop

from bench.growth_fill import MERCHANTS, TERMINAL_ENDING, fill
from bench.load import Connection
from bench.processes import Child, Cores, child, cpu_seconds, resident_mb, share_cores
from bench.results import Cell, Result, Run, Table, Target, arguments, publish
from bench.startup_layers import Resident, layers, resident
from proxy.adapters.vault import KeyRing, RingVault, generate_line
from proxy.clock import DAY, MINUTE, SECOND, system_now
from proxy.demo.stage import free_port

READYZ: Final = b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
REST_SECONDS: Final = 1.0  # until what begins at a start has ended


@dataclass(frozen=True, slots=True)
class Counts:
    """Starts of each file, payments in the large one, those of them that come due, and for how long they are asked."""

    rounds: int = 7
    payments: int = 1_000_000
    watched: int = 100_000
    within_ms: int = 5 * MINUTE
    watched_seconds: float = 20.0


SHORT: Final = Counts(1, 2_000, 200, SECOND, 2.0)


@dataclass(slots=True)
class Starts:
    """Of one file, a figure per start."""

    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    rest: list[Resident] = field(default_factory=list)

    def at_rest(self) -> Resident:
        """In the middle."""
        return sorted(self.rest, key=lambda each: each.mb)[len(self.rest) // 2]


@asynccontextmanager
async def started(core: int, database: Path, keys: str) -> AsyncIterator[tuple[Child, float]]:
    """A `dargah serve` on the file, and how many seconds it took until /readyz said 200."""
    began = time.perf_counter()
    async with child(core, "-m", "proxy", "serve", env=_settings(database, keys)) as server:
        connection = await Connection.open(server.url)
        status, _ = await connection.ask(READYZ)
        seconds = time.perf_counter() - began
        connection.close()
        if status != 200:
            raise SystemExit(f"/readyz said {status}: not a measurement")
        yield server, seconds


def _settings(database: Path, keys: str) -> Mapping[str, str]:
    return {
        "DARGAH_ENVIRONMENT": "development",
        "DARGAH_DATABASE": str(database),
        "DARGAH_LISTEN": f"127.0.0.1:{free_port()}",
        "DARGAH_ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
        "DARGAH_ADMIN_TOKEN": "an-operator-of-the-bench-0123456789",
        "DARGAH_KEYS": keys,
        "DARGAH_LOG_LEVEL": "error",
        "PYTHONUNBUFFERED": "1",
        # As installed, whatever this machine does: modules are compiled once, by the start that is not counted.
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(database.with_name("compiled")),
    }


async def start(core: int, database: Path, keys: str, taken: Starts) -> None:
    async with started(core, database, keys) as (server, seconds):
        taken.seconds.append(seconds)
        taken.cpu_seconds.append(cpu_seconds([server.pid]))
        await asyncio.sleep(REST_SECONDS)
        taken.rest.append(resident(server.pid))


def give_keys(database: Path, keys: str) -> None:
    """Every merchant's terminal gets a sealed key for the gateway; nobody waits for webhooks."""
    vault = RingVault(KeyRing.parse(keys), bytes)
    owners = [(f"mer_{number:08}", f"trm_{number:08}{TERMINAL_ENDING}") for number in range(MERCHANTS)]
    sealed = [vault.seal(*owner, "api_key", "bench-key-0123456789") for owner in owners]
    with closing(sqlite3.connect(database)) as connection:
        rows = [(each.merchant_id, each.owner_id, each.name, each.kek_id, each.blob) for each in sealed]
        connection.execute("DELETE FROM endpoints")
        connection.execute("DELETE FROM turns")
        connection.executemany(
            "INSERT INTO secrets (merchant_id, owner_id, name, kek_id, blob) VALUES (?, ?, ?, ?, ?)", rows
        )
        connection.commit()


def come_due(database: Path, watched: int, within_ms: int) -> None:
    """So many watches are due within the next minutes, the first at once."""
    now = system_now()
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(
            "UPDATE watches SET due_at = ? + abs(random()) % ? WHERE (merchant_id, payment_id) IN"
            " (SELECT merchant_id, payment_id FROM watches ORDER BY due_at LIMIT ?)",
            (now, within_ms, watched),
        )
        connection.commit()


def left(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        [count] = connection.execute("SELECT count(*) FROM watches").fetchone()
    return int(count)


async def measure(cores: Cores, counts: Counts) -> Result:
    keys = generate_line("bench")
    with tempfile.TemporaryDirectory() as folder:
        async with child(cores.rest, "bench/upstream.py") as gateway:
            empty, large = Path(folder) / "empty.db", Path(folder) / "large.db"
            await fill(large, counts.payments, due=system_now() + DAY, gateway=gateway.url)
            give_keys(large, keys)
            found = {"empty": Starts(), f"{counts.payments:,} payments": Starts()}
            await start(cores.server, empty, keys, Starts())
            loaded = await layers(_settings(empty, keys))
            for _ in range(counts.rounds):
                for database, taken in zip((empty, large), found.values(), strict=True):
                    await start(cores.server, database, keys, taken)
            before = left(large)
            come_due(large, counts.watched, counts.within_ms)
            async with started(cores.server, large, keys) as (server, _):
                await asyncio.sleep(counts.watched_seconds)
                watching = resident_mb(server.pid)
            return result(counts, found, loaded, watching, before - left(large))


def result(
    counts: Counts, found: dict[str, Starts], loaded: dict[str, Resident], watching: float, asked: int
) -> Result:
    seconds = max(statistics.median(each.seconds) for each in found.values())
    memory = max(each.at_rest().mb for each in found.values())
    heads = ("", "s until /readyz", "slowest", "of it CPU", "MB at rest")
    rows: list[Sequence[Cell]] = [
        (
            name,
            statistics.median(each.seconds),
            max(each.seconds),
            statistics.median(each.cpu_seconds),
            each.at_rest().mb,
        )
        for name, each in found.items()
    ]
    busy = Table(
        f"With {counts.watched:,} open payments that come due within {counts.within_ms // SECOND} s, after"
        f" {counts.watched_seconds:.0f} s",
        ("", "MB", "asked about, and paid"),
        [(f"{counts.payments:,} payments", watching, asked)],
    )
    return Result(
        "startup",
        asdict(counts),
        [Table(f"`dargah serve`, medians of {counts.rounds} starts", heads, rows), busy, made_of(found, loaded)],
        [
            Target("seconds from the start until /readyz", seconds, 1.0, False),
            Target("MB at rest", memory, 70, False),
        ],
        {name: asdict(each) for name, each in found.items()}
        | {name: asdict(each) for name, each in loaded.items()}
        | {"watching_mb": watching},
    )


def made_of(found: dict[str, Starts], loaded: dict[str, Resident]) -> Table:
    """Where the memory at rest comes from: what each layer adds to those above it."""
    rest = {f"running, {name}": each.at_rest() for name, each in found.items()}
    stages = [*loaded.items(), *rest.items()]
    before = [0.0, *(each.mb for _, each in stages)]
    rows: list[Sequence[Cell]] = [
        (name, each.mb - less, each.mb, each.files_mb) for (name, each), less in zip(stages, before, strict=False)
    ]
    heads = ("", "MB more", "MB", "of it files' pages")
    return Table("What the memory at rest is made of, each on top of those above it", heads, rows)


async def main(run: Run) -> None:
    publish(await measure(share_cores(), SHORT if run.short else Counts()), run)


if __name__ == "__main__":
    uvloop.run(main(arguments(__doc__)))
