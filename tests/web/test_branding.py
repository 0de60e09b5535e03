"""How a merchant's customers see it: set by the operator, checked, and shown on the pages."""

import base64
import re
from typing import Any

import pytest
from browser.pictures import logo
from support.dargah import OPERATOR_TOKEN

from web.lab import Lab

LOGO = base64.b64encode(logo()).decode()


async def admin(lab: Lab, method: str, path: str, json: Any = None) -> Any:
    headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    return await lab.call(method, f"{lab.dargah.admin_url}/admin/v1{path}", json=json, headers=headers)


async def changed(lab: Lab, **branding: Any) -> Any:
    return await admin(lab, "PATCH", f"/merchants/{lab.merchant_id}", branding)


async def page(lab: Lab, **headers: str) -> str:
    payment = await lab.created()
    await lab.call("GET", await lab.act(payment, "cancel"))
    return (await lab.call("GET", payment["pay_url"], headers=headers, token="")).text


async def test_a_merchant_may_have_a_name_a_colour_a_language_and_a_logo(lab: Lab) -> None:
    shown = await changed(lab, name="Shop", name_fa="فروشگاه من", colour="#0F766E", language="fa", logo=LOGO)
    assert shown.status == 200
    assert (shown.json["name_fa"], shown.json["colour"], shown.json["language"]) == ("فروشگاه من", "#0f766e", "fa")
    text = await page(lab, **{"Accept-Language": "en"})
    assert '<html lang="fa" dir="rtl">' in text
    assert "<bdi>فروشگاه من</bdi>" in text
    assert "--brand:#0f766e" in text
    [src] = re.findall(r'<img src="([^"]+)"', text)
    assert src == shown.json["logo_path"]
    picture = await lab.call("GET", src, token="")
    assert (picture.status, picture.headers["Content-Type"], picture.body) == (200, "image/png", logo())
    assert picture.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert picture.headers["Cache-Control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    ("contact", "link"),
    [
        ("021-8888 1234", "tel:02188881234"),
        ("+98 (21) 88881234", "tel:+982188881234"),
        ("۰۲۱۸۸۸۸۱۲۳۴", "tel:02188881234"),
        (" help@shop.example.ir ", "mailto:help@shop.example.ir"),
        ("https://shop.example.ir/تماس?a=1&b=2", "https://shop.example.ir/%D8%AA%D9%85%D8%A7%D8%B3?a=1&amp;b=2"),
    ],
)
async def test_customers_are_told_how_to_reach_the_shop(lab: Lab, contact: str, link: str) -> None:
    shown = await changed(lab, contact=contact)
    assert (shown.status, shown.json["contact"]) == (200, contact.strip())
    payment = await lab.created()
    messenger = {"User-Agent": "TelegramBot"}
    invitation = await lab.call("GET", payment["pay_url"], headers=messenger, token="")
    await lab.call("GET", await lab.act(payment, "cancel"), token="")
    canceled = await lab.call("GET", payment["pay_url"], token="")
    for each in (invitation, canceled):
        assert f'<a href="{link}" rel="noreferrer">' in each.text
    assert "پیوند پرداخت تازه‌ای از فروشگاه بگیرید" in canceled.text


async def test_a_merchant_may_be_made_with_its_branding(lab: Lab) -> None:
    made = await admin(lab, "POST", "/merchants", {"name": "Shop", "colour": "#ffffff", "logo": LOGO})
    assert made.status == 201
    assert (await lab.call("GET", made.json["logo_path"], token="")).status == 200


async def test_branding_that_was_set_can_be_taken_away(lab: Lab) -> None:
    before = (await changed(lab, name_fa="نام", colour="#123456", language="en", logo=LOGO, contact="0218888")).json
    after = (await changed(lab, name_fa=None, colour=None, language=None, logo=None, contact=None)).json
    assert [after[name] for name in ("name_fa", "colour", "language", "logo_path", "contact")] == [None] * 5
    assert (await lab.call("GET", before["logo_path"], token="")).status == 404
    text = await page(lab)
    assert "<img" not in text
    assert "فروشگاه آزمایش" in text


async def test_another_change_leaves_the_branding(lab: Lab) -> None:
    await changed(lab, colour="#123456", logo=LOGO)
    after = (await changed(lab, name="Other")).json
    assert after["colour"] == "#123456"
    assert (await lab.call("GET", after["logo_path"], token="")).status == 200


async def test_a_logo_is_found_by_its_own_merchant_and_digest_only(lab: Lab) -> None:
    path = (await changed(lab, logo=LOGO)).json["logo_path"]
    other = path.replace(lab.merchant_id, "mer_00000000")
    for wrong in (other, path[:-5] + "0.png", f"/logos/{lab.merchant_id}/.png", f"/logos/{lab.merchant_id}/%00.png"):
        assert (await lab.call("GET", wrong, token="")).status == 404, wrong


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("colour", "red"),
        ("colour", "#fff"),
        ("colour", "#12345g"),
        ("colour", "#123456;}"),
        ("colour", 1),
        ("language", "de"),
        ("name_fa", ""),
        ("name_fa", "a\nb"),
        ("name_fa", "x" * 101),
        ("logo", "not base64!"),
        ("logo", base64.b64encode(b"<svg onload='alert(1)'/>").decode()),
        ("logo", base64.b64encode(logo() + bytes(20_000)).decode()),
        ("logo", 7),
        ("contact", ""),
        ("contact", "call me"),
        ("contact", "12"),
        ("contact", "1" * 16),
        ("contact", "javascript:alert(1)"),
        ("contact", "http://shop.example.ir"),
        ("contact", "https://user@shop.example.ir"),
        ("contact", "a@b"),
        ("contact", "a@b.ir?subject=x"),
        ("contact", "021\n88881234"),
        ("contact", "https://shop.example.ir/" + "x" * 200),
    ],
)
async def test_wrong_branding_is_refused_by_its_field(lab: Lab, field: str, value: Any) -> None:
    answer = await changed(lab, **{field: value})
    assert answer.status == 422, answer.body
    assert set(answer.field_codes()) == {field}


async def test_the_audit_log_names_the_logo_and_does_not_hold_it(lab: Lab) -> None:
    path = (await changed(lab, colour="#123456", logo=LOGO)).json["logo_path"]
    entries = (await admin(lab, "GET", f"/audit?merchant_id={lab.merchant_id}")).json["data"]
    [data] = [entry["data"] for entry in entries if entry["action"] == "merchant.update"]
    assert set(data) == {"colour", "logo"}
    assert data["logo"] in path


async def test_the_language_is_the_browsers_where_the_merchant_leaves_it(lab: Lab) -> None:
    assert '<html lang="en" dir="ltr">' in await page(lab, **{"Accept-Language": "en-US,en;q=0.9"})
    assert '<html lang="fa" dir="rtl">' in await page(lab, **{"Accept-Language": "de"})
