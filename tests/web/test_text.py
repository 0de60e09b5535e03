"""What people write comes back as they wrote it, by every way that it is shown; and no reader is deceived by it."""

import csv
import io
import json
import random
import unicodedata
from html import unescape
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.kernel.text import is_blank, refused_in, without_direction
from proxy.merchants.merchant import Mode
from proxy.payments.return_url import verify
from web.browsing import portal
from web.drop_in import drop_in
from web.lab import ORIGIN, RETURN_URL, Lab

REFUSED = ["\x00", "\x1b", "\x7f", "\x85", "\x9b", "\u2028", "\u2029", "\u202d", "\u202e", "\ud800", "\udfff"]
REFUSED += ["\u2065", "\ufff0", "\ufdd0", "\ufffe", "\U0001ffff", "\U0010fffe", "\U000e0000", "\U000e0fff"]
KEPT = [
    "می\u200cخواهم",
    "\u200f۱۷",
    "علی\u200eA\u061c",
    "👨\u200d👩\u200d👧",
    "❤\ufe0f🇮🇷",
    "🏴\U000e0067\U000e0062\U000e007f",
    "e\u0301\u0651",
    "\u202a17\u202c",
    "\u2067۱۷\u2069",
    "𐎠\U0001fae8\U0001fadf",
    "\ue000",
    "\ufffd?",
    "a&b=c+d%20;\"',<b>{{7}}",
    "=1+1",
    "A  B\u3000C\u00a0D",
]


def orders() -> list[str]:
    """Those, and printable ones from everywhere in Unicode, the same in each run."""
    drawn = random.Random(16)
    chars = [chr(point) for point in range(0x21, 0x30000) if unicodedata.category(chr(point))[0] in "LMNPS"]
    return [*KEPT, *("".join(drawn.sample(chars, drawn.randint(1, 100))) for _ in range(10))]


@pytest.mark.parametrize("char", REFUSED)
def test_what_no_reader_sees_is_refused(char: str) -> None:
    assert refused_in(f"ب{char}") == f"U+{ord(char):04X}"
    assert refused_in(f"a{char}", lines=True)


@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]) | st.sampled_from("".join(KEPT)), min_size=1))
def test_what_can_be_written_is_kept(text: str) -> None:
    assert refused_in(text) is None


def test_a_text_without_anything_to_see_is_blank() -> None:
    assert is_blank("\u200c \u200f\u2067\u00a0")
    assert not is_blank("\u200c۱")
    assert without_direction("\u202a۱\u202e\u200c7\u2069") == "۱\u200c7"


async def test_an_order_id_comes_back_as_it_was_sent(lab: Lab) -> None:
    shop, sent = await drop_in(lab), orders()
    ids = {}
    for order_id in sent:
        payment = await lab.created(
            order_id=order_id, description=order_id, metadata={"سفارش": order_id}, return_url=RETURN_URL
        )
        assert (payment["order_id"], payment["description"], payment["metadata"]["سفارش"]) == (order_id,) * 3
        home = (await lab.call("GET", await lab.act(payment, "pay"), token="")).location
        told = dict(parse_qsl(urlsplit(home).query, strict_parsing=True, errors="strict"))
        assert told["order_id"] == order_id
        assert verify(lab.return_secret, Mode.LIVE, told)
        listed = (await lab.call("GET", f"/v1/payments?order_id={quote(order_id, safe='')}")).json["data"]
        assert [each["id"] for each in listed] == [payment["id"]]
        ids[payment["id"]] = order_id
    for order_id in sent:
        key = await shop.invoice(order_id=f"d{order_id[:99]}")
        assert (await shop.payment(key)).order_id == f"d{order_id[:99]}"
        form = f"api_key={shop.token}&amount=150000&return_url={quote(RETURN_URL)}&order_id=f{quote(order_id[:99])}"
        answer = (await shop.send("/invoice/request", form.encode())).json
        assert (await shop.payment(answer["invoice_key"])).order_id == f"f{order_id[:99]}"
    events = (await lab.call("GET", "/v1/events?type=payment.paid&limit=100")).json["data"]
    assert {each["data"]["id"]: each["data"]["order_id"] for each in events} == ids
    browser = await portal(lab)
    rows = list(csv.reader(io.StringIO((await browser.get("/portal/payments.csv")).body.decode("utf-8-sig"))))
    cells = {cell.removeprefix("'") for row in rows for cell in row}
    for payment_id, order_id in ids.items():
        assert f"<bdi>{order_id}</bdi>" in unescape((await browser.get(f"/portal/payments/{payment_id}")).text)
        assert order_id in cells


async def test_an_app_is_gone_back_to_where_its_scheme_is_registered(lab: Lab) -> None:
    url = "myapp://pay/نتیجه?cart=7&status=mine"
    assert (await lab.create(return_url=url)).field_codes() == {"return_url": "return_origin_not_registered"}
    setup = lab.dargah.services.setup
    await setup.change_merchant(lab.merchant_id, actor="test", return_origins=[ORIGIN, "MyApp://"])
    payment = await lab.created(return_url=url)
    assert payment["return_url"] == url
    answer = await lab.call("GET", await lab.act(payment, "pay"), token="")
    assert answer.status == 303
    assert answer.location.startswith(
        "myapp://pay/%D9%86%D8%AA%DB%8C%D8%AC%D9%87?cart=7&status=mine&dargah_payment_id=pay_"
    )
    assert verify(lab.return_secret, Mode.LIVE, dict(parse_qsl(urlsplit(answer.location).query)))
    page = await lab.call("GET", urlsplit(payment["pay_url"]).path, token="")
    assert f'href="{answer.location}"' in unescape(page.text)
    for other in ("myapp2://pay", "xmyapp://pay", "javascript://myapp//%0aalert(1)", "https://myapp/"):
        assert (await lab.create(return_url=other)).status == 422, other


async def test_a_body_with_a_lone_surrogate_is_refused(lab: Lab) -> None:
    body = json.dumps({"amount": 15_000, "currency": "IRT", "order_id": "A\ud800"}).encode()
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    assert (await lab.call("POST", "/v1/payments", data=body, headers=headers)).status == 400
