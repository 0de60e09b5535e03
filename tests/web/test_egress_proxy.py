"""A whole Dargah behind an egress proxy: webhooks leave through it, and doctor says whether it works."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from adapters.certificates import Authority
from adapters.egress import EgressProxy
from adapters.raw_server import RawServer, answer, raw
from click.testing import CliRunner
from pydantic import ValidationError

from proxy.cli.settings import config
from proxy.config.settings import Settings
from web.lab import Lab

PUBLIC = "93.184.216.34"
CREDENTIALS = "dargah:canary-proxy-7d1e"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With SQLite's file: what is looked at here comes before any store."""
    return tmp_path


@pytest.fixture
async def receiver(tmp_path: Path) -> AsyncIterator[RawServer]:
    async with RawServer((answer(b"ok"),), tls=Authority(tmp_path, "shop").server(PUBLIC)) as server:
        yield server


@pytest.fixture
async def egress(receiver: RawServer) -> AsyncIterator[EgressProxy]:
    wanted = base64.b64encode(CREDENTIALS.encode()).decode()
    async with EgressProxy(receiver.port, credentials=wanted) as made:
        yield made


@pytest.fixture
def more_settings(tmp_path: Path, egress: EgressProxy) -> dict[str, Any]:
    return {
        "webhook_ca_files": f"{PUBLIC}={tmp_path / 'shop.pem'}",
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
