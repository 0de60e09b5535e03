"""Power cuts: `python -m tests.torture.power_cut --cuts 60 [--seed N]`.

The SIGKILL campaign on a disk that forgets what was not synced: most kills take the power with them. What was
acknowledged must be there afterwards, and the ledger, the storefronts and the receivers must agree to the rial.

power_cut.c records under SQLite, and `cut` leaves what a disk may leave. Promised is what was synced, file by file, and
the folder's entries as of its last sync. Of the rest a disk may have any sector (512 bytes, so pages are torn) in any
order, and any beginning of the folder's changes.
"""

import math
import shutil
import struct
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path
from random import Random
from typing import Final

import click
from databases.places import database_in
from support.process import Process

from . import met, seed_option, sigkill
from .processes.audit import Findings, Told, run

SOURCE: Final = Path(__file__).with_name("power_cut.c")
COMPILER: Final = shutil.which("cc") or shutil.which("gcc")
SECTOR_BYTES: Final = 512
_RECORD: Final = struct.Struct("=QQQQ")


class Kind(IntEnum):
    """As in power_cut.c."""

    OPENED = 1
    CREATED = 2
    WRITTEN = 3
    TRUNCATED = 4
    SYNCED = 5
    UNLINKED = 6
    FOLDER_SYNCED = 7


class NotRecorded(AssertionError):
    """The files are not what the record makes of them: something changed them past the layer, so it proves nothing."""


@dataclass(frozen=True, slots=True)
class Change:
    """`data` from `offset` on; None cuts the file off there, or extends it to there."""

    offset: int
    data: bytes | None

    def sectors(self) -> Iterator["Change"]:
        """What a disk does at once."""
        if self.data is None:
            yield self
            return
        at, end = self.offset, self.offset + len(self.data)
        while at < end:
            stop = min(end, (at // SECTOR_BYTES + 1) * SECTOR_BYTES)
            yield Change(at, self.data[at - self.offset : stop - self.offset])
            at = stop

    def apply(self, content: bytearray) -> None:
        end = self.offset + len(self.data or b"")
        content.extend(bytes(max(0, end - len(content))))
        if self.data is None:
            del content[self.offset :]
        else:
            content[self.offset : end] = self.data


@dataclass(slots=True)
class File:
    """`synced` is what the disk promises of it, `changes` what came since."""

    synced: bytearray = field(default_factory=bytearray)
    changes: list[Change] = field(default_factory=list)

    def sync(self) -> None:
        for change in self.changes:
            change.apply(self.synced)
        self.changes.clear()

    def current(self) -> bytearray:
        content = bytearray(self.synced)
        for change in self.changes:
            change.apply(content)
        return content


class Disk:
    """The files of one database. `environment` is for the process that is recorded, which must be dead at a `cut`."""

    def __init__(self, database: Path, seed: int, sync_microseconds: int = 0) -> None:
        self._sync_microseconds = sync_microseconds
        self.counts: Counter[str] = Counter()
        self._database = database.resolve()
        self._log = database.with_name("power_cut.log")
        self._before: dict[str, bytes] = {}
        self._stamps: dict[Path, tuple[int, int]] = {}
        self._random = Random(f"{seed}|power")
        self._layer = _compiled(database.parent)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(self._layer),
            "POWER_CUT_FILE": str(self._database),
            "POWER_CUT_LOG": str(self._log),
            "POWER_CUT_SYNC_MICROSECONDS": str(self._sync_microseconds),
        }

    def resume(self) -> None:
        """Before a process is started. What somebody else wrote since the last one died counts as synced."""
        if not self._log.exists() or self._stamps != self._stamps_now():
            self._begin()

    def pause(self) -> None:
        """The process died and the power did not fail: what it had not synced is still in the kernel's memory."""
        self._stamps = self._stamps_now()

    def cut(self) -> None:
        """Leaves of the files what a disk may have when the power fails now."""
        if not self._log.exists():
            return
        replay = Replay(self._before)
        for kind, file, offset, payload in _records(self._log.read_bytes()):
            replay.take(kind, file, offset, payload)
        replay.compare(self._database.parent)
        self.counts["power cuts"] += 1
        self.counts["changes recorded"] += replay.recorded
        self.counts["syncs recorded"] += replay.syncs
        self._leave(replay)
        self._begin()

    def _begin(self) -> None:
        self._log.unlink(missing_ok=True)
        self._before = {path.name: path.read_bytes() for path in self._paths() if path.exists()}

    def _stamps_now(self) -> dict[Path, tuple[int, int]]:
        return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in self._paths() if path.exists()}

    def _leave(self, replay: "Replay") -> None:
        how = self._random.choice(("nothing", "nothing", "some sectors", "some sectors", "everything"))
        share = {"nothing": 0.0, "some sectors": self._random.random(), "everything": 1.0}[how]
        self.counts[f"cuts that kept {how} of what was not synced"] += 1
        keep = round(share * len(replay.entries_changed))
        names = replay.names_after(keep)
        for path in (*self._paths(), self._database.with_name(f"{self._database.name}-shm")):
            path.unlink(missing_ok=True)
        for name, file in names.items():
            content = bytearray(file.synced)
            for sector in (sector for change in file.changes for sector in change.sectors()):
                if self._random.random() < share:
                    sector.apply(content)
                    self.counts["sectors kept"] += 1
                else:
                    self.counts["sectors dropped"] += 1
            place = self._database.with_name(name)
            place.write_bytes(content)
            place.chmod(0o600)

    def _paths(self) -> list[Path]:
        name = self._database.name
        return [self._database.with_name(f"{name}{tail}") for tail in ("", "-wal", "-journal")]


class Replay:
    """The files by what was recorded of them since they were as in `before`."""

    def __init__(self, before: dict[str, bytes]) -> None:
        self.recorded = self.syncs = 0
        self.entries_changed: list[tuple[str, File | None]] = []
        self._synced_names = {name: File(bytearray(content)) for name, content in before.items()}
        self._names = dict(self._synced_names)
        self._files: dict[int, File] = {}
        self._last: tuple[File, Change] | None = None

    def take(self, kind: Kind, number: int, offset: int, payload: bytes) -> None:
        """The next record."""
        match kind:
            case Kind.OPENED:
                self._files[number] = self._names[Path(payload.decode()).name]
            case Kind.CREATED:
                self._files[number] = File()
                self._enter(payload, self._files[number])
            case Kind.UNLINKED:
                self._enter(payload, None)
            case Kind.WRITTEN | Kind.TRUNCATED:
                change = Change(offset, payload if kind == Kind.WRITTEN else None)
                self._files[number].changes.append(change)
                self._last = self._files[number], change
                self.recorded += 1
            case Kind.SYNCED:
                self._files[number].sync()
                self.syncs += 1
            case Kind.FOLDER_SYNCED:
                self._synced_names = dict(self._names)
                self.entries_changed.clear()

    def names_after(self, changes: int) -> dict[str, File]:
        """The folder when of its changes since its last sync so many were kept."""
        return _entered(self._synced_names, self.entries_changed[:changes])

    def compare(self, folder: Path) -> None:
        """Raises NotRecorded unless the files are what was recorded, the last change done, in part or not at all."""
        for name, file in self._names.items():
            found, current = bytearray((folder / name).read_bytes()), file.current()
            if self._last is not None and self._last[0] is file:
                for content in (found, current):
                    self._last[1].apply(content)
            if found != current:
                raise NotRecorded(f"{name} has {len(found)} bytes, by the record {len(current)}, or others")

    def _enter(self, path: bytes, file: File | None) -> None:
        self.entries_changed.append((Path(path.decode()).name, file))
        self._names = _entered(self._names, self.entries_changed[-1:])


def _entered(names: dict[str, File], changes: list[tuple[str, File | None]]) -> dict[str, File]:
    entered: dict[str, File | None] = {**names, **dict(changes)}
    return {name: file for name, file in entered.items() if file is not None}


def _records(log: bytes) -> Iterator[tuple[Kind, int, int, bytes]]:
    """The whole records; one that the kill cut off was never acted upon."""
    at = 0
    while at + _RECORD.size <= len(log):
        kind, number, offset, length = _RECORD.unpack_from(log, at)
        at += _RECORD.size
        if at + length > len(log):
            return
        yield Kind(kind), number, offset, log[at : at + length]
        at += length


def missing() -> str:
    """Why the layer cannot be built here, or nothing."""
    return "" if COMPILER else "there is no C compiler for the layer under the files"


def _compiled(folder: Path) -> Path:
    """The layer, built in `folder`. Needs a C compiler."""
    assert COMPILER is not None, missing()
    library = folder / "power_cut.so"
    options = ("-shared", "-fPIC", "-O2", "-Wall", "-Werror")
    subprocess.run([COMPILER, *options, "-o", str(library), str(SOURCE), "-ldl", "-lpthread"], check=True)
    return library


# The others are kills alone: what the next process then finds and was never synced must not be believed for good.
SHARE_OF_KILLS: Final = 0.8
CUTS: Final = 60
# `make torture` has many more.
MACHINES_KILLS: Final = 25
RATE, SHORT_RATE = 40.0, 12.0
SYNC_MICROSECONDS: Final = 10_000


class Powered(Process):
    """A Dargah whose `kill` cuts the power too, most times."""

    def __init__(self, folder: Path, *, seed: int, **more: str) -> None:
        self.disk = Disk(Path(database_in(folder)), seed, SYNC_MICROSECONDS)
        self._random = Random(f"{seed}|cuts")
        self.cuts = False
        # Seconds from a start until it serves, by what had ended the process before.
        self.recoveries: dict[str, list[float]] = defaultdict(list)
        self._launched, self._ended_by = 0.0, ""
        super().__init__(folder, **more, **self.disk.environment)

    async def launch(self) -> None:
        self.cuts = self._random.random() < SHARE_OF_KILLS
        self.disk.resume()
        self._launched = time.monotonic()
        await super().launch()

    async def ready(self) -> None:
        await super().ready()
        if self._ended_by:
            self.recoveries[self._ended_by].append(time.monotonic() - self._launched)

    async def kill(self) -> None:
        running = self._process is not None
        await super().kill()
        if running and self.cuts:
            self._ended_by = "power cut"
            self.disk.cut()
        else:
            self._ended_by = "killed alone"
            self.disk.pause()


def plan_of(seed: int, cuts: int) -> sigkill.Plan:
    return sigkill.Plan(seed, math.ceil(cuts / SHARE_OF_KILLS), rate=RATE)


async def campaign(folder: Path, plan: sigkill.Plan) -> Findings:
    """The whole of it, in `folder`, with the power that fails at most kills."""
    return (await _told(folder, plan)).findings


async def machines(folder: Path, seed: int, *, short: bool) -> Told:
    """As a part of the machines' campaign."""
    if short:
        return await _told(folder, sigkill.Plan(seed, kills=6, longest_life_seconds=1.0, rate=SHORT_RATE))
    return await _told(folder, sigkill.Plan(seed, MACHINES_KILLS, rate=RATE))


async def _told(folder: Path, plan: sigkill.Plan) -> Told:
    made: list[Powered] = []

    def make(place: Path, **more: str) -> Powered:
        made.append(Powered(place, seed=plan.seed, **more))
        return made[-1]

    def fault(process: Process) -> str:
        return met.POWER_CUT if isinstance(process, Powered) and process.cuts else met.SIGKILL

    findings = await sigkill.campaign(folder, replace(plan, make=make, fault=fault))
    findings.counts.update(made[0].disk.counts)
    return Told(findings, made[0].recoveries)


@click.command()
@click.option(
    "--cuts", default=CUTS, show_default=True, type=click.IntRange(1), help="Kills; four of five cut the power."
)
@seed_option
def main(cuts: int, seed: int) -> None:
    """Cut the power again and again, and look for what was acknowledged and is not there."""
    run("power cuts", seed, lambda folder: campaign(folder, plan_of(seed, cuts)))


if __name__ == "__main__":
    main()
