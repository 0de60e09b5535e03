"""The reader of these tests: a page's flaw is not missed where much is drawn alike."""

import pytest
from playwright.async_api import Browser

from browser.chromium import ONE_LOOP, reading

pytestmark = ONE_LOOP
ALIKE = "<p><a href='#x'>read <b>on</b></a></p>" * 10
PAGE = """<!DOCTYPE html><html lang=en><title>many</title><style>
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
        await reader.page.set_content(PAGE % (style, ALIKE, odd, ALIKE))
        flaws = await reader.flaws(vast=True)
        assert flaws
        assert all(flaw.startswith("color-contrast: ") for flaw in flaws)


async def test_what_is_pale_in_the_dark_is_found_after_the_light(browser: Browser) -> None:
    in_the_dark = "@media (prefers-color-scheme: dark) { p:nth-child(14) b { color: #ccc; } }"
    async with reading(browser, color_scheme="light") as reader:
        await reader.page.set_content(PAGE % (in_the_dark, ALIKE, "", ALIKE))
        assert await reader.flaws(vast=True) == []
        await reader.page.emulate_media(color_scheme="dark")
        [flaw] = await reader.flaws(vast=True)
        assert flaw.startswith("color-contrast: ")
