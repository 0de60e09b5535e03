"""PostgreSQL servers of those under test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bench.processes import pin, tree_of
from tests.databases.durable import Server, durable_server


@asynccontextmanager
async def pinned_server(core: int) -> AsyncIterator[Server]:
    """A durable PostgreSQL on that core."""
    async with durable_server("max_connections=100") as server:
        for pid in tree_of(server.pid):
            with suppress(FileNotFoundError):  # it has ended
                pin(pid, core)
        yield server
