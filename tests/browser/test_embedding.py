"""The page of docs/portal.md that frames the portal, run as it stands there."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser
from support.eventually import listening
from support.ports import free_port

from browser.chromium import HANDSET, ONE_LOOP, PATIENCE_MILLISECONDS, reading
from browser.stage import WIDE, Stage, office

pytestmark = ONE_LOOP
DOCUMENT = Path(__file__).parents[2] / "docs" / "portal.md"
[EXAMPLE] = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)


@asynccontextmanager
async def panel(stage: Stage, origin: str, port: int) -> AsyncIterator[None]:
    """The example's server; the name `localhost` is another site than the address, at which Dargah listens."""
    environment = {
        **os.environ,
        "DARGAH_URL": stage.lab.dargah.url,
        "DARGAH_TOKEN": stage.lab.token,
        "PANEL_ORIGIN": origin,
        "PORT": str(port),
    }
    running = await asyncio.create_subprocess_exec(sys.executable, "-c", EXAMPLE, env=environment)

    try:
        await listening(port, lambda: running.returncode is None)
        yield
    finally:
        running.kill()
        await running.wait()


async def test_the_example_page_frames_the_portal_with_its_guide(stage: Stage, browser: Browser) -> None:
    port = free_port()
    origin = f"http://localhost:{port}"
    origins = [stage.shop_url, origin]
    await stage.services.setup.change_merchant(stage.lab.merchant_id, actor="test", return_origins=origins)
    async with office(stage) as made, panel(stage, origin, port):
        for viewport in (WIDE, HANDSET):
            async with reading(browser, viewport=viewport) as reader:
                reader.page.on("pageerror", lambda error: pytest.fail(str(error)))
                await reader.page.goto(f"{origin}/")
                frame = reader.page.frame_locator("iframe")
                await frame.locator("text=A-10482").first.wait_for(timeout=PATIENCE_MILLISECONDS)
                await frame.locator('nav a[href="/portal/guide"]').click()
                await frame.locator("#embed").wait_for(timeout=PATIENCE_MILLISECONDS)
                await frame.locator('#resend a[href="/portal/deliveries?status=failed"]').click()
                await frame.locator("form.card").first.wait_for(timeout=PATIENCE_MILLISECONDS)
                assert [said for said in reader.complaints if "frame" in said or "Content Security" in said] == []
        assert made.portal.endswith("/portal")
