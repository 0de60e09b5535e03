"""What a whole Dargah stands on misbehaves: its disk, its name server, its clock. Parts of the machines' campaign.

Each has the load of the SIGKILL campaign, with its hostile gateway, and the same judge; and each tells how long it took
from the fault, or its end, to the first create that was answered.
"""

import asyncio
import errno
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final
from unittest.mock import patch

import aiohttp
from adapters.servers import NameServer
from databases.places import database_in, served
from support.command import Cli
from support.process import MovedClock, Process

from .. import sigkill
from ..power_cut import Disk
from .audit import Told, first_create
from .load import Load
from .stage import Stage

DISK_SECONDS: Final = 120.0
SHORT_DISK_SECONDS: Final = 2.0
RATE, SHORT_RATE = 15.0, 6.0
DISK_BYTES: Final = 64 * 1024 * 1024
# Under load before the fault, and after it before all is judged.
CALM_SECONDS: Final = 2.0
NOTICED_SECONDS: Final = 20
FILE: Final = "dargah.db"
_IN_USE: Final = "is open in another process"


@dataclass(frozen=True, slots=True)
class Scene:
    """What a disturbance has at hand: a Dargah that runs, its load, and how long the fault lasts."""

    process: Process
    load: Load
    seconds: float
    told: Told


class Recorded(Process):
    """A Dargah above the layer of the power cuts, here for what it refuses while `read_only` exists."""

    def __init__(self, folder: Path, **more: str) -> None:
        disk = Disk(Path(database_in(folder)), 0)
        self.read_only = folder / "read-only"
        disk.resume()
        super().__init__(folder, **more, **disk.environment, POWER_CUT_READ_ONLY=str(self.read_only))


async def full(scene: Scene) -> Counter[str]:
    """Nothing fits on the disk any more, for minutes."""
    filler = scene.load.stage.folder / "disk" / "filler"
    return await _while_refused("disk full", scene, lambda: _fill(filler), filler.unlink)


async def read_only(scene: Scene) -> Counter[str]:
    """The kernel lets nothing be written any more, under files that are open."""
    assert isinstance(scene.process, Recorded)
    file = scene.process.read_only
    return await _while_refused("disk read-only", scene, file.touch, file.unlink)


async def two_processes(scene: Scene) -> Counter[str]:
    """Others want the file under its own name and under others; each is refused in a sentence, again and again.

    When the first process is killed, one that names the file otherwise takes over.
    """
    folder, counts = scene.load.stage.folder, Counter[str]()
    database = Path(database_in(folder))
    ends = time.monotonic() + scene.seconds
    while not counts or time.monotonic() < ends:
        for name, place, sentence in _other_names(database):
            await _refused(folder, place, sentence)
            counts[f"refused by {name}"] += 1
    with _elsewhere(database.parent) as other:
        killed = time.monotonic()
        await scene.process.kill()
        scene.process.env["DARGAH_DATABASE"] = str(other / database.name)
        await scene.process.start()
        took = await first_create(scene.load, killed)
        scene.told.recoveries["process killed, the next one names the file otherwise"].append(took)
        await asyncio.sleep(CALM_SECONDS)
        await scene.process.kill()
    scene.process.env["DARGAH_DATABASE"] = str(database)
    await scene.process.start()
    return counts


def _plan(seed: int, *, short: bool, rate: float = RATE, **more: Any) -> sigkill.Plan:
    """Nobody is killed but by the disturbance. What that breaks needs its time, not many payments."""
    return sigkill.Plan(seed, 0, rate=SHORT_RATE if short else rate, forked=short, **more)


async def bad_disk(
    disturbance: Callable[[Scene], Awaitable[Counter[str]]], folder: Path, seed: int, *, short: bool
) -> Told:
    """One disturbance under load."""
    told = Told()

    async def disturb(made: Stage, load: Load, plan: sigkill.Plan) -> Counter[str]:
        assert isinstance(made.process, Process)
        await made.process.start()
        await asyncio.sleep(CALM_SECONDS)
        return await disturbance(Scene(made.process, load, SHORT_DISK_SECONDS if short else DISK_SECONDS, told))

    make = Recorded if disturbance is read_only else Process
    plan = _plan(seed, short=short, make=make, disturb=disturb)
    place = folder / "disk"
    place.mkdir()
    with _mounted(place) if disturbance is full else nullcontext(), served(folder, str(place / FILE)):
        told.findings = await sigkill.campaign(folder, plan)
    return told


async def _while_refused(fault: str, scene: Scene, begin: Callable[[], Any], end: Callable[[], Any]) -> Counter[str]:
    """The fault, under load: readiness says so soon and until its end, and then the first create goes through."""
    await _until_ready(scene.load, ready=True, since=time.monotonic())
    began = time.monotonic()
    begin()
    counts = Counter({"noticed after ms": await _until_ready(scene.load, ready=False, since=began)})
    while not counts["looks at readiness"] or time.monotonic() - began < scene.seconds:
        assert not await _is_ready(scene.load), "ready while nothing can be written"
        counts["looks at readiness"] += 1
        await asyncio.sleep(0.2)
    ended = time.monotonic()
    end()
    scene.told.recoveries[f"{fault} for {scene.seconds:.0f} s, from its end"].append(
        await first_create(scene.load, ended)
    )
    await _until_ready(scene.load, ready=True, since=ended)
    await asyncio.sleep(CALM_SECONDS)
    return counts


async def _is_ready(load: Load) -> bool:
    async with load.stage.session.get(f"{load.stage.process.url}/readyz") as answer:
        return answer.status == 200


async def _until_ready(load: Load, *, ready: bool, since: float) -> int:
    async with asyncio.timeout(NOTICED_SECONDS):
        while await _is_ready(load) != ready:  # noqa: ASYNC110  a server is asked
            await asyncio.sleep(0.05)
    return round((time.monotonic() - since) * 1000)


def _fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


@contextmanager
def _mounted(place: Path) -> Iterator[None]:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "dargah-machines", str(place)]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)  # noqa: S607  the system's own


@contextmanager
def _bound(what: Path, place: Path) -> Iterator[bool]:
    """`what` is also at `place`, as in another container; False where the kernel does not let this user."""
    mount = subprocess.run(["mount", "--bind", str(what), str(place)], check=False, capture_output=True)  # noqa: S607
    try:
        yield mount.returncode == 0
    finally:
        if mount.returncode == 0:
            subprocess.run(["umount", "--lazy", str(place)], check=True)  # noqa: S607  the system's own


@contextmanager
def _elsewhere(folder: Path) -> Iterator[Path]:
    """Another name of the folder: a bind mount, or a symbolic link where there can be none."""
    mount, link = folder.with_name("bound"), folder.with_name("linked")
    mount.mkdir(exist_ok=True)
    with _bound(folder, mount) as is_mounted:
        link.symlink_to(folder)
        try:
            yield mount if is_mounted else link
        finally:
            link.unlink()


def _other_names(database: Path) -> Iterator[tuple[str, Path, str]]:
    """The file's name and others of it, with how each is refused; one after the other, and gone when it was tried."""
    yield "its own name", database, _IN_USE
    link = database.with_name("link.db")
    link.symlink_to(database)
    yield "a symbolic link", link, _IN_USE
    link.unlink()
    link.hardlink_to(database)
    yield "a hard link", link, "has other names (hard links)"
    link.unlink()
    linked = database.parent.with_name("linked")
    linked.symlink_to(database.parent)
    yield "a link to its folder", linked / database.name, _IN_USE
    linked.unlink()
    mount = database.parent.with_name("bound")
    mount.mkdir(exist_ok=True)
    with _bound(database.parent, mount) as is_mounted:
        if is_mounted:
            yield "a bind mount of its folder", mount / database.name, _IN_USE
    file = mount / "file.db"
    file.touch()
    with _bound(database, file) as is_mounted:
        if is_mounted:
            yield "a bind mount of the file", file, "is mounted as a single file"


async def _refused(folder: Path, place: Path, sentence: str) -> None:
    """A Dargah on that file ends at once, with one sentence that says why."""
    settings = {name: value for name, value in Process(folder).env.items() if name.startswith("DARGAH_")}
    ran = await Cli(settings | {"DARGAH_DATABASE": str(place)}).run("serve")
    assert ran.code != 0, ran.error
    assert sentence in ran.error, ran.error
    assert "Traceback" not in ran.error, ran.error


def cannot_mount() -> str:
    """Why no file system can be mounted here, or nothing."""
    with tempfile.TemporaryDirectory(prefix="dargah-mount-") as text:
        try:
            with _mounted(Path(text)):
                return ""
        except (OSError, subprocess.CalledProcessError):
            return "this user may not mount a file system of its own"


SLOW_ROUNDS: Final = 4
NAMES_RATE: Final = 10.0
QUICK_SECONDS, SLOW_SECONDS = 3.0, 12.0
LEAST_SECONDS, MORE_SECONDS = 1.0, 2.0
# A call's own time and its look-up's.
TIMEOUTS: Final = {"DARGAH_REQUEST_TIMEOUT_SECONDS": "6", "DARGAH_CHECK_TIMEOUT_SECONDS": "6"}
_ASKED: Final = """
import functools
import aiohttp

aiohttp.AsyncResolver = functools.partial(aiohttp.AsyncResolver, nameservers=["127.0.0.1"], udp_port={port})
"""


async def slow_names(folder: Path, seed: int, *, short: bool) -> Told:
    """Rounds of a name server under load that takes one to three seconds for each answer.

    Gateway and receivers are known by names. The name server is one on loopback, asked by the resolver that Dargah has
    anyway. It is quick for a while, so that the resolver learns short times, then slow; each time Dargah is killed in
    the middle, because a new process has no connection and no answer kept.
    """
    told = Told()
    async with NameServer(random=Random(f"{seed}|names")) as names:

        def make(place: Path, **more: str) -> Process:
            process = Process(place, **(more | TIMEOUTS))
            process.customize(_ASKED.format(port=names.port))
            return process

        async def disturb(made: Stage, load: Load, plan: sigkill.Plan) -> Counter[str]:
            assert isinstance(made.process, Process)
            await made.process.start()
            for _ in range(1 if short else SLOW_ROUNDS):
                await _slow_round(made.process, load, names, told, QUICK_SECONDS if short else SLOW_SECONDS)
            return Counter({"queries of names": len(names.asked)})

        plan = _plan(seed, short=short, rate=NAMES_RATE, make=make, disturb=disturb, named=_named)
        with _asked_here(names.port):
            told.findings = await sigkill.campaign(folder, plan)
    return told


async def _slow_round(process: Process, load: Load, names: NameServer, told: Told, slow_seconds: float) -> None:
    await asyncio.sleep(QUICK_SECONDS)
    names.seconds, names.spread = LEAST_SECONDS, MORE_SECONDS
    began = time.monotonic()
    told.recoveries["name server slow"].append(await first_create(load, began))
    await asyncio.sleep(slow_seconds)
    killed = time.monotonic()
    await process.kill()
    await process.start()
    told.recoveries["process killed while the name server is slow"].append(await first_create(load, killed))
    await asyncio.sleep(slow_seconds)
    names.seconds = names.spread = 0.0


def _named(url: str) -> str:
    return url.replace("127.0.0.1", "shop-and-gateway.example")


@contextmanager
def _asked_here(port: int) -> Iterator[None]:
    """The Dargahs of this process, which open the shops and come to rest, ask the same name server."""
    asking = partial(aiohttp.AsyncResolver, nameservers=["127.0.0.1"], udp_port=port)
    with patch.object(aiohttp, "AsyncResolver", asking):
        yield


WRONG_SECONDS: Final = 5.0
MINUTE, DAY = 60, 86_400
# A little, a time zone, a battery that is empty, and days.
SIZES: Final = (3 * MINUTE, 210 * MINUTE, DAY, 4 * DAY)
WAYS: Final = {"ahead": 1, "back": -1}


async def clock_jumps(folder: Path, seed: int, *, short: bool) -> Told:
    """Each jump both ways, while a process runs and at the start of one, in the order that the seed draws.

    The time of day is wrong for a while, and then right again. Nothing that is asked meanwhile may be lost, and nothing
    may stay planned for a time that never comes.
    """
    told, clocks = Told(), list[MovedClock]()
    jumps = [(way, size, restarts) for way in WAYS for size in SIZES for restarts in (False, True)]
    Random(f"{seed}|jumps").shuffle(jumps)
    if short:
        jumps = [("ahead", SIZES[-1], False), ("back", SIZES[-2], True)]

    def make(place: Path, **more: str) -> Process:
        process = Process(place, **more)
        clocks.append(MovedClock(process, place))
        return process

    async def disturb(made: Stage, load: Load, plan: sigkill.Plan) -> Counter[str]:
        assert isinstance(made.process, Process)
        await made.process.start()
        for way, size, restarts in jumps:
            await asyncio.sleep(CALM_SECONDS)
            restarted = made.process if restarts else None
            await _jump(way, size, clocks[0], load, told, restarted)
        return Counter(f"clock {way}" for way, _, _ in jumps)

    told.findings = await sigkill.campaign(folder, _plan(seed, short=short, make=make, disturb=disturb))
    return told


async def _jump(way: str, size: int, clock: MovedClock, load: Load, told: Told, restarted: Process | None) -> None:
    if restarted is not None:
        await restarted.kill()
    began = time.monotonic()
    _say(WAYS[way] * size, clock, load)
    if restarted is not None:
        await restarted.start()
    how = f"clock jumps {way}" if restarted is None else f"started with a clock that is {way}"
    told.recoveries[how].append(await first_create(load, began))
    await asyncio.sleep(WRONG_SECONDS)
    righted = time.monotonic()
    _say(0, clock, load)
    told.recoveries[f"{how}, then right again"].append(await first_create(load, righted))


def _say(wrong: int, clock: MovedClock, load: Load) -> None:
    """The time of day is wrong by so many seconds from now on, and the judge hears of it."""
    load.stage.history.note("clock", wrong=wrong * 1000, at=datetime.now(UTC).isoformat())
    clock.say(wrong)
