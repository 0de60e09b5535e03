"""Finding by the keyboard, in a real browser."""

from typing import Any

import pytest
from playwright.async_api import Browser

from browser.chromium import HANDSET, ONE_LOOP, Reader, reading
from browser.stage import WIDE, Stage, log_in, office

pytestmark = ONE_LOOP


async def focused(reader: Reader) -> str:
    return str(await reader.page.evaluate("document.activeElement.id || document.activeElement.localName"))


async def test_a_slash_leads_to_the_search_field_and_escape_back(stage: Stage, browser: Browser) -> None:
    async with office(stage) as made, reading(browser, viewport=WIDE, locale="en-US") as reader:
        await log_in(reader, made)
        await reader.open(f"{made.console}/payments")
        page = reader.page
        await page.focus("nav a >> nth=2")
        await page.keyboard.press("/")
        assert (await focused(reader), await page.input_value("#q")) == ("q", "")
        await page.keyboard.type("A-10482/x")
        assert await page.input_value("#q") == "A-10482/x", "a slash that is typed is one"
        await page.keyboard.press("Escape")
        assert await page.evaluate("document.activeElement.textContent") == "Reviews"
        for keys in ("Control+/", "Alt+/"):
            await page.keyboard.press(keys)
            assert await focused(reader) == "a", keys
        await page.click("summary >> nth=0")
        await page.fill("#order", "")
        await page.press("#order", "/")
        assert (await focused(reader), await page.input_value("#order")) == ("order", "/")
        await page.evaluate("document.activeElement.blur()")
        # A Persian layout has a full stop on that key.
        await page.evaluate(
            "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: '.', code: 'Slash', bubbles: true}))"
        )
        assert await focused(reader) == "q"
        await page.fill("#q", "A-10482")
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**/payments/{made.complaint['id']}")
        assert await reader.flaws() == []


async def test_a_slash_finds_while_the_front_page_keeps_itself_up_to_date(stage: Stage, browser: Browser) -> None:
    async with office(stage) as made, reading(browser, viewport=WIDE, locale="fa-IR") as reader:
        await log_in(reader, made)
        await reader.page.keyboard.press("/")
        assert await focused(reader) == "q"
        assert await reader.page.get_attribute("#q", "aria-keyshortcuts") == "/"


@pytest.mark.parametrize(("locale", "viewport"), [("fa-IR", HANDSET), ("en-US", WIDE)])
async def test_a_filter_is_saved_opened_and_deleted_by_hand(
    stage: Stage, browser: Browser, locale: str, viewport: Any
) -> None:
    async with office(stage) as made, reading(browser, viewport=viewport, locale=locale) as reader:
        await log_in(reader, made)
        page = reader.page
        await reader.open(f"{made.console}/payments?status=canceled")
        await page.click(".keep summary")
        await page.fill("#filter-name", "Abandoned")
        await page.check("input[name=shared]")
        assert (await reader.flaws(), await reader.spills()) == ([], [])
        assert viewport is WIDE or await reader.small_targets() == []
        await page.click(".keep button")
        await page.wait_for_selector(".note.ok")
        assert (await page.inner_text(".chip[aria-current] bdi")) == "Abandoned"
        await reader.open(f"{made.console}/payments")
        await page.click(".chip >> text=Abandoned")
        assert await page.locator("tbody tr").count() == 1
        await reader.open(f"{made.console}/filters")
        await page.locator("tbody tr", has_text="Abandoned").locator(".acts a").click()
        assert (await reader.flaws(), await reader.spills()) == ([], [])
        await page.click("button.danger")
        await page.wait_for_selector(".note.ok")
        assert "Abandoned" not in await page.inner_text("main")
