"""A portal's session reaches nothing that its token does not see: every route, with every id of somebody else's."""

from pathlib import Path
from typing import Any

import pytest

from proxy.console.routes import ROUTES
from proxy.merchant import Mode
from proxy.records import EventFilter
from web.browsing import Browser, operator, portal
from web.lab import API_KEY, ORIGIN, TEST_API_KEY, Answer, Lab
from web.test_isolation import CANARIES, Victim, another_merchant, victim_of

IDS = ("payment_id", "delivery_id", "endpoint_id", "merchant_id", "terminal_id", "token_id", "operator_id", "job_id")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With SQLite's file: the ids are compared before any store is asked."""
    return tmp_path


@pytest.fixture
async def theirs(lab: Lab) -> Victim:
    """Another merchant's."""
    return await another_merchant(lab)


@pytest.fixture
async def neighbours(lab: Lab) -> Victim:
    """The same merchant's other storefront's."""
    return await victim_of(lab, lab.merchant_id, await lab.issue("canary-shop"), lab.terminal_id)


async def tried(browser: Browser, path: str, method: str) -> Answer:
    return await (
        browser.get(path)
        if method == "GET"
        else browser.post(path, {"hours": "720", "decision": "refunded", "note": "x"})
    )


def assert_nothing_of(victim: Victim, answer: Answer, path: str) -> None:
    said = repr(dict(answer.headers)) + answer.body.decode("utf-8", "replace")
    assert [canary for canary in victim.canaries if canary in said] == [], path


async def everything(browser: Browser, victim: Victim) -> None:
    """Every route of the portal, with each of the victim's ids in each place."""
    for route in ROUTES:
        if route.path == "/logout":
            continue
        name = next((each for each in IDS if f"{{{each}}}" in route.path), None)
        values = victim.ids.values() if name is not None else ("",)
        for value in values:
            path = "/portal" + (route.path if name is None else route.path.format_map({name: value}))
            answer = await tried(browser, path, route.method)
            assert_nothing_of(victim, answer, path)
            if name is not None:
                assert answer.status == 404, path


async def queries(browser: Browser, victim: Victim) -> None:
    """Every query by which a list is narrowed or gone on with, and the search by each number."""
    numbers = [*victim.ids.values(), CANARIES["order_id"], "150000"]
    paths = [f"/portal/search?q={value}" for value in numbers]
    for value in (victim.merchant_id, victim.ids["payment_id"]):
        paths += [f"/portal/payments{kind}?merchant={value}&status=paid" for kind in ("", ".csv")]
        paths += [f"/portal/payments?before={value[-18:]}", f"/portal/endpoints?after={value}"]
    for path in paths:
        answer = await browser.get(path)
        assert answer.status == 200, path
        said = answer.text
        assert [each for each in victim.canaries if each in said and each not in path] == [], path


async def test_one_merchants_session_reaches_nothing_of_anothers(lab: Lab, theirs: Victim) -> None:
    browser = await portal(lab)
    before = theirs.rows(lab)
    await everything(browser, theirs)
    await queries(browser, theirs)
    assert theirs.rows(lab) == before


async def test_an_own_endpoints_list_goes_on_only_from_its_own_ids(lab: Lab, theirs: Victim) -> None:
    browser = await portal(lab)
    url = "https://own.example.ir/hook"
    own, _ = await lab.dargah.services.setup.add_endpoint(lab.merchant_id, url, actor="test")
    for value in theirs.ids.values():
        page = await browser.get(f"/portal/endpoints/{own.id}?after={value}")
        assert page.status == 200
        assert_nothing_of(theirs, page, value)


async def test_a_token_of_one_storefront_sees_no_payment_of_anothers_in_the_portal(
    lab: Lab, neighbours: Victim
) -> None:
    browser = await portal(lab)
    payment = neighbours.ids["payment_id"]
    for path in (f"/portal/payments/{payment}", f"/portal/payments/{payment}/check"):
        answer = await tried(browser, path, "POST" if path.endswith("check") else "GET")
        assert answer.status == 404, path
    for path in ("/portal/payments", "/portal/payments.csv", f"/portal/search?q={neighbours.ids['invoice_key']}"):
        answer = await browser.get(path)
        assert payment not in answer.text, path
        assert CANARIES["order_id"] not in answer.text, path


async def test_a_test_tokens_portal_shows_no_live_payment(lab: Lab) -> None:
    live = await lab.created(order_id="live-order")
    test = await lab.created(order_id="test-order", token=await lab.issue(mode=Mode.TEST))
    browser = await portal(lab, await lab.issue(mode=Mode.TEST))
    page = await browser.get("/portal/payments")
    assert "test-order" in page.text
    assert "live-order" not in page.text
    assert (await browser.get(f"/portal/payments/{live['id']}")).status == 404
    assert (await browser.get(f"/portal/payments/{test['id']}")).status == 200
    assert TEST_API_KEY not in page.text


async def test_a_token_of_one_terminal_sees_only_its_payments_in_the_portal(lab: Lab) -> None:
    setup = lab.dargah.services.setup
    other = await setup.add_terminal(lab.merchant_id, "other", lab.gateway_url, API_KEY, Mode.LIVE, actor="test")
    await lab.created(order_id="first-terminal", terminal_id=lab.terminal_id)
    await lab.created(order_id="other-terminal", terminal_id=other.id)
    browser = await portal(lab, await lab.issue(terminal_id=other.id))
    for path in ("/portal/payments", "/portal/payments.csv"):
        page = await browser.get(path)
        assert "other-terminal" in page.text, path
        assert "first-terminal" not in page.text, path


async def test_a_merchant_sees_its_own_payment_and_sends_its_webhook_again(lab: Lab) -> None:
    url = "https://own.example.ir/hook"
    await lab.dargah.services.setup.add_endpoint(lab.merchant_id, url, actor="test")
    payment: dict[str, Any] = await lab.created(order_id="own")
    await lab.call("GET", await lab.act(payment, "pay"))
    browser = await portal(lab, embed_origin=ORIGIN)
    page = await browser.get(f"/portal/payments/{payment['id']}")
    assert url in page.text
    [event] = await lab.dargah.services.store.list_events(lab.merchant_id, EventFilter())
    [delivery] = await lab.dargah.services.store.list_deliveries(lab.merchant_id, event.id)
    assert f"/portal/deliveries/{delivery.id}/retry" in page.text
    assert "/resolve" not in page.text
    resent = await browser.post(f"/portal/deliveries/{delivery.id}/retry")
    assert resent.status == 303
    shown = await browser.get(resent.headers["Location"])
    assert shown.status == 200


async def test_an_operator_sees_everybodys(lab: Lab, theirs: Victim) -> None:
    """The walk above would also pass if pages showed nobody anything."""
    browser = await operator(lab)
    page = await browser.get(f"/console/payments/{theirs.ids['payment_id']}")
    assert page.status == 200
    assert CANARIES["order_id"] in page.text
    assert CANARIES["order_id"] in (await browser.get("/console/payments")).text
