"""A PostgreSQL database for whichever test asks for one."""

import asyncio
import gc
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from databases.places import ENVIRONMENT, Databases, served, server_of_run
from hypothesis import settings

# An example that takes long says something of the machine; pytest-timeout bounds what never ends.
settings.register_profile("dargah", deadline=None)
settings.load_profile("dargah")

# For jsonschema's format "iri", which openapi.yaml does not have; to import it takes each process four seconds.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type] # None says that there is no such module


def pytest_collectstart() -> None:
    """What is collected stays: to look through it for garbage again and again takes each process four seconds."""
    gc.disable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The campaigns first: they take longest, and at the end one process would be left alone with two of them."""
    items.sort(key=lambda item: item.path.name != "test_campaigns.py")


def pytest_collection_finish() -> None:
    """What is there now stays: it is not looked through again whenever a test has made some garbage."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def patient_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of sums has them, however slow the machine is; what takes longer has a page of its progress."""
    monkeypatch.setattr("proxy.console.page_context.COUNTING_SECONDS", 5)


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


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgresql"])
async def folder_of_module(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Path]:
    """Such a folder for a Dargah that the tests of a module share."""
    folder: Path = tmp_path_factory.mktemp("module")
    async with AsyncExitStack() as stack:
        if request.param == "postgresql":
            databases: Databases = request.getfixturevalue("databases")
            stack.enter_context(served(folder, await stack.enter_async_context(databases.lent())))
        yield folder


@pytest.fixture
async def postgresql_url(databases: Databases) -> AsyncIterator[str]:
    """The URL of an empty database of this Dargah's schema."""
    async with databases.lent() as url:
        yield url
