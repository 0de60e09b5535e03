"""Calls through an egress proxy: by CONNECT, to the address that was judged here; and a whole Dargah behind one."""

import asyncio
import base64
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from click.testing import CliRunner
from pydantic import ValidationError
from web.lab import Lab

from adapters.servers import (
    ESTABLISHED,
    HERE,
    Authority,
    EgressProxy,
    Names,
    RawServer,
    Script,
    answer,
    drip,
    hang,
    hang_up,
    raw,
    reset,
    then,
)
from proxy.cli.settings import config
from proxy.config.settings import Settings
from proxy.gateways.invoice_script.client import InvoiceScript
from proxy.gateways.port import Account, CheckUnknown, InvoiceIssued
from proxy.http.outbound.connector import ClientOptions, tls_context
from proxy.http.outbound.egress_proxy import Egress
from proxy.http.outbound.ssrf_guard import Guard
from proxy.webhooks.request import WebhookRequest, WebhookResult
from proxy.webhooks.sender import HttpSender

SHOP = "shop.example.ir"
PUBLIC = "93.184.216.34"
CREDENTIALS = "dargah:canary-proxy-7d1e"
HOOK = f"https://{SHOP}/hook"
OK = answer(b"ok")


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


@asynccontextmanager
async def sending(
    proxy: EgressProxy, ours: Authority, names: Names | None = None, allow: tuple[str, ...] = (), **options: Any
) -> AsyncIterator[HttpSender]:
    egress = Egress(HERE, proxy.port, **options)
    resolver, tls = names or Names([PUBLIC]), tls_context(ours.file)
    sender = HttpSender(
        Guard(allow), ClientOptions(connect_seconds=1, resolver=resolver, tls=tls, egress=egress), total_seconds=10
    )
    try:
        yield sender
    finally:
        await sender.close()


async def post(sender: HttpSender, url: str = HOOK) -> WebhookResult:
    return await sender.send(WebhookRequest(url, {"webhook-id": "evt_1"}, b"{}"))


async def test_the_proxy_is_asked_for_the_address_and_tls_is_of_the_name(ours: Authority) -> None:
    tls, asked = ours.server(SHOP), []
    tls.sni_callback = lambda _, name, __: asked.append(name)
    async with (
        RawServer((OK,), tls=tls) as server,
        EgressProxy(server.port) as proxy,
        sending(proxy, ours) as sender,
    ):
        assert [(await post(sender)).status for _ in range(2)] == [200, 200]
        assert proxy.heads == [f"CONNECT {PUBLIC}:443 HTTP/1.1\r\nHost: {PUBLIC}:443\r\n\r\n"]
    assert asked == [SHOP]
    assert server.requests[0].startswith(b"POST /hook HTTP/1.1\r\nHost: shop.example.ir\r\n")


def test_it_works_with_the_loop_of_production(ours: Authority) -> None:
    uvloop.run(test_the_proxy_is_asked_for_the_address_and_tls_is_of_the_name(ours))


@pytest.mark.parametrize("address", ["10.0.0.7", "169.254.169.254", "127.0.0.1", "::1", "64:ff9b::a00:7"])
async def test_the_proxy_is_never_asked_for_an_address_that_may_not_be_dialled(ours: Authority, address: str) -> None:
    async with EgressProxy() as proxy, sending(proxy, ours, Names([address])) as sender:
        assert (await post(sender)).error == "blocked_address"
        literal = f"[{address}]" if ":" in address else address
        assert (await post(sender, f"https://{literal}/hook")).error == "blocked_address"
        assert proxy.heads == []


async def test_a_name_that_moves_to_a_private_address_is_not_followed(ours: Authority) -> None:
    names = Names([PUBLIC], ["10.0.0.7"])
    closing = answer(b"ok", headers="Connection: close\r\n", close=True)
    async with (
        RawServer((closing,), tls=ours.server(SHOP)) as server,
        EgressProxy(server.port) as proxy,
        sending(proxy, ours, names) as sender,
    ):
        sender._outbound.session.connector._use_dns_cache = False  # type: ignore[union-attr]
        assert (await post(sender)).status == 200
        assert (await post(sender)).error == "blocked_address"
        assert proxy.targets == [f"{PUBLIC}:443"]


async def test_what_the_operator_allows_is_asked_for(ours: Authority) -> None:
    async with (
        RawServer((OK,), tls=ours.server(SHOP)) as server,
        EgressProxy(server.port) as proxy,
        sending(proxy, ours, Names(["10.0.0.7"]), allow=("10.0.0.0/8",)) as sender,
    ):
        assert (await post(sender)).status == 200
        assert proxy.targets == ["10.0.0.7:443"]


async def test_a_receiver_behind_the_proxy_with_a_certificate_of_another_name(ours: Authority) -> None:
    async with (
        RawServer((OK,), tls=ours.server("thief.example.ir")) as server,
        EgressProxy(server.port) as proxy,
        sending(proxy, ours) as sender,
    ):
        assert (await post(sender)).error == "tls_wrong_host"
        assert server.requests == []


async def test_an_address_that_the_proxy_does_not_reach_gives_way_to_the_next(ours: Authority) -> None:
    async with (
        RawServer((OK,), tls=ours.server(SHOP)) as server,
        EgressProxy(server.port, refused=("[2a00:1450::1]",)) as proxy,
        sending(proxy, ours, Names(["2a00:1450::1", PUBLIC])) as sender,
    ):
        assert (await post(sender)).status == 200
        assert proxy.targets == ["[2a00:1450::1]:443", f"{PUBLIC}:443"]


ENDLESS = raw(b"HTTP/1.1 200 OK\r\n" + b"X-Filler: a\r\n" * 100_000)


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (raw(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nno way"), "proxy_refused"),
        (raw(b"HTTP/1.0 503 No\r\n\r\n"), "proxy_refused"),
        (raw(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"), "proxy_auth"),
        (raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), "proxy_bad_response"),
        (raw(b"HTTP/1.1 100 Continue\r\n\r\n"), "proxy_bad_response"),
        (raw(b"HTTP/1.1 2000 OK\r\n\r\n"), "proxy_bad_response"),
        (raw(b"HTTP/2 200\r\n\r\n"), "proxy_bad_response"),
        (raw(b"\x00" * 100_000), "proxy_bad_response"),
        (raw(ESTABLISHED + b"welcome"), "proxy_bad_response"),
        (raw(b"HTTP/1.1 200 OK\r\n"), "proxy_bad_response"),
        (ENDLESS, "proxy_bad_response"),
        (hang_up, "proxy_bad_response"),
        (reset, "proxy_bad_response"),
        (hang, "proxy_timeout"),
        (drip(b"HTTP/1.1 200 OK\r\n"), "proxy_timeout"),
    ],
)
async def test_each_fault_of_the_proxy_has_its_name(ours: Authority, script: Script, error: str) -> None:
    async with EgressProxy(script=script) as proxy, sending(proxy, ours, Names([PUBLIC, "8.8.8.8"])) as sender:
        assert (await post(sender)).error == error
        assert len(proxy.heads) == (2 if error == "proxy_refused" else 1)


def test_a_proxy_that_hangs_is_given_up_by_the_loop_of_production(ours: Authority) -> None:
    for script in (hang, drip(b"HTTP/1.1 200 OK\r\n")):
        uvloop.run(test_each_fault_of_the_proxy_has_its_name(ours, script, "proxy_timeout"))


async def test_a_tunnel_that_is_silent_is_given_up_too(ours: Authority) -> None:
    script = then(raw(ESTABLISHED, close=False), hang)
    async with EgressProxy(script=script) as proxy, sending(proxy, ours) as sender:
        assert (await post(sender)).error == "connect_timeout"


async def test_a_proxy_where_nothing_listens(ours: Authority) -> None:
    with socket.socket() as closed:
        closed.bind((HERE, 0))
        async with sending(EgressProxy(port=closed.getsockname()[1]), ours) as sender:
            assert (await post(sender)).error == "proxy_unreachable"


async def test_a_tunnel_that_ends_in_the_handshake_is_the_receivers(ours: Authority) -> None:
    async with EgressProxy(script=raw(ESTABLISHED)) as proxy, sending(proxy, ours) as sender:
        assert (await post(sender)).error == "tls_cut_off"


async def test_credentials_go_to_the_proxy_and_not_beyond(ours: Authority) -> None:
    wanted = base64.b64encode("dargah:canary-pässword".encode()).decode()
    async with (
        RawServer((OK,), tls=ours.server(SHOP)) as server,
        EgressProxy(server.port, credentials=wanted) as proxy,
        sending(proxy, ours, credentials="dargah:canary-pässword") as sender,
        sending(proxy, ours, credentials="dargah:other") as stranger,
    ):
        assert (await post(sender)).status == 200
        assert (await post(stranger)).error == "proxy_auth"
    assert b"roxy-" not in server.requests[0]
    assert "canary" not in repr(Egress(HERE, 1, "dargah:canary-pässword"))


async def test_plain_http_goes_through_in_development_alone(ours: Authority) -> None:
    async with RawServer((OK,)) as server, EgressProxy(server.port) as proxy:
        url, allow = f"http://{SHOP}:8000/hook", (f"{SHOP}:8000",)
        async with sending(proxy, ours, allow=allow) as sender:
            assert (await post(sender, url)).error == "proxy_needs_tls"
        async with sending(proxy, ours, allow=allow, plain_http=True) as sender:
            assert (await post(sender, url)).status == 200
        assert proxy.targets == [f"{PUBLIC}:8000"]


async def test_what_is_named_as_direct_is_reached_without_the_proxy_and_judged_all_the_same(ours: Authority) -> None:
    async with RawServer((OK,), tls=ours.server(SHOP)) as server, EgressProxy(server.port) as proxy:
        url, names = f"https://{SHOP}:{server.port}/hook", Names([HERE])
        for direct in ("127.0.0.0/8", f"{HERE}:{server.port}", f"{SHOP}:{server.port}"):
            async with sending(proxy, ours, names, ("127.0.0.0/8",), direct=Guard([direct])) as sender:
                assert (await post(sender, url)).status == 200
            async with sending(proxy, ours, names, direct=Guard([direct])) as sender:
                assert (await post(sender, url)).error == "blocked_address"
        assert proxy.heads == []


async def test_a_gateway_is_asked_through_it_too(ours: Authority) -> None:
    issued = answer(b'{"status":1,"invoice_key":"inv_1"}')
    account = Account("trm_1", "https://bank.example.ir/gate", {"api_key": "key"})
    async with RawServer((issued,), tls=ours.server("bank.example.ir")) as server, EgressProxy(server.port) as proxy:
        egress = Egress("proxy.example.ir", proxy.port)
        names = Names([HERE])  # of the gateway and of the proxy
        gateway = InvoiceScript(ClientOptions(resolver=names, tls=tls_context(ours.file), egress=egress))
        assert (await gateway.request(account, 150_000, "https://pay.example.ir/r/1")).outcome == InvoiceIssued("inv_1")
        assert proxy.targets == [f"{HERE}:443"]
        proxy.script = raw(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        await gateway.close()
        gateway = InvoiceScript(ClientOptions(resolver=names, tls=tls_context(ours.file), egress=egress))
        assert (await gateway.check(account, "inv_1")).outcome == CheckUnknown("inv_1", "proxy_refused")
        await gateway.close()


async def test_a_send_that_is_given_up_leaves_no_connection_to_the_proxy(ours: Authority) -> None:
    left = asyncio.Event()

    async def until_closed(writer: asyncio.StreamWriter) -> None:
        try:
            await drip(b"H")(writer)
        finally:
            left.set()

    async with EgressProxy(script=until_closed) as proxy, sending(proxy, ours) as sender:
        assert (await post(sender)).error == "proxy_timeout"
        async with asyncio.timeout(5):
            await left.wait()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With SQLite's file: what is looked at here comes before any store."""
    return tmp_path


@pytest.fixture
async def receiver(ours: Authority) -> AsyncIterator[RawServer]:
    async with RawServer((OK,), tls=ours.server(PUBLIC)) as server:
        yield server


@pytest.fixture
async def egress(receiver: RawServer) -> AsyncIterator[EgressProxy]:
    wanted = base64.b64encode(CREDENTIALS.encode()).decode()
    async with EgressProxy(receiver.port, credentials=wanted) as made:
        yield made


@pytest.fixture
def more_settings(ours: Authority, egress: EgressProxy) -> dict[str, Any]:
    return {
        "webhook_ca_files": f"{PUBLIC}={ours.file}",
        "egress_proxy": f"http://127.0.0.1:{egress.port}",
        "egress_proxy_credentials": CREDENTIALS,
        "egress_direct": "127.0.0.0/8",
    }


async def test_webhooks_leave_through_it_and_doctor_tells_when_it_fails(lab: Lab, egress: EgressProxy) -> None:
    made = await lab.call("POST", "/v1/webhook-endpoints", json={"url": f"https://{PUBLIC}/hook"})
    path = f"/v1/webhook-endpoints/{made.json['id']}/test"
    assert (await lab.call("POST", path)).json["http_status"] == 200
    assert egress.targets == [f"{PUBLIC}:443"]
    assert await said(lab) == ("ok", "it answers, and takes our credentials")
    egress.script = raw(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
    level, detail = await said(lab)
    assert (level, "proxy_auth" in detail) == ("problem", True)


async def said(lab: Lab) -> tuple[str, str]:
    url = f"{lab.dargah.admin_url}/admin/v1/doctor"
    answered = await lab.call("POST", url, json={}, token="operator-token-of-the-tests")
    findings = answered.json["findings"]
    [found] = [each for each in findings if each["check"] == "egress_proxy"]
    assert "canary" not in str(findings)
    return found["level"], found["detail"]


async def test_a_private_address_is_refused_before_the_proxy_is_asked(lab: Lab, egress: EgressProxy) -> None:
    made = await lab.call("POST", "/v1/webhook-endpoints", json={"url": "https://10.0.0.7.nip.example/hook"})
    assert made.status == 201
    refused = await lab.call("POST", "/v1/webhook-endpoints", json={"url": "https://10.0.0.7/hook"})
    answered = (await lab.call("POST", f"/v1/webhook-endpoints/{refused.json['id']}/test")).json
    assert answered["error"] == "blocked_address"
    assert egress.heads == []


@pytest.mark.parametrize("url", ["https://proxy:3128", "proxy:3128", "http://proxy", "http://proxy:0", "http://p:1/x"])
def test_the_setting_is_a_host_and_a_port(url: str) -> None:
    with pytest.raises(ValidationError, match="write http://host:port"):
        Settings(egress_proxy=url)


def test_credentials_have_a_setting_of_their_own_and_are_not_repeated() -> None:
    with pytest.raises(ValidationError, match="DARGAH_EGRESS_PROXY_CREDENTIALS") as refused:
        Settings(egress_proxy=f"http://{CREDENTIALS}@proxy:3128")
    assert "canary" not in str(refused.value)
    for wrong in ("canary-alone", "canary:with\r\nX-Header: 1"):
        with pytest.raises(ValidationError) as refused:
            Settings(egress_proxy_credentials=wrong)
        assert "canary" not in str(refused.value)


def test_config_shows_the_proxy_and_not_its_credentials() -> None:
    env = {"DARGAH_EGRESS_PROXY": "http://proxy.example.ir:3128", "DARGAH_EGRESS_PROXY_CREDENTIALS": CREDENTIALS}
    shown = CliRunner().invoke(config, ["--json"], env=env).stdout
    assert "http://proxy.example.ir:3128" in shown
    assert "canary" not in shown
