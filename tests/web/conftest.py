import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.dargah import UNLIMITED

from web.lab import Lab, lab_in


@pytest.fixture
def more_settings() -> dict[str, Any]:
    """Settings of the lab beside its own, for a module to say otherwise."""
    return {}


@pytest.fixture
async def lab(folder: Path, more_settings: dict[str, Any]) -> AsyncIterator[Lab]:
    async with lab_in(folder, **more_settings) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab_of_module(folder_of_module: Path) -> AsyncIterator[Lab]:
    async with lab_in(folder_of_module, **UNLIMITED) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def shared_lab(lab_of_module: Lab) -> Lab:
    """A merchant of its own at a Dargah that the module's tests share, by a clock that stands still, for a test that is
    `SHARED`: one that sets no fault, moves no clock and counts nothing of other merchants.
    """
    made = replace(lab_of_module, _numbers=itertools.count())
    await made.set_up()
    return made
