"""Pay links in messages and on paper: previews change nothing, and a QR code is the link."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
import zxingcpp

from proxy.merchant import Scope
from proxy.web.qr import qr_svg
from web.lab import RETURN_URL, Lab, link_of

MESSENGER = {"User-Agent": "TelegramBot (like TwitterBot)"}
AHEAD = {"Sec-Purpose": "prefetch;prerender"}
ASKERS = pytest.mark.parametrize(("asker", "status"), [(MESSENGER, 200), (AHEAD, 503)], ids=["messenger", "browser"])


@ASKERS
@pytest.mark.parametrize("path", ["pay", "return"])
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
