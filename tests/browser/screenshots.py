"""`make screenshots`: every page in Persian and English, light and dark, as docs/images/*.png.

`make preview`, which is `--preview`: what messengers show beside a pay link, from preview.svg.
"""

import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, chdir
from dataclasses import dataclass
from pathlib import Path

import click
from playwright.async_api import Browser, FloatRect, Page

from browser.chromium import PHONE, Reader, chromium, path, reading
from browser.stage import (
    PAGES,
    PORTAL_PAGES,
    STATES,
    WIDE,
    ConsolePage,
    Office,
    Stage,
    State,
    enter_portal,
    log_in,
    office,
    staged,
)

REPOSITORY = Path(__file__).parents[2]
IMAGES = REPOSITORY / "docs" / "images"
STATIC = REPOSITORY / "proxy" / "http" / "static"
# What messengers ask for: at least 300 wide to be shown at all, and 1.91 to 1 to be shown whole.
PREVIEW_SIZE = {"width": 1200, "height": 630}
LANGUAGES = {"fa": "fa-IR", "en": "en-US"}
SCHEMES = ("light", "dark")
MAX_HEIGHT = 1000
# Chromium draws the whole page before it is cut, and cannot where it is longer.
LONGEST_WHOLE = 16_000
Shoot = Callable[[Stage, Browser, str, str], AbstractAsyncContextManager[Page]]


@dataclass(frozen=True)
class Shot:
    """A page to be pictured: `open_page(stage, browser, language, scheme)` gives it as it is to be seen."""

    name: str
    open_page: Shoot
    languages: tuple[str, ...] = tuple(LANGUAGES)


def customer_shot(state: State) -> Shot:
    """One of the customer's pages, on a phone."""

    @asynccontextmanager
    async def open_page(stage: Stage, browser: Browser, language: str, scheme: str) -> AsyncIterator[Page]:
        options = {"user_agent": state.agent} if state.agent else {}
        url = await state.make(stage)
        async with reading(
            browser,
            locale=LANGUAGES[language],
            color_scheme=scheme,
            device_scale_factor=1.5,
            viewport=PHONE | {"height": 640},
            reduced_motion="reduce",
            **options,
        ) as reader:
            await reader.open(url, stays=state.stays)
            await reader.page.evaluate("document.fonts.ready.then(() => true)")
            yield reader.page

    return Shot(f"page-{state.name}", open_page)


def console_shot(console_page: ConsolePage) -> Shot:
    """One of the console's pages, on a desk."""
    return _desk_shot("console", console_page, log_in)


def portal_shot(portal_page: ConsolePage) -> Shot:
    """One of the pages as a merchant sees it."""
    return _desk_shot("portal", portal_page, enter_portal)


def _desk_shot(face: str, page: ConsolePage, enter: Callable[[Reader, Office], Awaitable[object]]) -> Shot:
    """A page of a face that somebody has to enter first."""

    @asynccontextmanager
    async def open_page(stage: Stage, browser: Browser, language: str, scheme: str) -> AsyncIterator[Page]:
        options = {"locale": LANGUAGES[language], "color_scheme": scheme, "viewport": WIDE}
        async with office(stage) as made, reading(browser, **options) as reader:
            await enter(reader, made)
            await reader.open(getattr(made, face) + page.path(made))
            await reader.page.evaluate("document.fonts.ready.then(() => true)")
            yield reader.page

    return Shot(f"{face}-{page.name}", open_page)


def _reference_shot(name: str, path: str) -> Shot:
    @asynccontextmanager
    async def open_page(stage: Stage, browser: Browser, language: str, scheme: str) -> AsyncIterator[Page]:
        options = {"locale": LANGUAGES[language], "color_scheme": scheme, "viewport": WIDE}
        async with reading(browser, **options) as reader:
            await reader.open(f"{stage.lab.dargah.url}{path}")
            yield reader.page

    return Shot(name, open_page, ("en",))


# Whoever has pages adds them here. The reference is in English, as openapi.yaml is.
SHOTS: tuple[Shot, ...] = (
    *map(customer_shot, STATES),
    *map(console_shot, PAGES),
    *map(portal_shot, PORTAL_PAGES),
    _reference_shot("docs", "/docs/payments"),
)


async def main(wanted: list[str]) -> None:
    """Takes the pictures whose names have one of `wanted` in them; all when none is given."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    async with chromium() as browser:
        for shot in SHOTS:
            if wanted and not any(part in shot.name for part in wanted):
                continue
            for language in shot.languages:
                for scheme in SCHEMES:
                    with tempfile.TemporaryDirectory() as folder, chdir(folder):
                        async with (
                            staged(Path()) as stage,
                            shot.open_page(stage, browser, language, scheme) as page,
                        ):
                            picture = IMAGES / f"{shot.name}-{language}-{scheme}.png"
                            await _take(page, picture)
    shrink(sorted(IMAGES.glob("*.png")))


async def _take(page: Page, picture: Path) -> None:
    """The page from its top, as far as a reader of the docs would scroll."""
    width, height = await page.evaluate("[innerWidth, document.documentElement.scrollHeight]")
    clip: FloatRect = {"x": 0, "y": 0, "width": width, "height": min(height, MAX_HEIGHT)}
    whole = height <= LONGEST_WHOLE
    await page.screenshot(path=picture, full_page=whole, clip=clip if whole else None, animations="disabled")


async def preview() -> None:
    """Messengers read no SVG, so the drawing becomes a PNG once, here."""
    async with chromium() as browser:
        page = await browser.new_page(viewport=PREVIEW_SIZE)  # type: ignore[arg-type]  # playwright's TypedDict is private
        await page.goto((STATIC / "preview.svg").as_uri())
        await page.screenshot(path=STATIC / "preview.png")
    shrink([STATIC / "preview.png"])


def shrink(pictures: list[Path]) -> None:
    """256 colours are enough for pages, and half the bytes."""
    tool = shutil.which("pngquant")
    if tool is None:
        click.echo("pngquant is not installed, so the pictures are larger than they need be", err=True)
        return
    for picture in pictures:
        subprocess.run([tool, "--force", "--skip-if-larger", "--strip", "--ext", ".png", "64", picture], check=False)


if __name__ == "__main__":
    if path() is None:
        sys.exit("Chromium is not installed: apt-get install chromium")
    asyncio.run(preview() if sys.argv[1:] == ["--preview"] else main(sys.argv[1:]))
