"""A PostgreSQL database for whichever test asks for one."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from databases.places import served
from databases.server import ENVIRONMENT, Databases, server_of_run

# For jsonschema's format "iri", which openapi.yaml does not have; to import it takes each process four seconds.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type] # None says that there is no such module


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    base, worker = tmp_path_factory.getbasetemp(), os.environ.get("PYTEST_XDIST_WORKER")
    made = Databases(server_of_run(base.parent if worker else base), f"{os.getpid()}")
    yield made
    if ENVIRONMENT in os.environ:
        asyncio.run(made.drop())


@pytest.fixture(params=["sqlite", "postgresql"])
async def folder(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Path]:
    """A folder for a Dargah, whose database `places.database_in` names: a file in it, or one of the server."""
    if request.param == "sqlite":
        yield tmp_path
        return
    databases: Databases = request.getfixturevalue("databases")
    async with databases.lent() as url:
        with served(tmp_path, url):
            yield tmp_path


@pytest.fixture
async def postgresql_url(databases: Databases) -> AsyncIterator[str]:
    """The URL of an empty database of this Dargah's schema."""
    async with databases.lent() as url:
        yield url
