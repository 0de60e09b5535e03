"""What is wrong for a merchant, on the portal's first page: no more than its token sees. On both stores."""

import re

from support.receiver import Receiver, receiver

from proxy.kernel.clock import MINUTE
from proxy.merchants.merchant import Mode, Scope
from web.clients import Browser, operator, portal, words
from web.lab import Answer, Lab, endpoint_at, trigger
from web.test_console_home import failing

TITLE = "What is wrong now"


async def first(browser: Browser) -> Answer:
    page = await browser.get("/portal/payments?lang=en")
    assert page.status == 200, page.text
    return page


def said(page: Answer) -> str:
    return " ".join(words(page).split())


async def down(lab: Lab, shop: Receiver) -> str:
    """An endpoint of the shop that fails for a while."""
    shop.status, shop.any_time, shop.any_event = 500, True, True
    endpoint = await endpoint_at(lab, shop)
    await trigger(lab)
    await failing(lab, shop, 1)
    lab.clock.forward(2 * MINUTE)
    return str(endpoint["id"])


async def review(lab: Lab) -> str:
    payment = await lab.created(amount=50_000)
    await lab.fault("check", "wrong_amount", amount_rials=1000, invoice_key=payment["invoice_key"], times=1)
    await lab.act(payment, "pay")
    assert (await lab.call("POST", f"/v1/payments/{payment['id']}/check")).json["status"] == "needs_review"
    return str(payment["id"])


async def test_a_merchant_sees_its_endpoint_its_review_and_its_gateway(lab: Lab) -> None:
    browser = await portal(lab)
    assert TITLE not in said(await first(browser)), "a page on which nothing is wrong says nothing of it"
    async with receiver() as shop:
        endpoint_id = await down(lab, shop)
        await review(lab)
        payment = await lab.created()
        await lab.fault("check", "http_500", times=5)
        for _ in range(5):
            await lab.call("POST", f"/v1/payments/{payment['id']}/check")
        page = await first(browser)
        for title in (
            f"{TITLE} 3",
            "A shop does not take its webhooks",
            "A gateway gives no clear answer",
            "Payments wait for a decision",
            "The operator decides: deliver nothing for them until you are told.",
        ):
            assert title in said(page), title
        assert "docs/operations.md" not in page.text
        assert "/merchants/" not in page.text
        assert f'href="/portal/endpoints/{endpoint_id}"' in page.text
        assert 'href="/portal/reviews"' in page.text
        for query in ("?status=paid&lang=en", "?before=00000000000000000a&lang=en"):
            assert TITLE not in said(await browser.get(f"/portal/payments{query}"))
        assert TITLE not in said(await (await operator(lab)).get("/console/payments?lang=en"))
        links = set(re.findall(r'href="(/portal/[^"]*)"', page.text))
        assert {(await browser.get(each)).status for each in links - {"/portal/"}} == {200}
        shop.status = 204
        [action] = re.findall(r'action="(/portal/deliveries/dlv_\w+/retry)"', page.text)
        assert (await browser.post(action)).status == 303


async def test_a_merchant_sees_nothing_of_another_storefront_mode_terminal_or_merchant(lab: Lab) -> None:
    setup = lab.dargah.services.setup
    every = frozenset({Scope.PAYMENTS_READ, Scope.PAYMENTS_WRITE, Scope.WEBHOOKS})
    _, storefront = await setup.issue_token(lab.merchant_id, "second", Mode.LIVE, every, actor="test")
    _, reads = await setup.issue_token(
        lab.merchant_id, "main", Mode.LIVE, frozenset({Scope.PAYMENTS_READ}), actor="test"
    )
    another = await lab.another_merchant()
    async with receiver() as shop:
        await down(lab, shop)
        await review(lab)
        payment = await lab.created()
        await lab.fault("check", "http_500", times=5)
        for _ in range(5):
            await lab.call("POST", f"/v1/payments/{payment['id']}/check")
        assert f"{TITLE} 3" in said(await first(await portal(lab)))
        told = said(await first(await portal(lab, reads)))
        assert f"{TITLE} 2" in told, "without the scope of webhooks there are no endpoints"
        assert "does not take its webhooks" not in told
        other_terminal = await setup.add_terminal(
            lab.merchant_id, "second", lab.gateway_url, "second-key", mode=Mode.LIVE, actor="test"
        )
        _, terminal = await setup.issue_token(
            lab.merchant_id, "main", Mode.LIVE, frozenset({Scope.PAYMENTS_READ}), other_terminal.id, actor="test"
        )
        for token in (terminal, another):
            assert TITLE not in said(await first(await portal(lab, token)))
        told = said(await first(await portal(lab, storefront)))
        assert f"{TITLE} 1" in told, "the gateway is behind every storefront of the merchant"
        assert "A gateway gives no clear answer" in told


async def test_what_was_decided_and_what_is_well_again_leaves_the_list(lab: Lab) -> None:
    browser = await portal(lab)
    payment_id = await review(lab)
    assert "Payments wait for a decision" in said(await first(browser))
    asked = await operator(lab)
    form = {"decision": "refunded", "note": "The customer has the money back."}
    assert (await asked.confirmed(f"/console/payments/{payment_id}/resolve", form)).status == 303
    assert TITLE not in said(await first(browser))
