"""What an owner sets in the console beside the guide: operators, a merchant's looks and return secret, endpoints."""

import re
from pathlib import Path

import pytest
from browser.pictures import logo

from proxy.clock import DAY
from proxy.console.uploads import read_parts
from proxy.errors import InvalidInput
from proxy.images import MAX_BYTES
from proxy.operators.records import Role
from web.browsing import console, operator, words
from web.lab import Lab

TYPE = "multipart/form-data; boundary=----b"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With SQLite's file: what pages ask of a store is tested with every store in tests/store."""
    return tmp_path


async def token_of(lab: Lab, name: str, role: str, **form: str) -> str:
    owner = await operator(lab)
    made = await owner.post("/console/operators", {"name": name, "role": role, **form})
    assert made.status == 200, made.text
    text = str(*re.findall(r"dg_op_\w+", made.text))
    assert text not in (await owner.get("/console/operators")).text
    return text


async def test_an_operator_is_added_by_an_owner_and_gets_in_with_the_role_and_no_more(lab: Lab) -> None:
    token = await token_of(lab, "mina", "read")
    browser = console(lab)
    assert (await browser.log_in(token)).status == 303
    listed = await browser.get("/console/operators?lang=en")
    assert "mina" in words(listed)
    assert 'method="post" action="/console/operators' not in listed.text
    assert (await browser.post("/console/operators", {"name": "x", "role": "owner"})).status == 403
    [row] = await lab.dargah.services.store.list_operators()
    assert (row.name, row.role, row.expires_at) == ("mina", Role.READ, None)


async def test_an_operator_whose_time_is_set_is_shut_out_when_it_is_over(lab: Lab) -> None:
    token = await token_of(lab, "guest", "operate", days="7")
    lab.clock.forward(7 * DAY - 1)
    assert (await console(lab).log_in(token)).status == 303
    lab.clock.forward(DAY)
    assert (await console(lab).log_in(token)).status == 401


async def test_an_operators_new_token_is_shown_once_and_the_one_before_is_revoked_with_its_sessions(lab: Lab) -> None:
    token = await token_of(lab, "mina", "operate")
    theirs = console(lab)
    await theirs.log_in(token)
    owner = await operator(lab)
    await owner.get("/console/operators")
    [before] = await lab.dargah.services.store.list_operators()
    rotated = await owner.post(f"/console/operators/{before.id}/rotate")
    [new] = re.findall(r"dg_op_\w+", rotated.text)
    assert new != token
    assert (await console(lab).log_in(new)).status == 303
    assert (await theirs.get("/console/payments")).status == 200
    assert (await owner.post(f"/console/operators/{before.id}/revoke")).status == 303
    assert (await theirs.get("/console/payments")).status == 303
    assert (await console(lab).log_in(token)).status == 401
    assert (await console(lab).log_in(new)).status == 303


@pytest.mark.parametrize(
    ("form", "status", "said"),
    [
        ({"name": "دو کلمه", "role": "read"}, 422, "name: must be 1 to 40"),
        ({"name": "x", "role": "king"}, 422, "role: must be one of the choices"),
        ({"name": "x", "role": "read", "days": "10000"}, 422, "days: must be one of the choices"),
        ({"name": "mina", "role": "read"}, 409, "mina"),
    ],
)
async def test_an_operator_who_cannot_be_added_is_not_and_why_is_said(
    lab: Lab, form: dict[str, str], status: int, said: str
) -> None:
    await token_of(lab, "mina", "read")
    before = lab.rows()["operators"]
    browser = await operator(lab)
    await browser.get("/console/operators?lang=en")
    refused = await browser.post("/console/operators", form)
    assert refused.status == status
    assert said in words(refused)
    assert 'role="alert"' in refused.text
    assert lab.rows()["operators"] == before


async def test_how_customers_see_a_merchant_is_set_with_a_logo_from_a_file(lab: Lab) -> None:
    browser = await operator(lab)
    path = f"/console/merchants/{lab.merchant_id}"
    await browser.get(path)
    looks = {"name_fa": "چای‌خانه", "colour": "#0F766E", "language": "en"}
    assert (await browser.post(f"{path}/looks", looks, files={"logo": logo()})).status == 303
    page = await browser.get(path)
    assert "چای‌خانه" in page.text
    assert 'fill="#0f766e"' in page.text
    shown = await browser.get(f"{path}/logo")
    assert (shown.headers["Content-Type"], shown.body[:4]) == ("image/png", b"\x89PNG")
    payment = await lab.created()
    customers = await lab.call("GET", payment["pay_url"], token="", headers={"User-Agent": "TelegramBot"})
    assert f"/logos/{lab.merchant_id}/" in customers.text

    kept = await browser.post(f"{path}/looks", looks | {"colour": ""}, files={"logo": b""})
    assert kept.status == 303
    merchant = await lab.dargah.services.store.merchant(lab.merchant_id)
    assert merchant.looks.logo is not None
    assert merchant.looks.colour is None
    await browser.post(f"{path}/looks", {"no_logo": "1"}, files={"logo": b""})
    merchant = await lab.dargah.services.store.merchant(lab.merchant_id)
    assert merchant.looks == type(merchant.looks)()
    assert (await browser.get(f"{path}/logo")).status == 404


@pytest.mark.parametrize(
    ("form", "image", "said"),
    [
        ({"colour": "red"}, b"", "colour: must be a colour"),
        ({"language": "de"}, b"", "language: must be one of the choices"),
        ({}, b"<svg onload=alert(1)>", "logo: must be a PNG image"),
        ({}, b"\x89PNG\r\n\x1a\n" + b"\0" * MAX_BYTES, f"logo: must be at most {MAX_BYTES} bytes"),
    ],
)
async def test_looks_that_are_refused_change_nothing_and_say_why(
    lab: Lab, form: dict[str, str], image: bytes, said: str
) -> None:
    browser = await operator(lab)
    path = f"/console/merchants/{lab.merchant_id}"
    await browser.get(f"{path}?lang=en")
    before = lab.rows()["merchants"]
    refused = await browser.post(f"{path}/looks", form, files={"logo": image})
    assert refused.status == 422
    assert said in words(refused).replace("  ", " ").replace(" :", ":")
    assert lab.rows()["merchants"] == before


async def test_a_file_is_taken_only_by_the_form_that_has_one_and_with_its_token(lab: Lab) -> None:
    browser = await operator(lab)
    path = f"/console/merchants/{lab.merchant_id}"
    await browser.get(path)
    before = lab.rows()["merchants"]
    assert (await browser.post(path, {"name": "x"}, files={"logo": logo()})).status == 415
    assert (await browser.post(f"{path}/looks", {"name_fa": "x"}, csrf="0" * 64, files={"logo": logo()})).status == 403
    assert lab.rows()["merchants"] == before


def test_a_forms_texts_and_files_are_told_apart() -> None:
    body = (
        b'------b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xda\x86\r\n'
        b'------b\r\nContent-Disposition: form-data; name="f"; filename="x.png"\r\nContent-Type: image/png\r\n\r\n'
        b"\r\n--\x00\xff\r\n\r\n------b--\r\n"
    )
    assert read_parts(TYPE, body) == ([("a", "چ")], {"f": b"\r\n--\x00\xff\r\n"})


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b""),
        (TYPE, b""),
        (TYPE, b"------b\r\n\r\nx\r\n------b--"),
        (TYPE, b'------b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx'),
        (TYPE, b'x\r\n------b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n------b--'),
        (TYPE, b'------b\r\nContent-Disposition: form-data; name="a"; filename="x"\r\n\r\nx\r\n' * 2 + b"------b--"),
        (TYPE, b'------b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' * 100 + b"------b--"),
    ],
)
def test_a_form_that_no_browser_sends_is_refused(content_type: str, body: bytes) -> None:
    with pytest.raises(InvalidInput):
        read_parts(content_type, body)


async def test_a_return_secret_is_made_anew_and_shown_once(lab: Lab) -> None:
    browser = await operator(lab)
    path = f"/console/merchants/{lab.merchant_id}"
    await browser.get(path)
    made = await browser.post(f"{path}/rotate-return-secret")
    [text] = re.findall(r"dg_return_\w+", made.text)
    again = await browser.post(f"{path}/rotate-return-secret")
    assert text not in again.text
    assert text not in (await browser.get(path)).text
    assert "merchant.rotate_return_secret" in (await browser.get("/console/audit")).text


async def test_an_endpoint_is_deleted_and_its_page_is_gone(lab: Lab) -> None:
    url = "https://own.example.ir/hook"
    endpoint, _ = await lab.dargah.services.setup.add_endpoint(lab.merchant_id, url, actor="test")
    browser = await operator(lab)
    assert "/delete" in (await browser.get(f"/console/endpoints/{endpoint.id}")).text
    deleted = await browser.post(f"/console/endpoints/{endpoint.id}/delete")
    assert (deleted.status, deleted.headers["Location"]) == (303, f"/console/merchants/{lab.merchant_id}?said=deleted")
    assert url not in (await browser.get(deleted.headers["Location"])).text
    assert (await browser.get(f"/console/endpoints/{endpoint.id}")).status == 404
