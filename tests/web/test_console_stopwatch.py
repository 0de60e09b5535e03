"""How many actions an operator takes at the console: a form that is sent, or a link that is followed, is one.

docs/operations.md has the figures. `-s` prints them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import pytest
from support.eventually import eventually, until
from support.receiver import Receiver, receiver

from proxy.kernel.clock import MINUTE
from web.clients import Browser, operator, words
from web.lab import Answer, Lab, endpoint_at, settled

DOCUMENT = Path(__file__).parents[2] / "docs" / "operations.md"
_FORM = re.compile(r'<form[^>]*action="(/console[^"]+)">(.*?)</form>', re.DOTALL)
_FIELD = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With SQLite's file: this counts pages."""
    return tmp_path


@pytest.fixture
def more_settings() -> dict[str, Any]:
    """After the first failure nothing goes by itself for an hour: what is sent, the operator sends."""
    return {"webhook_retry_schedule": "1h,2h"}


@dataclass
class Stopwatch:
    """An operator who sees only what pages show: follows their links, and sends their forms."""

    browser: Browser
    page: Answer
    actions: int = 0

    async def search(self, text: str) -> None:
        """Types into the field that every page has."""
        await self._go(await self.browser.get(f"/console/search?q={quote(text)}"))

    async def follow(self, pattern: str) -> None:
        """A link of the page."""
        await self._go(await self.browser.get(self._one(rf'href="(/console{pattern})"')))

    async def press(self, label: str, number: int = 0) -> None:
        """The button with this label, of several the one of this number."""
        forms = [each for each in _FORM.findall(self.page.text) if f">{label}</button>" in each[1]]
        path, fields = forms[number]
        form: Mapping[str, str] = {name: unescape(value) for name, value in _FIELD.findall(fields)}
        await self._go(await self.browser.post(path, form))

    async def back_home(self) -> None:
        await self.follow("/")

    def says(self, *sentences: str) -> None:
        said = " ".join(words(self.page).split())
        for sentence in sentences:
            assert sentence in said, said

    def _one(self, pattern: str) -> str:
        found = re.search(pattern, self.page.text)
        assert found is not None, pattern
        return unescape(found[1])

    async def _go(self, answer: Answer) -> None:
        self.actions += 1
        self.page = await self.browser.followed(answer)
        assert self.page.status == 200


async def at_home(lab: Lab) -> Stopwatch:
    """Logged in, with the first page before them."""
    browser = await operator(lab)
    return Stopwatch(browser, await browser.get("/console/?lang=en"))


async def failed(lab: Lab, endpoint: dict[str, str], order_id: str) -> dict[str, str]:
    """A paid payment of which the shop could not be told."""
    payment = await lab.created(order_id=order_id)
    await lab.act(payment, "pay")
    paid: dict[str, str] = (await lab.call("POST", f"/v1/payments/{payment['id']}/check")).json
    await settled(lab, endpoint)
    return paid


def documented(story: str) -> int:
    found = re.search(rf"^\| {re.escape(story)} \|.*\| (\d) \|$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    assert found is not None, story
    return int(found[1])


def measured(story: str, actions: int) -> None:
    click.echo(f"| {story} | {actions} |")
    assert actions == documented(story)


async def test_from_i_paid_to_the_cause(lab: Lab) -> None:
    async with receiver() as shop:
        shop.status, shop.body, shop.any_time = 500, b"Fatal error: no memory", True
        endpoint = await endpoint_at(lab, shop)
        payment = await failed(lab, endpoint, "A-10482")
        for number in (payment["order_id"], payment["id"], payment["bank_code"]):
            watch = await at_home(lab)
            await watch.search(number)
            watch.says("Paid", "Last attempt (1): it answered HTTP 500")
            assert watch.actions == 1
        await watch.follow(r"/deliveries/dlv_\w+")
        watch.says("Fatal error: no memory")
        measured("“I paid, number …” to the shop's own answer", watch.actions)


async def test_from_i_paid_to_money_that_came_otherwise(lab: Lab) -> None:
    payment = await lab.created(order_id="A-10483")
    await lab.fault("check", "wrong_amount", amount_rials=1000, times=1)
    await lab.act(payment, "pay")
    await lab.call("POST", f"/v1/payments/{payment['id']}/check")
    watch = await at_home(lab)
    await watch.search("A-10483")
    watch.says("The customer paid another amount than was asked.")
    measured("“I paid, number …” to why the money is not taken", watch.actions)


async def test_from_two_shops_that_get_nothing_to_mended_and_sent_again(lab: Lab) -> None:
    async with receiver() as well, receiver() as first, receiver() as second:
        down = (first, second)
        for shop in (well, *down):
            shop.any_time = True
        for shop in down:
            shop.status = 500
        endpoints = [await endpoint_at(lab, shop) for shop in (well, *down)]
        for number in range(3):
            await _tell(lab, f"A-{number}")
        for endpoint in endpoints[1:]:
            await _waits(lab, endpoint["id"], 3)
        lab.clock.forward(17 * MINUTE)
        watch = await at_home(lab)
        watch.says("What is wrong now", "A shop does not take its webhooks", "17 min", "3 waiting")
        for shop in down:
            shop.status, shop.requests[:] = 204, []
        for number in (0, 1):
            await watch.press("Send all that waits", number)
            watch.says("Resend", "Wanted 3 to 1 endpoints")
            await watch.back_home()
        await until(lambda: all(_told(shop) == 3 for shop in down))
        lab.clock.forward(MINUTE)

        async def mended() -> bool:
            return "Nothing is wrong" in words(await watch.browser.get("/console/"))

        await eventually(mended)
        measured("Two shops get nothing, to both mended and everything sent again", watch.actions)


async def _tell(lab: Lab, order_id: str) -> None:
    payment = await lab.created(order_id=order_id)
    await lab.act(payment, "pay")
    await lab.call("POST", f"/v1/payments/{payment['id']}/check")


async def _waits(lab: Lab, endpoint_id: str, count: int) -> None:
    """So many events failed there."""

    async def look() -> bool:
        webhooks = lab.dargah.services.store.webhooks
        stats = await webhooks.endpoint_statistics(lab.merchant_id, endpoint_id, 0)
        return stats.backlog == count and stats.health is not None and stats.health.failures >= count

    await eventually(look)


def _told(shop: Receiver) -> int:
    return len(set(shop.ids))
