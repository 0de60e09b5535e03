"""Runs `dargah …` as a shop's developer does, against a live Dargah."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from operators.command import DEADLINE_SECONDS, Ran

from web.lab import Lab


@dataclass(frozen=True)
class Command:
    """Runs with just these settings."""

    settings: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, lab: Lab) -> "Command":
        return cls({"DARGAH_URL": lab.dargah.url, "DARGAH_TOKEN": lab.token})

    async def run(self, *arguments: str, stdin: bytes = b"") -> Ran:
        process = await self._start(*arguments)
        async with asyncio.timeout(DEADLINE_SECONDS):
            out, error = await process.communicate(stdin)
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), error.decode())

    async def json(self, *arguments: str, stdin: bytes = b"") -> Any:
        return (await self.run(*arguments, "--json", stdin=stdin)).json

    @asynccontextmanager
    async def running(self, *arguments: str) -> AsyncIterator[asyncio.StreamReader]:
        """The standard output of a command that goes on until the context ends."""
        process = await self._start(*arguments)
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.kill()
            await process.communicate()

    async def _start(self, *arguments: str) -> asyncio.subprocess.Process:
        kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("DARGAH_")}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=kept | {"PYTHONUNBUFFERED": "1"} | self.settings,
        )
