"""A customer on a phone: pays, cancels, comes back twice, loses the connection, with and without scripts.

What the gateway sees of where they come from is our origin, whichever way they come, and nothing else. On every page
that strangers come to axe-core finds nothing, the policy stops nothing, and a customer's page is small.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Browser
from support.dargah import server
from web.clients import drop_in
from web.lab import API_KEY

from browser.chromium import ONE_LOOP, PHONE, Reader, reading
from browser.stage import MESSENGER, STATES, Stage, State, at_bank, link, ordered, staged
from proxy.kernel.errors import Overloaded
from proxy.merchants.logo_images import MAX_BYTES
from proxy.merchants.merchant import ReturnMethod

pytestmark = ONE_LOOP
SCRIPTS = pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])


async def press(reader: Reader, action: str) -> None:
    """A button of the bank's page."""
    await reader.page.click(f'button[value="{action}"]')


def assert_fine(reader: Reader) -> None:
    assert reader.complaints == []


@SCRIPTS
@pytest.mark.parametrize(("act", "status"), [("pay", "paid"), ("cancel", "canceled")])
async def test_a_customer_goes_to_the_bank_and_comes_home(
    stage: Stage, browser: Browser, script: bool, act: str, status: str
) -> None:
    payment = await ordered(stage)
    async with reading(browser, java_script_enabled=script) as reader:
        await reader.open(payment["pay_url"])
        await press(reader, act)
        await reader.becomes("shop")
        [visit] = stage.visits
        assert (visit["payment_id"], visit["status"]) == (payment["id"], status)
        await reader.open(payment["pay_url"])
        assert await reader.state() == status
        await reader.page.click("a.button")
        await reader.becomes("shop")
        assert_fine(reader)


@SCRIPTS
@pytest.mark.parametrize("family", ["sep", "mellat"])
async def test_a_customer_goes_to_a_bank_that_wants_a_form_and_comes_home(
    stage: Stage, browser: Browser, script: bool, family: str
) -> None:
    terminal = await at_bank(stage, family, referrer_origin=stage.lab.dargah.url)
    payment = await ordered(stage, **terminal)
    async with reading(browser, java_script_enabled=script) as reader:
        await reader.open(payment["pay_url"])
        if not script:
            assert await reader.state() == "onward"
            await reader.page.click("form button")
        await press(reader, "pay")
        if not script:
            await reader.page.click("#go button")  # of the bank's own form
        await reader.becomes("shop")
        assert [visit["status"] for visit in stage.visits] == ["paid"]
        assert_fine(reader)


async def test_a_page_that_waits_for_the_gateway_goes_on_by_the_banks_form(stage: Stage, browser: Browser) -> None:
    payment = await ordered(stage, **await at_bank(stage, "mellat"))
    opened = stage.services.checkout.opened
    stage.services.checkout.opened = overloaded
    async with reading(browser) as reader:
        await reader.open(payment["pay_url"])
        assert await reader.state() == "busy"
        stage.services.checkout.opened = opened
        await press(reader, "pay")
        await reader.becomes("shop")
        reader.expect("status of 503")
        assert_fine(reader)


async def overloaded(*_link: str) -> Any:
    raise Overloaded(3)


@SCRIPTS
async def test_a_customer_who_comes_back_twice_sees_the_same(stage: Stage, browser: Browser, script: bool) -> None:
    payment = await ordered(stage, return_url=None)
    async with reading(browser, java_script_enabled=script) as reader:
        await reader.open(payment["pay_url"])
        await press(reader, "pay")
        await reader.becomes("paid")
        first = await reader.text()
        await reader.page.reload()
        assert await reader.text() == first
        await reader.page.go_back()
        await press(reader, "back")
        await reader.becomes("paid")
        assert await reader.text() == first
        events = (await stage.lab.call("GET", f"/v1/events?payment_id={payment['id']}")).json["data"]
        assert [event["type"] for event in events] == ["payment.paid"]
        assert_fine(reader)


@SCRIPTS
async def test_a_customer_who_waits_sees_the_outcome_come(stage: Stage, browser: Browser, script: bool) -> None:
    payment = await ordered(stage, return_url=None)
    await stage.lab.fault("check", "http_500")
    async with reading(browser, java_script_enabled=script) as reader:
        await reader.open(payment["pay_url"])
        await press(reader, "pay")
        assert await reader.state() == "pending"
        assert "در حال تأیید" in await reader.text()
        await settle(stage, payment)
        await reader.becomes("paid")
        assert (await stage.lab.payment(payment["id"]))["bank_code"] in await reader.text()
        assert_fine(reader)


@SCRIPTS
async def test_a_customer_who_waits_is_taken_home_once_the_outcome_is_known(
    stage: Stage, browser: Browser, script: bool
) -> None:
    payment = await ordered(stage)
    await stage.lab.fault("check", "http_500")
    async with reading(browser, java_script_enabled=script) as reader:
        await reader.open(await stage.lab.act(payment, "pay"))
        assert await reader.state() == "pending"
        await settle(stage, payment)
        await reader.becomes("shop")
        assert [visit["status"] for visit in stage.visits] == ["paid"]
        assert_fine(reader)


@SCRIPTS
async def test_a_connection_lost_during_the_return_loses_nothing(stage: Stage, browser: Browser, script: bool) -> None:
    payment = await ordered(stage, return_url=None)
    async with reading(browser, java_script_enabled=script) as reader:
        await reader.open(payment["pay_url"])
        # The bank takes the money and sends the customer back, whose phone has no connection by then.
        back = await stage.lab.act(payment, "pay")
        await reader.page.context.set_offline(True)
        with pytest.raises(Exception, match="ERR_INTERNET_DISCONNECTED"):
            await reader.open(back)
        await reader.page.context.set_offline(False)
        await reader.open(back)
        await reader.becomes("paid")


async def test_a_connection_lost_while_waiting_keeps_the_page_and_goes_on(stage: Stage, browser: Browser) -> None:
    payment = await ordered(stage, return_url=None)
    await stage.lab.fault("check", "http_500")
    async with reading(browser) as reader:
        await reader.open(await stage.lab.act(payment, "pay"))
        await reader.page.context.set_offline(True)
        await reader.page.wait_for_selector("#offline:not([hidden])")
        assert "در حال تأیید" in await reader.text()
        await settle(stage, payment)
        await reader.page.context.set_offline(False)
        await reader.becomes("paid")
        assert await reader.page.is_hidden("#offline")
        reader.expect("ERR_INTERNET_DISCONNECTED")
        assert_fine(reader)


@SCRIPTS
async def test_a_customer_may_wait_or_go_while_the_gateway_is_down(
    stage: Stage, browser: Browser, script: bool
) -> None:
    payment = await ordered(stage)
    await stage.lab.fault("check", "http_500")
    for _ in range(5):
        await stage.lab.call("POST", f"/v1/payments/{payment['id']}/check")
    async with reading(browser, java_script_enabled=script) as reader:
        await reader.open(payment["pay_url"])
        assert await reader.state() == "gateway_down"
        await reader.page.click("a.button:not(.quiet)")
        await press(reader, "cancel")
        assert_fine(reader)


@pytest.mark.parametrize("locale", ["fa-IR", "en-GB"])
async def test_the_reader_may_choose_the_other_language_while_waiting(
    stage: Stage, browser: Browser, locale: str
) -> None:
    payment = await ordered(stage)
    await stage.lab.fault("check", "http_500")
    ours, other = ("fa", "en") if locale.startswith("fa") else ("en", "fa")
    async with reading(browser, locale=locale) as reader:
        await reader.open(await stage.lab.act(payment, "pay"))
        assert await reader.page.get_attribute("html", "lang") == ours
        await reader.page.click(".languages a")
        assert await reader.page.get_attribute("html", "lang") == other
        asked = await stage.lab.checks()
        async with reader.page.expect_response(lambda response: "again=2" in response.url) as looked:
            await reader.page.wait_for_timeout(0)
        assert f'lang="{other}"' in await (await looked.value).text()
        assert await stage.lab.checks() == asked
        assert_fine(reader)


async def test_the_bank_code_is_copied_by_a_press_and_selected_whole_by_a_click(stage: Stage, browser: Browser) -> None:
    payment = await ordered(stage, return_url=None)
    async with reading(browser) as reader:
        await reader.open(await stage.lab.act(payment, "pay"))
        code = (await stage.lab.payment(payment["id"]))["bank_code"]
        await reader.page.click(".copy")
        assert await reader.page.inner_text(".copy") == "رونوشت شد"
        await reader.page.context.grant_permissions(["clipboard-read"])
        # Pasted by hand: the page itself may not read the clipboard.
        await reader.page.evaluate(
            "document.body.append(Object.assign(document.createElement('textarea'), {id: 'pad'}))"
        )
        await reader.page.focus("#pad")
        await reader.page.keyboard.press("Control+V")
        assert await reader.page.input_value("#pad") == code
        assert_fine(reader)
    async with reading(browser, java_script_enabled=False) as reader:
        await reader.open(link(stage, payment))
        assert await reader.page.is_hidden(".copy")
        await reader.page.click(".code")
        assert_fine(reader)


@SCRIPTS
@pytest.mark.parametrize("method", [ReturnMethod.POST, ReturnMethod.BOTH])
async def test_a_drop_in_shop_that_wants_a_post_gets_one(
    stage: Stage, browser: Browser, script: bool, method: ReturnMethod
) -> None:
    shop = await drop_in(stage.lab, method=method)
    key = await shop.invoice(return_url=stage.return_url)
    async with reading(browser, java_script_enabled=script) as reader:
        await reader.open(f"{stage.lab.dargah.url}/invoice/pay/{key}")
        await press(reader, "pay")
        if not script:
            await reader.becomes("homeward")
            await reader.page.click("form .button")
        await reader.becomes("shop")
        payment = await shop.payment(key)
        assert stage.visits == [{"invoice_key": key, "bank_code": payment.bank_code}]
        # `null` is what shops' frameworks take for forged.
        assert stage.origins == [stage.lab.dargah.url]
        assert_fine(reader)


@SCRIPTS
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_customer_page_is_wider_than_the_phone(
    stage: Stage, browser: Browser, script: bool, scheme: Any
) -> None:
    await stage.services.setup.change_merchant(stage.lab.merchant_id, actor="test", name_fa="فروشگاه" * 14)
    payment = await ordered(stage, order_id="x" * 64, amount=900_719_925_474_099, return_url=None)
    await stage.lab.act(payment, "pay")
    async with reading(browser, java_script_enabled=script, color_scheme=scheme, viewport=PHONE) as reader:
        await reader.open(link(stage, payment))
        assert await reader.state() == "paid"
        if script:
            assert await reader.page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        box = await reader.page.locator(".card").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE["width"]


async def test_each_line_of_a_long_latin_name_is_centred_on_a_persian_page(stage: Stage, browser: Browser) -> None:
    await stage.services.setup.change_merchant(stage.lab.merchant_id, actor="test", name_fa="Persian Gulf Trading " * 4)
    payment = await ordered(stage, return_url=None)
    await stage.lab.act(payment, "pay")
    async with reading(browser, viewport=PHONE) as reader:
        await reader.open(link(stage, payment))
        centres = await reader.page.locator(".shop bdi").evaluate(
            """name => {
                const range = document.createRange();
                range.selectNodeContents(name);
                return [...range.getClientRects()].map(line => (line.left + line.right) / 2);
            }"""
        )
    assert len(centres) > 1
    assert all(abs(centre - PHONE["width"] / 2) < 4 for centre in centres), centres


async def settle(stage: Stage, payment: dict[str, Any]) -> None:
    """The gateway answers again, and somebody asks it."""
    await stage.lab.control("DELETE", "faults")
    await stage.lab.call("POST", f"/v1/payments/{payment['id']}/check")


AT_THE_BANK = 'button[value="pay"]'


async def insist(stage: Stage) -> None:
    """The gateway lets in who comes from a page of Dargah's, and nobody else."""
    await stage.lab.control("POST", "terminals", {"api_key": API_KEY, "referrer_origin": stage.lab.dargah.url})


@asynccontextmanager
async def shop_with(url: str, policy: str = "origin") -> AsyncIterator[str]:
    """A page of a shop's, on another host, that leads to `url` by a link, a redirect of its own and a form."""

    async def checkout(_request: web.Request) -> web.Response:
        text = (
            f'<!DOCTYPE html><meta name="referrer" content="{policy}"><a id="link" href="{url}">pay</a> '
            f'<a id="redirect" href="/go">pay</a> '
            f'<form method="post" action="{url}"><button id="form">pay</button></form>'
        )
        return web.Response(text=text, content_type="text/html")

    async def go(_request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": url})

    async def nothing(_request: web.Request) -> web.Response:
        return web.Response(status=204)

    app = web.Application()
    app.router.add_get("/", checkout)
    app.router.add_get("/go", go)
    app.router.add_get("/favicon.ico", nothing)
    async with server(app) as at:
        yield f"{at}/".replace("127.0.0.1", "localhost")


async def assert_let_in(reader: Reader, stage: Stage) -> None:
    await reader.page.wait_for_selector(AT_THE_BANK)
    assert "page:referrer" not in (await stage.lab.control("GET", "stats"))["answered"]
    reader.expect("favicon")
    assert reader.complaints == []


@SCRIPTS
@pytest.mark.parametrize(
    ("way", "policy"),
    [
        ("link", "origin"),
        ("link", "no-referrer"),
        ("link", "unsafe-url"),
        ("redirect", "origin"),
        ("form", "unsafe-url"),
    ],
)
async def test_a_customer_from_a_shops_page_is_let_in_by_the_gateway(
    stage: Stage, browser: Browser, script: bool, way: str, policy: str
) -> None:
    await insist(stage)
    payment = await ordered(stage)
    async with (
        shop_with(payment["pay_url"], policy) as url,
        reading(browser, java_script_enabled=script) as reader,
    ):
        await reader.open(url)
        await reader.page.click(f"#{way}")
        await assert_let_in(reader, stage)


@SCRIPTS
async def test_a_customer_from_a_drop_in_shops_redirect_is_let_in_by_the_gateway(
    stage: Stage, browser: Browser, script: bool
) -> None:
    await insist(stage)
    shop = await drop_in(stage.lab)
    key = await shop.invoice(return_url=stage.return_url)
    async with (
        shop_with(f"{stage.lab.dargah.url}/invoice/pay/{key}") as url,
        reading(browser, java_script_enabled=script) as reader,
    ):
        await reader.open(url)
        await reader.page.click("#redirect")
        await assert_let_in(reader, stage)


@SCRIPTS
@pytest.mark.parametrize("tail", ["", "/", "%E2%80%8F."])
async def test_a_customer_from_a_message_is_let_in_by_the_gateway(
    stage: Stage, browser: Browser, script: bool, tail: str
) -> None:
    await insist(stage)
    payment = await ordered(stage)
    async with reading(browser, java_script_enabled=script) as reader:
        await reader.page.goto(payment["pay_url"] + tail, wait_until="commit")
        await assert_let_in(reader, stage)


@SCRIPTS
async def test_a_customer_who_presses_the_previews_button_is_let_in_by_the_gateway(
    stage: Stage, browser: Browser, script: bool
) -> None:
    await insist(stage)
    payment = await ordered(stage)
    async with reading(browser, java_script_enabled=script, user_agent=MESSENGER) as reader:
        await reader.open(payment["pay_url"])
        assert await reader.state() == "invitation"
        await reader.page.click("a.button")
        await assert_let_in(reader, stage)


@SCRIPTS
async def test_a_customer_who_presses_the_waiting_pages_button_is_let_in_by_the_gateway(
    stage: Stage, browser: Browser, script: bool
) -> None:
    await insist(stage)
    payment = await ordered(stage)
    await stage.lab.fault("check", "http_500")
    for _ in range(5):
        await stage.lab.call("POST", f"/v1/payments/{payment['id']}/check")
    async with reading(browser, java_script_enabled=script) as reader:
        await reader.open(payment["pay_url"])
        assert await reader.state() == "gateway_down"
        await reader.page.click("a.button:not(.quiet)")
        await assert_let_in(reader, stage)


@SCRIPTS
async def test_a_customer_whose_page_waited_and_went_on_by_itself_is_let_in_by_the_gateway(
    stage: Stage, browser: Browser, script: bool
) -> None:
    await insist(stage)
    payment = await ordered(stage)
    checkout: Any = stage.services.checkout
    opened, checkout.opened = checkout.opened, None

    async with reading(browser, java_script_enabled=script) as reader:
        checkout.opened = _busy
        await reader.open(payment["pay_url"])
        assert await reader.state() == "busy"
        checkout.opened = opened
        reader.expect("503")
        await assert_let_in(reader, stage)


async def _busy(*_link: str) -> Any:
    raise Overloaded(1)


async def test_a_shops_window_keeps_its_opener_on_the_way(stage: Stage, browser: Browser) -> None:
    payment = await ordered(stage)
    async with reading(browser) as reader:
        await reader.open(f"{stage.shop_url}/thanks")
        async with reader.page.expect_popup() as popped:
            await reader.page.evaluate("url => { window.bank = window.open(url) }", payment["pay_url"])
        popup = await popped.value
        await popup.wait_for_selector(AT_THE_BANK)
        assert await reader.page.evaluate("window.bank.closed") is False
        assert await popup.evaluate("window.opener !== null")


async def test_going_back_from_the_bank_leads_to_the_shop(stage: Stage, browser: Browser) -> None:
    payment = await ordered(stage)
    async with shop_with(payment["pay_url"]) as url, reading(browser) as reader:
        await reader.open(url)
        await reader.page.click("#link")
        await reader.page.wait_for_selector(AT_THE_BANK)
        await reader.page.go_back()
        await reader.page.wait_for_selector("#link")


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
            await reader.open(url, stays=state.stays)
            assert await reader.state() == state.shows
            sizes = await reader.loaded()
            assert await reader.flaws() == [], (locale, scheme)
            assert await reader.violations() == [], (locale, scheme)
            assert await reader.spills() == [], (locale, scheme)
            assert await reader.small_targets() == [], (locale, scheme)
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
        for path in ("/docs", "/docs/payments", "/docs/event-types", "/docs?q=payment", "/docs/problems"):
            await reader.page.set_viewport_size({"width": 360, "height": 800})
            await reader.page.emulate_media(color_scheme="light")
            await reader.open(f"{stage.lab.dargah.url}{path}")
            await assert_is_flawless(reader, 360)
            await reader.page.set_viewport_size({"width": 1280, "height": 800})
            await reader.page.emulate_media(color_scheme="dark")
            await assert_is_flawless(reader, 1280)


async def test_a_search_in_the_reference_leads_to_what_was_looked_for(tmp_path: Path, browser: Browser) -> None:
    async with staged(tmp_path, log_level="error") as stage, reading(browser, locale="en-US") as reader:
        await reader.open(f"{stage.lab.dargah.url}/docs/problems")
        await reader.page.get_by_role("searchbox").fill("qr.svg")
        await reader.page.get_by_role("button", name="Search").click()
        await reader.page.get_by_role("link", name="GET /v1/payments/{payment_id}/qr.svg").click()
        assert reader.page.url == f"{stage.lab.dargah.url}/docs/payments#getQr"
        assert reader.complaints == []


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
