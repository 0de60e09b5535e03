"""Whose address counts: the proxies that the settings name are believed, and nobody else, in nothing."""

from ipaddress import ip_network
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict
from structlog.testing import capture_logs

from proxy.addresses import caller_of, parse_networks
from proxy.web.proxies import MAX_CHARS, Proxies
from web.lab import Lab

PROXY, INNER, CLIENT = "10.0.0.1", "10.0.0.2", "203.0.113.7"
TRUSTED = (ip_network("10.0.0.0/24"), ip_network("fd00::/64"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With SQLite's file: what is looked at here comes before any store."""
    return tmp_path


def request_from(peer: str, *headers: tuple[str, str]) -> web.Request:
    transport = Mock(get_extra_info=lambda name, default=None: (peer, 4000) if name == "peername" else default)
    return make_mocked_request("GET", "/", CIMultiDict(headers), transport=transport)


def client(peer: str, *forwarded: str, header: str = "X-Forwarded-For", proxies: Proxies | None = None) -> str | None:
    return (proxies or Proxies(TRUSTED)).client(request_from(peer, *((header, value) for value in forwarded)))


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
    ],
)
def test_what_a_proxy_of_ours_says_is_read_from_the_right(forwarded: tuple[str, ...], expected: str) -> None:
    assert client(PROXY, *forwarded) == expected
    assert len(",".join(forwarded)) <= MAX_CHARS or expected == PROXY


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
    proxies = Proxies(TRUSTED, "forwarded")
    assert client(PROXY, *forwarded, header="Forwarded", proxies=proxies) == expected


def test_the_header_that_is_not_chosen_is_not_read() -> None:
    """A proxy that sets one of the two lets a client's own other one through."""
    assert client(PROXY, "for=6.6.6.6", header="Forwarded") == PROXY
    assert client(PROXY, "6.6.6.6", proxies=Proxies(TRUSTED, "forwarded")) == PROXY


def test_clients_of_a_proxy_that_the_settings_forgot_are_not_counted_together() -> None:
    """Else one of them who fails often would keep all others out. A public peer's header changes nothing."""
    proxies = Proxies()
    with capture_logs() as lines:
        assert client("127.0.0.1", CLIENT, proxies=proxies) is None
        assert client("10.0.0.1", f"for={CLIENT}", header="Forwarded", proxies=proxies) is None
    assert [line["event"] for line in lines] == ["proxy_not_configured"]
    assert client("127.0.0.1", proxies=proxies) == "127.0.0.1"
    assert client("8.8.8.8", CLIENT, proxies=proxies) == "8.8.8.8"


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


async def test_the_log_tells_the_clients_address(lab: Lab) -> None:
    with capture_logs() as lines:
        await lab.call("GET", "/healthz", token="")
        await lab.call("GET", "/healthz", token="", headers={"X-Forwarded-For": "6.6.6.6"})
    assert [line.get("client") for line in lines if line["event"] == "request"] == ["127.0.0.1", None]
