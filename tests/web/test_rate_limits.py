"""How often somebody may, as callers see it: by token, by address, by the payment's own link."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from proxy.merchant import Scope
from proxy.web.public import create_public_app
from web.lab import RETURN_URL, Answer, Lab, link_of

MINUTE = 60_000
CLIENT, NEIGHBOUR = "203.0.113.7", "203.0.113.8"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With SQLite's file: what is looked at here comes before any store."""
    return tmp_path


@pytest.fixture
def more_settings() -> dict[str, Any]:
    return {
        "trusted_proxies": "127.0.0.1",
        "token_creates_per_minute": 4,
        "address_creates_per_minute": 6,
        "token_calls_per_minute": 8,
        "address_calls_per_minute": 10,
        "address_auth_failures_per_minute": 3,
        "link_visits_per_minute": 5,
        "address_unknown_links_per_minute": 3,
    }


def of(client: str) -> Mapping[str, str]:
    return {"X-Forwarded-For": client}


async def create(lab: Lab, key: str, token: str | None = None, client: str = CLIENT) -> Answer:
    order = {"amount": 15_000, "currency": "IRT", "order_id": key}
    headers = {"Idempotency-Key": key, **of(client)}
    return await lab.call("POST", "/v1/payments", json=order, headers=headers, token=token)


async def show(lab: Lab, token: str | None = None, client: str = CLIENT) -> Answer:
    return await lab.call("GET", "/v1/payments", token=token, headers=of(client))


async def facade(lab: Lab, path: str, client: str = CLIENT, **fields: str) -> Answer:
    return await lab.call("POST", path, data=fields, token="", headers=of(client))


def assert_over(answer: Answer, limit: str, per_minute: int) -> None:
    assert (answer.status, answer.json["code"]) == (429, "rate_limited")
    wait = answer.headers["Retry-After"]
    assert int(wait) == -(-60 // per_minute)
    assert answer.headers["RateLimit"] == f'"{limit}";r=0;t={wait}'
    assert answer.headers["RateLimit-Policy"] == f'"{limit}";q={per_minute};w=60'


async def test_a_token_may_create_so_often_and_is_told_when_it_may_again(lab: Lab) -> None:
    assert [(await create(lab, f"k{n}")).status for n in range(4)] == [201] * 4
    before = lab.rows()
    assert_over(await create(lab, "k4"), "token-creates", 4)
    assert lab.rows() == before
    lab.clock.forward(MINUTE // 4)
    assert (await create(lab, "k4")).status == 201
    assert (await create(lab, "k5")).status == 429


async def test_another_token_has_its_own_share_until_the_address_has_had_its(lab: Lab) -> None:
    other = await lab.issue("other")
    assert [(await create(lab, f"k{n}")).status for n in range(4)] == [201] * 4
    assert [(await create(lab, f"k{n}", other)).status for n in range(2)] == [201] * 2
    assert_over(await create(lab, "k2", other), "address-creates", 6)
    assert (await create(lab, "k2", other, NEIGHBOUR)).status == 201


async def test_who_nears_a_limit_is_told_how_much_is_left(lab: Lab) -> None:
    answers = [await create(lab, f"k{n}") for n in range(4)]
    assert ["RateLimit" in answer.headers for answer in answers] == [False, False, True, True]
    assert answers[2].headers["RateLimit"] == '"token-creates";r=1;t=45'
    assert answers[3].headers["RateLimit"] == '"token-creates";r=0;t=60'
    assert answers[3].headers["RateLimit-Policy"] == '"token-creates";q=4;w=60'


async def test_other_calls_have_limits_of_their_own(lab: Lab) -> None:
    assert [(await show(lab)).status for _ in range(8)] == [200] * 8
    assert_over(await show(lab), "token-calls", 8)
    other = await lab.issue("other")
    assert (await show(lab, other)).status == 200
    assert_over(await show(lab, other), "address-calls", 10)
    assert (await create(lab, "k")).status == 201


async def test_wrong_tokens_are_counted_and_then_nothing_is_looked_up(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [(await show(lab, "wrong")).status for _ in range(3)] == [401] * 3

    async def looked_up(*_: object) -> None:
        pytest.fail("a token was looked up")

    monkeypatch.setattr("proxy.directory.Directory.authenticate", looked_up)
    for token in ("wrong", lab.token):
        assert_over(await show(lab, token), "auth-failures", 3)
    monkeypatch.undo()
    assert (await show(lab, client=NEIGHBOUR)).status == 200
    lab.clock.forward(MINUTE // 3)
    assert (await show(lab)).status == 200


async def test_wrong_tokens_of_operators_are_counted_too(lab: Lab) -> None:
    async def merchants(token: str, client: str) -> int:
        headers = {"Authorization": f"Bearer {token}", **of(client)}
        async with lab.session.get(f"{lab.dargah.admin_url}/admin/v1/merchants", headers=headers) as answer:
            return answer.status

    assert [await merchants("wrong", CLIENT) for _ in range(3)] == [401] * 3
    right = "operator-token-of-the-tests"
    assert await merchants(right, CLIENT) == 429
    assert await merchants(right, NEIGHBOUR) == 200


async def test_the_drop_in_says_it_in_the_scripts_own_form(lab: Lab) -> None:
    token = await lab.issue("facade", scopes=frozenset({Scope.FACADE}))
    order = {"api_key": token, "amount": "150000", "return_url": "https://shop.example.ir/thanks"}
    first = [await facade(lab, "/invoice/request", **order) for _ in range(4)]
    assert [answer.json["status"] for answer in first] == [1] * 4
    over = await facade(lab, "/invoice/request", **order)
    assert (over.status, over.json["status"], over.json["errorCode"]) == (200, 0, 301)
    assert (over.headers["Retry-After"], over.headers["RateLimit"]) == ("15", '"token-creates";r=0;t=15')
    key = first[0].json["invoice_key"]
    checks = [await facade(lab, f"/invoice/check/{key}", api_key=token) for _ in range(9)]
    assert [answer.json["errorCode"] for answer in checks] == [201] * 8 + [301]
    assert [answer.status for answer in checks] == [200] * 9


async def test_wrong_keys_at_the_drop_in_are_counted(lab: Lab) -> None:
    wrong = [await facade(lab, "/invoice/check/x", api_key="wrong") for _ in range(4)]
    assert [answer.json["errorCode"] for answer in wrong] == [101, 101, 101, 301]
    assert wrong[3].headers["RateLimit"] == '"auth-failures";r=0;t=20'


async def test_a_payments_pages_are_counted_by_its_own_link(lab: Lab) -> None:
    one, other = [link_of(await lab.created(order_id=str(n))) for n in range(2)]
    visits = [await lab.call("GET", f"/pay/{one}", token="", headers=of(CLIENT)) for _ in range(6)]
    assert [visit.status for visit in visits] == [303] * 5 + [429]
    assert (visits[5].headers["Retry-After"], visits[5].headers["RateLimit"]) == ("12", '"link-visits";r=0;t=12')
    assert 'http-equiv="refresh" content="12"' in visits[5].text
    assert (await lab.call("GET", f"/pay/{other}", token="", headers=of(CLIENT))).status == 303


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_return_over_the_limit_is_being_confirmed_and_tries_again_by_itself(lab: Lab, method: str) -> None:
    payment = await lab.created(return_url=RETURN_URL)
    path = await lab.act(payment, "pay")
    for _ in range(5):
        await lab.call("GET", f"/pay/{link_of(payment)}", token="", headers=of(CLIENT))
    over = await lab.call(method, path, token="", headers=of(CLIENT))
    assert over.status == 429
    assert "در حال تأیید پرداخت" in over.text
    assert 'http-equiv="refresh" content="12"' in over.text
    lab.clock.forward(int(over.headers["Retry-After"]) * 1000)
    assert (await lab.call("GET", path, token="", headers=of(CLIENT))).status == 303
    assert (await lab.payment(payment["id"]))["status"] == "paid"


async def test_customers_behind_one_address_are_not_counted_together(lab: Lab) -> None:
    """A mobile provider's customers share an address; so does whoever guesses at links there."""
    links = [link_of((await create(lab, f"k{n}", client=NEIGHBOUR)).json) for n in range(4)]
    for link in links:
        assert (await lab.call("GET", f"/pay/{link}", token="", headers=of(CLIENT))).status == 303
    guesses = [await lab.call("GET", f"/return/{links[0][:-2]}{n}{n}", token="", headers=of(CLIENT)) for n in range(4)]
    assert [guess.status for guess in guesses] == [404, 404, 404, 429]
    for link in links:
        assert (await lab.call("GET", f"/return/{link}", token="", headers=of(CLIENT))).status in {200, 303}


async def test_every_route_is_limited_but_those_that_cost_nothing(lab: Lab) -> None:
    services = lab.dargah.services
    routes = list(create_public_app(services).router.routes())
    free = {route.resource.canonical for route in routes if route.resource and not services.callers.covers(route)}
    assert {path for path in free if not path.startswith("/assets/")} == {"/healthz", "/readyz"}


async def test_health_is_not_limited(lab: Lab) -> None:
    for _ in range(20):
        assert (await lab.call("GET", "/healthz", token="", headers=of(CLIENT))).status == 200
