"""What the tests of security share: a lab for each test, and a house of all callers for each module.

Hundreds of calls are asked of a house, and none may change what it holds.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from web.conftest import lab, more_settings

from security.principals_house import House, house_in

__all__ = ["house", "lab", "more_settings"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(folder_of_module: Path) -> AsyncIterator[House]:
    async with house_in(folder_of_module) as made:
        yield made
