"""Three Dargahs on one database, and the balancer before them: a call goes to the next one that seems to be up."""

import asyncio
import itertools
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from e2e.process import Process

# A balancer needs a moment to notice that one does not answer; until then calls go there, and come to nothing.
NOTICED_SECONDS: Final = 2.0
START_TRIES: Final = 60
SHORT_LEASES: Final = Path(__file__).with_name("replicas_serve.py")


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
                *self._command, stdout=asyncio.subprocess.PIPE, stderr=log, env=self._env
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
    """Implements sigkill_stage.Served by several processes."""

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
