"""A merchant's portal as an operator sees it in the console: what a shop sees, and nothing to change."""

import pytest
from support.dargah import OPERATOR_TOKEN

from proxy.merchants.merchant import Mode
from proxy.operators.records import Role
from web.clients import Browser, operator, portal
from web.lab import Answer, Lab


def base(lab: Lab, storefront: str = "main", mode: str = "live") -> str:
    return f"/console/as/{lab.merchant_id}/{storefront}/{mode}"


async def notes(lab: Lab) -> list[dict[str, str]]:
    url = f"{lab.dargah.admin_url}/admin/v1/audit?limit=100"
    log: Answer = await lab.call("GET", url, token=OPERATOR_TOKEN)
    return [each["data"] for each in log.json["data"] if each["action"] == "merchant.view_as"]


async def test_it_shows_what_the_shops_own_token_sees_and_no_more(lab: Lab) -> None:
    mine = await lab.created()
    others = await lab.created(token=await lab.issue("second"))
    tests = await lab.created(token=await lab.issue(mode=Mode.TEST))
    browser, shop = await operator(lab), await portal(lab)
    seen = (await browser.get(f"{base(lab)}/payments")).text
    own = (await shop.get("/portal/payments")).text
    for payment, shown in ((mine, True), (others, False), (tests, False)):
        path = f"/payments/{payment['id']}"
        assert (f'href="{base(lab)}{path}"' in seen) == shown == (f'href="/portal{path}"' in own)
        assert (await browser.get(f"{base(lab)}{path}")).status == (200 if shown else 404)
    assert (await browser.get(f"{base(lab, 'second')}/payments/{others['id']}")).status == 200
    assert (await browser.get(f"{base(lab, mode='test')}/payments/{tests['id']}")).status == 200


async def test_it_says_what_it_is_and_leads_back_and_to_the_other_shops(lab: Lab) -> None:
    await lab.issue("second")
    browser = await operator(lab)
    merchant = await browser.get(f"/console/merchants/{lab.merchant_id}")
    assert f'href="{base(lab)}/"' in merchant.text
    first = await browser.get(f"{base(lab)}/")
    assert (first.status, first.location) == (303, f"{base(lab)}/payments")
    for path in ("/payments", "/reviews", "/endpoints", "/deliveries", "/guide", "/search?q=nothing"):
        page = (await browser.get(f"{base(lab)}{path}{'&' if '?' in path else '?'}lang=en")).text
        assert "as its shop sees it" in page, path
        assert f'href="/console/merchants/{lab.merchant_id}"' in page
        assert f'href="{base(lab, "second")}/"' in page
        assert "/logout" not in page
        assert 'method="post"' not in page
        assert "/console/settings" not in page


async def test_nothing_is_changed_by_it(lab: Lab) -> None:
    payment = await lab.created()
    browser = await operator(lab)
    await browser.get(f"{base(lab)}/payments")
    before = lab.rows()
    for path in (f"/payments/{payment['id']}/check", "/resend", "/logout", "/deliveries/dlv_x/retry"):
        assert (await browser.post(f"{base(lab)}{path}")).status in {404, 405}, path
    assert lab.rows() == before


async def test_who_looked_is_in_the_audit_log_once_for_a_session_and_a_shop(lab: Lab) -> None:
    await lab.issue("second")
    browser = await operator(lab, Role.READ)
    for _ in range(3):
        assert (await browser.get(f"{base(lab)}/payments")).status == 200
    assert await notes(lab) == [{"merchant_id": lab.merchant_id, "storefront": "main", "mode": "live"}]
    await browser.get(f"{base(lab, 'second')}/payments")
    await (await operator(lab, Role.READ)).get(f"{base(lab)}/payments")
    assert len(await notes(lab)) == 3


async def test_it_ends_with_the_operators_session_and_is_nobody_elses(lab: Lab) -> None:
    browser, shop = await operator(lab), await portal(lab)
    assert (await browser.get(f"{base(lab)}/payments")).status == 200
    merchant = Browser(lab.session, lab.dargah.admin_url, shop.cookies)
    assert (await merchant.get(f"{base(lab)}/payments")).location.startswith("/console/login")
    outside = Browser(lab.session, lab.dargah.url, browser.cookies)
    assert (await outside.get(f"{base(lab)}/payments")).status == 404
    await browser.post("/console/logout")
    assert (await browser.get(f"{base(lab)}/payments")).location.startswith("/console/login")


@pytest.mark.parametrize("path", ["/none/live", "/main/test", "/main/nothing", "/MAIN/live"])
async def test_a_shop_that_the_merchant_never_had_is_not_found(lab: Lab, path: str) -> None:
    browser = await operator(lab)
    assert (await browser.get(f"/console/as/{lab.merchant_id}{path}/payments")).status == 404
    assert (await browser.get("/console/as/mer_00000001/main/live/payments")).status == 404
    assert await notes(lab) == []


async def test_a_merchant_without_a_token_is_seen_too(lab: Lab) -> None:
    merchant, _ = await lab.dargah.services.setup.create_merchant("New", [], actor="test")
    browser = await operator(lab)
    page = await browser.get(f"/console/as/{merchant.id}/main/live/payments")
    assert page.status == 200
    assert "New" in page.text
