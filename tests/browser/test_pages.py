"""Every page of the console and the portal on a desk and a phone, in Persian and English, light and dark.

The suite looks at each page once, in one of the eight ways to look, so that all of them occur. `make test-pages`, which
sets DARGAH_TEST_PAGES, looks at each page in every way.
"""

import os
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
from playwright.async_api import Browser

from browser.chromium import HANDSET, ONE_LOOP, Reader, reading
from browser.stage import PAGES, PORTAL_PAGES, WIDE, ConsolePage, Office, Stage, enter_portal, log_in, office
from proxy.console.merchant_view import BASE
from proxy.console.routes import GET, ROUTES
from proxy.console.viewer import Side

pytestmark = [ONE_LOOP, pytest.mark.timeout(1800)]


@dataclass(frozen=True)
class Way:
    """A way to look at a page."""

    locale: str
    viewport: Any
    scheme: str

    @property
    def options(self) -> dict[str, Any]:
        return {"locale": self.locale, "viewport": self.viewport, "color_scheme": self.scheme}


@dataclass(frozen=True)
class Look:
    side: Side
    page: ConsolePage
    way: Way


WAYS = tuple(Way(*each) for each in product(("fa-IR", "en-US"), (HANDSET, WIDE), ("dark", "light")))
# No pages: files, the question before an act, of which `question` stands for all, and a job that is under way.
NO_PAGES = {"/payments.csv", "/settlement.csv", "/merchants/{merchant_id}/logo", "/jobs/{job_id}"}
NO_PAGES |= {"/second-factor/end", "/second-factor/recovery-codes"}


def looks(*, every: bool) -> list[Look]:
    """Each page in each way, or in the next of the ways."""
    pages = [(Side.CONSOLE, page) for page in PAGES] + [(Side.PORTAL, page) for page in PORTAL_PAGES]
    if every:
        return [Look(side, page, way) for way in WAYS for side, page in pages]
    return [Look(side, page, WAYS[nth % len(WAYS)]) for nth, (side, page) in enumerate(pages)]


async def test_the_short_form_shows_each_page_and_each_way() -> None:
    shown = looks(every=False)
    assert all(any(look.way is way for look in shown) for way in WAYS)
    assert {(look.side, look.page.name) for look in shown} == {
        (side, page.name) for side, pages in ((Side.CONSOLE, PAGES), (Side.PORTAL, PORTAL_PAGES)) for page in pages
    }


async def test_every_page_is_without_flaws_in_every_way_to_look_at_it(stage: Stage, browser: Browser) -> None:
    wanted = looks(every="DARGAH_TEST_PAGES" in os.environ)
    faults: dict[str, dict[str, list[str]]] = {}
    async with office(stage) as made:
        cookies = await _keys_of_both_sides(made, browser)
        for way in WAYS:
            async with reading(browser, storage_state=cookies, **way.options) as reader:
                for look in (look for look in wanted if look.way is way):
                    if found := await _look_at(reader, made, look):
                        faults[f"{look.side}/{look.page.name} {way.locale} {way.viewport['width']} {way.scheme}"] = (
                            found
                        )
        routes = {_route_of(look.page.path(made)) for look in wanted}
    assert faults == {}
    assert {route.path for route in ROUTES if route.method == GET and not _asks(route.path)} - NO_PAGES <= routes


async def test_the_doors_are_without_flaws_too(stage: Stage, browser: Browser) -> None:
    console, portal = f"{stage.lab.dargah.admin_url}/console", f"{stage.lab.dargah.url}/portal"
    for url, way in zip((console, f"{portal}/payments", f"{portal}/enter/{'0' * 40}"), WAYS[::3], strict=False):
        async with reading(browser, **way.options) as reader:
            await reader.open(url)
            reader.expect("status of 401")
            assert await _faults(reader, way) == {}, url


async def _keys_of_both_sides(made: Office, browser: Browser) -> Any:
    """The cookies of one who is logged in to the console and has entered the portal."""
    async with reading(browser) as reader:
        await log_in(reader, made)
        await enter_portal(reader, made)
        return await reader.page.context.storage_state()


async def _look_at(reader: Reader, made: Office, look: Look) -> dict[str, list[str]]:
    host = made.console if look.side is Side.CONSOLE else made.portal
    await reader.open(host + look.page.path(made))
    reader.expect(f"status of {look.page.status}")
    found = await _faults(reader, look.way)
    outside = [answer.url for answer in reader.answers if not answer.url.startswith(host)]
    reader.complaints, reader.answers = [], []
    return found | ({"from outside": outside} if outside else {})


async def _faults(reader: Reader, way: Way) -> dict[str, list[str]]:
    """What is wrong with the page by kind; a kind with nothing is left out."""
    persian, phone = way.locale == "fa-IR", way.viewport is HANDSET
    direction = await reader.page.get_attribute("html", "dir")
    found = {
        "axe": await reader.flaws(),
        "policy": await reader.violations(),
        "console": reader.complaints,
        "sideways": await reader.spills(),
        "English": await reader.latin_words() if persian else [],
        "small": await reader.small_targets() if phone else [],
        "direction": [] if direction == ("rtl" if persian else "ltr") else [str(direction)],
    }
    return {kind: each for kind, each in found.items() if each}


def _route_of(path: str) -> str:
    """The path of the route that answers a page's path."""
    parts = path.partition("?")[0].split("/")
    if parts[1] == "as":  # the portal in the console has the portal's routes
        parts = ["", *parts[len(BASE.split("/")) :]]
    fitting = [
        route.path
        for route in ROUTES
        if route.method == GET and len(shape := route.path.split("/")) == len(parts)
        if all(wanted == part or wanted.startswith("{") for wanted, part in zip(shape, parts, strict=True))
    ]
    return min(fitting, key=lambda path: path.count("{"))


def _asks(path: str) -> bool:
    """Whether a route asks before an act: then its form goes to the same path."""
    return any(route.path == path and route.method != GET for route in ROUTES) and path.count("/") > 2
