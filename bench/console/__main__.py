"""Every page, every search and the export of the console at 1,000,000 payments of 2,000 merchants.

`make bench-console`, on SQLite and on PostgreSQL, filled with the same.

Needs 12 GB of disk, and a quarter of an hour on two quiet cores. The times are those of one operator on loopback.
"""

import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Final

import uvloop

from bench.console.exports import Exports, creates_beside, export, gone, many, slow
from bench.console.history import Place, copy, fill, place_in
from bench.console.installation import Installation, serving
from bench.console.pages import PATHS, VISITED, Operator, Visits, begins_job, pages_of, search, searches_of, visit
from bench.console.serve import LOOP_CPU, THREAD_CPU
from bench.results import Cell, Result, Run, Table, Target, arguments, publish
from bench.shops import gateway
from proxy.kernel.clock import system_now
from tests.databases.durable import Server, durable_server


@dataclass(frozen=True, slots=True)
class Counts:
    """`write_seconds` is how long the server bears a client that reads nearly nothing, which reads after each pause."""

    payments: int = 1_000_000
    merchants: int = 2000
    visits: int = 15
    rounds: int = 3
    creates_per_second: int = 50
    create_seconds: float = 8.0
    write_seconds: float = 30.0
    pause_seconds: float = 1.0


SHORT: Final = Counts(2000, 20, 1, 1, 20, 0.5, 1.0, 0.01)


SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured on one database."""

    name: str
    pages: Sequence[Visits]
    searches: Sequence[Visits]
    exports: Exports


async def measure(counts: Counts) -> Result:
    async with AsyncExitStack() as stack:
        folder, now = Path(stack.enter_context(tempfile.TemporaryDirectory())), system_now()
        path, began = folder / "dargah.db", time.monotonic()
        await fill(path, counts.payments, counts.merchants, now)
        place, filled = place_in(path), time.monotonic()
        server = await stack.enter_async_context(durable_server("shared_buffers=512MB", "max_wal_size=8GB"))
        await copy(path, server.url, now)
        seconds = {"SQLite": filled - began, "PostgreSQL": time.monotonic() - filled}
        asked = await stack.enter_async_context(gateway())
        databases: Sequence[Path | Server] = (path, server)
        found = [await _of_database(counts, folder, each, asked.url, place) for each in databases]
    return result(counts, found, seconds)


async def _of_database(counts: Counts, folder: Path, database: Path | Server, gateway_url: str, place: Place) -> Found:
    async with serving(folder, database, gateway_url, counts.write_seconds) as on:
        operator = await Operator.sign_in(on.admin_url, on.operator_token)
        pages = await visit(on, operator, pages_of(place, on.operator_id, system_now()), counts.visits)
        named = [(name, search(text)) for name, text in searches_of(place).items()]
        searches = await visit(on, operator, named, counts.visits)
        return Found(on.name, pages, searches, await _exports(counts, on, operator))


async def _exports(counts: Counts, on: Installation, operator: Operator) -> Exports:
    done = await export(on, operator)
    for _ in range(counts.rounds):
        await creates_beside(on, operator, done, counts.creates_per_second, counts.create_seconds)
    await gone(on, operator, done)
    await many(on, operator, done)
    await slow(on, operator, done, counts.pause_seconds)
    return done


def result(counts: Counts, found: Sequence[Found], seconds: dict[str, float]) -> Result:
    times = f"median and longest of {counts.visits} visits, and CPU: Dargah's, and PostgreSQL's"
    return Result(
        "console",
        asdict(counts),
        [
            _visits(
                f"ms of a page of the console, the {SHOWN} slowest of {len(found[0].pages)}, {times}",
                [each.pages for each in found],
            ),
            _visits(f"ms of a search, {times}", [each.searches for each in found]),
            _exported(counts, found),
        ],
        [target for each in found for target in _targets(each)],
        {each.name: asdict(each) for each in found}
        | {"fill_seconds": seconds, "left_out": sorted({*PATHS} - {*VISITED})},
    )


def _visits(title: str, of_databases: Sequence[Sequence[Visits]]) -> Table:
    """The slowest ones, slowest first."""
    heads = ("", "SQLite", "longest", "CPU", "PostgreSQL", "longest", "CPU", "its CPU")
    rows: list[Sequence[Cell]] = []
    for sqlite, postgresql in zip(*of_databases, strict=True):
        cells = [(median(each.waits_ms), max(each.waits_ms), each.cpu_ms) for each in (sqlite, postgresql)]
        rows.append((sqlite.name, *cells[0], *cells[1], postgresql.server_cpu_ms))
    rows.sort(key=lambda row: -max(float(row[1] or 0), float(row[4] or 0)))
    return Table(title, heads, rows[:SHOWN])


def _exported(counts: Counts, found: Sequence[Found]) -> Table:
    rate = f"{counts.creates_per_second} a second"
    rows: list[Sequence[Cell]] = [
        (name, *(figure(each) for each in found))
        for name, figure in (
            ("lines", lambda each: each.exports.lines),
            ("MB", lambda each: each.exports.megabytes),
            ("lines a second", lambda each: each.exports.lines_per_second),
            ("CPU µs of a line", lambda each: each.exports.cpu_us),
            ("PostgreSQL's", lambda each: each.exports.server_cpu_us),
            ("memory before, MB", lambda each: each.exports.before_mb),
            ("at most during it", lambda each: each.exports.during_mb),
            ("after it", lambda each: each.exports.after_mb),
            (f"p99 of creates without it, {rate}, ms", lambda each: median(each.exports.without)),
            ("beside it", lambda each: median(each.exports.beside)),
            ("a client that reads 1 KB/s: s until it is sent away", lambda each: each.exports.slow_seconds),
            ("memory meanwhile, MB", lambda each: each.exports.slow_mb),
            ("a client that vanished: s until nothing is held", lambda each: each.exports.gone_seconds),
            ("of 6 at once are refused", lambda each: each.exports.refused),
            ("longest hold of the loop, ms of CPU: pages", lambda each: _longest(each.pages, LOOP_CPU)),
            ("searches", lambda each: _longest(each.searches, LOOP_CPU)),
            ("the export", lambda each: each.exports.longest_ms[LOOP_CPU]),
            (
                "longest batch of reads on SQLite's thread, ms of CPU: pages",
                lambda each: _longest(each.pages, THREAD_CPU),
            ),
            ("searches", lambda each: _longest(each.searches, THREAD_CPU)),
            ("the export", lambda each: each.exports.longest_ms[THREAD_CPU]),
        )
    ]
    return Table("The export of every payment, and holds", ("", *(each.name for each in found)), rows)


def _targets(found: Found) -> list[Target]:
    name, exports = found.name, found.exports
    shown = [each for each in found.pages if not begins_job(each.path)]
    page = max(shown, key=lambda each: median(each.waits_ms))
    looked = max(found.searches, key=lambda each: median(each.waits_ms))
    held = max(_longest([*found.pages, *found.searches], LOOP_CPU), exports.longest_ms[LOOP_CPU])
    targets = [
        Target(f"{name}: ms of the slowest page ({page.name})", median(page.waits_ms), 150, False),
        Target(f"{name}: ms of the slowest search ({looked.name})", median(looked.waits_ms), 50, False),
        Target(f"{name}: exported lines a second", exports.lines_per_second, 50_000, True),
        Target(f"{name}: MB that the export took", exports.during_mb - exports.before_mb, 10, False),
        Target(f"{name}: p99 of creates beside an export, in times of without", exports.hindered, 1.5, False),
        Target(f"{name}: longest hold of the loop, ms of CPU", held, 5, False),
    ]
    if found.name == "SQLite":
        read = max(_longest([*found.pages, *found.searches], THREAD_CPU), exports.longest_ms[THREAD_CPU])
        targets.append(Target(f"{name}: longest batch of reads, ms of CPU", read, 5, False))
    return targets


def _longest(visits: Sequence[Visits], place: int) -> float:
    return max(each.longest_ms[place] for each in visits)


async def main(run: Run) -> None:
    publish(await measure(SHORT if run.short else Counts()), run, judged=False)


if __name__ == "__main__":
    uvloop.run(main(arguments(__doc__)))
