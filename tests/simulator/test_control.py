"""The control API: terminals and the ledger's pages."""

from typing import Any

import pytest

from simulator.shop_side import Shop


async def test_a_terminal_is_made_and_then_changed_field_by_field(shop: Shop) -> None:
    body = {"api_key": "new", "return_method": "post", "return_extras": ["status"], "registered_ip": "127.0.0.1"}
    made = await shop.control("POST", "terminals", body)
    assert made == {**body, "enabled": True, "registered_domain": None}
    changed = await shop.control("POST", "terminals", {"api_key": "new", "enabled": False})
    assert changed == {**made, "enabled": False}
    listed = (await shop.control("GET", "terminals"))["terminals"]
    assert [terminal["api_key"] for terminal in listed] == ["key-one", "key-two", "new"]
    assert (await shop.request(api_key="new"))["errorCode"] == 302


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "api_key"),
        ({"api_key": ""}, "api_key"),
        ({"api_key": "a", "return_method": "put"}, "return_method"),
        ({"api_key": "a", "colour": 1}, "colour"),
        ("text", "an object"),
    ],
)
async def test_a_wrong_terminal_is_refused_by_name(shop: Shop, body: Any, named: str) -> None:
    assert named in (await shop.control("POST", "terminals", body, status=400))["error"]


async def test_the_ledger_is_filtered_and_paged_oldest_first(shop: Shop) -> None:
    keys = [await shop.invoice() for _ in range(5)]
    theirs = await shop.invoice(api_key="key-two")
    for key in (keys[1], keys[3], theirs):
        await shop.control("POST", f"invoices/{key}/pay")
    paid = await shop.control("GET", "invoices?state=captured&api_key=key-one")
    assert [row["invoice_key"] for row in paid["invoices"]] == [keys[1], keys[3]]
    seen: list[str] = []
    after: int | None = 0
    while after is not None:
        page = await shop.control("GET", f"invoices?limit=2&after={after}")
        seen += [row["invoice_key"] for row in page["invoices"]]
        assert len(page["invoices"]) == 2
        after = page["next"]
    assert seen == [*keys, theirs]


@pytest.mark.parametrize("query", ["limit=0", "limit=10001", "after=-1", "state=lost", "color=1"])
async def test_a_wrong_query_is_refused(shop: Shop, query: str) -> None:
    assert query.partition("=")[0] in (await shop.control("GET", f"invoices?{query}", status=400))["error"]


async def test_what_is_not_there_is_404_and_what_is_captured_stays(shop: Shop) -> None:
    assert (await shop.control("GET", "invoices/none", status=404))["error"]
    assert (await shop.control("POST", "invoices/none/pay", status=404))["error"]
    key = await shop.invoice()
    await shop.control("POST", f"invoices/{key}/pay")
    for act in ("cancel", "fail"):
        assert (await shop.control("POST", f"invoices/{key}/{act}", status=409))["error"]
    assert (await shop.stored(key))["state"] == "captured"


async def test_going_back_without_acting_is_an_early_return(shop: Shop) -> None:
    key = await shop.invoice()
    way = await shop.control("POST", f"invoices/{key}/back")
    assert way["params"] == {"invoice_key": key}
    assert way["invoice"]["state"] == "open"
