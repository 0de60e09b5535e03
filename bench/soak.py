"""An hour's payments at full speed: does the memory stay where it is, and what becomes of the file and its WAL?

As many payments as an hour has at 20 a second, each created, nine of ten returned from and told of by a webhook, and
the others left open: bounded to two minutes, so that a slow machine does fewer. It fails when the memory grows by more
than a band after the first quarter, by which the store's page cache is full.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import uvloop

from bench.load import Connection
from bench.processes import resident_mb, share_cores
from bench.results import Result, Run, Table, Target, arguments, publish
from bench.shops import RETURN_URL, Server, Shop, creates, dargah, gateway, listening, pay

CONNECTIONS: Final = 32
LEFT_OPEN: Final = 10  # one in so many is
BAND_MB: Final = 10.0


@dataclass(frozen=True, slots=True)
class Counts:
    """Payments, the most seconds that they may take, and seconds from one look at the process to the next."""

    payments: int = 20 * 3600
    most_seconds: float = 110.0
    every_seconds: float = 0.25


SHORT: Final = Counts(300, 20.0, 0.02)


@dataclass(slots=True)
class Course:
    """What was seen at each look."""

    seconds: list[float] = field(default_factory=list)
    payments: list[int] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    file_mb: list[float] = field(default_factory=list)
    wal_mb: list[float] = field(default_factory=list)


class Hour:
    """The customers of one shop."""

    def __init__(self, server: Server, counts: Counts) -> None:
        self._server, self._counts = server, counts
        self._make = creates(server.token, return_url=RETURN_URL)
        self._began = time.monotonic()
        self._numbers = iter(range(counts.payments))
        self.done = 0
        self.returned = 0

    async def customers(self) -> None:
        await asyncio.gather(*(self._customer() for _ in range(CONNECTIONS)))

    async def _customer(self) -> None:
        connection = await Connection.open(self._server.url)
        for number in self._numbers:
            if time.monotonic() - self._began > self._counts.most_seconds:
                break
            returns = bool(number % LEFT_OPEN)
            await pay(connection, self._make(number), returns=returns)
            self.returned += returns
            self.done += 1
        connection.close()

    async def watch(self, database: Path, course: Course) -> None:
        """Looks again and again until it is cancelled."""
        while True:
            self.look(database, course)
            await asyncio.sleep(self._counts.every_seconds)

    def look(self, database: Path, course: Course) -> None:
        """Notes what the process and its files take, and how many payments there are."""
        course.seconds.append(round(time.monotonic() - self._began, 3))
        course.payments.append(self.done)
        course.memory_mb.append(resident_mb(self._server.pid))
        course.file_mb.append(_megabytes(database))
        course.wal_mb.append(_megabytes(database.with_name(f"{database.name}-wal")))


def _megabytes(path: Path) -> float:
    return path.stat().st_size / 1e6 if path.exists() else 0.0


async def measure(counts: Counts) -> Result:
    cores, shop, course = share_cores(), Shop(), Course()
    with tempfile.TemporaryDirectory() as folder:
        async with (
            listening(shop) as port,
            gateway(cores.rest) as asked,
            dargah(Path(folder), asked.url, cores.server, hook_port=port) as (_, server),
        ):
            hour, database = Hour(server, counts), Path(folder) / "dargah.db"
            looking = asyncio.create_task(hour.watch(database, course))
            await hour.customers()
            await shop.wait_for(hour.returned)
            looking.cancel()
            hour.look(database, course)  # of them all
    return result(counts, course, hour)


def growth(course: Course) -> float:
    """MB that the memory was above what it was when a quarter of the payments were done, in the last tenth."""
    quarter = next(at for at, payments in enumerate(course.payments) if payments >= course.payments[-1] / 4)
    last = course.memory_mb[-max(1, len(course.memory_mb) // 10) :]
    return statistics.median(last) - course.memory_mb[quarter]


def result(counts: Counts, course: Course, hour: Hour) -> Result:
    title = (
        f"{hour.done:,} payments, which is an hour at {hour.done / 3600:.0f} a second, in {course.seconds[-1]:.0f} s;"
        f" {hour.returned:,} of them paid and told by a webhook"
    )
    at = [max(0, round(len(course.seconds) * part / 4) - 1) for part in range(5)]
    lines = [("memory", course.memory_mb), ("database file", course.file_mb), ("WAL", course.wal_mb)]
    rows: list[Sequence[str | float]] = [(f"{name}, MB", *(values[place] for place in at)) for name, values in lines]
    table = Table(title, ("", "at the start", "a quarter on", "half", "three quarters", "at the end"), rows)
    target = Target("MB that the memory grew after the first quarter", growth(course), BAND_MB, False)
    return Result("soak", asdict(counts), [table], [target], asdict(course))


async def main(run: Run) -> None:
    publish(await measure(SHORT if run.short else Counts()), run)


if __name__ == "__main__":
    uvloop.run(main(arguments(__doc__)))
