"""A Dargah that serves a database, with what its processes have used."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from bench.console.serve import Holds
from bench.postgres import settings_of
from bench.processes import child, children_of, cpu_nanoseconds, resident_mb
from bench.shops import open_shop
from tests.databases.durable import Server

START_SECONDS: Final = 120


@dataclass(frozen=True, slots=True)
class Installation:
    """`token` creates payments of a merchant of its own; `operator_token` signs in to the console at `admin_url`, which
    lists an operator more.
    """

    name: str
    url: str
    admin_url: str
    operator_token: str
    operator_id: str
    token: str
    pid: int
    holds: Holds
    server: Server | None

    def cpu_seconds(self) -> float:
        return cpu_nanoseconds(self.pid) / 1e9

    def server_cpu_seconds(self) -> float:
        """Of PostgreSQL's processes that are there."""
        return 0.0 if self.server is None else sum(map(cpu_nanoseconds, children_of(self.server.pid))) / 1e9

    def megabytes(self) -> float:
        return resident_mb(self.pid)

    def serves(self, port: int) -> bool:
        """Whether the process has the console's connection with this port of ours open: closed ones have no inode."""
        here = urlsplit(self.admin_url).port
        for line in Path(f"/proc/{self.pid}/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            local, remote = (int(address.partition(":")[2], 16) for address in fields[1:3])
            if (local, remote) == (here, port):
                return fields[9] != "0"
        return False


@asynccontextmanager
async def serving(
    folder: Path, database: Path | Server, gateway_url: str, write_seconds: float
) -> AsyncIterator[Installation]:
    """A `dargah serve` on the database, which has a merchant more then. A client must have read of an answer within
    `write_seconds`.
    """
    if isinstance(database, Path):
        name, settings, server = "SQLite", settings_of(database), None
    else:
        name, settings, server = "PostgreSQL", settings_of(database.url), database
    shared = folder / f"holds of {name}"
    shared.touch()
    settings["DARGAH_HEAD_TIMEOUT_SECONDS"] = str(max(1, min(10, round(write_seconds))))
    command = ("bench/console/serve.py", str(shared), str(write_seconds))
    async with child(None, *command, env=settings, seconds=START_SECONDS) as started:
        admin_url, token = f"http://{settings['DARGAH_ADMIN_LISTEN']}", settings["DARGAH_ADMIN_TOKEN"]
        shop, operator_id = await open_shop(admin_url, token, gateway_url), await _operator(admin_url, token)
        yield Installation(name, started.url, admin_url, token, operator_id, shop, started.pid, Holds(shared), server)


async def _operator(admin_url: str, token: str) -> str:
    """The id of a new operator."""
    headers, person = {"Authorization": f"Bearer {token}"}, {"name": "sara", "role": "read"}
    async with (
        aiohttp.ClientSession(headers=headers, raise_for_status=True) as session,
        session.post(f"{admin_url}/admin/v1/operators", json=person) as answer,
    ):
        return str((await answer.json())["id"])
