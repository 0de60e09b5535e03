"""A process of the benchmark on a core of its own, which answers a line of JSON with another. Benchmarks only."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

LONGEST_ANSWER = 64 * 1024 * 1024


class Child:
    """`ready` is what it said first."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.ready: dict[str, Any] = {}

    @classmethod
    async def start(cls, core: int, *arguments: str) -> "Child":
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *arguments,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=LONGEST_ANSWER,
        )  # fmt: skip
        os.sched_setaffinity(process.pid, {core})
        child = cls(process)
        child.ready = await child._answer()
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, **order: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        return await self._answer()

    async def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise SystemExit("a process of the benchmark has ended: see its error output above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def stop(self) -> None:
        if self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()


async def stop_all(children: Sequence[Child]) -> None:
    for child in children:
        await child.stop()
