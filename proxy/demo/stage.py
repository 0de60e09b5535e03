"""The demo's stage: the simulator and Dargah as processes of their own, in a folder that goes away with them."""

import asyncio
import os
import random
import secrets
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import orjson

START_SECONDS: Final = 20
STOP_SECONDS: Final = 10


class StageError(Exception):
    """A process did not start or a command failed; the text says which and why."""


def free_port() -> int:
    """A loopback port that was free a moment ago, below the range of outgoing connections."""
    while True:
        port = random.randrange(10_000, 30_000)  # noqa: S311  it keeps no secret
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Stage:
    """Starts and stops the processes of the demo, and runs the CLI as this Dargah's operator."""

    def __init__(self, folder: Path, *, shop_port: int, settings: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._processes: list[asyncio.subprocess.Process] = []
        self.url = f"http://127.0.0.1:{free_port()}"
        self.admin_url = f"http://127.0.0.1:{free_port()}"
        self.shop_url = f"http://127.0.0.1:{shop_port}"
        self.gateway_url = ""
        self._env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DARGAH_")},
            "DARGAH_ENV_FILE": "",
            "DARGAH_ENVIRONMENT": "development",
            "DARGAH_DATABASE": str(folder / "dargah.db"),
            "DARGAH_LISTEN": self.url.removeprefix("http://"),
            "DARGAH_ADMIN_LISTEN": self.admin_url.removeprefix("http://"),
            "DARGAH_ADMIN_URL": self.admin_url,
            "DARGAH_ADMIN_TOKEN": secrets.token_urlsafe(32),
            "DARGAH_WEBHOOK_ALLOW": self.shop_url.removeprefix("http://"),
            "DARGAH_LOG_LEVEL": "warning",
            "PYTHONUNBUFFERED": "1",
            **(settings or {}),
        }

    @property
    def admin_token(self) -> str:
        """The owner's, for its API. It is worth nothing once this Dargah is gone."""
        return self._env["DARGAH_ADMIN_TOKEN"]

    @property
    def pids(self) -> list[int]:
        """The processes' ids, in the order of their start."""
        return [process.pid for process in self._processes]

    async def start_gateway(self) -> None:
        """The simulator on a free port; `gateway_url` is known afterwards."""
        ledger = str(self._folder / "ledger.db")
        line = await self._start("simulator", "--quiet", "--port", "0", "--ledger", ledger, ready="ready on ")
        self.gateway_url = line.rsplit(" ", 1)[-1]

    async def start_dargah(self) -> None:
        """Dargah with a new key ring and an empty database."""
        self._env["DARGAH_KEYS"] = (await self.command("keys", "generate")).strip()
        await self._start("serve", ready="ready on ")

    async def command(self, *arguments: str, stdin: str = "") -> str:
        """The output of `dargah ARGUMENTS`. Raises StageError with its error output when it fails."""
        process = await asyncio.create_subprocess_exec(
            *self._dargah(*arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._env,
        )
        out, error = await process.communicate(stdin.encode())
        if process.returncode != 0:
            raise StageError(f"dargah {' '.join(arguments)}: {error.decode().strip()}")
        return out.decode()

    async def json(self, *arguments: str, stdin: str = "") -> Any:
        """The same with `--json`, parsed."""
        return orjson.loads(await self.command(*arguments, "--json", stdin=stdin))

    async def stop(self) -> None:
        """Ends the processes that were started, the last one first, and waits for them."""
        for process in reversed(self._processes):
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
        for process in reversed(self._processes):
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()

    async def _start(self, *arguments: str, ready: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *self._dargah(*arguments), stdout=asyncio.subprocess.PIPE, env=self._env
        )
        self._processes.append(process)
        try:
            async with asyncio.timeout(START_SECONDS):
                return await _line_with(process, ready)
        except TimeoutError:
            raise StageError(f"dargah {arguments[0]} was not ready in {START_SECONDS} s") from None

    @staticmethod
    def _dargah(*arguments: str) -> tuple[str, ...]:
        return sys.executable, "-m", "proxy", *arguments


async def _line_with(process: asyncio.subprocess.Process, text: str) -> str:
    if process.stdout is None:
        raise StageError("the process has no output to wait for")
    while line := (await process.stdout.readline()).decode():
        if text in line:
            return line.strip()
    raise StageError("the process ended before it was ready; its error output is above")
