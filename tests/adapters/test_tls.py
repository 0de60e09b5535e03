"""TLS to gateways and receivers, with real servers: always verified, 1.2 or newer, and each failure is told apart.

A gateway or receiver may have an authority of its own, and a receiver may want a client certificate of ours.
"""

import datetime as dt
import ssl
import warnings
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from support.dargah import settings
from web.lab import Lab

from adapters.servers import DAY, HERE, Authority, RawServer, Script, answer, cutting, refusing, wanting_ours
from proxy.app import running
from proxy.config.outbound import HostFile, parse_host_files
from proxy.config.outbound_clients import own_tls, webhook_tls
from proxy.config.settings import Settings, SettingsError
from proxy.gateways.invoice_script.client import InvoiceScript
from proxy.gateways.port import Account, CheckUnknown, InvoiceIssued, RequestUnknown
from proxy.http.outbound.connector import ClientOptions, tls_context
from proxy.http.outbound.ssrf_guard import Guard
from proxy.merchants.merchant import Mode
from proxy.operations.doctor.base import Prober
from proxy.webhooks.request import WebhookRequest
from proxy.webhooks.sender import HttpSender

OK = answer(b"ok")
ISSUED = answer(b'{"status":1,"invoice_key":"inv_1"}')
RETURN_URL = "https://pay.example.ir/return/x"


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


@pytest.fixture
def theirs(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "theirs")


@asynccontextmanager
async def client(own_tls: Mapping[str, ssl.SSLContext] = MappingProxyType({})) -> AsyncIterator[InvoiceScript]:
    made = InvoiceScript(ClientOptions(own_tls=own_tls))
    try:
        yield made
    finally:
        await made.close()


def account(server: RawServer) -> Account:
    return Account("trm_1", f"{server.url}/pay", {"api_key": "key-that-nobody-may-see"})


async def assert_gets_through(server: RawServer, gateway: InvoiceScript) -> None:
    asked = await gateway.request(account(server), 150_000, RETURN_URL)
    assert asked.outcome == InvoiceIssued("inv_1")


async def assert_is_refused(server: RawServer, gateway: InvoiceScript, *reasons: str) -> None:
    """Neither operation sends a byte of the request."""
    asked = await gateway.request(account(server), 150_000, RETURN_URL)
    assert isinstance(asked.outcome, RequestUnknown)
    assert asked.outcome.reason in reasons
    checked = await gateway.check(account(server), "inv_1")
    assert isinstance(checked.outcome, CheckUnknown)
    assert checked.outcome.reason in reasons
    assert server.requests == []


@pytest.mark.parametrize("key", [lambda _port: HERE, lambda port: f"{HERE}:{port}"], ids=["host", "host and port"])
async def test_a_gateways_own_authority_is_enough_for_it(ours: Authority, key: Callable[[int], str]) -> None:
    async with (
        RawServer((ISSUED,), tls=ours.server()) as server,
        client({key(server.port): tls_context(ours.file)}) as gateway,
    ):
        await assert_gets_through(server, gateway)
        assert server.requests[0].startswith(b"POST /pay/invoice/request HTTP/1.1\r\n")


async def test_it_vouches_for_no_other_gateway(ours: Authority) -> None:
    async with RawServer((ISSUED,), tls=ours.server()) as server:
        for host in ("other.example", f"{HERE}:{server.port + 1}"):
            async with client({host: tls_context(ours.file)}) as gateway:
                await assert_is_refused(server, gateway, "tls_unknown_authority")


async def test_only_its_own_authority_counts_for_it(ours: Authority, theirs: Authority) -> None:
    context = tls_context(ours.file)
    assert [each["subject"] for each in context.get_ca_certs()] == [((("commonName", "ours"),),)]
    async with RawServer((ISSUED,), tls=theirs.server()) as server, client({HERE: context}) as gateway:
        await assert_is_refused(server, gateway, "tls_unknown_authority")


async def test_an_authority_that_nobody_named_is_not_enough(ours: Authority) -> None:
    async with RawServer((ISSUED,), tls=ours.server()) as server, client() as gateway:
        await assert_is_refused(server, gateway, "tls_unknown_authority")


@pytest.mark.parametrize(
    ("host", "begins", "lasts", "reason"),
    [
        (HERE, -3 * DAY, 2 * DAY, "tls_expired"),
        (HERE, DAY, DAY, "tls_not_yet_valid"),
        ("other.example", -DAY, 2 * DAY, "tls_wrong_host"),
        ("127.0.0.2", -DAY, 2 * DAY, "tls_wrong_host"),
    ],
    ids=["expired", "not yet valid", "another name", "another address as a name"],
)
async def test_what_it_issued_must_still_hold(
    ours: Authority, host: str, begins: dt.timedelta, lasts: dt.timedelta, reason: str
) -> None:
    tls = ours.server(host, begins=begins, lasts=lasts)
    async with RawServer((ISSUED,), tls=tls) as server, client({HERE: tls_context(ours.file)}) as gateway:
        await assert_is_refused(server, gateway, reason)


def spoken(authority: Authority, version: ssl.TLSVersion) -> ssl.SSLContext:
    """A server that speaks this version and no other."""
    context = authority.server()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 1.0 and 1.1 are deprecated, which is the point
        context.minimum_version = version
        context.maximum_version = version
        context.set_ciphers("ALL:@SECLEVEL=0")  # the library itself would else refuse to speak them
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=str)
async def test_tls_1_2_and_1_3_are_spoken(ours: Authority, version: ssl.TLSVersion) -> None:
    tls = spoken(ours, version)
    async with RawServer((ISSUED,), tls=tls) as server, client({HERE: tls_context(ours.file)}) as gateway:
        await assert_gets_through(server, gateway)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1], ids=str)
async def test_nothing_older_is(ours: Authority, version: ssl.TLSVersion) -> None:
    old = spoken(ours, version)
    async with RawServer((ISSUED,), tls=old) as server, client({HERE: tls_context(ours.file)}) as gateway:
        # Such a server may hang up instead of saying why.
        await assert_is_refused(server, gateway, "tls_too_old", "tls_cut_off")


async def test_that_server_would_have_answered_a_client_of_its_age(ours: Authority) -> None:
    """Or the test before would show nothing of ours."""
    context = tls_context(ours.file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.set_ciphers("ALL:@SECLEVEL=0")
    tls = spoken(ours, ssl.TLSVersion.TLSv1_1)
    async with RawServer((ISSUED,), tls=tls) as server, client({HERE: context}) as gateway:
        await assert_gets_through(server, gateway)


def test_the_setting_names_hosts_and_files() -> None:
    assert parse_host_files("Gateway.example.ir=/etc/a.pem, other.example:8443 = /etc/b.pem") == (
        HostFile("gateway.example.ir", Path("/etc/a.pem")),
        HostFile("other.example:8443", Path("/etc/b.pem")),
    )
    assert parse_host_files("") == ()
    for wrong in ("/etc/a.pem", "gateway=", "=/etc/a.pem", "https://gateway=/etc/a.pem"):
        with pytest.raises(ValueError, match="write host=file"):
            parse_host_files(wrong)
    with pytest.raises(ValueError, match="stands twice"):
        parse_host_files("a=1,A=2")


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
async def test_a_file_that_is_no_authority_keeps_dargah_from_starting(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"DARGAH_GATEWAY_CA_FILES: gateway\.example\.ir="):
        async with running(settings(tmp_path, gateway_ca_files=f"gateway.example.ir={file}")):
            pass


async def errors(url: str, trusted: Authority) -> list[str | None]:
    """What a webhook, a gateway's call and doctor's look say."""
    tls = tls_context(trusted.file)
    sender, gateway = HttpSender(Guard(["127.0.0.0/8"]), ClientOptions(tls=tls)), InvoiceScript(ClientOptions(tls=tls))
    said = [(await sender.send(WebhookRequest(url, {"webhook-id": "evt_1"}, b"{}"))).error]
    fact = (await gateway.check(Account("trm_1", url, {"api_key": "key"}), "inv_1")).outcome
    assert isinstance(fact, CheckUnknown)
    said += [fact.reason, (await Prober(tls=tls).look(url, "look")).error]
    await sender.close()
    await gateway.close()
    return said


async def test_an_expired_certificate_or_one_of_tomorrow(ours: Authority) -> None:
    for begins, name in ((-3 * DAY, "tls_expired"), (DAY, "tls_not_yet_valid")):
        async with RawServer((OK,), tls=ours.server(begins=begins)) as server:
            assert await errors(server.url, ours) == [name] * 3


async def test_a_certificate_that_signed_itself(ours: Authority, tmp_path: Path) -> None:
    alone = Authority(tmp_path, HERE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(alone.by_itself())
    async with RawServer((OK,), tls=context) as server:
        assert await errors(server.url, ours) == ["tls_self_signed"] * 3


async def test_a_certificate_of_another_host(ours: Authority) -> None:
    async with RawServer((OK,), tls=ours.server("shop.example.ir")) as server:
        assert await errors(server.url, ours) == ["tls_wrong_host"] * 3


async def test_an_authority_that_nobody_named(ours: Authority, theirs: Authority) -> None:
    async with RawServer((OK,), tls=theirs.server()) as server:
        assert await errors(server.url, ours) == ["tls_unknown_authority"] * 3


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_server_that_wants_a_certificate_of_ours(ours: Authority, newest: ssl.TLSVersion) -> None:
    async with refusing(wanting_ours(ours, newest)) as url:
        assert await errors(url, ours) == ["tls_client_certificate"] * 3


@pytest.mark.parametrize("ending", ["closed", "reset"])
async def test_a_handshake_that_is_cut_off(ours: Authority, ending: str) -> None:
    async with cutting(ending) as url:
        assert await errors(url, ours) == ["tls_cut_off"] * 3


async def test_a_server_that_speaks_no_tls(ours: Authority) -> None:
    script: Script = answer(b"")
    async with RawServer((script,), greeting=b"HTTP/1.1 400 Bad Request\r\n\r\n") as server:
        assert await errors(server.url.replace("http:", "https:"), ours) == ["tls_not_spoken"] * 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With SQLite's file: what is looked at here comes before any store."""
    return tmp_path


@pytest.fixture
def more_settings(ours: Authority) -> dict[str, Any]:
    return {
        "gateway_ca_files": f"{HERE}={ours.file}",
        "webhook_ca_files": f"{HERE}={ours.file}",
        "webhook_client_cert_files": f"{HERE}={ours.issued('dargah.example.ir')}",
    }


async def test_a_payment_goes_through_it(lab: Lab, ours: Authority) -> None:
    async with RawServer((ISSUED,), tls=ours.server()) as gateway:
        terminal = await lab.dargah.services.setup.add_terminal(
            lab.merchant_id, "bank", gateway.url, "its-key", Mode.LIVE, actor="test"
        )
        created = await lab.create(terminal_id=terminal.id)
    assert (created.status, created.json["invoice_key"]) == (201, "inv_1")


async def ping(lab: Lab, url: str) -> dict[str, Any]:
    made = await lab.call("POST", "/v1/webhook-endpoints", json={"url": f"{url}/hook"})
    answered: dict[str, Any] = (await lab.call("POST", f"/v1/webhook-endpoints/{made.json['id']}/test")).json
    return answered


async def test_a_receiver_of_an_own_authority_gets_its_webhooks(lab: Lab, ours: Authority) -> None:
    async with RawServer((OK,), tls=ours.server()) as server:
        assert (await ping(lab, server.url))["http_status"] == 200


async def test_a_receiver_that_wants_a_client_certificate_is_shown_ours(lab: Lab, ours: Authority) -> None:
    async with RawServer((OK,), tls=wanting_ours(ours)) as server:
        assert (await ping(lab, server.url))["http_status"] == 200


async def test_another_authority_for_such_a_host_does_not_count(lab: Lab, theirs: Authority) -> None:
    async with RawServer((OK,), tls=theirs.server()) as server:
        answered = await ping(lab, server.url)
        assert (answered["http_status"], answered["error"]) == (None, "tls_unknown_authority")
        assert server.requests == []


async def test_a_certificate_that_the_receiver_does_not_know_is_not_delivered_by(
    lab: Lab, ours: Authority, theirs: Authority
) -> None:
    async with RawServer((OK,), tls=wanting_ours(ours, clients=theirs)) as server:
        assert (await ping(lab, server.url))["http_status"] is None
        assert server.requests == []


async def test_our_certificate_is_shown_to_no_other_host(lab: Lab, ours: Authority) -> None:
    asked = ours.server("localhost")
    asked.verify_mode = ssl.CERT_OPTIONAL
    asked.load_verify_locations(ours.file)
    async with RawServer((OK,), tls=asked) as server:
        answered = await ping(lab, server.url.replace(HERE, "localhost"))
        assert answered["error"] == "tls_unknown_authority"


def test_an_authority_of_a_host_counts_for_a_port_that_wants_a_certificate(ours: Authority) -> None:
    file = ours.issued("dargah.example.ir")
    given = Settings(webhook_ca_files=f"a.ir={ours.file}", webhook_client_cert_files=f"a.ir:8443={file}")
    contexts = own_tls(("A", given.webhook_ca_files), ("B", given.webhook_client_cert_files))
    issuers = [[each["subject"] for each in contexts[host].get_ca_certs()] for host in ("a.ir", "a.ir:8443")]
    assert issuers[0] == issuers[1] != []


@pytest.mark.parametrize("setting", ["webhook_ca_files", "webhook_client_cert_files"])
@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_file_of_another_kind_is_refused_by_the_settings_name(
    tmp_path: Path, setting: str, content: bytes | None
) -> None:
    file = tmp_path / "some.pem"
    if content is not None:
        file.write_bytes(content)
    given: dict[str, Any] = {setting: f"shop.example.ir={file}"}
    with pytest.raises(SettingsError, match=rf"DARGAH_{setting.upper()}: shop\.example\.ir="):
        webhook_tls(Settings(**given))


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked(ours: Authority) -> None:
    file = ours.issued("dargah.example.ir", lock=BestAvailableEncryption(b"secret"))
    with pytest.raises(SettingsError, match="passphrase"):
        webhook_tls(Settings(webhook_client_cert_files=f"shop.example.ir={file}"))
