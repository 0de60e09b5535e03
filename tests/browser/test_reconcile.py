"""A day of the bank's file is pasted into the console in a real browser, on a phone and without a script."""

import pytest
from playwright.async_api import Browser

from browser.chromium import ONE_LOOP, PHONE, reading
from browser.console_pages import log_in, office
from browser.stage import Stage

pytestmark = [ONE_LOOP, pytest.mark.timeout(120)]


async def test_the_gateways_statement_is_pasted_and_says_what_differs(stage: Stage, browser: Browser) -> None:
    async with office(stage) as made, reading(browser) as reader:
        async with stage.lab.session.get(f"{stage.lab.gateway_url}/control/statement.csv") as answer:
            statement = (await answer.read()).decode()
        stage.lab.clock.forward(1000)  # the period does not reach into the future
        await log_in(reader, made)
        page = reader.page
        await page.goto(f"{made.console}/merchants/{stage.lab.merchant_id}")
        await page.click("text=مقایسه با بانک")
        await page.fill("#rows", statement.replace(str(made.complaint["bank_code"]), "140509031234"))
        await page.click("main form button")
        await page.wait_for_selector(".note[role=status]")
        said = await page.inner_text("main")
        assert "این‌جا نیست" in said
        assert "A-10482" in said
        assert await reader.flaws() == []
        assert await reader.violations() == []
        assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
