"""How often somebody may, by token, address and link, and whose address counts behind proxies."""

from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict
from structlog.testing import capture_logs

from proxy.api.public import create_public_app
from proxy.http.trusted_proxies import TrustedProxies
from proxy.kernel.urls import caller_of, parse_networks
from proxy.merchants.merchant import Scope
from proxy.reference import page as reference
from web.lab import RETURN_URL, Answer, Lab, link_of

MINUTE = 60_000
CALLER, NEIGHBOUR = "203.0.113.7", "203.0.113.8"


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


async def create(lab: Lab, key: str, token: str | None = None, client: str = CALLER) -> Answer:
    order = {"amount": 15_000, "currency": "IRT", "order_id": key}
    headers = {"Idempotency-Key": key, **of(client)}
    return await lab.call("POST", "/v1/payments", json=order, headers=headers, token=token)


async def show(lab: Lab, token: str | None = None, client: str = CALLER) -> Answer:
    return await lab.call("GET", "/v1/payments", token=token, headers=of(client))


async def facade(lab: Lab, path: str, client: str = CALLER, **fields: str) -> Answer:
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
    assert [(await show(lab, other)).status for _ in range(2)] == [200] * 2
    assert_over(await show(lab, other), "address-calls", 10)
    assert (await create(lab, "k")).status == 201


async def test_wrong_tokens_are_counted_by_address(lab: Lab) -> None:
    assert [(await show(lab, "wrong")).status for _ in range(3)] == [401] * 3
    assert_over(await show(lab, "wrong"), "auth-failures", 3)
    assert (await show(lab)).status == 200
    assert (await show(lab, "wrong", client=NEIGHBOUR)).status == 401
    lab.clock.forward(MINUTE // 3)
    assert (await show(lab, "wrong")).status == 401


async def test_wrong_tokens_of_operators_are_counted_too(lab: Lab) -> None:
    async def merchants(token: str, client: str) -> int:
        headers = {"Authorization": f"Bearer {token}", **of(client)}
        async with lab.session.get(f"{lab.dargah.admin_url}/admin/v1/merchants", headers=headers) as answer:
            return answer.status

    assert [await merchants("wrong", CALLER) for _ in range(3)] == [401] * 3
    assert await merchants("wrong", CALLER) == 429
    assert await merchants("operator-token-of-the-tests", CALLER) == 200
    assert await merchants("wrong", NEIGHBOUR) == 401


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
    visits = [await lab.call("GET", f"/pay/{one}", token="", headers=of(CALLER)) for _ in range(6)]
    assert [visit.status for visit in visits] == [303] * 5 + [429]
    assert (visits[5].headers["Retry-After"], visits[5].headers["RateLimit"]) == ("12", '"link-visits";r=0;t=12')
    assert 'http-equiv="refresh" content="12"' in visits[5].text
    assert (await lab.call("GET", f"/pay/{other}", token="", headers=of(CALLER))).status == 303


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_return_over_the_limit_is_being_confirmed_and_tries_again_by_itself(lab: Lab, method: str) -> None:
    payment = await lab.created(return_url=RETURN_URL)
    path = await lab.act(payment, "pay")
    for _ in range(5):
        await lab.call("GET", f"/pay/{link_of(payment)}", token="", headers=of(CALLER))
    over = await lab.call(method, path, token="", headers=of(CALLER))
    assert over.status == 429
    assert "در حال تأیید پرداخت" in over.text
    assert 'http-equiv="refresh" content="12"' in over.text
    lab.clock.forward(int(over.headers["Retry-After"]) * 1000)
    assert (await lab.call("GET", path, token="", headers=of(CALLER))).status == 303
    assert (await lab.payment(payment["id"]))["status"] == "paid"


async def test_customers_behind_one_address_are_not_counted_together(lab: Lab) -> None:
    """A mobile provider's customers share an address; so does whoever guesses at links there."""
    links = [link_of((await create(lab, f"k{n}", client=NEIGHBOUR)).json) for n in range(4)]
    for link in links:
        assert (await lab.call("GET", f"/pay/{link}", token="", headers=of(CALLER))).status == 303
    guesses = [await lab.call("GET", f"/return/{links[0][:-2]}{n}{n}", token="", headers=of(CALLER)) for n in range(4)]
    assert [guess.status for guess in guesses] == [404, 404, 404, 429]
    for link in links:
        assert (await lab.call("GET", f"/return/{link}", token="", headers=of(CALLER))).status in {200, 303}


async def test_every_route_is_limited_but_those_that_cost_nothing(lab: Lab) -> None:
    services = lab.dargah.services
    routes = list(create_public_app(services, reference.ROUTES).router.routes())
    free = {route.resource.canonical for route in routes if route.resource and not services.callers.covers(route)}
    assert {path for path in free if not path.startswith("/assets/")} == {"/healthz", "/readyz"}


async def test_health_is_not_limited(lab: Lab) -> None:
    for _ in range(20):
        assert (await lab.call("GET", "/healthz", token="", headers=of(CALLER))).status == 200


PROXY, INNER, CLIENT = "10.0.0.1", "10.0.0.2", "203.0.113.7"
TRUSTED = (ip_network("10.0.0.0/24"), ip_network("fd00::/64"))


def request_from(peer: str, *headers: tuple[str, str]) -> web.Request:
    transport = Mock(get_extra_info=lambda name, default=None: (peer, 4000) if name == "peername" else default)
    return make_mocked_request("GET", "/", CIMultiDict(headers), transport=transport)


def client(
    peer: str, *forwarded: str, header: str = "X-Forwarded-For", proxies: TrustedProxies | None = None
) -> str | None:
    return (proxies or TrustedProxies(TRUSTED)).client(request_from(peer, *((header, value) for value in forwarded)))


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ((CLIENT,), CLIENT),
        ((f"6.6.6.6, {CLIENT}",), CLIENT),
        ((f"6.6.6.6, {CLIENT}, {INNER}",), CLIENT),
        ((f"6.6.6.6, {CLIENT}", INNER), CLIENT),
        ((f"{CLIENT}:4711",), CLIENT),
        (("[2001:db8::7]:4711",), "2001:db8::7"),
        (("2001:db8::7",), "2001:db8::7"),
        ((f"::ffff:{CLIENT}",), CLIENT),
        (("fd00::1", f"{INNER}"), "fd00::1"),
        ((), PROXY),
        (("",), PROXY),
        (("unknown",), PROXY),
        ((f"{CLIENT}, not an address",), PROXY),
        ((f"{CLIENT}, not an address, {INNER}",), INNER),
        (("10.0.0.9, 10.0.0.8",), "10.0.0.9"),
        (("1.1.1.1," * 400,), PROXY),
        (("6.6.6.6, " * 400 + CLIENT,), CLIENT),
        (("x" * 2000 + f", {CLIENT}, {INNER}",), CLIENT),
        (("6" * 2000,), PROXY),
        ((f"6.6.6.6, {CLIENT}" + f", {INNER}" * 14,), CLIENT),
    ],
)
def test_what_a_proxy_of_ours_says_is_read_from_the_right(forwarded: tuple[str, ...], expected: str) -> None:
    assert client(PROXY, *forwarded) == expected


@pytest.mark.parametrize("peer", [CLIENT, "10.0.1.1", "::1", "fd01::1"])
def test_what_anybody_else_says_is_not_read(peer: str) -> None:
    for header in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP", "CF-Connecting-IP", "True-Client-IP"):
        assert client(peer, "6.6.6.6", header=header) == peer


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ((f"for={CLIENT}",), CLIENT),
        ((f"For={CLIENT};proto=https;by=10.0.0.1",), CLIENT),
        ((f"proto=https; for={CLIENT}",), CLIENT),
        ((f'for=6.6.6.6, for="{CLIENT}:80", for={INNER}',), CLIENT),
        (('for="[2001:db8::7]:4711"',), "2001:db8::7"),
        ((f"for={CLIENT}, for=unknown, for={INNER}",), INNER),
        ((f"for={CLIENT}, for=_hidden",), PROXY),
        ((f'for="{CLIENT}',), PROXY),
        ((f'for="6.6.6.6, for={CLIENT}',), CLIENT),
        ((f"for={CLIENT};for=6.6.6.6",), PROXY),
        (("proto=https",), PROXY),
    ],
)
def test_the_standard_header_is_read_the_same_way_where_it_is_chosen(forwarded: tuple[str, ...], expected: str) -> None:
    proxies = TrustedProxies(TRUSTED, "forwarded")
    assert client(PROXY, *forwarded, header="Forwarded", proxies=proxies) == expected


def test_the_header_that_is_not_chosen_is_not_read() -> None:
    """A proxy that sets one of the two lets a client's own other one through."""
    assert client(PROXY, "for=6.6.6.6", header="Forwarded") == PROXY
    assert client(PROXY, "6.6.6.6", proxies=TrustedProxies(TRUSTED, "forwarded")) == PROXY


def test_a_proxy_that_the_settings_forgot_is_told_of_once_and_believed_in_nothing() -> None:
    proxies = TrustedProxies()
    with capture_logs() as lines:
        assert client("8.8.8.8", CLIENT, proxies=proxies) == "8.8.8.8"
        assert client("127.0.0.1", CLIENT, proxies=proxies) == "127.0.0.1"
        assert client("10.0.0.1", f"for={CLIENT}", header="Forwarded", proxies=proxies) == "10.0.0.1"
    assert [(line["event"], line["client"]) for line in lines] == [("proxy_not_configured", "127.0.0.1")]


def test_a_caller_has_all_of_a_v6_network() -> None:
    assert caller_of("2001:db8:1:2::3") == caller_of("2001:db8:1:2:ffff::9") != caller_of("2001:db8:1:3::3")
    assert caller_of(f"::ffff:{CLIENT}") == caller_of(CLIENT) == CLIENT
    assert caller_of("fe80::1%eth0") == caller_of("fe80::2")
    assert caller_of("") == ""


def test_networks_are_read_from_a_setting() -> None:
    assert parse_networks("10.0.0.1, 192.168.0.0/16\n::1") == (
        ip_network("10.0.0.1"),
        ip_network("192.168.0.0/16"),
        ip_network("::1"),
    )
    for wrong in ("10.0.0.1/8", "proxy.internal", "10.0.0.0/33"):
        with pytest.raises(ValueError, match="write addresses or networks"):
            parse_networks(wrong)


class TestNothingIsBuiltFromWhatARequestSaysOfItsHost:
    """Every answer of a lab whose every request lies about where it went."""

    lie = "evil.example"

    @pytest.fixture
    def more_settings(self) -> dict[str, Any]:
        return {"trusted_proxies": "127.0.0.1", "public_url": "https://pay.example.ir/base"}

    async def test_no_answer_of_any_path_names_it(self, lab: Lab) -> None:
        lies = {
            "Host": self.lie,
            "X-Forwarded-Host": self.lie,
            "X-Forwarded-Proto": "gopher",
            "X-Forwarded-Port": "666",
            "X-Original-URL": f"https://{self.lie}/",
            "X-Forwarded-Prefix": f"/{self.lie}",
            "Forwarded": f"host={self.lie};proto=gopher",
        }
        order = {"amount": 15_000, "currency": "IRT", "order_id": "1", "return_url": "https://shop.example.ir/"}
        created = await lab.call("POST", "/v1/payments", json=order, headers={"Idempotency-Key": "k", **lies})
        assert created.status == 201
        assert created.json["pay_url"].startswith("https://pay.example.ir/base/pay/")
        link = created.json["pay_url"].rpartition("/")[2]
        await lab.created(order_id="2")
        paths = ("/v1/payments?limit=1", "/v1/nothing", "/healthz", f"/pay/{link}", f"/return/{link}", "/pay/x", "/")
        for path in paths:
            answer = await lab.call("GET", path, headers=lies)
            told = repr(dict(answer.headers)) + answer.text
            assert self.lie not in told, path
            assert "gopher" not in told, path

    async def test_the_invoice_is_asked_for_with_our_own_return_address(self, lab: Lab) -> None:
        payment = await lab.created(order_id="1")
        visit = await lab.control("GET", f"invoices/{payment['invoice_key']}")
        assert str(visit["return_url"]).startswith("https://pay.example.ir/base/return/")
