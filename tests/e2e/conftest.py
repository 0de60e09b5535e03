from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.shop import Shop, playground


@pytest.fixture
async def shop(folder: Path) -> AsyncIterator[Shop]:
    async with playground(folder) as (made, _):
        yield made
