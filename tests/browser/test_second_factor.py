"""An operator's second factor in a real browser: enrolled, asked for at the login, used up and ended."""

from dataclasses import dataclass
from typing import Any

import pytest
from playwright.async_api import Browser
from support.authenticator import Authenticator
from web.second_factors import STEP, hired

from browser.chromium import HANDSET, ONE_LOOP, Reader, reading
from browser.stage import WIDE, Stage
from proxy.kernel.clock import MINUTE

pytestmark = ONE_LOOP
WAYS = (("fa-IR", HANDSET, "light"), ("fa-IR", WIDE, "dark"), ("en-US", HANDSET, "dark"), ("en-US", WIDE, "light"))


@dataclass
class Walk:
    """An operator's way through the pages, each of which must be without flaws."""

    stage: Stage
    reader: Reader
    token: str
    locale: str
    phone: bool

    @property
    def console(self) -> str:
        return f"{self.stage.lab.dargah.admin_url}/console"

    async def give_token(self) -> None:
        await self.reader.open(f"{self.console}/login")
        await self.reader.page.fill("#token", self.token)
        await self.reader.page.click("main button")

    async def sees(self, selector: str) -> None:
        await self.reader.page.wait_for_selector(selector)
        self.reader.expect("status of 422", "status of 401")
        assert await self.reader.flaws() == [], selector
        assert await self.reader.violations() == [], selector
        assert self.reader.complaints == [], selector
        assert await self.reader.spills() == [], selector
        assert not self.phone or await self.reader.small_targets() == [], selector
        assert self.locale != "fa-IR" or await self.reader.latin_words() == [], selector

    async def types(self, code: str) -> None:
        await self.reader.page.fill("#code", code)
        await self.reader.page.click("main form:has(#code) button")


@pytest.mark.parametrize(("locale", "viewport", "scheme"), WAYS)
async def test_an_operator_enrols_logs_in_and_ends_it(
    stage: Stage, browser: Browser, locale: str, viewport: Any, scheme: str
) -> None:
    _, token = await hired(stage.lab, "sara", "owner")
    clock = stage.lab.clock
    async with reading(browser, locale=locale, viewport=viewport, color_scheme=scheme) as reader:
        walk, page = Walk(stage, reader, token, locale, viewport is HANDSET), reader.page
        await walk.give_token()
        await page.wait_for_selector("nav")
        clock.forward(11 * MINUTE)  # the token is asked for too
        await reader.open(f"{walk.console}/second-factor")
        await walk.sees("svg.segno")
        app = Authenticator(await page.input_value("#secret"))
        await page.fill("#token", token)
        await walk.types(app.wrong(clock.now))
        await walk.sees("[role=alert]")
        await page.fill("#token", token)
        await walk.types(app.code(clock.now))
        await walk.sees("pre")
        codes = (await page.inner_text("pre")).split()
        assert len(codes) == 10
        await reader.open(f"{walk.console}/second-factor")
        await walk.sees("dl.facts")
        await page.click("text=/خروج|Log out/")
        await walk.give_token()
        await walk.sees("#code")
        await walk.types(app.wrong(clock.now))
        await walk.sees("[role=alert]")
        clock.forward(STEP)
        code = app.code(clock.now)
        await walk.types(f" {code[:3]} {code[3:]} ".translate(str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")))
        await page.wait_for_selector("nav")
        await reader.open(f"{walk.console}/operators")
        await walk.sees("table.list")
        await page.click("text=/خروج|Log out/")
        await walk.give_token()
        await page.click("summary")
        await walk.sees("#recovery")
        await page.fill("#recovery", codes[0].lower())
        await page.click("main form:has(#recovery) button")
        await page.wait_for_selector("nav")
        await reader.open(f"{walk.console}/second-factor/end")
        await walk.sees("#code")
        await walk.types(codes[0])
        await walk.sees("[role=alert]")
        await walk.types(codes[1])
        await walk.sees(".note.ok")
