"""Webhooks' receivers with an authority of their own, and such as want a client certificate of ours."""

import ssl
from pathlib import Path
from typing import Any

import pytest
from adapters.certificates import HERE, Authority
from adapters.raw_server import RawServer, answer
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption

from proxy.config.outbound_clients import own_tls, webhook_tls
from proxy.config.settings import Settings, SettingsError
from web.lab import Lab

OK = answer(b"ok")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With SQLite's file: what is looked at here comes before any store."""
    return tmp_path


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "shop")


@pytest.fixture
def more_settings(authority: Authority) -> dict[str, Any]:
    return {
        "webhook_ca_files": f"{HERE}={authority.file}",
        "webhook_client_cert_files": f"{HERE}={authority.issued('dargah.example.ir')}",
    }


def settings(**given: Any) -> Settings:
    return Settings(**given)


def wanting(authority: Authority, clients: Authority) -> ssl.SSLContext:
    context = authority.server()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(clients.file)
    return context


async def ping(lab: Lab, url: str) -> dict[str, Any]:
    made = await lab.call("POST", "/v1/webhook-endpoints", json={"url": f"{url}/hook"})
    answered: dict[str, Any] = (await lab.call("POST", f"/v1/webhook-endpoints/{made.json['id']}/test")).json
    return answered


async def test_a_receiver_of_an_own_authority_gets_its_webhooks(lab: Lab, authority: Authority) -> None:
    async with RawServer((OK,), tls=authority.server()) as server:
        assert (await ping(lab, server.url))["http_status"] == 200


async def test_a_receiver_that_wants_a_client_certificate_is_shown_ours(lab: Lab, authority: Authority) -> None:
    async with RawServer((OK,), tls=wanting(authority, authority)) as server:
        assert (await ping(lab, server.url))["http_status"] == 200


async def test_another_authority_for_such_a_host_does_not_count(lab: Lab, tmp_path: Path) -> None:
    async with RawServer((OK,), tls=Authority(tmp_path, "thief").server()) as server:
        answered = await ping(lab, server.url)
        assert (answered["http_status"], answered["error"]) == (None, "tls_unknown_authority")
        assert server.requests == []


async def test_a_certificate_that_the_receiver_does_not_know_is_not_delivered_by(
    lab: Lab, authority: Authority, tmp_path: Path
) -> None:
    async with RawServer((OK,), tls=wanting(authority, Authority(tmp_path, "others"))) as server:
        assert (await ping(lab, server.url))["http_status"] is None
        assert server.requests == []


async def test_our_certificate_is_shown_to_no_other_host(lab: Lab, authority: Authority) -> None:
    asked = authority.server("localhost")
    asked.verify_mode = ssl.CERT_OPTIONAL
    asked.load_verify_locations(authority.file)
    async with RawServer((OK,), tls=asked) as server:
        answered = await ping(lab, server.url.replace(HERE, "localhost"))
        assert answered["error"] == "tls_unknown_authority"


def test_an_authority_of_a_host_counts_for_a_port_that_wants_a_certificate(authority: Authority) -> None:
    file = authority.issued("dargah.example.ir")
    given = settings(webhook_ca_files=f"a.ir={authority.file}", webhook_client_cert_files=f"a.ir:8443={file}")
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
    with pytest.raises(SettingsError, match=rf"DARGAH_{setting.upper()}: shop\.example\.ir="):
        webhook_tls(settings(**{setting: f"shop.example.ir={file}"}))


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked(authority: Authority) -> None:
    file = authority.issued("dargah.example.ir", lock=BestAvailableEncryption(b"secret"))
    with pytest.raises(SettingsError, match="passphrase"):
        webhook_tls(settings(webhook_client_cert_files=f"shop.example.ir={file}"))
