"""The one box: every record by its id, name, address or number, or the beginning of one; and nothing of others."""

from urllib.parse import urlencode

from support.receiver import receiver

from proxy.kernel.ids import merchant_of_api_token
from web.clients import Browser, operator, portal
from web.lab import Lab


async def landed(browser: Browser, text: str, side: str = "/console") -> str:
    """Where the box leads to, or the page that lists what was found."""
    answer = await browser.get(f"{side}/search?" + query(text))
    return answer.headers["Location"] if answer.status == 303 else answer.text


def query(text: str) -> str:
    return urlencode({"q": text, "lang": "en"})


async def test_a_payment_is_found_by_what_people_paste_of_it(lab: Lab) -> None:
    payment = await lab.created(order_id="Basket-9917-x")
    shouted = await lab.created(order_id="LOUD-7")
    browser = await operator(lab)
    page = f"/console/payments/{payment['id']}"
    link = payment["pay_url"].rpartition("/")[2]
    for text in (
        "Basket-9917-x",
        "\u200c Basket-9917-x\u200f ",
        "Basket-99",
        "Basket-۹۹۱۷-x",
        payment["id"][:-3],
        payment["pay_url"],
        f"see http://elsewhere.example/return/{link}?status=1 please",
        payment["invoice_key"],
    ):
        assert await landed(browser, text) == page, text
    assert await landed(browser, "loud-7") == f"/console/payments/{shouted['id']}"
    found = await browser.get("/console/search?q=dg_live_abcd0123456789")
    assert "0123456789" not in found.text


async def test_an_operator_finds_what_belongs_to_merchants(lab: Lab) -> None:
    browser = await operator(lab)
    async with receiver() as shop:
        endpoint, _ = await lab.dargah.services.endpoints.add_endpoint(
            lab.merchant_id, shop.url, description="فروشگاه كتاب", actor="test"
        )
    terminal, *_ = await lab.dargah.services.store.merchants.list_terminals(lab.merchant_id)
    merchant = f"/console/merchants/{lab.merchant_id}"
    assert await landed(browser, endpoint.id) == f"/console/endpoints/{endpoint.id}"
    assert await landed(browser, "کتاب") == f"/console/endpoints/{endpoint.id}"
    assert await landed(browser, terminal.id) == merchant
    assert await landed(browser, lab.merchant_id) == merchant
    assert await landed(browser, lab.merchant_id[:9]) == merchant
    assert "No payment was found" in await landed(browser, "nothing-of-this")
    assert "No payment was found" in await landed(browser, "evt_" + "0" * 26)


async def test_an_order_is_found_by_what_its_shop_wrote_of_it(lab: Lab) -> None:
    spring = await lab.created(
        order_id="n-1", description="خريد بهاره ۱۴۰۵", metadata={"customer": "Sara Ahmadi", "phone": "09121234567"}
    )
    lab.clock.forward(1)
    autumn = await lab.created(
        order_id="n-2", description="Autumn sale", metadata={"customer": "sara Karimi", "cart": 88042}
    )
    browser = await operator(lab)
    for text in ("خرید بهاره", "خرید بهاره 14", "sara a", "SARA AHMADI", "۰۹۱۲۱۲۳", "0912"):
        assert await landed(browser, text) == f"/console/payments/{spring['id']}", text
    for text in ("autumn", "88042", "۸۸۰۴"):
        assert await landed(browser, text) == f"/console/payments/{autumn['id']}", text
    page = await landed(browser, "sara")
    assert page.index(autumn["id"]) < page.index(spring["id"]), "the newest first"
    assert "there may be older ones" in page
    for text in ("customer", "sale", "Sara Z", "%", "_ara", "Sara%"):
        page = await landed(browser, text)
        assert "No payment was found" in page, text
        assert "Among the newest (5,000 payments at most)" in page


async def test_a_portal_finds_what_its_own_shop_wrote_and_not_another(lab: Lab) -> None:
    await lab.created(order_id="n-1", metadata={"customer": "Sara Ahmadi"})
    other = await lab.another_merchant()
    assert "No payment was found" in await landed(await portal(lab, other), "sara", "/portal")
    assert "/portal/payments/pay_" in await landed(await portal(lab), "sara", "/portal")
    token, text = await lab.dargah.services.setup.issue_token(lab.merchant_id, "second", actor="test")
    assert token.storefront == "second"
    assert "No payment was found" in await landed(await portal(lab, text), "sara", "/portal")


async def test_a_portal_finds_its_own_and_nothing_of_others(lab: Lab) -> None:
    payment = await lab.created(order_id="mine-4411")
    other = await lab.another_merchant()
    other_id = merchant_of_api_token(other)
    assert other_id is not None
    endpoint, _ = await lab.dargah.services.endpoints.add_endpoint(other_id, "https://theirs.example/x", actor="test")
    browser = await portal(lab)
    assert await landed(browser, "mine-44", "/portal") == f"/portal/payments/{payment['id']}"
    for text in (endpoint.id, "theirs.example", other_id, other_id[:8], lab.merchant_id):
        page = await landed(browser, text, "/portal")
        assert "No payment was found" in page, text
        assert "/portal/endpoints/ep_" not in page
