"""TLS to gateways, with real servers: always verified, 1.2 or newer, by a gateway's own authority where it is named."""

import datetime as dt
import ssl
import warnings
from collections.abc import AsyncIterator, Callable, Container, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapters.certificates import DAY, HERE, Authority
from adapters.raw_server import RawServer, answer
from proxy.adapters.connector import tls_context
from proxy.adapters.gateway import HttpGateway
from proxy.app import running
from proxy.config.settings import Settings, SettingsError
from proxy.config.wire import OwnAuthority, parse_authorities
from proxy.facts import CheckUnknown, InvoiceIssued, RequestUnknown
from proxy.records import Account

ISSUED = answer(b'{"status":1,"invoice_key":"inv_1"}')
RETURN_URL = "https://pay.example.ir/return/x"


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


@pytest.fixture
def theirs(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "theirs")


@asynccontextmanager
async def client(own_tls: Mapping[str, ssl.SSLContext] | None = None) -> AsyncIterator[HttpGateway]:
    made = HttpGateway(own_tls=own_tls)
    try:
        yield made
    finally:
        await made.close()


def account(server: RawServer) -> Account:
    return Account("trm_1", f"{server.url}/pay", "key-that-nobody-may-see")


async def assert_gets_through(server: RawServer, gateway: HttpGateway) -> None:
    asked = await gateway.request(account(server), 150_000, RETURN_URL)
    assert asked.fact == InvoiceIssued("inv_1")


async def assert_is_refused(server: RawServer, gateway: HttpGateway, reasons: Container[str] = ("tls",)) -> None:
    """Neither operation sends a byte of the request."""
    asked = await gateway.request(account(server), 150_000, RETURN_URL)
    assert isinstance(asked.fact, RequestUnknown)
    assert asked.fact.reason in reasons
    checked = await gateway.check(account(server), "inv_1")
    assert isinstance(checked.fact, CheckUnknown)
    assert checked.fact.reason in reasons
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
                await assert_is_refused(server, gateway)


async def test_only_its_own_authority_counts_for_it(ours: Authority, theirs: Authority) -> None:
    context = tls_context(ours.file)
    assert [each["subject"] for each in context.get_ca_certs()] == [((("commonName", "ours"),),)]
    async with RawServer((ISSUED,), tls=theirs.server()) as server, client({HERE: context}) as gateway:
        await assert_is_refused(server, gateway)


async def test_an_authority_that_nobody_named_is_not_enough(ours: Authority) -> None:
    async with RawServer((ISSUED,), tls=ours.server()) as server, client() as gateway:
        await assert_is_refused(server, gateway)


@pytest.mark.parametrize(
    ("host", "begins", "lasts"),
    [(HERE, -3 * DAY, 2 * DAY), (HERE, DAY, DAY), ("other.example", -DAY, 2 * DAY), ("127.0.0.2", -DAY, 2 * DAY)],
    ids=["expired", "not yet valid", "another name", "another address as a name"],
)
async def test_what_it_issued_must_still_hold(
    ours: Authority, host: str, begins: dt.timedelta, lasts: dt.timedelta
) -> None:
    tls = ours.server(host, begins=begins, lasts=lasts)
    async with RawServer((ISSUED,), tls=tls) as server, client({HERE: tls_context(ours.file)}) as gateway:
        await assert_is_refused(server, gateway)


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
        await assert_is_refused(server, gateway, {"tls", "refused_connection"})


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
    assert parse_authorities("Gateway.example.ir=/etc/a.pem, other.example:8443 = /etc/b.pem") == (
        OwnAuthority("gateway.example.ir", Path("/etc/a.pem")),
        OwnAuthority("other.example:8443", Path("/etc/b.pem")),
    )
    assert parse_authorities("") == ()
    for wrong in ("/etc/a.pem", "gateway=", "=/etc/a.pem", "https://gateway=/etc/a.pem"):
        with pytest.raises(ValueError, match="write host=file"):
            parse_authorities(wrong)
    with pytest.raises(ValueError, match="stands twice"):
        parse_authorities("a=1,A=2")


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
async def test_a_file_that_is_no_authority_keeps_dargah_from_starting(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    settings = Settings(
        environment="development",
        database=tmp_path / "dargah.db",
        listen="127.0.0.1:0",
        admin_listen="127.0.0.1:0",
        admin_token="operator-token-of-the-tests",
        keys="k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        gateway_ca_files=f"gateway.example.ir={file}",
    )
    with pytest.raises(SettingsError, match=r"DARGAH_GATEWAY_CA_FILES: gateway\.example\.ir="):
        async with running(settings):
            pass
