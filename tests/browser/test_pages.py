"""Every page that strangers come to: axe-core finds nothing, the policy stops nothing, and a customer's page is small.

The reader that says so misses no flaw where much is drawn alike.
"""

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser

from browser.chromium import ONE_LOOP, Reader, reading
from browser.stage import STATES, Stage, State, staged
from proxy.merchants.logo_images import MAX_BYTES

pytestmark = ONE_LOOP
MAX_PAGE_BYTES = 60_000
# Words change with the language and colours with the light, and neither with the other.
LOOKS = (("fa-IR", "light"), ("en-US", "dark"))


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
async def test_a_page_is_without_flaws_in_any_language_and_light_and_small(
    stage: Stage, browser: Browser, state: State
) -> None:
    url = await state.make(stage)
    for locale, scheme in LOOKS:
        options: dict[str, Any] = {"user_agent": state.agent} if state.agent else {}
        async with reading(browser, locale=locale, color_scheme=scheme, **options) as reader:
            await reader.open(url)
            assert await reader.state() == state.shows
            sizes = await reader.loaded()
            assert await reader.flaws() == [], (locale, scheme)
            assert await reader.violations() == [], (locale, scheme)
            reader.expect(f"status of {state.status}")
            assert reader.complaints == [], (locale, scheme)
            assert any(".woff2" in loaded for loaded in sizes), sizes
            assert all(loaded.startswith(stage.lab.dargah.url) for loaded in sizes), "something comes from outside"
            logo = sum(size for loaded, size in sizes.items() if "/logos/" in loaded)
            assert sum(sizes.values()) - logo + MAX_BYTES <= MAX_PAGE_BYTES, sizes


# Places change with the width and colours with the light, and neither with the other.
async def test_the_reference_is_without_flaws_on_a_phone_and_a_desk_light_and_dark(
    tmp_path: Path, browser: Browser
) -> None:
    async with (
        staged(tmp_path, log_level="error") as stage,
        reading(browser, locale="en-US", color_scheme="light", viewport={"width": 360, "height": 800}) as reader,
    ):
        await reader.open(f"{stage.lab.dargah.url}/docs")
        await assert_is_flawless(reader, 360)
        await reader.page.set_viewport_size({"width": 1280, "height": 800})
        await reader.page.emulate_media(color_scheme="dark")
        await assert_is_flawless(reader, 1280)


async def assert_is_flawless(reader: Reader, width: int) -> None:
    assert await reader.flaws(vast=True) == [], width
    assert await reader.violations() == [], width
    assert reader.complaints == [], width
    assert await reader.page.evaluate("document.documentElement.scrollWidth") <= width


ALIKE = "<p><a href='#x'>read <b>on</b></a></p>" * 10
ALIKE_PAGE = """<!DOCTYPE html><html lang=en><title>many</title><style>
body { background: #fff; color: #000; } a { color: #00c; } .dim { background: #00b; } %s
</style><body><main id=x><h1>Many</h1>%s%s%s</main></body></html>"""


@pytest.mark.parametrize(
    ("style", "odd"),
    [
        ("", "<p style='color: #bbb'>pale</p>"),
        ("", "<p class=dim><a href='#x'>read <b>on</b></a></p>"),
        ("", "<p class=dim><input aria-label=name value=none style='background: none; color: #000'></p>"),
        ("p:nth-child(14) b { color: #ccc; }", ""),
    ],
    ids=["its own colour", "another ground", "a field", "one in a row"],
)
async def test_one_pale_text_among_many_alike_is_found(browser: Browser, style: str, odd: str) -> None:
    async with reading(browser) as reader:
        await reader.page.set_content(ALIKE_PAGE % (style, ALIKE, odd, ALIKE))
        flaws = await reader.flaws(vast=True)
        assert flaws
        assert all(flaw.startswith("color-contrast: ") for flaw in flaws)


async def test_pale_text_in_the_dark_scheme_is_found_after_the_light_one(browser: Browser) -> None:
    in_the_dark = "@media (prefers-color-scheme: dark) { p:nth-child(14) b { color: #ccc; } }"
    async with reading(browser, color_scheme="light") as reader:
        await reader.page.set_content(ALIKE_PAGE % (in_the_dark, ALIKE, "", ALIKE))
        assert await reader.flaws(vast=True) == []
        await reader.page.emulate_media(color_scheme="dark")
        [flaw] = await reader.flaws(vast=True)
        assert flaw.startswith("color-contrast: ")
