"""What the console's pages show and do, over real HTTP: lists, one payment, reviews, webhooks, files and the guide."""

import asyncio
import csv
import io
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from support.eventually import eventually, until
from support.receiver import receiver

from proxy.console.jobs import PATIENCE_SECONDS
from proxy.console.page_context import SCRIPT_NAME
from proxy.kernel.clock import DAY, SECOND
from proxy.locale.persian import jalali_time
from proxy.payments.payment_csv import safe_cell
from web.clients import Browser, operator, portal, words
from web.lab import API_KEY, Answer, Lab

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With SQLite's file: what pages ask of a store is tested with every store in tests/store."""
    return tmp_path


async def paid(lab: Lab, **fields: Any) -> dict[str, Any]:
    payment = await lab.created(**fields)
    await lab.act(payment, "pay")
    checked = await lab.call("POST", f"/v1/payments/{payment['id']}/check")
    shown: dict[str, Any] = checked.json
    assert shown["status"] == "paid"
    return shown


async def odd(lab: Lab, **fields: Any) -> dict[str, Any]:
    """A payment of which another amount was taken."""
    payment = await lab.created(**fields)
    await lab.fault("check", "wrong_amount", amount_rials=1000, invoice_key=payment["invoice_key"], times=1)
    await lab.act(payment, "pay")
    checked: dict[str, Any] = (await lab.call("POST", f"/v1/payments/{payment['id']}/check")).json
    assert checked["status"] == "needs_review"
    return checked


def orders(answer: Answer) -> list[str]:
    """The orders of a list, in its order."""
    return re.findall(r'/payments/pay_\w+"><bdi>([^<]*)</bdi>', answer.text)


async def test_the_list_pages_back_through_all_merchants_without_a_gap(lab: Lab) -> None:
    other = await lab.another_merchant()
    await lab.dargah.services.setup.add_terminal(
        (await lab.dargah.services.merchant_cache.authenticate(other)).merchant_id,
        "main",
        lab.gateway_url,
        API_KEY,
        (await lab.dargah.services.merchant_cache.authenticate(other)).mode,
        actor="test",
    )
    made = []
    for number in range(55):
        lab.clock.forward(1000)
        made.append((await lab.created(order_id=f"o-{number}", token=other if number % 3 == 0 else None))["order_id"])
    browser = await operator(lab)
    page = await browser.get("/console/payments")
    seen = orders(page)
    while found := re.search(r'rel="next" href="([^"]+)"', page.text):
        page = await browser.get(found[1].replace("&amp;", "&"))
        seen += orders(page)
    assert seen == made[::-1]


async def test_filters_narrow_the_list_and_a_day_that_is_none_is_said(lab: Lab) -> None:
    await paid(lab, order_id="settled")
    lab.clock.forward(1)  # what is made in one millisecond has no order
    await lab.created(order_id="open")
    lab.clock.forward(DAY)
    await lab.created(order_id="tomorrow")
    browser = await operator(lab)
    assert orders(await browser.get("/console/payments?status=paid")) == ["settled"]
    assert orders(await browser.get(f"/console/payments?merchant={lab.merchant_id}")) == ["tomorrow", "open", "settled"]
    day = jalali_time(lab.clock.now)[:10]
    assert orders(await browser.get(f"/console/payments?day={day}")) == ["tomorrow"]
    assert orders(await browser.get(f"/console/payments?day={jalali_time(lab.clock.now - DAY)[:10]}")) == [
        "open",
        "settled",
    ]
    wrong = await browser.get("/console/payments?day=yesterday&lang=en")
    assert "Write a day such as" in wrong.text
    nothing = await browser.get("/console/payments?status=failed")
    assert "Nothing fits these filters." in nothing.text
    several = await browser.get("/console/payments?status=paid&status=pending&sort=oldest")
    assert orders(several) == ["settled", "open", "tomorrow"]
    assert [each.count("checked") for each in re.findall("<fieldset.*?</fieldset>", several.text)] == [2]
    assert orders(await browser.get("/console/payments?range=today")) == ["tomorrow"]
    assert orders(await browser.get("/console/payments?range=yesterday&bank_code=none")) == []


async def test_amounts_are_toman_in_any_digits_and_a_wrong_field_says_so(lab: Lab) -> None:
    await lab.created(order_id="small", amount=15_000)
    lab.clock.forward(1)
    await lab.created(order_id="large", amount=77_000)
    browser = await operator(lab)
    assert orders(await browser.get("/console/payments?min=%DB%B2%DB%B0%D9%AC%DB%B0%DB%B0%DB%B0")) == ["large"]
    assert orders(await browser.get("/console/payments?min=15000&max=15%2C000")) == ["small"]
    assert orders(await browser.get("/console/payments?order=small&gateway=zibal")) == []
    for name in ("min", "from", "paid_to", "storefront", "gateway"):
        wrong = await browser.get(f"/console/payments?{name}=%3Cb%3E&lang=en")
        assert wrong.status == 200
        assert orders(wrong) == ["large", "small"]
        assert name == "gateway" or f'id="wrong-{name}"' in wrong.text
        assert "<b>" not in wrong.text.partition('<form class="card"')[2].partition("</form>")[0]


async def test_a_portals_filters_cannot_leave_its_shop(lab: Lab) -> None:
    await lab.created(order_id="own")
    browser = await portal(lab)
    page = await browser.get("/portal/payments?merchant=mer_00000001&storefront=elsewhere&mode=test")
    assert orders(page) == ["own"]
    assert 'name="merchant"' not in page.text
    assert 'name="storefront"' not in page.text


@pytest.mark.parametrize("name", ["id", "bank_code", "invoice_key", "order_id", "link", "amount_rials", "amount_toman"])
async def test_a_payment_is_found_by_any_of_its_numbers(lab: Lab, name: str) -> None:
    payment = await paid(lab, order_id="order-77", amount=77_000)
    await paid(lab, order_id="another")
    value = payment["pay_url"].rpartition("/")[2] if name == "link" else str(payment[name])
    browser = await operator(lab)
    found = await browser.get(f"/console/search?q={value}")
    assert (found.status, found.headers["Location"]) == (303, f"/console/payments/{payment['id']}")


async def test_persian_digits_find_as_latin_ones_do(lab: Lab) -> None:
    payment = await paid(lab, order_id="998877")
    browser = await operator(lab)
    found = await browser.get("/console/search?q=%DB%B9%DB%B9%DB%B8%DB%B8%DB%B7%DB%B7")
    assert found.headers["Location"].endswith(payment["id"])


async def test_what_is_not_found_says_what_is_known(lab: Lab) -> None:
    browser = await operator(lab)
    page = await browser.get("/console/search?q=%3Cb%3Enothing&lang=en")
    assert "No payment was found" in page.text
    assert "&lt;b&gt;nothing" in page.text


async def test_a_payments_page_tells_its_story_and_why_its_webhook_did_not_arrive(lab: Lab) -> None:
    async with receiver(status=503, body=b"the shop is being mended") as shop:
        endpoint, _ = await lab.dargah.services.endpoints.add_endpoint(lab.merchant_id, shop.url, actor="test")
        payment = await paid(lab, order_id="story")
        browser = await operator(lab)
        path = f"/console/payments/{payment['id']}?lang=en"

        async def failed() -> Answer | None:
            page = await browser.get(path)
            return page if "it answered HTTP 503" in words(page) else None

        page = await eventually(failed)
        for said in ("Invoice asked of the gateway", "confirmed the payment", payment["bank_code"], shop.url):
            assert said in words(page)
        [delivery] = set(re.findall(r"/console/deliveries/(dlv_\w+)", page.text))
        log = await browser.get(f"/console/deliveries/{delivery}")
        assert "the shop is being mended" in log.text
        assert endpoint.id in log.text


async def refused(browser: Browser, payment: dict[str, Any]) -> str:
    """The delivery of a payment's event, once the shop has answered 500."""

    async def look() -> str | None:
        page = await browser.get(f"/console/payments/{payment['id']}?lang=en")
        found = re.search(r"/console/deliveries/(dlv_\w+)/retry", page.text)
        return found[1] if found and "HTTP 500" in page.text else None

    return await eventually(look)


async def test_a_webhook_is_sent_again_and_its_answer_is_shown(lab: Lab) -> None:
    async with receiver(status=500, body=b"thank you") as shop:
        await lab.dargah.services.endpoints.add_endpoint(lab.merchant_id, shop.url, actor="test")
        payment = await paid(lab)
        browser = await operator(lab, "operate")
        delivery = await refused(browser, payment)
        shop.status = 200
        resent = await browser.post(f"/console/deliveries/{delivery}/retry")

        async def answered() -> Answer | None:
            page = await browser.get(resent.headers["Location"])
            return None if 'http-equiv="refresh"' in page.text else page

        page = await eventually(answered)
        assert "The shop took it: HTTP 200" in " ".join(words(page).split())
        assert "thank you" in page.text
        entries = await lab.dargah.services.store.audit.list_audit("installation", None, 20)
        assert "delivery.retry" in {entry.action for entry in entries}


async def test_sending_again_goes_at_once_where_the_shop_asked_for_a_day_and_opens_it_for_all_that_waits(
    lab: Lab,
) -> None:
    async with receiver(status=503) as shop:
        shop.headers["Retry-After"] = "86400"
        await lab.dargah.services.endpoints.add_endpoint(lab.merchant_id, shop.url, actor="test")
        first = await paid(lab)
        await until(lambda: len(shop.requests) >= 1)
        browser = await operator(lab, "operate")
        await eventually(lambda: _waits(lab, 0))
        await paid(lab)
        await paid(lab)
        page = await browser.get(f"/console/payments/{first['id']}?lang=en")
        [delivery] = set(re.findall(r"/console/deliveries/(dlv_\w+)/retry", page.text))
        assert len(shop.requests) == 1
        shop.status = 204
        for _ in range(2):  # a double click
            await browser.post(f"/console/deliveries/{delivery}/retry", {"seen": "1"})
        await until(lambda: len(shop.requests) >= 4)
        assert shop.ids[0] == shop.ids[1]
        assert sorted(shop.ids.count(each) for each in set(shop.ids)) == [1, 1, 2]


async def _waits(lab: Lab, in_flight: int) -> bool | None:
    [endpoint] = await lab.dargah.services.store.webhooks.list_endpoints(lab.merchant_id)
    stats = await lab.dargah.services.redelivery.stats(lab.merchant_id, endpoint.id)
    return stats.endpoint.in_flight == in_flight or None


async def test_an_endpoint_that_is_off_gets_nothing_and_the_page_says_how_to_switch_it_on(lab: Lab) -> None:
    async with receiver(status=500) as shop:
        endpoint, _ = await lab.dargah.services.endpoints.add_endpoint(lab.merchant_id, shop.url, actor="test")
        payment = await paid(lab)
        browser = await operator(lab, "operate")
        delivery = await refused(browser, payment)
        await lab.dargah.services.endpoints.change_endpoint(lab.merchant_id, endpoint.id, paused=True, actor="test")
        resent = await browser.post(f"/console/deliveries/{delivery}/retry", {"seen": "1"})
        page = await browser.get(resent.headers["Location"])
        assert "paused by a person, so nothing is sent there" in page.text
        assert f"/console/endpoints/{endpoint.id}" in page.text
        assert (len(shop.requests), "/retry" in page.text) == (1, False)


async def test_a_webhook_that_is_sent_again_has_failed_when_the_shop_has_said_so_and_not_while_it_thinks(
    lab: Lab,
) -> None:
    thought = asyncio.Event()
    async with receiver(status=500) as shop:
        await lab.dargah.services.endpoints.add_endpoint(lab.merchant_id, shop.url, actor="test")
        payment = await paid(lab)
        browser = await operator(lab, "operate")
        delivery = await refused(browser, payment)
        shop.status, shop.hold = 204, (asyncio.Event(), thought)
        resent = await browser.post(f"/console/deliveries/{delivery}/retry")
        await until(lambda: len(shop.requests) >= 2)
        page = await browser.get(resent.headers["Location"])
        assert "It is on its way since" in page.text
        assert "did not arrive" not in page.text
        for at in (f"payments/{payment['id']}", f"deliveries/{delivery}"):
            assert "no answer was seen so far" in (await browser.get(f"/console/{at}?lang=en")).text
        thought.set()

        async def answered() -> bool | None:
            page = await browser.get(resent.headers["Location"])
            return "The shop took it" in page.text or None

        assert await eventually(answered)


async def test_what_did_not_arrive_is_sent_again_in_one_go_and_everything_too(lab: Lab) -> None:
    async with receiver() as shop:
        endpoint, _ = await lab.dargah.services.endpoints.add_endpoint(lab.merchant_id, shop.url, actor="test")
        for _ in range(3):
            await paid(lab)
        await until(lambda: len(shop.requests) >= 3)
        browser = await operator(lab)
        for act, where in (("recover", f"/resend?endpoint={endpoint.id}&hours=24"), ("replay", "count=3")):
            done = await browser.post(f"/console/endpoints/{endpoint.id}/{act}", {"hours": "24"})
            page = await browser.followed(done)
            assert page.status == 200
            assert where in browser._at
        await until(lambda: len(shop.requests) >= 6)
        wrong = await browser.post(f"/console/endpoints/{endpoint.id}/replay", {"hours": "9999"})
        assert wrong.status == 422


async def test_a_ping_shows_what_the_receiver_answered(lab: Lab) -> None:
    async with receiver(status=418, body=b"short and stout") as shop:
        endpoint, _ = await lab.dargah.services.endpoints.add_endpoint(lab.merchant_id, shop.url, actor="test")
        browser = await operator(lab)
        page = await browser.followed(await browser.post(f"/console/endpoints/{endpoint.id}/test"))
        assert "418" in page.text
        assert "short and stout" in page.text


async def test_the_gateway_is_asked_now(lab: Lab) -> None:
    payment = await lab.created()
    await lab.act(payment, "pay")
    browser = await operator(lab)
    page = await browser.followed(await browser.post(f"/console/payments/{payment['id']}/check"))
    assert "said=asked" in browser._at
    assert (await lab.payment(payment["id"]))["status"] == "paid"
    assert 'role="status"' in page.text


async def test_what_takes_long_has_a_page_that_tells_so_to_whoever_began_it(lab: Lab) -> None:
    payment = await lab.created()
    await lab.fault("check", "delay", seconds=PATIENCE_SECONDS + 1, times=1)
    browser, other = await operator(lab), await operator(lab)
    begun = await browser.post(f"/console/payments/{payment['id']}/check")
    assert begun.headers["Location"].startswith("/console/jobs/")
    page = await browser.get(begun.headers["Location"])
    assert 'http-equiv="refresh"' in page.text
    assert 'role="progressbar"' in page.text
    assert (await other.get(begun.headers["Location"])).status == 404
    assert "said=asked" in (await _end_of(browser, begun))


async def _end_of(browser: Browser, begun: Answer) -> str:
    await browser.followed(begun)
    return browser._at


async def test_a_review_waits_in_its_list_until_somebody_decides_with_a_note(lab: Lab) -> None:
    payment = await odd(lab, order_id="odd-one")
    browser = await operator(lab, "operate")
    assert orders(await browser.get("/console/reviews")) == ["odd-one"]
    path = f"/console/payments/{payment['id']}/resolve"
    assert (await browser.post(path, {"decision": "refunded", "note": " "})).status == 422
    assert (await browser.post(path, {"decision": "stolen", "note": "x"})).status == 422
    done = await browser.confirmed(path, {"decision": "refunded", "note": "به کارت مشتری برگشت"})
    assert done.headers["Location"].endswith("said=resolved")
    page = await browser.get(f"/console/payments/{payment['id']}")
    assert "به کارت مشتری برگشت" in page.text
    assert 'name="decision"' not in page.text
    again = await browser.post(path, {"decision": "accepted", "note": "x"})
    assert again.status == 409
    reviews = await browser.get("/console/reviews?lang=en")
    assert "Nothing waits for you" in reviews.text


async def test_the_file_opens_in_spreadsheets_and_runs_nothing_there(lab: Lab) -> None:
    evil = ["=1+1", "+1", "-1", "@SUM(A1)", "\u0640normal", '"quoted", yes']
    for order in evil:
        await lab.created(order_id=order)
        lab.clock.forward(1000)
    browser = await operator(lab)
    answer = await browser.get("/console/payments.csv?lang=en")
    assert answer.body.startswith(b"\xef\xbb\xbf")
    assert "attachment" in answer.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.body.decode("utf-8-sig"), newline="")))
    assert [row["order_id"] for row in rows] == [*evil[:3:-1], *(f"'{order}" for order in evil[3::-1])]
    assert rows[0]["amount_rials"] == "150000"
    assert rows[0]["amount_toman"] == "15000"
    assert re.fullmatch(r"14\d\d/\d\d/\d\d \d\d:\d\d", rows[0]["created (Jalali, Tehran)"])


async def test_nothing_that_others_wrote_is_markup_on_any_page(lab: Lab) -> None:
    await lab.dargah.services.setup.change_merchant(lab.merchant_id, name=SCRIPT, actor="test")
    async with receiver(status=500, body=SCRIPT.encode()) as shop:
        endpoint, _ = await lab.dargah.services.endpoints.add_endpoint(
            lab.merchant_id, shop.url, description=SCRIPT, actor="test"
        )
        payment = await paid(lab, order_id="x<b>", description=SCRIPT, metadata={"note": SCRIPT})
        browser = await operator(lab)

        async def tried() -> str | None:
            page = await browser.get(f"/console/payments/{payment['id']}")
            found = re.search(r"/console/deliveries/(dlv_\w+)", page.text)
            return found[1] if found and "HTTP 500" in page.text else None

        delivery = await eventually(tried)
        paths = [
            "/", "/payments", f"/payments/{payment['id']}", f"/deliveries/{delivery}", f"/endpoints/{endpoint.id}",
            "/endpoints", "/merchants", f"/merchants/{lab.merchant_id}", "/audit", f"/search?q={SCRIPT}",
        ]  # fmt: skip
        for path in paths:
            page = await browser.get(f"/console{path}")
            assert page.status == 200, path
            assert "<script" not in page.text.replace(f'<script src="/console/assets/{SCRIPT_NAME}"', ""), path
            assert "x<b>" not in page.text, path


async def test_today_adds_up_what_began_since_midnight_in_tehran(lab: Lab) -> None:
    browser = await operator(lab)
    await paid(lab, amount=10_000)
    lab.clock.forward(DAY)
    browser = await operator(lab)
    await paid(lab, amount=25_000)
    await lab.created()
    await odd(lab)
    lab.clock.forward(11 * SECOND)  # what was read is kept for ten seconds

    async def added_up() -> str | None:
        said = " ".join(words(await browser.get("/console/?lang=en")).split())
        return said if "Paid 25,000 toman" in said else None

    said = await eventually(added_up)
    assert "Payments paid 1" in said
    assert "Success rate 50% of 2 that ended" in said
    assert "Needs review 1" in said
    assert "Payments wait for a decision" in said


async def test_the_first_page_of_a_fresh_installation_leads_to_the_guide(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = await operator(lab)

    async def none(_after: str | None, _limit: int) -> list[Any]:
        return []

    monkeypatch.setattr(lab.dargah.services.store.merchants, "list_merchants", none)
    page = await browser.get("/console/")
    assert 'href="/console/merchants/new"' in page.text


async def test_the_guide_makes_everything_at_once_shows_secrets_once_and_a_payment_can_be_tried(lab: Lab) -> None:
    browser = await operator(lab, "owner")
    await browser.get("/console/merchants/new")
    form = {
        "name": "کتاب‌فروشی",
        "return_origins": "https://books.example.ir",
        "mode": "test",
        "gateway_url": lab.gateway_url,
        "api_key": "canary-test-key-90bb3d",
        "terminal_name": "main",
        "endpoint_url": "https://books.example.ir/hook",
    }
    made = await browser.post("/console/merchants/new", form)
    assert made.status == 200
    [token] = set(re.findall(r"dg_test_\w{36}", made.text))
    assert "whsec_" in made.text
    assert form["api_key"] not in made.text
    [token_id] = set(re.findall(r"/console/tokens/(tok_\w+)/test-payment", made.text))
    page = await browser.followed(await browser.post(f"/console/tokens/{token_id}/test-payment"))
    assert 'http-equiv="refresh"' in page.text
    [pay_url] = re.findall(r'href="([^"]+/pay/\w+)"', page.text)
    async with lab.session.get(pay_url, allow_redirects=False) as visit:
        assert visit.status in {200, 303}
    listed = await lab.call("GET", "/v1/payments", token=token)
    assert listed.json["data"][0]["amount_toman"] == 1000
    for path in ("/console/audit", "/console/merchants", "/console/settings"):
        assert token not in (await browser.get(path)).text


async def test_a_guide_that_is_refused_makes_nothing_and_says_what_is_wrong_beside_it(lab: Lab) -> None:
    browser = await operator(lab)
    await browser.get("/console/merchants/new")
    before = await lab.dargah.services.store.merchants.list_merchants(None, 100)
    form = {"name": "", "return_origins": "ftp://x", "mode": "test", "gateway_url": "x", "api_key": "secret-key-x"}
    refused = await browser.post("/console/merchants/new?lang=en", form)
    assert refused.status == 422
    for name in ("name", "return_origins", "gateway_url"):
        assert f'id="e-{name}"' in refused.text, name
    assert "secret-key-x" not in refused.text
    assert await lab.dargah.services.store.merchants.list_merchants(None, 100) == before


async def test_what_belongs_to_a_merchant_is_added_and_changed_from_its_page(lab: Lab) -> None:
    browser = await operator(lab)
    path = f"/console/merchants/{lab.merchant_id}"
    await browser.get(path)
    saved = await browser.post(
        path, {"name": "نام تازه", "return_origins": "https://a.example.ir https://b.example.ir"}
    )
    assert saved.status == 303
    terminal = {"name": "second", "gateway_url": lab.gateway_url, "api_key": "another", "mode": "live"}
    assert (await browser.post(f"{path}/terminals", terminal)).status == 303
    refused = await browser.post(f"{path}/terminals", terminal | {"gateway_url": "nonsense"})
    assert refused.status == 422
    made = await browser.post(f"{path}/tokens", {"storefront": "main", "mode": "live", "scope:payments:read": "1"})
    assert re.search(r"dg_live_\w{36}", made.text)
    hook = await browser.post(
        f"{path}/endpoints", {"url": "https://a.example.ir/hook", "mode": "live", "type:payment.paid": "1"}
    )
    assert "whsec_" in hook.text
    store = lab.dargah.services.store
    merchant = await store.merchants.merchant(lab.merchant_id)
    assert (merchant.name, len(merchant.return_origins)) == ("نام تازه", 2)
    [endpoint] = await store.webhooks.list_endpoints(lab.merchant_id)
    assert endpoint.event_types == {"payment.paid"}
    page = await browser.get(path)
    assert "second" in page.text

    second = next(each for each in await store.merchants.list_terminals(lab.merchant_id) if each.name == "second")
    await browser.confirmed(f"/console/terminals/{second.id}/switch-off")
    assert not (await store.merchants.terminal(lab.merchant_id, second.id)).enabled
    await browser.confirmed(f"/console/endpoints/{endpoint.id}/pause")
    assert (await store.webhooks.endpoint(lab.merchant_id, endpoint.id)).state == "paused"
    assert "whsec_" in (await browser.confirmed(f"/console/endpoints/{endpoint.id}/rotate-secret")).text


async def test_a_terminals_key_is_tested_and_what_is_wrong_is_said(lab: Lab) -> None:
    browser = await operator(lab)
    good = await browser.followed(await browser.post(f"/console/terminals/{lab.terminal_id}/test"))
    assert "terminal_key" in good.text
    assert '<div class="note ok"><p><b class="code">terminal_key</b>' in good.text
    await browser.post(f"/console/terminals/{lab.terminal_id}", {"api_key": "wrong-key"})
    bad = await browser.followed(await browser.post(f"/console/terminals/{lab.terminal_id}/test"))
    assert '<div class="note bad"><p><b class="code">terminal_key</b>' in bad.text
    assert "wrong-key" not in bad.text


async def test_a_token_is_rotated_and_revoked(lab: Lab) -> None:
    browser = await operator(lab)
    [token] = await lab.dargah.services.store.merchants.list_tokens(lab.merchant_id)
    rotated = await browser.confirmed(f"/console/tokens/{token.id}/rotate")
    assert re.search(r"dg_live_\w{36}", rotated.text)
    assert (await browser.confirmed(f"/console/tokens/{token.id}/revoke")).status == 200
    assert (await lab.call("GET", "/v1/payments")).status == 401


async def test_the_audit_log_is_listed_and_verified(lab: Lab) -> None:
    browser = await operator(lab, "read")
    page = await browser.get("/console/audit?lang=en")
    assert "merchant.create" in page.text
    verified = await browser.followed(await browser.post("/console/audit/verify"))
    assert "It is whole." in verified.text


async def test_settings_are_shown_and_no_secret_is(lab: Lab) -> None:
    browser = await operator(lab, "read")
    page = await browser.get("/console/settings?lang=en")
    assert "DARGAH_PAYMENT_EXPIRY_MINUTES" in page.text
    assert "operator-token-of-the-tests" not in page.text
    assert "AAECAwQFBgcICQoL" not in page.text


async def test_a_chosen_language_is_kept_and_persian_is_the_first(lab: Lab) -> None:
    browser = await operator(lab)
    assert '<html lang="fa" dir="rtl">' in (await browser.get("/console/payments")).text
    await browser.get("/console/payments?lang=en")
    assert '<html lang="en" dir="ltr">' in (await browser.get("/console/reviews")).text
    assert '<html lang="fa" dir="rtl">' in (await browser.get("/console/reviews?lang=fa")).text
    asked = await Browser(lab.session, lab.dargah.admin_url).get("/console/login", **{"Accept-Language": "en-GB,en"})
    assert '<html lang="en"' in asked.text


async def test_the_style_and_the_font_are_ours_and_kept_by_their_names(lab: Lab) -> None:
    browser = Browser(lab.session, lab.dargah.admin_url)
    page = await browser.get("/console/login")
    [style] = re.findall(r'rel="stylesheet" href="([^"]+)"', page.text)
    css = await browser.get(style)
    assert "immutable" in css.headers["Cache-Control"]
    [font] = re.findall(r'url\("([^"]+)"\)', css.text)
    assert (await browser.get(f"/console/assets/{font}")).headers["Content-Type"] == "font/woff2"
    assert (await browser.get("/console/assets/nothing.css")).status == 404
    assert "http" not in css.text


async def test_a_heads_answer_has_no_body_and_every_page_has_one(lab: Lab) -> None:
    browser = await operator(lab)
    head = await browser.head("/console/payments")
    assert (head.status, head.body) == (200, b"")


SIGNS = "=+-@＝＋－＠﹦﹢﹣﹫"
# What may stand before a cell's own first sign, and what begins another cell in some language of a spreadsheet.
UNSEEN = ("", " ", "  ", "\t", "\r", "\n", "\u00a0", "\u200c", "\u200f", "\ufeff", '"', '" ')
SEPARATORS = ("", "x;", "x؛", "x,", "x،", "x|", "x\t", "x\n")


@pytest.mark.parametrize("separator", SEPARATORS)
def test_no_sign_of_a_formula_begins_a_cell(separator: str) -> None:
    for unseen, sign in product(UNSEEN, SIGNS):
        assert str(safe_cell(f"{separator}{unseen}{sign}1+1")).startswith(f"{separator}'"), (separator, unseen, sign)


@pytest.mark.parametrize("plain", ["A-1700", "سفارش ۱۲", "a=b", "x+y", "1,5", "علی؛ رضا", "a@b.example"])
def test_what_is_no_formula_stays_as_it_is(plain: str) -> None:
    assert safe_cell(plain) == plain
    assert safe_cell(None) is None


async def test_an_exported_order_is_text(lab: Lab) -> None:
    orders = ["x;=1+1", "x؛=1+1", "＝1+1", "=cmd|' /C calc'!A0", "@SUM(1)"]
    for order in orders:
        await lab.created(order_id=order)
    browser: Browser = await operator(lab)
    answer = await browser.get("/console/payments.csv?lang=en")
    rows = csv.DictReader(io.StringIO(answer.body.decode("utf-8-sig"), newline=""))
    shown = {row["order_id"] for row in rows}
    assert shown == {"x;'=1+1", "x؛'=1+1", "'＝1+1", "'=cmd|' /C calc'!A0", "'@SUM(1)"}


async def test_the_deliveries_of_all_endpoints_are_listed_and_found_by_state_order_and_day(lab: Lab) -> None:
    async with receiver() as good, receiver(status=500) as bad:
        endpoints = lab.dargah.services.endpoints
        fine, _ = await endpoints.add_endpoint(lab.merchant_id, good.url, actor="test")
        await endpoints.add_endpoint(lab.merchant_id, f"{bad.url}?bad", actor="test")
        for order in ("first", "second"):
            await paid(lab, order_id=order)
        browser = await operator(lab, "read")

        async def listed(query: str = "", at: str = "deliveries") -> tuple[int, str]:
            page = await browser.get(f"/console/{at}?lang=en&{query}")
            assert page.status == 200, page.text
            return page.text.count("<tr>") - page.text.count("<thead><tr>"), " ".join(words(page).split())

        await eventually(lambda: _answered(lab, 4))
        count, said = await listed()
        assert count == 4
        for part in ("payment.paid", "Delivered", "it answered HTTP 500", "first", "second", good.url):
            assert part in said
        for query, expected in {
            "status=delivered": 2,
            "status=pending": 2,
            "number=first": 2,
            "number=first&status=delivered": 1,
            f"endpoint={fine.id}": 2,
            "type=payment.failed": 0,
            "mode=test": 0,
            "to=2020-01-01": 0,
            f"merchant={lab.merchant_id}&from=1400/01/01": 4,
        }.items():
            assert (await listed(query))[0] == expected, query
        assert (await browser.get("/console/deliveries?from=nonsense")).status == 422
        assert (await browser.get("/console/deliveries?endpoint=ep_'%3B--")).status == 422
        for query, expected in {"": 4, "outcome=failed": 2, "http=5": 2, "http=4": 0, f"endpoint={fine.id}": 2}.items():
            assert (await listed(query, "attempts"))[0] == expected, query


async def _answered(lab: Lab, count: int) -> bool | None:
    endpoints = await lab.dargah.services.store.webhooks.list_endpoints(lab.merchant_id)
    stats = [await lab.dargah.services.redelivery.stats(lab.merchant_id, each.id) for each in endpoints]
    return sum(len(each.endpoint.attempts) for each in stats) >= count or None


async def test_what_did_not_arrive_anywhere_is_counted_asked_for_and_sent_again_but_not_to_what_is_off(
    lab: Lab,
) -> None:
    async with receiver(status=404) as shop, receiver(status=404) as other:
        endpoints = lab.dargah.services.endpoints
        await endpoints.add_endpoint(lab.merchant_id, shop.url, actor="test")
        off, _ = await endpoints.add_endpoint(lab.merchant_id, f"{other.url}?off", actor="test")
        for _ in range(3):
            await paid(lab)
        await eventually(lambda: _answered(lab, 6))
        await endpoints.change_endpoint(lab.merchant_id, off.id, paused=True, actor="test")
        browser = await operator(lab, "operate")
        path = "/console/resend?lang=en&hours=24"
        page = await browser.get(path)
        assert "These endpoints are off" in page.text
        asked = await browser.post("/console/resend", {"hours": "24"})
        assert "3 webhooks to 1 endpoints" in asked.text
        assert len(shop.requests) == 3
        shop.status = 204
        done = await browser.followed(await browser.confirmed("/console/resend", {"hours": "24"}))
        assert "Wanted 3 to 1 endpoints" in " ".join(words(done).split())
        await until(lambda: len(shop.requests) >= 6)
        assert sorted(shop.ids.count(each) for each in set(shop.ids)) == [2, 2, 2]

        async def mended() -> bool | None:
            return "Nothing is undelivered since then" in (await browser.get(path)).text or None

        assert await eventually(mended)
        lab.clock.forward(SECOND)

        async def told() -> bool | None:
            """The progress of the last one, which the list of resends leads to."""
            listed = await browser.get(path)
            begun = listed.text.partition('href="/console/resends/')[2].partition('"')[0]
            shown = " ".join(words(await browser.get(f"/console/resends/{begun}?lang=en")).split())
            return ("Done" in shown and "Delivered 3 Failed again 0" in shown and "All of it arrived" in shown) or None

        assert await eventually(told)
        assert (await browser.confirmed("/console/resend", {"hours": "24"})).status == 409
        for query in ("hours=5", "type=nothing", "mode=x"):
            assert (await browser.get(f"/console/resend?{query}")).status == 422
        assert (await browser.get(f"/console/resend?endpoint={off.id}&type=payment.paid")).status == 200
        assert (await browser.get("/console/resends/rsd_1")).status == 404
        assert len(other.requests) == 3
