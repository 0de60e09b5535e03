"""The `dargah` command as a process of its own."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEADLINE_SECONDS = 30


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    error: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.error
        return json.loads(self.out)


@dataclass(frozen=True)
class Cli:
    """Runs `dargah …` with just these settings."""

    settings: Mapping[str, str]
    folder: Path

    @property
    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("DARGAH_")}
        return kept | dict(self.settings)

    async def run(self, *arguments: str, stdin: str = "") -> Ran:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.env,
            cwd=self.folder,
        )
        async with asyncio.timeout(DEADLINE_SECONDS):
            out, error = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), error.decode())

    async def json(self, *arguments: str, stdin: str = "") -> Any:
        return (await self.run(*arguments, "--json", stdin=stdin)).json

    def given(self, **settings: str) -> "Cli":
        return Cli({**self.settings, **settings}, self.folder)
