"""How customers come: links as messengers and gateways maim them, links opened again, and addresses that are none."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from support.eventually import eventually
from yarl import URL

from proxy.api.customer import handlers as customer
from proxy.kernel.clock import MINUTE
from web.clients import drop_in
from web.lab import RETURN_URL, Answer, Lab, link_of

MESSENGER = {"User-Agent": "WhatsApp/2.2546.3 W"}
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
KEY = "0" * 32
# A slash, dots, a space, Persian punctuation, quotes, unseen marks, text that was pasted on: as browsers send them.
PASTED = (
    *("/", "//", "///", ".", "...", "%20", "+", "!", ",", ")", "*", "'", "%22", "&", "%0A", ".%20", "/.", "%2F", "%25"),
    *(
        "%D8%8C",
        "%DB%94",
        "%D8%9F",
        "%C2%AB",
        "%C2%BB",
        "%E2%80%9D",
        "%E2%80%8C",
        "%E2%80%8E",
        "%E2%80%8F",
        "%EF%BB%BF",
    ),
    *("%C2%A0", "%FF", "%00", "%20%D9%84%D8%B7%D9%81%D8%A7", "%D9%84%D8%B7%D9%81%D8%A7", "/%E2%80%8F/", "/favicon.ico"),
    *("&lang=fa", "%3Fgo=1", "//evil.example/x"),
)
BY_THE_BANK = (
    "/",
    f"&invoice_key={KEY}",
    f"%3Finvoice_key={KEY}",
    f"&invoice_key={KEY}&status=0",
    f"/?invoice_key={KEY}",
)


WAYS = (("pay", ""), ("pay", "/"), ("pay", "%20x"), ("invoice/pay", "."), ("pay", "//"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With SQLite's file: what is looked at here comes before any store."""
    return tmp_path


async def opened(lab: Lab, path: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Answer:
    """The answer to exactly this path."""
    url = URL(lab.dargah.url + path, encoded=True)
    async with lab.session.request(method, url, headers=headers, allow_redirects=False) as response:
        return Answer(response.status, response.headers, await response.read())


@pytest.mark.parametrize("path", ["pay", "invoice/pay", "shop/invoice/pay"])
async def test_a_pay_link_leads_to_its_gateway_whatever_was_pasted_behind_it(lab: Lab, path: str) -> None:
    payment = await lab.created()
    gateway = f"{lab.gateway_url}/invoice/pay/{payment['invoice_key']}"
    for tail in PASTED:
        answer = await opened(lab, f"/{path}/{link_of(payment)}{tail}")
        assert (answer.status, answer.headers.get("Location")) == (303, gateway), tail
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_return_is_one_whatever_stands_behind_its_link(lab: Lab, method: str) -> None:
    payment = await lab.created(return_url=RETURN_URL)
    await lab.act(payment, "pay")
    for tail in (*BY_THE_BANK, *PASTED):
        answer = await opened(lab, f"/return/{link_of(payment)}{tail}", method)
        assert answer.status == 303, tail
        assert answer.location.startswith(f"{RETURN_URL}&payment_id={payment['id']}&")
        assert "&status=paid&" in answer.location


@pytest.mark.parametrize("mark", ["&", "%3F", "/?"])
async def test_what_a_gateway_hangs_on_the_path_is_noted_as_a_query_is(lab: Lab, mark: str) -> None:
    payment = await lab.created()
    tail = f"{mark}invoice_key={payment['invoice_key']}&status=0&card_number=6037"
    await opened(lab, f"/return/{link_of(payment)}{tail}")
    lines = (await lab.call("GET", f"/v1/payments/{payment['id']}/timeline")).json["data"]
    [noted] = [line["data"] for line in lines if line["kind"] == "return"]
    assert noted == {
        "own_invoice_key": True,
        "claimed": {"status": "0"},
        "fields": {"HTTP": "GET", "status": '"0"'},
    }


async def test_a_longer_link_or_one_with_another_character_is_no_link(lab: Lab) -> None:
    link = link_of(await lab.created())
    for wrong in (f"{link}0", f"{link}a.", f"0{link}", f"{link}{link}", f"{link[:-1]}.", f"{link[:-1]}\N{KELVIN SIGN}"):
        assert (await opened(lab, f"/pay/{quote(wrong)}")).status == 404, wrong


async def test_a_drop_in_under_a_prefix_of_pay_or_return_is_one(lab: Lab) -> None:
    shop = await drop_in(lab)
    for prefix in ("/pay", "/return", "/pay/x"):
        said = await shop.request(f"{prefix}/invoice/request")
        assert said["status"] == 1
        answer = await opened(lab, f"{prefix}/invoice/pay/{said['invoice_key']}/")
        assert answer.status == 303


@pytest.mark.parametrize("prefix", ["", "/pay", "/return"])
async def test_the_other_link_of_a_paid_order_says_so_under_any_prefix_of_a_drop_in(lab: Lab, prefix: str) -> None:
    shop = await drop_in(lab)
    paid, other = [await shop.invoice(order_id="17") for _ in range(2)]
    await shop.come_back(paid)
    await lab.fault("check", "http_500")
    lab.clock.forward(31 * MINUTE)
    page = await opened(lab, f"{prefix}/invoice/pay/{other}")
    assert (page.status, "<title>این سفارش پرداخت شده است</title>" in page.text) == (200, True)


@pytest.mark.parametrize("path", ["/pay/{}", "/invoice/pay/{}"])
@pytest.mark.parametrize("headers", [{}, MESSENGER, {"Content-Type": "application/x-www-form-urlencoded"}])
async def test_a_form_that_is_posted_to_a_pay_link_leads_on(lab: Lab, path: str, headers: dict[str, str]) -> None:
    payment = await lab.created()
    answer = await lab.call("POST", path.format(link_of(payment)), data=b"a=1", headers=headers, token="")
    assert answer.status == 303
    assert answer.location == f"{lab.gateway_url}/invoice/pay/{payment['invoice_key']}"
    assert answer.headers["Referrer-Policy"] == "strict-origin"


async def test_a_browser_from_elsewhere_goes_on_from_a_page_of_ours(lab: Lab) -> None:
    payment = await lab.created()
    gateway = f"{lab.gateway_url}/invoice/pay/{payment['invoice_key']}"
    for site in ("cross-site", "none", "same-site"):
        headers = {"Sec-Fetch-Dest": "document", "Sec-Fetch-Site": site, "Referer": "https://shop.example.ir/"}
        page = await lab.call("GET", payment["pay_url"], headers=headers, token="")
        assert page.status == 200
        assert page.headers["Referrer-Policy"] == "strict-origin"
        assert page.headers["Cache-Control"] == "no-store"
        assert "Cross-Origin-Opener-Policy" not in page.headers
        assert f'<meta http-equiv="refresh" content="0; url={gateway}">' in page.text
        assert f'<a class="button" href="{gateway}" rel="nofollow">' in page.text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "same-origin", "Referer": "https://pay.example.ir/"},
    ],
    ids=["no browser", "frame", "script", "our own page"],
)
async def test_others_are_redirected(lab: Lab, headers: dict[str, str]) -> None:
    payment = await lab.created()
    answer = await lab.call("GET", payment["pay_url"], headers=headers, token="")
    assert answer.status == 303
    assert answer.headers["Referrer-Policy"] == "strict-origin"


@pytest.mark.parametrize(
    "agent",
    ["WhatsApp/2.2546.3 W", "Mozilla/5.0 Robot/1.0", "Preview", "TelegramBot (like TwitterBot)", "Googlebot/2.1"],
)
async def test_a_return_is_a_return_whatever_the_browser_calls_itself(lab: Lab, agent: str) -> None:
    headers = {"User-Agent": agent}
    home, stays = await lab.created(return_url=RETURN_URL), await lab.created()
    for payment in (home, stays):
        await lab.act(payment, "pay")
    answer = await lab.call("GET", f"/return/{link_of(home)}", headers=headers, token="")
    assert (answer.status, "&status=paid&" in answer.location) == (303, True)
    page = await lab.call("GET", f"/return/{link_of(stays)}", headers=headers, token="")
    assert "<title>پرداخت انجام شد</title>" in page.text
    assert "?go=1" not in page.text


class TestLimits:
    @pytest.fixture
    def more_settings(self) -> dict[str, Any]:
        return {"link_visits_per_minute": 4}

    async def test_every_way_of_a_link_counts_as_a_visit_of_it(self, lab: Lab) -> None:
        link = link_of(await lab.created())
        answers = [await opened(lab, f"/{path}/{link}{tail}") for path, tail in WAYS]
        assert [answer.status for answer in answers] == [303] * 4 + [429]

    async def test_only_who_is_back_from_the_bank_is_told_of_a_payment_that_is_being_confirmed(self, lab: Lab) -> None:
        key = await (await drop_in(lab)).invoice()
        for _ in range(4):
            await opened(lab, f"/invoice/pay/{key}")
        for path in ("invoice/pay", "pay/invoice/pay", "return/invoice/pay"):
            page = await opened(lab, f"/{path}/{key}")
            assert (page.status, "<title>کمی صبر کنید</title>" in page.text) == (429, True), path
        page = await opened(lab, f"/return/{key}")
        assert (page.status, "<title>در حال تأیید پرداخت</title>" in page.text) == (429, True)


class TestALinkThatIsOpenedAgain:
    async def test_after_the_bank_took_the_money_it_says_paid(self, lab: Lab) -> None:
        payment = await lab.created()
        assert (await opened(lab, f"/pay/{link_of(payment)}")).status == 303
        await lab.act(payment, "pay")
        page = await opened(lab, f"/pay/{link_of(payment)}")
        assert "<title>پرداخت انجام شد</title>" in page.text
        assert (await lab.payment(payment["id"]))["status"] == "paid"

    async def test_where_another_process_saw_it_first_it_says_so_too(self, lab: Lab) -> None:
        payment = await lab.created()
        await lab.act(payment, "pay")
        lab.clock.forward(MINUTE)
        page = await opened(lab, f"/pay/{link_of(payment)}")
        assert "<title>پرداخت انجام شد</title>" in page.text

    async def test_the_first_time_it_leads_on_at_once(self, lab: Lab) -> None:
        payment = await lab.created()
        await opened(lab, f"/pay/{link_of(payment)}")
        assert await lab.checks() == 0

    async def test_it_asks_the_gateway_a_few_times_a_minute_at_most(self, lab: Lab) -> None:
        payment = await lab.created()
        for _ in range(20):
            assert (await opened(lab, f"/pay/{link_of(payment)}")).status == 303
        assert 1 <= await lab.checks() <= 6

    async def test_a_gateway_that_does_not_answer_keeps_nobody_from_paying(
        self, lab: Lab, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(customer, "PATIENCE_SECONDS", 0.05)
        payment = await lab.created()
        await opened(lab, f"/pay/{link_of(payment)}")
        await lab.fault("check", "delay", seconds=0.5)
        assert (await opened(lab, f"/pay/{link_of(payment)}")).status == 303


class TestASlowCheck:
    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(customer, "PATIENCE_SECONDS", 0.05)

    async def test_a_page_says_that_it_is_being_confirmed_while_the_check_goes_on(self, lab: Lab) -> None:
        payment = await lab.created(return_url=RETURN_URL)
        back = await lab.act(payment, "pay")
        await lab.fault("check", "delay", seconds=0.4, times=1)
        page = await lab.call("GET", back, token="")
        assert "<title>در حال تأیید پرداخت</title>" in page.text
        assert 'data-next="?again=1"' in page.text

        async def home() -> Answer | None:
            answer = await lab.call("GET", f"/return/{link_of(payment)}?again=1", token="")
            return answer if answer.status == 303 else None

        assert "&status=paid&" in (await eventually(home)).location
        assert await lab.checks() == 1

    async def test_a_check_that_fails_in_the_end_is_still_being_confirmed(self, lab: Lab) -> None:
        payment = await lab.created()
        back = await lab.act(payment, "pay")
        await lab.fault("check", "delay", seconds=0.2, times=1)
        await lab.fault("check", "http_502")
        assert "<title>در حال تأیید پرداخت</title>" in (await lab.call("GET", back, token="")).text
        assert "<title>در حال تأیید پرداخت</title>" in (await lab.call("POST", back, token="")).text

    async def test_the_time_of_a_link_that_is_over_is_told_meanwhile(self, lab: Lab) -> None:
        payment = await lab.created(expires_in=300)
        await lab.fault("check", "delay", seconds=0.4)
        lab.clock.forward(6 * MINUTE)
        page = await lab.call("GET", payment["pay_url"], token="")
        assert "<title>مهلت این پیوند پرداخت تمام شده است</title>" in page.text


def test_nobody_looks_at_an_empty_browser_for_three_seconds() -> None:
    assert customer.PATIENCE_SECONDS < 3


async def test_an_address_without_a_link_answers_a_browser_with_a_page(lab: Lab) -> None:
    for path in (
        "/",
        "/pay",
        "/pay/",
        "/return",
        "/return/",
        "/invoice",
        "/invoice/pay",
        "/invoice/pay/",
        "/x/y",
        "//",
    ):
        page = await opened(lab, path, headers=BROWSER)
        assert page.status == 404
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "<title>در این نشانی پرداختی نیست</title>" in page.text, path
        assert "لازم نیست دوباره پرداخت کنید" in page.text
    english = await opened(lab, "/", headers=BROWSER | {"Accept-Language": "en"})
    assert "<title>There is no payment at this address</title>" in english.text


@pytest.mark.parametrize("path", ["/", "/pay", "/return", "/v1/nothing", "/v1"])
@pytest.mark.parametrize("accept", ["*/*", "application/json", None])
async def test_a_program_gets_a_problem_there(lab: Lab, path: str, accept: str | None) -> None:
    answer = await opened(lab, path, headers={"Accept": accept} if accept else {})
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")


async def test_a_browser_at_the_api_gets_the_apis_problem(lab: Lab) -> None:
    answer: Any = await opened(lab, "/v1/nothing", headers=BROWSER)
    assert answer.json["code"] == "route_not_found"


async def test_no_path_keeps_the_router_busy(lab: Lab) -> None:
    """Paths of a head's length, made to be tried again at each of their characters."""
    for path in (
        "/pay/" + "a" * 15_000,
        "/pay/" + "/" * 15_000,
        "/invoice/pay" * 1200,
        "/return/" + f"{'0' * 37}%00" * 380,
    ):
        started = time.process_time()
        for _ in range(5):
            assert (await opened(lab, path)).status == 431
        assert time.process_time() - started < 1, path[:20]
