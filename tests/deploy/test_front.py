"""deploy/caddy and deploy/nginx: taken by the real servers, and started with their own limits in front of a listener.

What is changed for the test is where they listen, their certificate and whom they stand in front of.
"""

import asyncio
import base64
import datetime as dt
import hashlib
import re
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support.dargah import server
from support.eventually import listening
from support.ports import free_port
from web.lab import lab_in
from web.openapi_check import check_schema

from deploy import tools
from deploy.tools import REPOSITORY

CADDY = REPOSITORY / "deploy" / "caddy"
NGINX = REPOSITORY / "deploy" / "nginx" / "dargah.conf"
PAGE = REPOSITORY / "deploy" / "pages" / "restarting.html"
SITE = "pay.example.ir"
START_SECONDS = 60
FORGED = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"}


@pytest.mark.parametrize("name", ["Caddyfile", "balancer.Caddyfile"])
def test_caddy_takes_it(name: str) -> None:
    tools.run("caddy", "validate", "--adapter", "caddyfile", "--config", CADDY / name)


def test_the_admin_listener_is_never_in_front() -> None:
    for path in (*CADDY.iterdir(), NGINX):
        assert not re.search(r":8081|/admin|/metrics", path.read_text("utf-8")), path


async def test_caddy_passes_the_true_address_on_and_ends_what_is_too_large(tmp_path: Path) -> None:
    async with behind(echo()) as upstream, caddy(tmp_path, upstream) as front:
        await holds(front)


async def test_nginx_passes_the_true_address_on_and_ends_what_is_too_large(tmp_path: Path) -> None:
    async with behind(echo()) as upstream, nginx(tmp_path, upstream) as front:
        await holds(front)


@pytest.mark.parametrize("proxy", ["caddy", "nginx"])
async def test_a_hostile_form_is_refused_at_once_behind_either(tmp_path: Path, proxy: str) -> None:
    folders = [tmp_path / name for name in ("front", "dargah")]
    for folder in folders:
        folder.mkdir()
    in_front = {"caddy": caddy, "nginx": nginx}[proxy]
    async with lab_in(folders[1]) as lab, in_front(folders[0], lab.dargah.url.removeprefix("http://")) as front:
        attack = {"Content-Type": "multipart/form-data; boundary=b" + ";a=b" * 1500, "Host": SITE}
        started = time.process_time()
        async with aiohttp.ClientSession() as session, asyncio.timeout(5):
            for _ in range(10):
                async with session.post(
                    f"{front}/invoice/request", data=b"--b\n\n" * 60, headers=attack, ssl=UNVERIFIED
                ) as refused:
                    assert 400 <= refused.status < 500
            async with session.get(f"{lab.dargah.url}/healthz") as alive:
                assert alive.status == 200
        assert time.process_time() - started < 1


def test_the_page_of_a_restart_never_says_failed_and_its_style_is_the_one_allowed() -> None:
    page = PAGE.read_text("utf-8")
    assert "ناموفق" not in page
    assert "fail" not in page.lower()
    style = page.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    for path in (CADDY / "Caddyfile", NGINX):
        assert f"style-src 'sha256-{digest}';" in path.read_text("utf-8"), path


@pytest.mark.parametrize("proxy", ["caddy", "nginx"])
async def test_while_dargah_restarts_a_browser_gets_a_page_that_reloads_and_a_program_json(
    tmp_path: Path, proxy: str
) -> None:
    in_front = {"caddy": caddy, "nginx": nginx}[proxy]
    async with in_front(tmp_path, f"127.0.0.1:{free_port()}") as front, aiohttp.ClientSession() as session:
        html = {"Host": SITE, "Accept": "text/html,*/*;q=0.8"}
        async with session.get(f"{front}/pay/x?go=1", headers=html, ssl=UNVERIFIED) as page:
            assert (page.status, page.content_type) == (503, "text/html")
            assert await page.text() == PAGE.read_text("utf-8")
            assert (page.headers["Retry-After"], page.headers["Cache-Control"]) == ("3", "no-store")
            assert page.headers["Refresh"] in {f"3; url=https://{SITE}/pay/x?go=1", "3"}
        program = {"Host": SITE, "Accept": "*/*"}
        async with session.post(f"{front}/v1/payments", data=b"{}", headers=program, ssl=UNVERIFIED) as refused:
            assert (refused.status, refused.content_type) == (503, "application/problem+json")
            check_schema("Problem", await refused.json())
            assert refused.headers["Retry-After"] == "3"


async def test_a_return_by_post_while_dargah_restarts_is_asked_for_again_with_what_it_brought(tmp_path: Path) -> None:
    async with nginx(tmp_path, f"127.0.0.1:{free_port()}") as front, aiohttp.ClientSession() as session:

        async def refresh(path: str, body: bytes) -> str:
            sent = {"Host": SITE, "Accept": "text/html", "Content-Type": "application/x-www-form-urlencoded"}
            async with session.post(front + path, data=body, headers=sent, ssl=UNVERIFIED) as page:
                assert (page.status, page.content_type) == (503, "text/html")
                return page.headers["Refresh"].removeprefix(f"3; url=https://{SITE}")

        assert await refresh("/return/x", b"State=OK&RefNum=a%2Bb%3D") == "/return/x?State=OK&RefNum=a%2Bb%3D"
        assert await refresh("/return/x?a=1", b"State=OK") == "/return/x?a=1&State=OK"
        for hostile in (b"a=<script>", b"a=1\r\nSet-Cookie: x=y", b"a=" + b"x" * 5000, b""):
            assert await refresh("/return/x", hostile) == "/return/x"
        assert await refresh("//evil.example/x", b"a=1") == "//evil.example/x?a=1", "behind the site's own name"


async def holds(front: str) -> None:
    async with aiohttp.ClientSession() as session:
        for path in ("/v1/payments?a=1", "/pay/x"):
            answer = await call(session, front + path, FORGED)
            assert answer["path"] == path
            assert answer["headers"]["x-forwarded-for"] == "127.0.0.1"
            assert not answer["headers"].get("forwarded")
        # Longer than any body that Dargah takes: it does not reach it.
        async with session.post(f"{front}/v1/payments", data=b"x" * (64 * 1024 + 1), ssl=UNVERIFIED) as refused:
            assert refused.status == 413
        async with session.get(front, headers={"X-Long": "x" * 40_000}, ssl=UNVERIFIED) as refused:
            assert refused.status in {400, 431}


async def call(session: aiohttp.ClientSession, url: str, headers: Mapping[str, str]) -> Any:
    async with session.get(url, headers={"Host": SITE, **headers}, ssl=UNVERIFIED) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


# The certificate is made for the test; whose it is, is not what is tested.
UNVERIFIED = ssl.create_default_context()
UNVERIFIED.check_hostname = False
UNVERIFIED.verify_mode = ssl.CERT_NONE


def echo() -> web.Application:
    """Says what it was asked."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()  # as Dargah does: a proxy measures a body while it passes it on
        headers = {name.lower(): value for name, value in request.headers.items()}
        return web.json_response({"path": request.path_qs, "headers": headers})

    app = web.Application(client_max_size=1 << 20)
    app.router.add_route("*", "/{path:.*}", answer)
    return app


@asynccontextmanager
async def behind(app: web.Application) -> AsyncIterator[str]:
    async with server(app) as url:
        yield url.removeprefix("http://")


@asynccontextmanager
async def caddy(folder: Path, upstream: str) -> AsyncIterator[str]:
    port, env = free_port(), {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "HOME": str(folder)}
    certificate, key = certify(folder)
    text = (
        (CADDY / "Caddyfile").read_text("utf-8").replace("{\n", "{\n\tadmin off\n\tauto_https disable_redirects\n", 1)
    )
    text = text.replace("pay.example.ir} {", f"pay.example.ir}} {{\n\ttls {certificate} {key}", 1)
    (folder / "Caddyfile").write_text(text)
    env |= {
        "DARGAH_SITE": f"https://127.0.0.1:{port}, https://{SITE}:{port}",
        "DARGAH_UPSTREAM": upstream,
        "DARGAH_PAGES": str(PAGE.parent),
    }
    command = (tools.find("caddy"), "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile"))
    async with program(folder, port, env, *command):
        yield f"https://127.0.0.1:{port}"


@asynccontextmanager
async def nginx(folder: Path, upstream: str) -> AsyncIterator[str]:
    plain, port = free_port(), free_port()
    certificate, key = certify(folder)
    text = NGINX.read_text("utf-8")
    for old, new in {
        "    listen [::]:80;\n": "",
        "    listen [::]:443 ssl http2;\n": "",
        "listen 80;": f"listen 127.0.0.1:{plain};",
        "listen 443 ": f"listen 127.0.0.1:{port} ",
        "/etc/ssl/dargah/fullchain.pem": str(certificate),
        "/etc/ssl/dargah/privkey.pem": str(key),
        "server 127.0.0.1:8080;": f"server {upstream};",
        "root /usr/share/dargah;": f"root {PAGE.parent};",
    }.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    paths = "".join(f"{name}_temp_path {folder};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"daemon off;\npid {folder}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{paths}{text}\n}}\n"
    )
    arguments = ("-c", str(folder / "nginx.conf"), "-e", str(folder / "nginx.log"))
    tools.run("nginx", "-t", *arguments)
    async with program(folder, port, {}, tools.find("nginx"), *arguments), aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{plain}/pay/x?y", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (301, f"https://{SITE}/pay/x?y")
        yield f"https://127.0.0.1:{port}"


@asynccontextmanager
async def program(folder: Path, port: int, env: Mapping[str, str], *command: str) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        log = stack.enter_context((folder / "log").open("wb"))
        process = await asyncio.create_subprocess_exec(*command, env={**env} or None, stdout=log, stderr=log)
        try:
            await listening(port, lambda: process.returncode is None, folder / "log", START_SECONDS)
            yield
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


def certify(folder: Path) -> tuple[Path, Path]:
    """A certificate of the site's name and loopback, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, SITE)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(SITE), x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    chain, private = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return chain, private
