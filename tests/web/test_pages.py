"""The pages: words for every status and error in both languages, and what browsers are held to."""

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from core.payments import PENDING
from hypothesis import given
from hypothesis import strategies as st

from proxy.api import public
from proxy.api.customer import pages
from proxy.api.customer.page_assets import luminance, text_on
from proxy.api.customer.pages import Frame, error_page, invitation_page, payment_page
from proxy.api.customer.visit import SPEECHES, is_ahead, is_preview, pick_language
from proxy.api.customer.words import PageText, Speech
from proxy.api.drop_in.invoice_script import PAY
from proxy.http.problems import InternalError
from proxy.kernel.errors import NotFound, Overloaded, StoreUnavailable
from proxy.merchants.merchant import Branding, Language, Merchant
from proxy.payments.next_step import StatusPage
from proxy.payments.payment import GivenBack, GivenBackReason, Status
from web.lab import RETURN_URL, Answer, Lab, link_of

EVERY_LANGUAGE = pytest.mark.parametrize("speech", SPEECHES.values(), ids=SPEECHES)
BAD_WORDS = ("ناموفق", "لغو", "نشد", "شکست", "fail", "cancel", "declin", "unsuccess")
AT = 1_795_512_600_000
MERCHANT = Merchant("mer_00000001", "Shop", (), 0, 0, Branding(name_fa="فروشگاه"))


def frame(language: Language = Language.PERSIAN, merchant: Merchant | None = None) -> Frame:
    return Frame(SPEECHES[language], None, merchant, "https://pay.example.ir/p")


def text(response: web.Response) -> str:
    assert isinstance(response.body, bytes)
    return response.body.decode()


def said(words: PageText) -> str:
    return f"{words.title} {words.text} {words.more}"


@EVERY_LANGUAGE
def test_every_status_has_its_words(speech: Speech) -> None:
    assert set(speech.outcomes) == set(Status) - {Status.GIVEN_BACK}
    assert len({words.title for words in speech.outcomes.values()}) == len(Status) - 1
    assert set(speech.given_back) == set(GivenBackReason)


@EVERY_LANGUAGE
@pytest.mark.parametrize("reason", GivenBackReason)
@pytest.mark.parametrize(("by", "at"), [(AT, None), (None, AT)], ids=["by", "at"])
def test_money_that_is_given_back_is_told_with_its_time(
    speech: Speech, reason: GivenBackReason, by: int | None, at: int | None
) -> None:
    payment = replace(PENDING, status=Status.GIVEN_BACK, given_back=GivenBack(reason, "key", by=by, at=at))
    page = text(payment_page(frame(speech.language), StatusPage(payment, None), again=None, now=0))
    assert speech.given_back[reason].title in page
    label = speech.labels.given_back if by is None else speech.labels.given_back_by
    assert f"<dt>{label}</dt>" in page
    assert speech.time(AT) in page
    assert (speech.labels.once_more in page) is speech.given_back[reason].once_more
    words = said(speech.given_back[reason]).lower()
    assert not any(bad in words for bad in ("ناموفق", "شکست", "fail", "declin", "unsuccess"))


@EVERY_LANGUAGE
def test_money_that_came_too_late_for_an_order_that_is_paid_since_asks_for_no_more(speech: Speech) -> None:
    given = GivenBack(GivenBackReason.TOO_LATE, "key", at=AT)
    payment = replace(PENDING, status=Status.GIVEN_BACK, given_back=given)
    step = StatusPage(payment, None, order_paid=True)
    page = text(payment_page(frame(speech.language), step, again=None, now=0))
    assert speech.given_back[GivenBackReason.ORDER_PAID_TWICE].title in page
    assert speech.labels.once_more not in page


@EVERY_LANGUAGE
@pytest.mark.parametrize("status", [Status.CREATED, Status.PENDING, Status.NEEDS_REVIEW, Status.PAID])
def test_what_may_be_paid_is_not_called_failed(speech: Speech, status: Status) -> None:
    assert not any(bad in said(speech.outcomes[status]).lower() for bad in BAD_WORDS)


@EVERY_LANGUAGE
def test_what_is_put_off_is_not_called_failed(speech: Speech) -> None:
    for words in (speech.busy, speech.gateway_down, speech.time_is_up, speech.homeward):
        assert not any(bad in said(words).lower() for bad in BAD_WORDS)


@EVERY_LANGUAGE
def test_every_label_says_something(speech: Speech) -> None:
    empty = {field.name for field in fields(speech.labels) if not getattr(speech.labels, field.name)}
    assert empty <= {"tehran"}, "Persian times need not say that they are Tehran's"
    assert "{amount}" in speech.labels.to_pay
    assert "{shop}" in speech.labels.to_pay


def test_an_overload_asks_the_customer_to_wait_and_comes_back_by_itself() -> None:
    for error in (Overloaded(7), StoreUnavailable(1)):
        page = error_page(error, frame())
        assert page.status == 503
        assert page.headers["Retry-After"] == str(error.retry_after_seconds)
        assert f'content="{max(3, error.retry_after_seconds)}"' in text(page)
        assert f'data-seconds="{max(3, error.retry_after_seconds)}"' in text(page)
        assert "لازم نیست دوباره پرداخت کنید" in text(page)


def test_what_nobody_foresaw_shows_nothing_of_itself() -> None:
    page = error_page(InternalError(), frame())
    assert page.status == 500
    assert "Traceback" not in text(page)


def test_an_unknown_link_is_not_found() -> None:
    assert error_page(NotFound("payment"), frame()).status == 404


def test_polling_slows_down_and_never_stops() -> None:
    delays = [pages.Refresh.after(again).seconds for again in (0, 4, 9, 10, 99)]
    assert delays == [3, 5, 30, 30, 30]
    assert pages.Refresh.after(99).query == "?again=10"


def test_a_page_that_waits_keeps_the_language_that_was_chosen() -> None:
    assert pages.Refresh.after(1, Language.ENGLISH).query == "?again=2&lang=en"


def test_each_language_writes_its_own_numbers_dates_and_direction() -> None:
    payment = replace(PENDING, amount_rials=1_234_565, created_at=1_795_512_600_000)
    persian, english = (
        text(payment_page(frame(language, MERCHANT), StatusPage(payment, None), again=None, now=0))
        for language in Language
    )
    assert '<html lang="fa" dir="rtl">' in persian
    assert '<html lang="en" dir="ltr">' in english
    for shown in ("۱۲۳٬۴۵۶٫۵ <i>تومان</i>", "۱٬۲۳۴٬۵۶۵ ریال", "سه‌شنبه ۳ آذر ۱۴۰۵، ساعت ۱۳:۰۰", "فروشگاه"):
        assert shown in persian
    for shown in ("123,456.5 <i>toman</i>", "1,234,565 rial", "24 November 2026, 13:00", "Tehran time", "Shop"):
        assert shown in english
    assert not re.search("[۰-۹]", english)
    assert '<time datetime="2026-11-24T09:30:00.000Z">' in persian


def test_a_preview_tells_who_asks_for_how_much_and_nothing_that_is_the_customers() -> None:
    payment = replace(PENDING, amount_rials=150_000, order_id="secret-order", description="secret", link="L" * 30)
    page = text(invitation_page(frame(merchant=MERCHANT), payment))
    graph = dict(re.findall(r'<meta property="og:(\w+)" content="([^"]*)">', page))
    assert graph["title"] == "پرداخت ۱۵٬۰۰۰ تومان به فروشگاه"
    assert graph["site_name"] == "فروشگاه"
    assert graph["locale"] == "fa_IR"
    assert graph["image"].startswith("https://pay.example.ir/p/assets/preview.")
    assert not any("secret" in value or payment.link in value for value in graph.values())
    assert payment.link not in page


def test_a_preview_shows_the_merchants_own_logo_where_it_has_one() -> None:
    merchant = replace(MERCHANT, branding=Branding(logo="0" * 32))
    page = text(invitation_page(frame(merchant=merchant), PENDING))
    logo = f"https://pay.example.ir/p/logos/{merchant.id}/{'0' * 32}.png"
    assert f'<meta property="og:image" content="{logo}">' in page


def test_a_colour_is_the_buttons_and_the_policy_lets_it_in() -> None:
    merchant = replace(MERCHANT, branding=Branding(colour="#ffcc00"))
    page = invitation_page(frame(merchant=merchant), PENDING)
    plain = invitation_page(frame(merchant=MERCHANT), PENDING)
    assert "<style>:root{--brand:#ffcc00;--on-brand:#000}</style>" in text(page)
    assert page.headers["Content-Security-Policy"].count("'sha256-") == 3
    assert plain.headers["Content-Security-Policy"].count("'sha256-") == 2


@given(st.integers(0, 0xFFFFFF))
def test_what_is_written_on_any_colour_can_be_read(number: int) -> None:
    colour = f"#{number:06x}"
    lighter, darker = sorted((luminance(colour), {"#000": 0.0, "#fff": 1.0}[text_on(colour)]), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", None),
        ("en-US,en;q=0.9", "en"),
        ("fa-IR,fa;q=0.9,en-US;q=0.8,en;q=0.7", "fa"),
        ("de-DE, en;q=0.8, fa;q=0.9", "fa"),
        ("EN", "en"),
        ("fa;q=0, en;q=0.1", "en"),
        ("en;q=0", None),
        ("de", None),
        ("*", None),
        ("en;q=x,fa;q=0.1", "fa"),
        ("en;q=nan", None),
        (",;;,=", None),
        ("x," * 10_000 + "en", None),
    ],
)
def test_the_browsers_language_is_the_one_it_likes_best(header: str, language: str | None) -> None:
    assert pick_language(header) == language


# As they were seen in servers' logs.
READERS = (
    "TelegramBot (like TwitterBot)",
    "WhatsApp/2.23.20.0",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
    "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5 skype-url-preview@microsoft.com",
    "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
)
CUSTOMERS = (
    "",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 9; CUBOT X19) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Mobile",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Instagram 300.0",
    "curl/8.5.0",
    "Python/3.11 aiohttp/3.14",
)


@pytest.mark.parametrize("agent", READERS)
def test_messengers_and_crawlers_are_known(agent: str) -> None:
    assert is_preview(make_mocked_request("GET", "/", headers={"User-Agent": agent}))


@pytest.mark.parametrize("agent", CUSTOMERS)
def test_customers_are_not_taken_for_them(agent: str) -> None:
    assert not is_preview(make_mocked_request("GET", "/", headers={"User-Agent": agent}))


@pytest.mark.parametrize(
    ("name", "value"),
    [("Sec-Purpose", "prefetch;prerender"), ("Purpose", "prefetch"), ("X-Moz", "prefetch"), ("X-Purpose", "preview")],
)
def test_what_is_fetched_ahead_of_its_user_is_known(name: str, value: str) -> None:
    assert is_ahead(make_mocked_request("GET", "/", headers={name: value}))


PAGES = {
    (method, path) for method, path in public.operations() if path.startswith(public.CUSTOMER_PATHS) or path == PAY
}
UNKNOWN = "0" * 37


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With SQLite's file: what is looked at here comes before any store."""
    return tmp_path


def assert_is_kept_in(answer: Answer) -> None:
    """What every answer to a browser has, a redirect and a HEAD too."""
    assert list(answer.headers).count("Referrer-Policy") == 1
    headers = answer.headers
    policy = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert not any("unsafe" in value or "*" in value or "http" in value for value in policy.values()), policy
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == ("strict-origin" if leads_to_a_gateway(answer) else "no-referrer")
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    powers = headers["Permissions-Policy"]
    assert re.fullmatch(r"[a-z-]+=\(\)(, [a-z-]+=\(\))*", powers)
    assert {"camera=()", "geolocation=()", "payment=()"} <= set(powers.split(", "))
    assert headers["Server"] == "dargah"
    assert "Set-Cookie" not in headers
    assert "Strict-Transport-Security" not in headers


def leads_to_a_gateway(answer: Answer) -> bool:
    return "/invoice/pay/" in answer.headers.get("Location", "") or '<a class="button" href="?go=1"' in answer.text


def assert_is_a_page(answer: Answer) -> None:
    assert_is_kept_in(answer)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"


def at(path: str, link: str) -> str:
    return path.replace("{link}", link).replace("{invoice_key}", link)


def test_the_walk_has_all_of_them() -> None:
    assert {
        ("GET", "/pay/{link}"),
        ("POST", "/pay/{link}"),
        ("GET", "/return/{link}"),
        ("POST", "/return/{link}"),
        ("GET", "/invoice/pay/{invoice_key}"),
        ("POST", "/invoice/pay/{invoice_key}"),
    } == PAGES


@pytest.mark.parametrize(("method", "path"), sorted(PAGES))
async def test_every_page_in_every_state_keeps_the_browser_in(lab: Lab, method: str, path: str) -> None:
    open_, paid = (await lab.created(), await lab.created(return_url=RETURN_URL))
    await lab.act(paid, "pay")
    unclear = await lab.created()
    assert_is_a_page(await lab.call(method, at(path, UNKNOWN), token=""))
    for payment in (open_, paid):
        answer = await lab.call(method, at(path, link_of(payment)), token="")
        (assert_is_kept_in if answer.status == 303 else assert_is_a_page)(answer)
    await lab.fault("check", "http_500")
    lab.clock.forward(31 * 60_000)
    assert_is_a_page(await lab.call(method, at(path, link_of(unclear)), token=""))
    if method == "GET":
        assert_is_kept_in(await lab.call("HEAD", at(path, link_of(open_)), token=""))


async def test_a_redirect_leaves_the_shops_window_its_opener(lab: Lab) -> None:
    answer = await lab.call("GET", f"/pay/{link_of(await lab.created())}", token="")
    assert answer.status == 303
    assert "Cross-Origin-Opener-Policy" not in answer.headers


async def test_an_error_page_is_a_page(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(type(lab.dargah.services.checkout), "opened", broken)
    answer = await lab.call("GET", f"/pay/{link_of(await lab.created())}", token="")
    assert answer.status == 500
    assert_is_a_page(answer)


@pytest.mark.parametrize("path", ["/v1/payments", "/v1/nothing", "/healthz", "/readyz", "/"])
async def test_an_apis_answers_are_neither_kept_nor_sniffed(lab: Lab, path: str) -> None:
    headers = (await lab.call("GET", path)).headers
    assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")


class TestHsts:
    @pytest.fixture
    def more_settings(self) -> dict[str, Any]:
        return {"public_url": "https://pay.example.ir", "hsts_seconds": 31_536_000}

    @pytest.mark.parametrize("path", ["/healthz", "/nothing", f"/pay/{UNKNOWN}", "/v1/payments"])
    async def test_it_is_on_every_answer_where_it_is_set(self, lab: Lab, path: str) -> None:
        answer = await lab.call("GET", path)
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
