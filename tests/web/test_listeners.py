"""What every answer of a listener has on the wire, and the hosts that the operator's listener answers to."""

from pathlib import Path
from typing import Any

import pytest
from support.dargah import settings

from proxy.api.services import admin_hosts
from proxy.app import running
from proxy.config.settings import Settings
from proxy.http.trusted_proxies import AllowedHosts
from web.clients import answers_to, console, statuses
from web.lab import Lab

LAST = b"Connection: close\r\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With SQLite's file: what is looked at here comes before any store."""
    return tmp_path


def asked(target: bytes, *, method: bytes = b"GET", version: bytes = b"1.1", more: bytes = b"") -> bytes:
    return b"%s %s HTTP/%s\r\nHost: x\r\n%s\r\n" % (method, target, version, more)


def head_and_body(answered: bytes) -> tuple[bytes, bytes]:
    head, _, body = answered.partition(b"\r\n\r\n")
    return head.lower(), body


async def test_its_length_is_that_of_its_body(lab: Lab) -> None:
    head, body = head_and_body(await answers_to(lab.dargah.url, asked(b"/healthz", more=LAST)))
    assert body == b'{"status":"ok"}'
    assert b"\r\ncontent-length: 15" in head
    assert b"\r\ndate: " in head
    assert b"transfer-encoding" not in head


async def test_the_client_that_closes_is_told_that_it_is_closed(lab: Lab) -> None:
    head, _ = head_and_body(await answers_to(lab.dargah.url, asked(b"/healthz", more=LAST)))
    assert b"\r\nconnection: close" in head


async def test_head_has_the_length_and_no_body(lab: Lab) -> None:
    head, body = head_and_body(await answers_to(lab.dargah.url, asked(b"/healthz", method=b"HEAD", more=LAST)))
    assert (b"\r\ncontent-length: 15" in head, body) == (True, b"")


async def test_an_old_client_is_answered_in_its_version_and_closed(lab: Lab) -> None:
    head, body = head_and_body(await answers_to(lab.dargah.url, asked(b"/healthz", version=b"1.0")))
    assert head.startswith(b"http/1.0 200 ")
    assert (b"keep-alive" in head, body) == (False, b'{"status":"ok"}')


async def test_requests_in_a_row_are_answered_in_their_order(lab: Lab) -> None:
    row = asked(b"/healthz") + asked(b"/v1/nothing") + asked(b"/readyz") + asked(b"/healthz", more=LAST)
    assert statuses(await answers_to(lab.dargah.url, row)) == [200, 404, 200, 200]


@pytest.mark.parametrize("target", [b"/health%7A", b"http://elsewhere/healthz", b"/healthz?x=1", b"/healthz?"])
async def test_a_path_is_the_same_however_it_is_written(lab: Lab, target: bytes) -> None:
    assert statuses(await answers_to(lab.dargah.url, asked(target, more=LAST))) == [200]


async def test_who_waits_to_be_told_to_go_on_is_told(lab: Lab) -> None:
    body = b'{"amount":1}'
    more = b"Expect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % len(body) + LAST
    told = await answers_to(lab.dargah.url, asked(b"/v1/payments", method=b"POST", more=more) + body)
    assert statuses(told) == [100, 401]


ASKED = [
    ("admin", "GET /console HTTP/1.1"),
    ("admin", "GET /console/ HTTP/1.1"),
    ("admin", "GET /console/payments?x=1 HTTP/1.1"),
    ("admin", "GET /nothing HTTP/1.1"),
    ("admin", "POST /metrics HTTP/1.1"),
    ("public", "GET /portal HTTP/1.1"),
    ("public", "GET /portal/ HTTP/1.1"),
    ("public", "GET /portal/enter/x HTTP/1.1"),
    ("public", "GET /pay/x HTTP/1.1"),
    ("public", "HEAD /return/x HTTP/1.1"),
    ("public", "OPTIONS /v1/payments HTTP/1.1"),
    ("public", "GET //nothing/../ HTTP/1.1"),
]


@pytest.mark.parametrize(("listener", "line"), ASKED)
async def test_every_answer_says_who_serves_it_and_that_it_is_not_kept(lab: Lab, listener: str, line: str) -> None:
    url = lab.dargah.url if listener == "public" else lab.dargah.admin_url
    told = await answers_to(url, f"{line}\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    head = told.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
    assert b"server: dargah" in head
    assert b"cache-control: no-store" in head
    assert b"x-content-type-options: nosniff" in head
    assert b"aiohttp" not in told.lower()


async def test_the_answers_with_a_sessions_cookie_are_not_kept(lab: Lab) -> None:
    browser = console(lab)
    entered = await browser.log_in()
    assert "Set-Cookie" in entered.headers
    left = await browser.post("/console/logout")
    for answer in (entered, left, await browser.get("/console/")):
        assert answer.status == 303
        assert (answer.headers["Cache-Control"], answer.headers["Server"]) == ("no-store", "dargah")


PATHS = ("/metrics", "/console/login", "/console/", "/admin/v1/me", "/nothing", "/console/assets/icon.svg")


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


def test_the_name_that_it_listens_at_is_its_own(tmp_path: Path) -> None:
    """Compose has it at `admin:8081`, where the commands inside the container ask it."""
    allowed = AllowedHosts(admin_hosts(settings(tmp_path, admin_listen="Admin:8081")))
    assert (allowed.serves("admin:8081"), allowed.serves("rebound.example:8081")) == (True, False)


@pytest.mark.parametrize("names", ["https://desk", "desk:80", "a b", "*.example.ir", "x" * 64])
def test_a_setting_that_is_no_name_is_refused(names: str) -> None:
    with pytest.raises(ValueError, match="write names alone"):
        Settings(admin_hosts=names)
