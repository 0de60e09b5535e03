"""Every page a customer can come to: axe-core finds nothing, the policy stops nothing, and it is small."""

from typing import Any

import pytest
from playwright.async_api import Browser

from browser.chromium import ONE_LOOP, reading
from browser.stage import Stage
from browser.states import STATES, State
from proxy.images import MAX_BYTES

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
