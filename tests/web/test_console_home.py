"""The console's first page over real HTTP: what is wrong now with its one action, and today beside the days before."""

import re
from pathlib import Path

import pytest
from support.eventually import eventually, until
from support.receiver import Receiver, receiver

from proxy.console.page_context import SCRIPT_NAME
from proxy.kernel.clock import DAY, HOUR, MINUTE, SECOND
from proxy.operators.sessions import IDLE
from web.clients import Browser, operator, words
from web.lab import Answer, Lab, endpoint_at, trigger


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With SQLite's file: what is wrong is read of every store in tests/store."""
    return tmp_path


def title(page: Answer) -> str:
    found = re.search(r"<title>([^<]*)</title>", page.text)
    assert found is not None
    return found[1]


async def home(browser: Browser) -> Answer:
    """The page, once everything on it was read."""

    async def whole() -> Answer | None:
        page = await browser.get("/console/?lang=en")
        assert page.status == 200, page.text
        return page if "The same day last week" in page.text else None

    return await eventually(whole)


async def failing(lab: Lab, shop: Receiver, attempts: int) -> None:
    """The shop was asked so often and each failure is recorded."""
    await until(lambda: len(shop.requests) >= attempts)
    endpoints = await lab.dargah.services.store.webhooks.list_endpoints(lab.merchant_id)
    [endpoint] = [each for each in endpoints if each.url == shop.url]

    async def recorded() -> bool:
        stats = await lab.dargah.services.store.webhooks.endpoint_statistics(lab.merchant_id, endpoint.id, 0)
        return stats.health is not None and stats.health.failures >= attempts

    await eventually(recorded)


async def test_two_of_three_shops_that_get_nothing_are_never_on_time(lab: Lab) -> None:
    async with receiver() as well, receiver() as down, receiver() as broken:
        down.status, broken.status = 500, 503
        endpoints = [await endpoint_at(lab, shop) for shop in (well, down, broken)]
        for shop in (well, down, broken):
            shop.any_time = shop.any_event = True
        browser = await operator(lab)
        assert "Nothing is wrong" in words(await home(browser))
        await trigger(lab)
        await well.told(1)
        for shop in (down, broken):
            await failing(lab, shop, 1)
        lab.clock.forward(17 * MINUTE)
        page = await home(browser)
        said = " ".join(words(page).split())
        assert "on time" not in said
        assert "Nothing is wrong" not in said
        assert said.count("A shop does not take its webhooks") == 2
        assert said.count("17 min") == 2
        assert said.count("1 waiting") == 2
        assert title(page).startswith(f"({len(re.findall('<li class=.bad.>', page.text))}) ")
        assert [each["id"] in page.text for each in endpoints] == [False, True, True]
        assert len(re.findall(r'action="/console/deliveries/dlv_\w+/retry"', page.text)) == 2
        assert 'href="/console/resend"' in page.text


async def test_what_is_mended_leaves_the_list(lab: Lab) -> None:
    async with receiver() as shop:
        shop.status, shop.any_time, shop.any_event = 500, True, True
        await endpoint_at(lab, shop)
        browser = await operator(lab)
        await trigger(lab)
        await failing(lab, shop, 1)
        lab.clock.forward(2 * MINUTE)
        page = await home(browser)
        shop.status = 204
        [action] = re.findall(r'action="/console(/deliveries/dlv_\w+/retry)"', page.text)
        await browser.post(f"/console{action}")
        await until(lambda: len(shop.requests) >= 2)

        async def mended() -> bool:
            lab.clock.forward(6 * SECOND)
            return "Nothing is wrong" in words(await home(browser))

        await eventually(mended)


async def test_a_paused_endpoint_is_resumed_from_the_list_by_whoever_may(lab: Lab) -> None:
    async with receiver() as shop:
        endpoint = await endpoint_at(lab, shop)
        await lab.call("PATCH", f"/v1/webhook-endpoints/{endpoint['id']}", json={"paused": True})
        await trigger(lab)
        resume = f'action="/console/endpoints/{endpoint["id"]}/resume"'
        assert resume in (await home(await operator(lab, "owner"))).text
        page = await home(await operator(lab, "read"))
        assert resume not in page.text
        assert f'href="/console/endpoints/{endpoint["id"]}"' in page.text
        assert "is paused, and events wait for it" in words(page)


async def test_a_gateway_without_an_answer_is_told_with_its_merchant_and_a_check_up(lab: Lab) -> None:
    browser = await operator(lab)
    payment = await lab.created()
    await lab.fault("check", "http_500", times=5)
    for _ in range(5):
        await lab.call("POST", f"/v1/payments/{payment['id']}/check")
    lab.clock.forward(MINUTE)
    page = await home(browser)
    assert "A gateway gives no clear answer" in words(page)
    assert "فروشگاه آزمایش" in page.text
    assert f'action="/console/merchants/{lab.merchant_id}/check-up"' in page.text


async def test_today_stands_beside_yesterday_and_last_week_until_the_same_time(lab: Lab) -> None:
    """The clock begins at 11:30 in Tehran; a payment later in those days is in the chart and in no comparison."""
    for days, amounts in ((0, (10_000, 20_000)), (6, (40_000,)), (1, (50_000,))):
        lab.clock.forward(days * DAY)
        for amount in amounts:
            await paid(lab, amount)
        if days != 1:
            lab.clock.forward(2 * HOUR)
            await paid(lab, 7_000)
            lab.clock.forward(-2 * HOUR)
    lab.clock.forward(20 * MINUTE)
    said = " ".join(words(await home(await operator(lab))).split())
    assert "Paid 50,000 toman Yesterday 40,000 +25% The same day last week 30,000 +67%" in said
    assert "Payments paid 1 Yesterday 1 0% The same day last week 2 −50%" in said
    assert "the days before until the same time, 11:50" in said
    assert "(thousand toman)" in said


async def paid(lab: Lab, amount: int) -> None:
    payment = await lab.created(amount=amount)
    await lab.act(payment, "pay")
    assert (await lab.call("POST", f"/v1/payments/{payment['id']}/check")).json["status"] == "paid"


async def test_a_page_that_loads_itself_keeps_no_session_alive(lab: Lab) -> None:
    browser = await operator(lab)
    for _ in range(4):
        lab.clock.forward(IDLE // 4)
        page = await browser.get("/console/?live=1")
    assert page.status == 303
    browser = await operator(lab)
    for _ in range(4):
        lab.clock.forward(IDLE // 4)
        assert (await browser.get("/console/")).status == 200


async def test_the_script_is_ours_and_the_page_is_whole_without_it(lab: Lab) -> None:
    browser = await operator(lab)
    page = await home(browser)
    assert f'<script src="/console/assets/{SCRIPT_NAME}" defer></script>' in page.text
    assert '<noscript><meta http-equiv="refresh" content="30;url=?live=1"></noscript>' in page.text
    assert "script-src 'self'; connect-src 'self'" in page.headers["Content-Security-Policy"]
    script = await browser.get(f"/console/assets/{SCRIPT_NAME}")
    assert (script.status, script.headers["Content-Type"]) == (200, "text/javascript; charset=utf-8")
