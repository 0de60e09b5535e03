"""Dargah as a process of its own, to be killed without warning and started again on the same database and port."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from databases.places import database_in

from e2e.playground import KEY_RING, OPERATOR_TOKEN
from proxy.demo.stage import free_port

START_SECONDS = 20
MOST_SHOWN = 64 * 1024


class Process:
    """`await start()`, `await kill()` (SIGKILL), `await stop()` (SIGTERM, gives the exit code).

    `start` is `launch`, after which it can be killed at any moment, and `ready`. `more` are further DARGAH_ variables.
    """

    def __init__(self, folder: Path, **more: str) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log = folder / "dargah.log"
        self._env = {name: value for name, value in os.environ.items() if not name.startswith("DARGAH_")} | {
            "DARGAH_ENVIRONMENT": "development",
            "DARGAH_DATABASE": str(database_in(folder)),
            "DARGAH_LISTEN": self.url.removeprefix("http://"),
            "DARGAH_ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
            "DARGAH_ADMIN_TOKEN": OPERATOR_TOKEN,
            "DARGAH_KEYS": KEY_RING,
            **more,
        }
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        await self.launch()
        await self.ready()

    async def launch(self) -> None:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "proxy", "serve", stdout=asyncio.subprocess.PIPE, stderr=log, env=self._env
            )

    async def ready(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            line = await self._process.stdout.readline()
        assert b"ready on" in line, self._said()

    def _said(self) -> str:
        """The beginning of its log, which may be a device that has no end."""
        with self.log.open("rb") as log:
            return log.read(MOST_SHOWN).decode()

    async def kill(self) -> None:
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        return await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        with suppress(ProcessLookupError):  # it died by itself, which its log and its exit code tell
            process.send_signal(number)
        return await process.wait()
