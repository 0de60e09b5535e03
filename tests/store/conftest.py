"""The stores that the contract suite runs against: each factory opens one on the same data again and again."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from databases.places import Databases, make_database_in

from proxy.stores import postgresql
from proxy.stores.sqlite import SqliteStore, open_store
from proxy.stores.store import Store
from store.records import NOW

StoreFactory = Callable[[pytest.FixtureRequest, Path], "AsyncIterator[Store]"]


async def _sqlite(_request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Store]:
    store = await open_store(make_database_in(folder), now=lambda: NOW)
    yield store
    await store.close()


async def _postgresql(request: pytest.FixtureRequest, _folder: Path) -> AsyncIterator[Store]:
    databases: Databases = request.getfixturevalue("databases")
    async with databases.lent() as url:
        store = await postgresql.open_store(url, postgresql.ServerOptions(now=lambda: NOW))
        yield store
        await store.close()


STORES: dict[str, StoreFactory] = {"sqlite": _sqlite, "postgresql": _postgresql}


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async for opened in STORES[request.param](request, tmp_path):
        yield opened


@pytest.fixture
async def sqlite_store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await open_store(make_database_in(tmp_path), now=lambda: NOW)
    yield opened
    await opened.close()
