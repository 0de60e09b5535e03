"""Pay links in messages and on paper, and the customer's way back, whose additions can be verified."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import zxingcpp

from proxy.api.v1.payments import qr_svg
from proxy.kernel.errors import InvalidInput
from proxy.kernel.money import Currency
from proxy.kernel.urls import ascii_url
from proxy.merchants.merchant import Mode, Scope
from proxy.payments.payment import Payment, Status
from proxy.payments.return_url import PARAMETERS, PREFIXED, check_parameters, parameter_names, signed_return_url, verify
from web.lab import RETURN_URL, Lab, link_of

MESSENGER = {"User-Agent": "TelegramBot (like TwitterBot)"}
AHEAD = {"Sec-Purpose": "prefetch;prerender"}


@pytest.mark.parametrize(
    ("path", "asker", "status"), [("pay", MESSENGER, 200), ("pay", AHEAD, 503), ("return", AHEAD, 503)]
)
async def test_a_preview_asks_and_records_nothing_and_is_sent_nowhere(
    lab: Lab, path: str, asker: Mapping[str, str], status: int
) -> None:
    payments = [await lab.created(return_url=RETURN_URL) for _ in range(2)]
    await lab.act(payments[1], "pay")
    lab.clock.forward(60_000)
    before, asked = lab.rows(), await lab.checks()
    for payment in payments:
        answer = await lab.call("GET", f"/{path}/{link_of(payment)}", headers=asker, token="")
        assert answer.status == status
        assert "Location" not in answer.headers
        assert '<meta property="og:title" content="پرداخت ۱۵٬۰۰۰ تومان به فروشگاه آزمایش">' in answer.text
        assert 'name="robots" content="noindex' in answer.text
        assert answer.headers["X-Robots-Tag"] == "noindex, nofollow"
    lab.clock.forward(60 * 60_000)
    late = await lab.call("GET", f"/{path}/{link_of(payments[1])}", headers=asker, token="")
    assert "مهلت این پیوند پرداخت تمام شده است" in late.text
    assert lab.rows() == before
    assert await lab.checks() == asked


async def test_a_customer_who_is_taken_for_a_messenger_goes_on_by_a_button(lab: Lab) -> None:
    payment = await lab.created()
    page = await lab.call("GET", payment["pay_url"], headers=MESSENGER, token="")
    [button] = re.findall(r'<a class="button" href="([^"]*)"', page.text)
    answer = await lab.call("GET", payment["pay_url"] + button, headers=MESSENGER, token="")
    assert answer.status == 303
    assert answer.location == f"{lab.gateway_url}/invoice/pay/{payment['invoice_key']}"


async def test_a_preview_of_an_ended_payment_tells_its_end(lab: Lab) -> None:
    payment = await lab.created(return_url=RETURN_URL)
    await lab.call("GET", await lab.act(payment, "pay"))
    page = await lab.call("GET", payment["pay_url"], headers=MESSENGER, token="")
    assert '<meta property="og:title" content="پرداخت انجام شد">' in page.text


async def test_a_return_by_post_is_the_banks_whatever_calls_itself_a_bot(lab: Lab) -> None:
    payment = await lab.created(return_url=RETURN_URL)
    await lab.act(payment, "pay")
    answer = await lab.call("POST", f"/return/{link_of(payment)}", headers=MESSENGER, token="")
    assert answer.status == 303
    assert "status=paid&" in answer.location


async def test_a_gateway_that_does_not_answer_is_told_of_and_may_be_tried(lab: Lab) -> None:
    payment = await lab.created(return_url=RETURN_URL)
    await lab.fault("check", "http_500")
    for _ in range(5):
        await lab.call("POST", f"/v1/payments/{payment['id']}/check")
    page = await lab.call("GET", payment["pay_url"], token="")
    assert page.status == 200
    assert "<title>درگاه بانک پاسخ نمی‌دهد</title>" in page.text
    assert '<meta http-equiv="refresh" content="10">' in page.text
    assert "بازگشت به فروشگاه" in page.text
    assert (await lab.call("GET", payment["pay_url"] + "?go=1", token="")).status == 303
    # Looking takes nobody's turn as the probe, and after the pause the customer goes straight on.
    lab.clock.forward(6 * 60_000)
    assert (await lab.call("GET", payment["pay_url"], token="")).status == 303


def decoded(svg: str) -> str:
    """What a reader sees in the SVG, whose one path draws runs of modules from left to right."""
    side = int(re.findall(r'viewBox="0 0 (\d+)|width="(\d+)"', svg)[0][1])
    scale = int(re.findall(r"scale\((\d+)\)", svg)[0])
    modules = side // scale
    pixels = bytearray(b"\xff" * side * side)
    drawn = re.findall(r'class="qrline"[^>]* d="([^"]+)"|d="([^"]+)"[^>]*class="qrline"', svg)[0]
    x, y = 0.0, 0.0
    for command, arguments in re.findall(r"([Mmh])([^Mmh]*)", "".join(drawn)):
        numbers = [float(number) for number in re.findall(r"-?[\d.]+", arguments)]
        if command == "M":
            x, y = numbers
        elif command == "m":
            x, y = x + numbers[0], y + numbers[1]
        else:
            for column in range(int(x), int(x + numbers[0])):
                for row in range(scale):
                    at = (int(y) * scale + row) * side + column * scale
                    pixels[at : at + scale] = bytes(scale)
            x += numbers[0]
    assert modules > 20
    [found] = zxingcpp.read_barcodes(memoryview(bytes(pixels)).cast("B", (side, side)))
    return str(found.text)


async def test_the_qr_code_of_a_payment_is_its_pay_link(lab: Lab) -> None:
    payment = await lab.created()
    answer = await lab.call("GET", f"/v1/payments/{payment['id']}/qr.svg")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/svg+xml; charset=utf-8")
    assert answer.headers["Cache-Control"] == "private, max-age=86400"
    assert "script" not in answer.text
    assert decoded(answer.text) == payment["pay_url"]


def test_a_longer_link_is_read_too() -> None:
    link = f"https://pay.a-rather-long-name-of-a-shop.example.ir/payments/pay/{'0aZ9' * 8}"
    assert decoded(qr_svg(link).decode()) == link


async def test_a_qr_code_is_the_payments_readers_only(lab: Lab) -> None:
    payment = await lab.created()
    path = f"/v1/payments/{payment['id']}/qr.svg"
    writer = await lab.issue(scopes=frozenset({Scope.PAYMENTS_WRITE}))
    statuses = [
        (await lab.call("GET", path, token=token)).status for token in (writer, await lab.another_merchant(), "")
    ]
    assert statuses == [403, 404, 401]


async def test_the_picture_of_a_preview_is_where_the_page_says(lab: Lab) -> None:
    payment = await lab.created()
    page = await lab.call("GET", payment["pay_url"], headers=MESSENGER, token="")
    [picture] = re.findall(r'<meta property="og:image" content="([^"]+)">', page.text)
    answer = await lab.call("GET", picture, headers=MESSENGER, token="")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/png")
    assert answer.body.startswith(b"\x89PNG")


async def test_the_font_is_served_for_good_with_its_licence(lab: Lab) -> None:
    page = await lab.call("GET", f"/pay/{'0' * 30}", token="")
    [font] = re.findall(r'url\("([^"]+)"\)', page.text)
    answer = await lab.call("GET", font, token="")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "font/woff2")
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.body.startswith(b"wOF2")
    licence = await lab.call("GET", "/assets/OFL.txt", token="")
    assert "SIL OPEN FONT LICENSE" in licence.text.upper()
    for name in ("nothing", "subset.sh", "..%2Fpages.py", "vazirmatn.woff2"):
        assert (await lab.call("GET", f"/assets/{name}", token="")).status == 404


class TestUnderAPath:
    @pytest.fixture
    def more_settings(self) -> dict[str, Any]:
        return {"public_url": "https://shop.example.ir/payments"}

    async def test_what_pages_load_is_under_the_public_urls_path(self, lab: Lab) -> None:
        page = await lab.call("GET", f"/pay/{'0' * 30}", token="")
        assert 'url("/payments/assets/vazirmatn.' in page.text
        assert 'href="/payments/assets/icon.' in page.text


SECRET = "rsec_0123456789abcdef"
PAYMENT = Payment(
    id="pay_8Hk2Lm0Q0UfJx3aZ7cVbN1mKpT",
    merchant_id="mer_8Hk2Lm0Q",
    storefront="main",
    terminal_id="trm_8Hk2Lm0Q0UfJx1QwErTyUiOpAs",
    mode=Mode.LIVE,
    order_id="سفارش ~*&=17+",
    amount_rials=150_000,
    currency=Currency.IRR,
    description=None,
    metadata={},
    return_url="https://shop.example.ir/thanks",
    link="8Hk2Lm0QaB3dE6gH9jK2mN5pQ8sT1v",
    expires_at=0,
    created_at=0,
    updated_at=0,
    status=Status.PAID,
)


def parameters(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query, strict_parsing=True))


def test_what_is_added_verifies_and_names_the_order_whatever_is_in_it() -> None:
    added = parameters(signed_return_url("https://shop.example.ir/thanks", SECRET, PAYMENT))
    assert added["payment_id"] == PAYMENT.id
    assert added["order_id"] == PAYMENT.order_id
    assert added["status"] == "paid"
    assert added["payment_mode"] == "live"
    assert verify(SECRET, Mode.LIVE, added)


@pytest.mark.parametrize("name", [name for name in PARAMETERS if name != "signature"])
def test_a_changed_or_missing_parameter_does_not_verify(name: str) -> None:
    added = parameters(signed_return_url("https://shop.example.ir/thanks", SECRET, PAYMENT))
    assert not verify(SECRET, Mode.LIVE, {**added, name: added[name] + "x"})
    assert not verify(SECRET, Mode.LIVE, {**added, name: "پرداخت"})
    del added[name]
    assert not verify(SECRET, Mode.LIVE, added)


def test_another_merchants_secret_does_not_verify() -> None:
    assert not verify(
        "rsec_other", Mode.LIVE, parameters(signed_return_url("https://shop.example.ir/", SECRET, PAYMENT))
    )


def test_the_signatures_are_what_the_documentation_says() -> None:
    added = parameters(signed_return_url("https://shop.example.ir/thanks", SECRET, PAYMENT))
    text = f"payment_id={PAYMENT.id}&order_id={PAYMENT.order_id}&status=paid"
    first, second = (
        hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest()
        for signed in (text, f"{text}&payment_mode=live")
    )
    assert (added["signature"], added["signature_v2"]) == (first, second)


def test_a_test_payment_does_not_verify_as_live_under_either_version() -> None:
    test = parameters(signed_return_url("https://shop.example.ir/thanks", SECRET, replace(PAYMENT, mode=Mode.TEST)))
    assert verify(SECRET, Mode.TEST, test)
    assert not verify(SECRET, Mode.LIVE, test)
    assert not verify(SECRET, Mode.LIVE, {**test, "payment_mode": "live"})
    assert not verify(SECRET, Mode.LIVE, {**test, "signature_v2": test["signature"], "payment_mode": "live"})


@pytest.mark.parametrize(
    ("return_url", "begins"),
    [
        ("https://shop.example.ir", "https://shop.example.ir?payment_id=pay_"),
        ("https://shop.example.ir/t", "https://shop.example.ir/t?payment_id=pay_"),
        ("https://shop.example.ir/t?", "https://shop.example.ir/t?payment_id=pay_"),
        ("https://shop.example.ir/t?a=1", "https://shop.example.ir/t?a=1&payment_id=pay_"),
        ("https://shop.example.ir/t?a=b%20c+d&e&f=%7E", "https://shop.example.ir/t?a=b%20c+d&e&f=%7E&payment_id=pay_"),
        ("https://shop.example.ir:8443/%D8%B3", "https://shop.example.ir:8443/%D8%B3?payment_id=pay_"),
        ("https://shop.example.ir/سفارش", "https://shop.example.ir/%D8%B3%D9%81%D8%A7%D8%B1%D8%B4?payment_id=pay_"),
        ("https://[::1]:8443/t", "https://[::1]:8443/t?payment_id=pay_"),
    ],
)
def test_the_shops_own_url_survives(return_url: str, begins: str) -> None:
    url = signed_return_url(return_url, SECRET, PAYMENT)
    assert url.startswith(begins)
    assert url.isascii()


@pytest.mark.parametrize(
    "query",
    [
        "expires=1735689600&signature=0f%2Bc",
        "order%5Fid=9&x=1&status=canceled",
        "status[]=new&a=1",
        "Payment_Id=7",
        "payment.id=7",
        "a=1;status=2",
        "status",
        "&&order_id=17&&",
    ],
)
def test_a_query_of_our_names_is_kept_and_ours_are_prefixed(query: str) -> None:
    url = signed_return_url(f"https://shop.example.ir/t?{query}#top", SECRET, PAYMENT)
    kept, _, added = urlsplit(url).query.partition("dargah_payment_id=")
    assert kept.removesuffix("&") == query.removesuffix("&")
    assert [name for name, _ in parse_qsl(f"dargah_payment_id={added}")] == list(PREFIXED)
    assert url.endswith("#top")
    assert verify(SECRET, Mode.LIVE, dict(parse_qsl(urlsplit(url).query)))


@pytest.mark.parametrize(
    "query", ["state=1", "my_order_id=1", "statusx", "a=status=1", "dargah_status=1", "#?status=1"]
)
def test_a_query_without_our_names_leaves_them_as_they_are(query: str) -> None:
    assert parameter_names(f"https://shop.example.ir/t?{query}") == PARAMETERS


def test_a_url_that_takes_both_names_is_refused() -> None:
    check_parameters("https://shop.example.ir/t?status=1&order_id=2&dargah=1")
    check_parameters("https://shop.example.ir/t?dargah_status=1")
    for query in ("status=1&Dargah.Signature=2", "dargah_signature_v2=0", "a=1&Dargah_Signature_V2[]"):
        with pytest.raises(InvalidInput) as caught:
            check_parameters(f"https://shop.example.ir/t?{query}")
        assert [(error.field, error.code) for error in caught.value.errors] == [("return_url", "parameters_taken")]


def test_an_app_gets_the_same_parameters() -> None:
    url = signed_return_url("myapp://pay/done?cart=7", SECRET, PAYMENT)
    assert url.startswith("myapp://pay/done?cart=7&payment_id=pay_")
    assert verify(SECRET, Mode.LIVE, parameters(url))


def test_the_query_stands_before_a_fragment() -> None:
    url = signed_return_url("https://shop.example.ir/app#/done", SECRET, replace(PAYMENT, order_id="A"))
    assert urlsplit(url).fragment == "/done"
    assert verify(SECRET, Mode.LIVE, parameters(url))


def test_a_host_that_no_name_can_have_is_refused() -> None:
    with pytest.raises(ValueError, match="looked up"):
        ascii_url(f"https://{'س' * 80}.ir/")


async def test_the_way_back_is_signed_with_a_new_secret_as_soon_as_there_is_one(lab: Lab) -> None:
    async def signed_by(secret: str) -> bool:
        payment = await lab.created(return_url=RETURN_URL)
        answer = await lab.call("GET", await lab.act(payment, "pay"), token="")
        assert answer.status == 303
        return verify(secret, Mode.LIVE, parameters(answer.location))

    assert await signed_by(lab.return_secret)
    new = await lab.dargah.services.setup.rotate_return_secret(lab.merchant_id, actor="test")
    assert await signed_by(new)
    assert not await signed_by(lab.return_secret)
