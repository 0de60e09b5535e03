"""An operator's and a merchant's day in a real browser: what they came for is done, and no page has a flaw."""

import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Browser
from support.dargah import server
from support.eventually import eventually
from web.lab import TEST_API_KEY

from browser.chromium import HANDSET, ONE_LOOP, PATIENCE_MILLISECONDS, PHONE, Reader, reading
from browser.stage import FATAL, WIDE, Office, Stage, log_in, logo, office
from proxy.kernel.clock import DAY

pytestmark = ONE_LOOP
# Words change with the language and colours with the light, and neither with the other.
LOOKS = (("fa-IR", "light"), ("en-US", "dark"))
LOOK_MS = 11_000
TROUBLE = "is paused, and events wait for it"


async def assert_is_without_flaws(reader: Reader, where: str) -> None:
    assert await reader.flaws() == [], where
    assert await reader.violations() == [], where
    assert reader.complaints == [], where


@pytest.mark.parametrize(("locale", "scheme"), LOOKS)
async def test_every_result_of_a_form_is_without_flaws_and_fits_a_phone(
    stage: Stage, browser: Browser, locale: str, scheme: str
) -> None:
    async with office(stage) as made, reading(browser, locale=locale, color_scheme=scheme) as reader:
        await log_in(reader, made)
        for path, form, ends in _forms(made):
            await reader.open(made.console + path)
            if path.endswith(form):
                await assert_is_without_flaws(reader, path)
            if to_type := await reader.page.locator("label[for=typed] .code").all_inner_texts():
                await reader.page.fill("#typed", to_type[0])
            await reader.page.locator(f'form[action$="{form}"] button').evaluate("button => button.form.submit()")
            await reader.page.wait_for_selector(ends, timeout=PATIENCE_MILLISECONDS)
            reader.expect("status of 422")
            await assert_is_without_flaws(reader, form)
            assert await reader.spills() == [], form
            assert locale != "fa-IR" or await reader.latin_words() == [], form


def _forms(made: Office) -> list[tuple[str, str, str]]:
    """A page, a form on it, and what the page that it ends in has."""
    merchant, endpoint = f"/merchants/{made.stage.lab.merchant_id}", f"/endpoints/{made.endpoint_id}"
    return [
        (endpoint, "/test", ".note[role=status]"),
        (f"{endpoint}/rotate-secret", "/rotate-secret", "input.secret"),
        (merchant, "/check-up", ".note b"),
        (f"{merchant}/rotate-return-secret", "/rotate-return-secret", "input.secret"),
        (merchant, "/terminals", "[role=alert]"),
        (merchant, "/tokens", "input.secret"),
        (merchant, "/looks", ".note.ok"),
        ("/operators", "/console/operators", "[role=alert]"),
        ("/audit", "/audit/verify", ".note b"),
        (endpoint, "/recover", ".note[role=status]"),
        (f"{endpoint}/delete", "/delete", ".note.ok"),
    ]


async def test_an_owner_adds_a_colleague_who_logs_in_and_gives_a_merchant_its_looks(
    stage: Stage, browser: Browser, tmp_path: Path
) -> None:
    picture = tmp_path / "logo.png"
    picture.write_bytes(logo(64))
    async with office(stage) as made, reading(browser, viewport=WIDE, locale="en-US") as reader:
        await log_in(reader, made)
        page = reader.page
        await page.click("nav >> text=Operators")
        await page.fill("#o-name", "mina")
        await page.click("text=Owner: merchants")
        await page.click("main form button:text-is('Add')")
        token = await page.input_value("input.secret")
        async with reading(browser, viewport=WIDE, locale="en-US") as colleague:
            await colleague.open(f"{made.console}/merchants/{stage.lab.merchant_id}")
            await colleague.page.fill("#token", token)
            await colleague.page.click("main button")
            await colleague.page.fill("#l-colour", "#7c2d12")
            await colleague.page.set_input_files("#l-logo", picture)
            await colleague.page.click('form[action$="/looks"] button')
            await colleague.page.wait_for_selector(".note.ok")
            drawn = await colleague.page.locator(".logo img").evaluate("image => image.naturalWidth")
            assert drawn == 64
            await assert_is_without_flaws(colleague, "looks")
        await page.click("nav >> text=Audit log")
        said = await page.inner_text("main")
        assert "mina" in said
        assert "merchant.update" in said


async def test_a_card_of_a_phone_says_first_how_an_endpoint_is_and_what_a_payment_came_to(
    stage: Stage, browser: Browser
) -> None:
    async with office(stage) as made, reading(browser, viewport=HANDSET, locale="en-US") as reader:
        await log_in(reader, made)
        await reader.open(f"{made.console}/endpoints")
        assert (await _labels_from_the_top(reader))[:4] == ["State", "Delivered in 24 h", "Failing in a row", "Waiting"]
        await reader.open(f"{made.console}/payments")
        assert (await _labels_from_the_top(reader))[:4] == ["Status", "Amount (toman)", "Order", "Time"]


@pytest.mark.parametrize("viewport", [HANDSET, WIDE], ids=["phone", "desk"])
async def test_amounts_of_a_list_line_up_digit_under_digit(stage: Stage, browser: Browser, viewport: Any) -> None:
    async with office(stage) as made, reading(browser, viewport=viewport) as reader:
        await log_in(reader, made)
        await reader.open(f"{made.console}/payments")
        await reader.page.evaluate("document.fonts.ready.then(() => true)")
        amounts: list[list[float]] = await reader.page.locator("td.money").evaluate_all(
            """cells => cells.map(cell => {
                const range = document.createRange();
                range.selectNodeContents(cell);
                const {left, right} = range.getBoundingClientRect();
                return [cell.textContent.length, Math.round(left), Math.round(right)];
            })"""
        )
    assert len({right for _, _, right in amounts}) == 1, amounts
    assert len({length for length, _, _ in amounts}) > 1
    assert len({left for _, left, _ in amounts}) == len({length for length, _, _ in amounts}), amounts


async def _labels_from_the_top(reader: Reader) -> list[str]:
    """The headings of the first card's cells, as they are read on the screen."""
    labels: list[str] = await reader.page.locator("tbody tr >> nth=0 >> td").evaluate_all(
        """cells => cells.filter(cell => cell.checkVisibility())
            .map(cell => [cell.getBoundingClientRect(), cell.dataset.label])
            .sort(([a], [b]) => a.bottom - b.bottom || a.left - b.left).map(([, label]) => label)"""
    )
    return labels


async def test_ids_and_secrets_are_copied_by_a_button_that_is_there_only_where_scripts_run(
    stage: Stage, browser: Browser
) -> None:
    async with office(stage) as made:
        path = f"{made.console}/payments/{made.complaint['id']}"
        async with reading(browser, viewport=HANDSET) as reader:
            await log_in(reader, made)
            await reader.open(path)
            assert await _copied(reader, "شناسه") == made.complaint["id"]
            await reader.page.evaluate("navigator.clipboard.writeText = async () => {throw Error()}; 0")
            assert await _copied(reader, "کد پیگیری بانک") == str(made.complaint["bank_code"])
            assert await reader.page.inner_text("p[role=status].hidden") == "رونوشت شد"
            await assert_is_without_flaws(reader, "copied")
        async with reading(browser, java_script_enabled=False) as reader:
            await log_in(reader, made)
            await reader.open(path)
            assert await reader.page.locator("button.copy").count() > 2
            assert await reader.page.locator("button.copy:visible").count() == 0


async def _copied(reader: Reader, name: str) -> str:
    """What the button of this name puts into the clipboard, as a person finds out."""
    await reader.page.click(f'button.copy[aria-label$="{name}"]')
    await reader.page.wait_for_selector(f'button.copy.done[aria-label$="{name}"]')
    await reader.page.fill("#q", "")
    await reader.page.focus("#q")
    await reader.page.keyboard.press("Control+V")
    return await reader.page.input_value("#q")


async def test_yesterdays_complaint_is_found_by_its_bank_code_in_three_clicks_and_its_webhook_sent_again(
    stage: Stage, browser: Browser
) -> None:
    async with office(stage) as made, reading(browser, viewport=WIDE, java_script_enabled=False) as reader:
        made.shop.status, made.shop.body = 500, FATAL
        stage.lab.clock.forward(DAY)
        await log_in(reader, made)
        page = reader.page
        await page.fill("#q", str(made.complaint["bank_code"]))
        await page.click("form.find button")  # the first click
        await page.wait_for_url(f"**/payments/{made.complaint['id']}")
        said = await page.inner_text("main")
        assert "A-10482" in said
        assert "پاسخ HTTP 500" in said

        made.shop.status, made.shop.body = 200, b"ok"
        await page.click("text=دوباره بفرست")  # the second
        await page.wait_for_selector(".note.ok", timeout=PATIENCE_MILLISECONDS)
        said = await page.inner_text("main")
        assert "فروشگاه پذیرفت: HTTP 200" in said
        assert "ok" in await page.inner_text("pre.raw >> nth=0")
        assert "Allowed memory size" in await page.inner_html("main")
        assert reader.complaints == []


async def test_an_owner_adds_a_merchant_with_everything_and_tries_a_payment_without_reading_docs(
    stage: Stage, browser: Browser
) -> None:
    lab = stage.lab
    async with office(stage) as made, reading(browser, viewport=WIDE, locale="en-US") as reader:
        await log_in(reader, made)
        page = reader.page
        await page.click("nav >> text=Merchants")
        await page.click("main >> text=Add a merchant")
        await page.fill("text=Merchant's name", "Tea House")
        await page.fill("text=The shop's address", stage.shop_url)
        await page.fill("text=Gateway's address", lab.gateway_url)
        await page.fill("#f-api_key", TEST_API_KEY)
        await page.fill("text=Webhook URL", f"{stage.shop_url}/hook")
        await page.click("text=Add it all")
        token = await page.input_value("text=API token")
        assert re.fullmatch(r"dg_test_\w{36}", token)
        await assert_is_without_flaws(reader, "secrets")
        async with page.context.expect_page() as opening:
            await page.click("text=Make a test payment")
        payment = await opening.value
        await payment.wait_for_selector("text=The customer can pay by this link")
        async with payment.context.expect_page() as opening:
            await payment.click("main .note a.code")
        gateway = await opening.value
        assert "/invoice/pay/" in gateway.url or "/pay/" in gateway.url

        shown = (await lab.call("GET", "/v1/payments", token=token)).json["data"]
        await lab.call("GET", await lab.act(shown[0], "pay"))
        await payment.wait_for_selector(".head .tag.ok", timeout=PATIENCE_MILLISECONDS)
        assert "1,000" in await payment.inner_text("main")


async def test_a_refused_guide_keeps_what_was_written_and_says_what_is_wrong_where_it_is(
    stage: Stage, browser: Browser
) -> None:
    async with office(stage) as made, reading(browser, viewport=WIDE) as reader:
        await log_in(reader, made)
        await reader.open(f"{made.console}/merchants/new")
        page = reader.page
        await page.fill("#f-name", "چای‌خانه")
        await page.fill("#f-return_origins", "shop")
        await page.fill("#f-gateway_url", stage.lab.gateway_url)
        await page.fill("#f-api_key", "key")
        await page.click("main form button")
        await page.wait_for_selector("[role=alert]")
        reader.expect("status of 422")
        assert await page.input_value("#f-name") == "چای‌خانه"
        assert await page.get_attribute("#f-return_origins", "aria-invalid") == "true"
        assert await page.input_value("#f-api_key") == ""
        await assert_is_without_flaws(reader, "guide")


async def test_a_review_is_resolved_with_the_keyboard_alone(stage: Stage, browser: Browser) -> None:
    async with office(stage) as made, reading(browser, viewport=WIDE, locale="en-US") as reader:
        await log_in(reader, made)
        await reader.open(f"{made.console}/payments/{made.review['id']}")
        page = reader.page
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.className") == "skip"
        await page.keyboard.press("Enter")
        for _ in range(20):
            await page.keyboard.press("Tab")
            if await page.evaluate("document.activeElement.name") == "decision":
                break
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Tab")
        await page.keyboard.type("back to the customer's card")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("text=The decision is final")
        for _ in range(20):
            await page.keyboard.press("Tab")
            if await page.evaluate("document.activeElement.className") == "danger":
                break
        await page.keyboard.press("Enter")
        await page.wait_for_selector("text=Your decision is stored")
        assert "Refunded" in await page.inner_text("#review")


async def test_the_portal_opens_in_the_shops_own_page_and_in_no_other(stage: Stage, browser: Browser) -> None:
    async with office(stage) as made, server(_framing()) as shop, server(_framing()) as stranger:
        origin = _as_another_site(shop)
        setup = stage.services.setup
        await setup.change_merchant(stage.lab.merchant_id, actor="test", return_origins=[stage.shop_url, origin])
        links = []
        for _ in range(2):
            answer = await stage.lab.call("POST", "/v1/portal-links", json={"embed_origin": origin})
            links.append(answer.json["url"])
        async with reading(browser, viewport=WIDE) as reader:
            await reader.open(f"{origin}/?link={links[0]}")
            frame = reader.page.frame_locator("iframe")
            await frame.locator("text=A-10482").first.click(timeout=PATIENCE_MILLISECONDS)
            await frame.locator(f"dd >> text={made.complaint['bank_code']}").wait_for()
            await frame.locator("text=دوباره بفرست").first.click()
            await frame.locator(".note.ok").first.wait_for(timeout=PATIENCE_MILLISECONDS)
            assert reader.complaints == []
        async with reading(browser, viewport=WIDE) as reader:
            async with reader.page.expect_console_message(lambda said: "frame-ancestors" in said.text):
                await reader.open(f"{_as_another_site(stranger)}/?link={links[1]}")
            assert await reader.page.frame_locator("iframe").locator("text=A-10482").count() == 0


async def test_a_shop_of_a_unicode_host_frames_the_portal_and_nobody_else_does(stage: Stage, browser: Browser) -> None:
    async with office(stage), server(_framing()) as shop, server(_framing()) as stranger:
        origin = _as_another_site(shop).replace("localhost", "faß.localhost")
        setup = stage.services.setup
        await setup.change_merchant(stage.lab.merchant_id, actor="test", return_origins=[stage.shop_url, origin])
        for place, shown in ((origin, 1), (_as_another_site(stranger).replace("localhost", "fass.localhost"), 0)):
            answer = await stage.lab.call("POST", "/v1/portal-links", json={"embed_origin": origin})
            async with reading(browser, viewport=WIDE) as reader:
                await reader.page.goto(f"{place}/?link={answer.json['url']}", wait_until="networkidle")
                found = reader.page.frame_locator("iframe").locator("text=A-10482")
                if shown:
                    await found.first.wait_for(timeout=PATIENCE_MILLISECONDS)
                else:
                    assert await found.count() == 0
                assert any("frame-ancestors" in said for said in reader.complaints) == (not shown)


async def test_the_portal_is_opened_by_a_link_in_another_sites_page(stage: Stage, browser: Browser) -> None:
    async with office(stage), server(_framing()) as shop, reading(browser, viewport=WIDE) as reader:
        link = (await stage.lab.call("POST", "/v1/portal-links", json={})).json["url"]
        await reader.open(f"{_as_another_site(shop)}/?go={link}")
        await reader.page.click("a")
        await reader.page.wait_for_selector("text=A-10482", timeout=PATIENCE_MILLISECONDS)
        await assert_is_without_flaws(reader, "portal")
        assert "تنظیمات" not in await reader.page.inner_text("nav")


def _framing() -> web.Application:
    """A shop's panel with the portal in a frame, or a link to it."""

    async def panel(request: web.Request) -> web.Response:
        link, go = request.query.get("link", ""), request.query.get("go", "")
        body = f'<iframe src="{link}" width=1200 height=800></iframe>' if link else f'<a href="{go}">payments</a>'
        return web.Response(text=f"<!DOCTYPE html><title>panel</title>{body}", content_type="text/html")

    async def nothing(_request: web.Request) -> web.Response:
        return web.Response(status=204)

    app = web.Application()
    app.router.add_get("/", panel)
    app.router.add_get("/favicon.ico", nothing)
    return app


def _as_another_site(url: str) -> str:
    """The name is another site than the address, at which Dargah listens."""
    return url.replace("127.0.0.1", "localhost")


async def test_a_pasted_bank_statement_shows_what_differs(stage: Stage, browser: Browser) -> None:
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


async def test_the_first_page_tells_of_a_new_trouble_without_a_reload_and_not_under_a_reader(
    stage: Stage, browser: Browser
) -> None:
    async with office(stage) as made, reading(browser, viewport=WIDE, locale="en-US") as reader:
        page = reader.page
        await page.clock.install()
        await log_in(reader, made)
        await reader.open(f"{made.console}/")
        await page.click("summary")
        await stage.services.endpoints.change_endpoint(
            stage.lab.merchant_id, made.endpoint_id, paused=True, actor="test"
        )
        await stage.lab.call("POST", "/v1/events/test", json={"type": "payment.paid"})
        stage.lab.clock.forward(6_000)
        await page.clock.fast_forward(LOOK_MS)
        assert TROUBLE not in await page.inner_text("main"), "somebody reads the table"
        await page.click("summary")
        await page.evaluate("document.activeElement.blur()")

        async def told() -> bool:
            stage.lab.clock.forward(6_000)
            await page.clock.fast_forward(LOOK_MS)
            return TROUBLE in await page.inner_text("main")

        await eventually(told)
        count = await page.locator(".troubles > li").count()
        assert (await page.title()).startswith(f"({count}) ")
