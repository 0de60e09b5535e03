"""What an owner sets in the console beside the guide, and the bank's rows, pasted beside a merchant's payments."""

import re
from pathlib import Path
from typing import Any

import pytest
from browser.stage import logo
from support.families import BANK, CREDENTIALS, add_bank

from proxy.kernel.clock import DAY
from proxy.locale.persian import jalali_time
from proxy.merchants.logo_images import MAX_BYTES
from proxy.operators.records import Role
from web.clients import console, operator, words
from web.lab import Lab, link_of


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
    [row] = await lab.dargah.services.store.operators.list_operators()
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
    [before] = await lab.dargah.services.store.operators.list_operators()
    rotated = await owner.confirmed(f"/console/operators/{before.id}/rotate")
    [new] = re.findall(r"dg_op_\w+", rotated.text)
    assert new != token
    assert (await console(lab).log_in(new)).status == 303
    assert (await theirs.get("/console/payments")).status == 200
    assert (await owner.confirmed(f"/console/operators/{before.id}/revoke")).status == 303
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
    branding = {"name_fa": "چای‌خانه", "colour": "#0F766E", "language": "en", "contact": "+98 21 8888 1234"}
    assert (await browser.post(f"{path}/looks", branding, files={"logo": logo()})).status == 303
    page = await browser.get(path)
    assert "چای‌خانه" in page.text
    assert 'fill="#0f766e"' in page.text
    assert 'value="+98 21 8888 1234"' in page.text
    shown = await browser.get(f"{path}/logo")
    assert (shown.headers["Content-Type"], shown.body[:4]) == ("image/png", b"\x89PNG")
    payment = await lab.created()
    customers = await lab.call("GET", payment["pay_url"], token="", headers={"User-Agent": "TelegramBot"})
    assert f"/logos/{lab.merchant_id}/" in customers.text

    kept = await browser.post(f"{path}/looks", branding | {"colour": ""}, files={"logo": b""})
    assert kept.status == 303
    merchant = await lab.dargah.services.store.merchants.merchant(lab.merchant_id)
    assert merchant.branding.logo is not None
    assert merchant.branding.colour is None
    await browser.post(f"{path}/looks", {"no_logo": "1"}, files={"logo": b""})
    merchant = await lab.dargah.services.store.merchants.merchant(lab.merchant_id)
    assert merchant.branding == type(merchant.branding)()
    assert (await browser.get(f"{path}/logo")).status == 404


@pytest.mark.parametrize(
    ("form", "image", "said"),
    [
        ({"colour": "red"}, b"", "colour: must be a colour"),
        ({"language": "de"}, b"", "language: must be one of the choices"),
        ({"contact": "call me"}, b"", "contact: must be a telephone number"),
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


@pytest.mark.parametrize(
    ("protocol", "name", "host"),
    [("zarinpal", "merchant_id", "payment.zarinpal.com"), ("zibal", "merchant", "gateway.zibal.ir")],
)
async def test_a_shop_that_speaks_a_protocol_is_told_what_to_paste(
    lab: Lab, protocol: str, name: str, host: str
) -> None:
    browser = await operator(lab)
    path = f"/console/merchants/{lab.merchant_id}"
    await browser.get(path)
    form = {"storefront": "main", "mode": "live", "protocol": protocol, "scope:payments:read": "1"}
    made = await browser.post(f"{path}/tokens", form)
    said = words(made)
    assert f"{lab.dargah.services.public_url()}/" in said
    assert host in said
    assert re.search(rf"{name}\s+(dg_live_\w{{36}}|[0-9a-f-]{{36}})", said), said
    tokens = await lab.dargah.services.store.merchants.list_tokens(lab.merchant_id)
    [token] = [each for each in tokens if each.protocol == protocol]
    assert token.scope_names() == ["facade"]
    nonsense = await browser.post(f"{path}/tokens", form | {"protocol": "paypal"})
    assert nonsense.status == 422


async def test_a_return_secret_is_made_anew_and_shown_once(lab: Lab) -> None:
    browser = await operator(lab)
    path = f"/console/merchants/{lab.merchant_id}"
    await browser.get(path)
    made = await browser.confirmed(f"{path}/rotate-return-secret")
    [text] = re.findall(r"dg_return_\w+", made.text)
    again = await browser.confirmed(f"{path}/rotate-return-secret")
    assert text not in again.text
    assert text not in (await browser.get(path)).text
    assert "merchant.rotate_return_secret" in (await browser.get("/console/audit")).text


async def test_an_endpoints_limit_is_set_with_it_and_changed_on_its_page(lab: Lab) -> None:
    browser = await operator(lab)
    path = f"/console/merchants/{lab.merchant_id}"
    form = {"url": "https://own.example.ir/hook", "mode": "live", "max_in_flight": "۳۲"}
    await browser.get(path)
    assert "max_in_flight" in words(await browser.post(f"{path}/endpoints", form | {"max_in_flight": "65"}))
    assert (await browser.post(f"{path}/endpoints", form)).status == 200
    [endpoint] = await lab.dargah.services.store.webhooks.list_endpoints(lab.merchant_id)
    page = f"/console/endpoints/{endpoint.id}"
    assert "0 of at most 32" in words(await browser.get(f"{page}?lang=en"))
    for wrong in ("", "0", "65", "-1", "8.5", "9" * 400, "x"):
        refused = await browser.post(f"{page}/limit", {"max_in_flight": wrong})
        assert (refused.status, "must be 1 to 64" in words(refused)) == (422, True)
    lab.clock.forward(1000)
    changed = await browser.post(f"{page}/limit", {"max_in_flight": "1"})
    assert (changed.status, changed.headers["Location"]) == (303, f"{page}?said=saved")
    [stored] = await lab.dargah.services.store.webhooks.list_endpoints(lab.merchant_id)
    assert (stored.max_in_flight, stored.url) == (1, endpoint.url)
    [entry] = await lab.dargah.services.store.audit.list_audit(lab.merchant_id, None, 1)
    assert (entry.action, entry.data) == ("endpoint.update", {"max_in_flight": 1})


async def test_an_endpoint_is_deleted_and_its_page_is_gone(lab: Lab) -> None:
    url = "https://own.example.ir/hook"
    endpoint, _ = await lab.dargah.services.endpoints.add_endpoint(lab.merchant_id, url, actor="test")
    browser = await operator(lab)
    assert "/delete" in (await browser.get(f"/console/endpoints/{endpoint.id}")).text
    deleted = await browser.confirmed(f"/console/endpoints/{endpoint.id}/delete")
    assert (deleted.status, deleted.headers["Location"]) == (303, f"/console/merchants/{lab.merchant_id}?said=deleted")
    assert url not in (await browser.get(deleted.headers["Location"])).text
    assert (await browser.get(f"/console/endpoints/{endpoint.id}")).status == 404


async def test_a_merchants_page_shows_what_a_restore_took_away_once_somebody_asks_for_it(lab: Lab) -> None:
    owner, path = await operator(lab), f"/console/merchants/{lab.merchant_id}?lang=en"
    assert "Lost in a restore" not in words(await owner.get(path))
    payment = await lab.created()
    await lab.dargah.services.store.recovery.note_restore(lab.clock.now - DAY, lab.clock.now)
    link = link_of(payment)
    gone = link[:-1] + ("x" if link[-1] != "x" else "y")
    async with lab.session.get(f"{lab.dargah.url}/return/{gone}", params={"invoice_key": "<b>1</b>"}) as answer:
        assert answer.status == 404
    shown = await owner.get(path)
    assert gone in words(shown)
    assert "Lost in a restore" in words(shown)
    assert "<b>1</b>" not in shown.text


async def paid(lab: Lab) -> dict[str, Any]:
    payment = await lab.created()
    await lab.act(payment, "pay")
    checked: dict[str, Any] = (await lab.call("POST", f"/v1/payments/{payment['id']}/check")).json
    assert checked["status"] == "paid"
    # The period is whole days, but does not reach into the future.
    lab.clock.forward(1000)
    return checked


def row(lab: Lab, code: str, rials: int) -> str:
    return f"{code}\t{rials:,}\t{jalali_time(lab.clock()).split()[0]}\n"


HEADINGS = "کد پیگیری\tمبلغ (ریال)\tتاریخ\n"


async def test_pasted_rows_are_compared_and_each_difference_leads_to_its_payment(lab: Lab) -> None:
    first, second, third = [await paid(lab) for _ in range(3)]
    browser = await operator(lab)
    form = f"/console/merchants/{lab.merchant_id}/reconcile"
    assert "Compare" in (await browser.get(f"{form}?lang=en")).text
    pasted = HEADINGS + row(lab, first["bank_code"], 150_000) * 2 + row(lab, second["bank_code"], 15_000)
    pasted += row(lab, "140509031234", 99_000)
    lab.clock.forward(1)  # what is noted in one millisecond has no order
    told = await browser.followed(await browser.post(f"{form}?lang=en", {"rows": pasted}))
    text = words(told)
    assert "Rows that match: 1" in text
    for said in ("The amount differs", "Twice in the file", "Missing here", "Paid, and not in the file"):
        assert said in text, said
    linked = re.findall(r"/console/payments/(pay_\w+)", told.text)
    assert linked == [second["id"], third["id"]]
    entries = await lab.dargah.services.store.audit.list_audit(None, None, 1)
    assert (entries[0].action, entries[0].data["rows"]) == ("payments.reconcile", 3)


async def test_when_all_match_it_says_so(lab: Lab) -> None:
    payment = await paid(lab)
    browser = await operator(lab)
    form = f"/console/merchants/{lab.merchant_id}/reconcile"
    rows = f"bank_code,amount\n{payment['bank_code']},15000\n"
    told = words(await browser.followed(await browser.post(f"{form}?lang=en", {"rows": rows, "unit": "toman"})))
    assert "All rows match" in told
    assert "no dates" in told


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ("bank_code,amount\n1,1000\n", "rials or tomans"),
        ("bank_code,amount rial\n1,x\n", "is not a number"),
        ("bank_code,amount rial\n,0\n", "No row brings money in"),
        ("<script>alert(1)</script>", "no row has headings"),
    ],
)
async def test_what_cannot_be_read_comes_back_with_the_reason_and_the_rows(lab: Lab, rows: str, why: str) -> None:
    browser = await operator(lab)
    told = await browser.post(f"/console/merchants/{lab.merchant_id}/reconcile?lang=en", {"rows": rows})
    assert told.status == 422
    assert why in told.text
    assert "<script>alert" not in told.text


async def test_an_unknown_merchant_is_not_found(lab: Lab) -> None:
    browser = await operator(lab)
    assert (await browser.get("/console/merchants/mer_00000000/reconcile")).status == 404


async def test_a_terminal_of_a_family_is_added_with_the_fields_that_the_family_names(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_bank(monkeypatch)
    browser = await operator(lab)
    path = f"/console/merchants/{lab.merchant_id}"
    assert f"{path}?gateway=bank" in (await browser.get(f"{path}?lang=en")).text
    shown = await browser.get(f"{path}?gateway=bank")
    for name in ("credentials.terminal_id", "credentials.password", "options.body"):
        assert f'name="{name}"' in shown.text
    form = {"name": "second", "gateway": "bank", "mode": "live", "gateway_url": "", "options.body": "json"}
    refused = await browser.post(f"{path}/terminals", form | {"credentials.password": "canary"})
    assert refused.status == 422
    assert "Terminal number (1 to 8 digits)" in words(refused)
    assert "canary" not in refused.text
    credentials = {f"credentials.{name}": value for name, value in CREDENTIALS.items()}
    assert (await browser.post(f"{path}/terminals", form | credentials)).status == 303
    store = lab.dargah.services.store.merchants
    [terminal] = [each for each in await store.list_terminals(lab.merchant_id) if each.name == "second"]
    assert (terminal.gateway, terminal.gateway_url, terminal.options) == ("bank", BANK.gateway_url, {"body": "json"})
    assert "Test bank" in words(await browser.get(path))

    before = await store.secrets(lab.merchant_id, terminal.id)
    changed = {"credentials.password": "another", "credentials.terminal_id": "", "options.body": "form"}
    assert (await browser.post(f"/console/terminals/{terminal.id}", changed)).status == 303
    after = await store.secrets(lab.merchant_id, terminal.id)
    assert [new.name for old, new in zip(before, after, strict=True) if new != old] == ["credential.password"]
    assert (await store.terminal(lab.merchant_id, terminal.id)).options == {"body": "form"}


async def test_the_guide_makes_a_terminal_of_the_family_that_was_chosen(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_bank(monkeypatch)
    browser = await operator(lab)
    shown = await browser.get("/console/merchants/new?gateway=bank&lang=en")
    assert 'name="credentials.terminal_id"' in shown.text
    assert 'name="api_key"' not in shown.text
    form = {"name": "Books", "return_origins": "https://books.example.ir", "mode": "test", "gateway": "bank"}
    refused = await browser.post("/console/merchants/new", form | {"credentials.password": "canary"})
    assert 'id="e-credentials.terminal_id"' in refused.text
    assert "canary" not in refused.text
    unknown = await browser.post("/console/merchants/new", form | {"gateway": "paypal"})
    assert unknown.status == 422
    credentials = {f"credentials.{name}": value for name, value in CREDENTIALS.items()}
    assert (await browser.post("/console/merchants/new", form | credentials)).status == 200
    store = lab.dargah.services.store.merchants
    [merchant] = [each for each in await store.list_merchants(None, 100) if each.name == "Books"]
    [terminal] = await store.list_terminals(merchant.id)
    assert (terminal.gateway, terminal.gateway_url) == ("bank", "https://sandbox.example.ir")
