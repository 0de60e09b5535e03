"""The operator's listener by a name of somebody else's: a browser's page may lead its own name to any address."""

from pathlib import Path
from typing import Any

import pytest
from support.dargah import settings
from web.lab import Lab
from web.raw_answers import answers_to, statuses

from proxy.app import running
from proxy.config.settings import Settings
from proxy.http.trusted_proxies import AllowedHosts

PATHS = ("/metrics", "/console/login", "/console/", "/admin/v1/me", "/nothing", "/console/assets/icon.svg")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With SQLite's file: what is looked at here comes before any store."""
    return tmp_path


@pytest.fixture
def more_settings() -> dict[str, Any]:
    return {"admin_hosts": "Dargah.internal.example.ir, desk"}


def asking(path: str, *lines: str, version: str = "1.1") -> bytes:
    return "\r\n".join([f"GET {path} HTTP/{version}", *lines, "Connection: close", "", ""]).encode("latin-1")


@pytest.mark.parametrize("path", PATHS)
async def test_another_name_is_refused_at_every_path(lab: Lab, path: str) -> None:
    told = await answers_to(lab.dargah.admin_url, asking(path, "Host: rebound.example:8081"))
    assert statuses(told) == [421]
    assert b"DARGAH_ADMIN_HOSTS" in told
    assert b"rebound" not in told


@pytest.mark.parametrize(
    "host",
    [
        "rebound.example", "localhost.rebound.example", "127.0.0.1.rebound.example", "rebound.example.", "xlocalhost",
        "desk.example", "[rebound.example]", "localhost@rebound.example", "rebound.example:localhost",
        "127.1", "0x7f.1",
        "\xe9", ":8081", "[", "[]",
    ],
)  # fmt: skip
def test_what_only_looks_like_one_of_ours_is_refused(host: str) -> None:
    assert not AllowedHosts(["desk"]).serves(host)


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LOCALHOST:8081", "localhost.", "127.0.0.1:1", "[::1]:8081", "10.244.1.17:8081", "203.0.113.7",
        "desk", "Desk:80", "dargah.internal.example.ir:8081", "",
    ],
)  # fmt: skip
async def test_its_addresses_and_the_names_of_the_settings_are_answered(lab: Lab, host: str) -> None:
    """Probes and scrapers come by a pod's address, `kubectl port-forward` and tunnels by localhost."""
    told = await answers_to(lab.dargah.admin_url, asking("/metrics", f"Host: {host}"))
    assert statuses(told) == [200]


async def test_one_who_names_no_host_is_no_browser(lab: Lab) -> None:
    assert statuses(await answers_to(lab.dargah.admin_url, asking("/metrics", version="1.0"))) == [200]


async def test_two_hosts_are_refused(lab: Lab) -> None:
    told = await answers_to(lab.dargah.admin_url, asking("/metrics", "Host: localhost", "Host: rebound.example"))
    assert statuses(told) == [400]


async def test_the_public_listener_answers_to_any_name(lab: Lab) -> None:
    told = await answers_to(lab.dargah.url, asking("/healthz", "Host: pay.example.ir"))
    assert statuses(told) == [200]


async def test_a_process_without_the_api_holds_to_it_too(postgresql_url: str, tmp_path: Path) -> None:
    async with running(settings(tmp_path, database=postgresql_url, roles="watch,deliver")) as worker:
        for host, status in (("rebound.example", 421), ("10.244.1.17:8081", 200)):
            assert statuses(await answers_to(worker.admin_url, asking("/healthz", f"Host: {host}"))) == [status]


@pytest.mark.parametrize("names", ["https://desk", "desk:80", "a b", "*.example.ir", "x" * 64])
def test_a_setting_that_is_no_name_is_refused(names: str) -> None:
    with pytest.raises(ValueError, match="write names alone"):
        Settings(admin_hosts=names)
