"""The `dargah` command as a process of its own.

It is forked from one that has imported the program: to import takes longer than most commands do.
"""

import asyncio
import io
import json
import multiprocessing
import os
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

DEADLINE_SECONDS: Final = 60
FORKS: Final = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["proxy.cli", "proxy.app"])
# `Process.start` looks how every other process ended; whoever else reads the same exit code then is left with 255.
_EXIT_CODES: Final = threading.Lock()


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
    folder: Path = Path()

    @property
    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("DARGAH_")}
        return kept | dict(self.settings)

    async def run(self, *arguments: str, stdin: str | bytes = "") -> Ran:
        with tempfile.TemporaryDirectory() as scratch:
            files = [Path(scratch, name) for name in ("in", "out", "error")]
            files[0].write_bytes(stdin.encode() if isinstance(stdin, str) else stdin)
            process = FORKS.Process(target=_command, args=(arguments, self.env, self.folder, files))
            await started(process)
            try:
                async with asyncio.timeout(DEADLINE_SECONDS):
                    code = await end_of(process)
            finally:
                await asyncio.to_thread(_killed, process)
            return Ran(code, *(file.read_text() for file in files[1:]))

    async def json(self, *arguments: str, stdin: str | bytes = "") -> Any:
        return (await self.run(*arguments, "--json", stdin=stdin)).json

    def given(self, **settings: str) -> "Cli":
        return Cli({**self.settings, **settings}, self.folder)

    @asynccontextmanager
    async def running(self, *arguments: str) -> AsyncIterator[asyncio.StreamReader]:
        """The standard output of a command that goes on until the context ends."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=self.env | {"PYTHONUNBUFFERED": "1"},
        )
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.kill()
            await process.communicate()


async def started(process: BaseProcess) -> None:
    """Starts it. The first one waits for the imports."""

    def start() -> None:
        with _EXIT_CODES:
            process.start()

    await asyncio.to_thread(start)


async def end_of(process: BaseProcess) -> int:
    """Its exit code, once it has ended; -N where the signal N ended it."""
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(process.sentinel, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(process.sentinel)
    code = await asyncio.to_thread(exit_code, process)
    assert code is not None
    return code


def exit_code(process: BaseProcess) -> int | None:
    """None while it runs."""
    with _EXIT_CODES:
        return process.exitcode


def _killed(process: BaseProcess) -> None:
    with _EXIT_CODES:
        process.kill()
        process.join()
        process.close()


def _command(arguments: Sequence[str], env: Mapping[str, str], folder: Path, files: Sequence[Path]) -> None:
    """In the new process."""
    for number, file in enumerate(files):
        os.dup2(os.open(file, os.O_RDWR | os.O_CREAT), number)
    stdin = io.FileIO(0)  # multiprocessing put /dev/null there
    stdin.name = "<stdin>"
    sys.stdin = io.TextIOWrapper(io.BufferedReader(stdin))
    become_dargah(arguments, env, folder)


def become_dargah(arguments: Sequence[str], env: Mapping[str, str], folder: Path) -> None:
    """In a new process: it is `dargah …` from now on."""
    sys.argv = ["dargah", *arguments]
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    from proxy.__main__ import main  # noqa: PLC0415  only the new process needs it

    main()
