"""`python -m tests.browser.preview_image`: what messengers show beside a pay link, from preview.svg."""

import asyncio
from pathlib import Path

from browser.chromium import chromium
from browser.screenshots import shrink

STATIC = Path(__file__).parents[2] / "proxy" / "web" / "static"
# What messengers ask for: at least 300 wide to be shown at all, and 1.91 to 1 to be shown whole.
SIZE = {"width": 1200, "height": 630}


async def main() -> None:
    """Messengers read no SVG, so the drawing becomes a PNG once, here."""
    async with chromium() as browser:
        page = await browser.new_page(viewport=SIZE)  # type: ignore[arg-type]  # playwright's TypedDict is private
        await page.goto((STATIC / "preview.svg").as_uri())
        await page.screenshot(path=STATIC / "preview.png")
    shrink([STATIC / "preview.png"])


if __name__ == "__main__":
    asyncio.run(main())
