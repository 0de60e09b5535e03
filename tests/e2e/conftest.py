from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from e2e.playground import Shop, playground


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with playground(tmp_path) as (made, _):
        yield made
