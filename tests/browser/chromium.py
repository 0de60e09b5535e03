"""Debian's Chromium, and a reader who notices everything that a browser complains of."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Response, async_playwright

# The tests that share a browser share its loop.
ONE_LOOP = pytest.mark.asyncio(loop_scope="session")
PHONE = {"width": 360, "height": 740}
# The width of most phones that are sold: an operator's.
HANDSET = {"width": 390, "height": 844}
PATIENCE_MILLISECONDS = 30_000
# The shell draws and runs the same, and has no windows to keep.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
# The levels that WCAG 2.2 AA is made of, and what axe holds to be good beside them.
AXE_TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
_AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
# Told by the page itself, since a policy's reports go to no server of ours.
_LISTEN = """
window.violations = [];
addEventListener("securitypolicyviolation", event => window.violations.push(
    `${event.effectiveDirective} ${event.blockedURI} ${event.sample}`));
"""

# Marks one of the texts and fields that are drawn alike: their colours, sizes and all that they stand on are the same.
_MARK_ONE_OF_EACH = """
() => {
    const drawn = new Map(), seen = new Set();
    const way = element => {
        if (element === null) return "";
        if (!drawn.has(element)) {
            const {color, fontSize, fontWeight, backgroundColor, backgroundImage, opacity} = getComputedStyle(element);
            const own = [element.localName, element.className, color, fontSize, fontWeight, backgroundColor,
                backgroundImage, opacity];
            drawn.set(element, `${way(element.parentElement)} ${own.join("|")}`);
        }
        return drawn.get(element);
    };
    const written = node => node.nodeType === Node.TEXT_NODE && node.data.trim() !== "";
    for (const element of document.querySelectorAll("body, body *")) {
        element.removeAttribute("data-one-of-each");
        if (!element.matches("input, select, textarea") && ![...element.childNodes].some(written)) continue;
        if (seen.has(way(element))) continue;
        seen.add(way(element));
        element.setAttribute("data-one-of-each", "");
    }
    axe.configure({rules: [{id: "color-contrast", selector: "[data-one-of-each]"}]});
}
"""

# The page where it is wider than the screen, what scrolls sideways in it, and cells of lists out of sight.
_SPILLS = """
() => {
    const wide = element => element.scrollWidth > element.clientWidth;
    const beyond = element => {
        const {left, right, width} = element.getBoundingClientRect();
        return width > 1 && (left < 0 || right > innerWidth);
    };
    const root = document.documentElement;
    const regions = [...document.querySelectorAll(".scroll, nav")].filter(wide);
    const cells = [...document.querySelectorAll("td")].filter(beyond);
    return [...(root.scrollWidth > innerWidth ? [root] : []), ...regions, ...cells].map(
        element => `${element.localName} ${element.className}: ${element.innerText.slice(0, 60)}`);
}
"""

# Words of Latin letters where a Persian reader reads: not in what is marked as code, as a name or as of another
# language. Beside them the names that Persian prose takes over.
_LATIN_WORDS = """
() => {
    const apart = "code, pre, bdi, .code, [dir=ltr], [dir=auto], [lang=en], script, style, noscript";
    const taken = new Set(["API", "CSV", "GET", "HTTP", "IP", "JSON", "PNG", "POST", "TLS", "URL"]);
    const said = [];
    const texts = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const text = texts.currentNode;
        if (!text.parentElement.closest(apart)) said.push(text.data.replace(/https?:\\S+/, ""));
    }
    for (const name of ["title", "placeholder", "aria-label", "alt", "data-label"]) {
        const named = document.querySelectorAll(`[${name}]:not([dir=ltr])`);
        said.push(...[...named].map(element => element.getAttribute(name)));
    }
    return said.filter(text => (text.match(/[A-Za-z]{2,}/g) || []).some(word => !taken.has(word)));
}
"""
# What a finger would miss: less than 44 pixels tall, though not within a sentence. A tick is as large as its label, and
# the first link of a card as the card.
_SMALL_TARGETS = """
() => {
    const touched = element => {
        if (element.matches("td:first-child > a")) return element.closest("tr");
        return element.closest("label") || element;
    };
    const inSentence = element => element.matches("a") && [...element.parentElement.childNodes].some(
        node => node.nodeType === Node.TEXT_NODE && /[^\\s:·،]/.test(node.data));
    return [...document.querySelectorAll("a[href], button, select, textarea, summary, input:not([type=hidden])")]
        .filter(element => element.checkVisibility() && !element.matches(".skip") && !inSentence(element))
        .filter(element => touched(element).getBoundingClientRect().height < 43.5)
        .map(element => `${element.outerHTML.slice(0, 100)}: ${touched(element).getBoundingClientRect().height}`);
}
"""


@cache
def path() -> str | None:
    """Where Chromium is; None when this machine has none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A running Chromium. Its sandbox needs rights that a container lacks, and it opens nothing but loopback."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path(), args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Reader:
    """One page of a browser. `complaints` are what its console and the policy said, and scripts that failed; `answers`
    are all that it loaded.
    """

    page: Page
    complaints: list[str] = field(default_factory=list)
    answers: list[Response] = field(default_factory=list)

    def expect(self, *parts: str) -> None:
        """Takes complaints with these words for what a test did itself, such as cutting the connection."""
        self.complaints = [text for text in self.complaints if not any(part in text for part in parts)]

    async def open(self, url: str, *, stays: bool = False) -> None:
        """Opens a page, which with `stays` posts no form by itself."""
        if stays:
            await self.page.add_init_script("HTMLFormElement.prototype.submit = () => {};")
        await self.page.goto(url)

    async def text(self) -> str:
        return await self.page.inner_text("main")

    async def state(self) -> str | None:
        return await self.page.get_attribute("main", "data-state")

    async def becomes(self, state: str) -> None:
        """Waits until the page shows a state, whether it was loaded again or not."""
        await self.page.wait_for_selector(f'main[data-state="{state}"]', timeout=PATIENCE_MILLISECONDS)

    async def flaws(self, *, vast: bool = False) -> list[str]:
        """What axe-core finds wrong with the page, with the element and why. On a `vast` one, of what is drawn alike
        the contrast is measured once, which is what takes long.
        """
        # Through the debugger, to which the page's policy does not apply.
        await self.page.evaluate(_AXE.read_text("utf-8"))
        if vast:
            await self.page.evaluate(_MARK_ONE_OF_EACH)
        options = {"runOnly": {"type": "tag", "values": AXE_TAGS}, "resultTypes": ["violations"], "preload": False}
        found: dict[str, Any] = await self.page.evaluate("options => axe.run(document, options)", options)
        return [
            f"{violation['id']}: {node['html'][:120]}: {node['failureSummary']}"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]

    async def spills(self) -> list[str]:
        """What a reader would have to scroll sideways for."""
        found: list[str] = await self.page.evaluate(_SPILLS)
        return found

    async def latin_words(self) -> list[str]:
        """Texts with words that a Persian page should say in Persian."""
        found: list[str] = await self.page.evaluate(_LATIN_WORDS)
        return found

    async def small_targets(self) -> list[str]:
        """What is too small for a finger."""
        found: list[str] = await self.page.evaluate(_SMALL_TARGETS)
        return found

    async def loaded(self) -> dict[str, int]:
        """How many bytes each thing was that the page loaded, its font too, as they came over the wire."""
        await self.page.evaluate("document.fonts.ready.then(() => true)")
        return {answer.url: (await answer.request.sizes())["responseBodySize"] for answer in self.answers}

    async def violations(self) -> list[str]:
        found: list[str] = await self.page.evaluate("window.violations || []")
        return found


@asynccontextmanager
async def reading(browser: Browser, **options: Any) -> AsyncIterator[Reader]:
    """A fresh page in a context of its own: a phone with a Persian reader, unless the `options` say otherwise."""
    context = await browser.new_context(**({"viewport": PHONE, "locale": "fa-IR"} | options))
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    try:
        await context.add_init_script(_LISTEN)
        page = await context.new_page()
        reader = Reader(page)

        def heard(message: ConsoleMessage) -> None:
            if message.type in {"error", "warning"}:
                reader.complaints.append(f"{message.text} ({message.location.get('url', '')})")

        page.on("console", heard)
        page.on("pageerror", lambda error: reader.complaints.append(str(error)))
        page.on("response", lambda answer: reader.answers.append(answer))  # noqa: PLW0108  it marks what it is given
        yield reader
    finally:
        await context.close()
