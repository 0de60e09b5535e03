"""What is said at the start when the database of DARGAH_DATABASE cannot be used, and which clock its process has."""

from pathlib import Path
from typing import Any

import asyncpg
import pytest
from databases.places import database_in
from e2e.playground import settings

from proxy.clock import SECOND, system_now
from proxy.config.settings import SettingsError
from proxy.storage import open_storage


def named(url: str) -> Any:
    return settings(Path(), database=url)


async def test_a_server_that_is_not_there_is_a_setting_that_is_wrong() -> None:
    with pytest.raises(
        SettingsError, match=r"DARGAH_DATABASE \(postgresql://127.0.0.1:1/dargah\): .*reached"
    ) as caught:
        await open_storage(named("postgresql://dargah:hunter2@127.0.0.1:1/dargah"), system_now)
    assert "hunter2" not in str(caught.value)


async def test_a_database_that_a_newer_dargah_migrated_is_told(postgresql_url: str) -> None:
    connection = await asyncpg.connect(postgresql_url)
    await connection.execute("INSERT INTO schema_versions VALUES (9999, 'later', 0, 9999)")
    await connection.close()
    with pytest.raises(SettingsError, match="start the newer Dargah"):
        await open_storage(named(postgresql_url), system_now)


async def test_the_clock_is_the_databases_where_replicas_share_one_and_a_tests_own_stays(folder: Path) -> None:
    for now in (system_now, lambda: 5):
        storage = await open_storage(settings(folder), now)
        shared = isinstance(database_in(folder), str)
        assert (storage.now is now) == (not shared or now is not system_now)
        assert abs(storage.now() - now()) < 2 * SECOND
        assert (storage.hints is not None) == shared
        await storage.store.close()
