"""A browser for the tests that ask for one; they say so where there is none.

It is one for all, since to start it takes longer than most tests: a module here has `pytestmark = ONE_LOOP`.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from browser.chromium import chromium, path
from browser.stage import Stage, staged


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    if path() is None:
        pytest.skip("NOT RUN: Chromium is not installed (`.ci/run` installs it where it can)")
    async with chromium() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as made:
        yield made
