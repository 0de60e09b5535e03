"""The stage of the replicas' campaign: PostgreSQL, the gateway, Dargahs behind a balancer, and two receivers."""

import asyncio
import itertools
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from databases.durable import Server, durable_server
from databases.places import served
from support.dargah import server
from support.process import Process

from ..history_lines import Recorder
from ..sigkill.receiver import Moments, Receiver
from ..sigkill.stage import HISTORY, SETTINGS, Stage, client, open_shops, simulator
from .receiver import SlowShop

# A balancer needs a moment to notice that one does not answer; until then calls go there, and come to nothing.
NOTICED_SECONDS: Final = 2.0
START_TRIES: Final = 60
SHORT_LEASES: Final = Path(__file__).with_name("serve.py")


class Replica(Process):
    """`up` starts it, however long the database is away; `kill` (SIGKILL), `pause` (SIGSTOP), `resume` (SIGCONT)."""

    def __init__(self, folder: Path, log: Path, *, short_leases: bool, **more: str) -> None:
        super().__init__(folder, **more)
        self.log = log  # one for all: the balancer's clients do not know which one it was
        self.down_since: float | None = 0.0
        self.paused = False
        self._command = (sys.executable, SHORT_LEASES) if short_leases else (sys.executable, "-m", "proxy", "serve")

    async def launch(self) -> None:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdout=asyncio.subprocess.PIPE, stderr=log, env=self.env
            )

    async def up(self) -> int:
        """Gives how often it ended at once, as it does where there is no database, and was started again."""
        for tries in itertools.count():
            await self.launch()
            try:
                await self.ready()
            except (AssertionError, TimeoutError):
                if tries == START_TRIES:
                    raise
                await self.kill()
                await asyncio.sleep(0.2)
            else:
                self.down_since = None
                return tries
        raise AssertionError("counting does not end")

    async def kill(self) -> None:
        self.down_since = time.monotonic()
        self.paused = False
        await super().kill()

    def pause(self) -> None:
        self._send(signal.SIGSTOP)
        self.paused = True
        self.down_since = time.monotonic()

    def resume(self) -> None:
        """Does nothing to one that was killed meanwhile."""
        if self.paused:
            self._send(signal.SIGCONT)
            self.paused = False
            self.down_since = None

    @property
    def died(self) -> bool:
        """Whether it ended without being told to."""
        return self._process is not None and self._process.returncode is not None

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):  # one that nobody ended is seen by `died`
                self._process.send_signal(number)


class Fleet:
    """Implements Served by several processes."""

    def __init__(self, folder: Path, make: Callable[[Path], Replica], count: int) -> None:
        self.log = folder / "dargah.log"
        self.replicas = [make(self.log) for _ in range(count)]
        self._turns = itertools.cycle(self.replicas)

    @property
    def url(self) -> str:
        """Of the next replica that is up, as far as the balancer knows."""
        replica = next(self._turns)
        for _ in self.replicas:
            if replica.down_since is None or time.monotonic() - replica.down_since < NOTICED_SECONDS:
                break
            replica = next(self._turns)
        return replica.url

    @property
    def running(self) -> list[Replica]:
        return [replica for replica in self.replicas if replica.down_since is None]

    async def start(self) -> None:
        await asyncio.gather(*(replica.up() for replica in self.replicas if replica.down_since is not None))

    async def kill(self) -> None:
        await asyncio.gather(*(replica.kill() for replica in self.replicas))


REPLICAS: Final = 3
PUBLIC_URL: Final = "http://pay.shop.test"
RECEIVER_FAULT_RATE: Final = 0.1
# A balancer's patience. Longer than the gateway's and the database's time-outs together, shorter than a pause.
CALL_SECONDS: Final = 8.0


@dataclass(frozen=True, slots=True)
class Replicas:
    """`stage` is all that the load and the audit know of; the rest is for whoever breaks something."""

    stage: Stage
    fleet: Fleet
    server: Server
    slow: SlowShop


@asynccontextmanager
async def replicas_stage(folder: Path, seed: int, *, short_leases: bool) -> AsyncIterator[Replicas]:
    """All of it; the Dargahs are not started yet."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(durable_server())
        stack.enter_context(served(folder, database.url))
        moments, history = Moments(), Recorder(folder / HISTORY)
        stack.callback(history.close)
        quick = Receiver(seed, moments, history, RECEIVER_FAULT_RATE)
        slow = SlowShop(seed, moments, history, RECEIVER_FAULT_RATE)
        for receiver in (quick, slow):
            receiver.url = await stack.enter_async_context(server(receiver.app()))
        gateway_url = await stack.enter_async_context(simulator(folder / "ledger.db", seed))
        session = await stack.enter_async_context(client(CALL_SECONDS))
        storefronts = await open_shops(folder, gateway_url, [quick, slow], history)
        looking = asyncio.create_task(slow.look(database.url))
        stack.push_async_callback(_end, looking)

        def make(log: Path) -> Replica:
            return Replica(folder, log, short_leases=short_leases, DARGAH_PUBLIC_URL=PUBLIC_URL, **SETTINGS)

        fleet = Fleet(folder, make, REPLICAS)
        stack.push_async_callback(fleet.kill)
        stage = Stage(folder, fleet, PUBLIC_URL, gateway_url, storefronts, [quick, slow], moments, session, history)
        yield Replicas(stage, fleet, database, slow)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
