"""The clients that others wrote, unmodified, and the way from their gateways' hosts to a server of the test.

`.ci/clients` installs them as tests/clients/families locks them: each archive's hash is compared with the lock, and
nothing of them is changed, patched or configured beyond what their documents tell a shop. Their hosts stand in their
code, so the network is bent instead. A front on loopback speaks TLS under those names, with certificates of an
authority that lives as long as the test, and passes each request on with its Host. Python's clients reach it by a proxy
(HTTPS_PROXY) and trust the authority (REQUESTS_CA_BUNDLE, SSL_CERT_FILE); Node's by a preload outside of the packages,
which reroutes every connection (tests/clients/families/reroute.cjs), and NODE_EXTRA_CA_CERTS.
"""

import asyncio
import json
import os
import shutil
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from adapters.servers import Authority, EgressProxy
from aiohttp import web
from yarl import URL

PROGRAMS: Final = Path(__file__).parents[1] / "clients" / "families"
INSTALLED: Final = Path(sys.prefix) / "clients"
PATIENCE_SECONDS: Final = 60
REQUIRED: Final = os.environ.get("DARGAH_TEST_CLIENTS") == "required"

HOSTS: Final = (
    "payment.zarinpal.com",
    "api.zarinpal.com",
    "www.zarinpal.com",
    "gateway.zibal.ir",
    "sep.shaparak.ir",
    "sadad.shaparak.ir",
    "bpm.shaparak.ir",
)
"""Every host that stands in a client's code."""

CREDENTIALS: Final[Mapping[str, Mapping[str, str]]] = {
    "zarinpal": {"merchant_id": "5d7e1c3a-7b52-4c0e-9a41-0242ac120002"},
    "zibal": {"merchant": "60a1f0c2b5d7e1c3a7b52c0e"},
    "sep": {"terminal_id": "13461234"},
    "sadad": {
        "terminal_id": "24098765",
        "merchant_id": "140336964",
        "key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
    },
    "mellat": {"terminal_id": "1357924", "username": "shop1357", "password": "24680135"},
}
"""The credentials of each family by their names in it; the first is the terminal's main id."""

_HOP_BY_HOP: Final = frozenset(
    {"connection", "content-encoding", "content-length", "keep-alive", "transfer-encoding", "date", "server"}
)


@dataclass(frozen=True)
class Front:
    """All HOSTS on one loopback port; `proxy` is the URL of a proxy that leads there whatever it is asked for."""

    authority: Authority
    port: int
    proxy: str

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.authority.file)


@asynccontextmanager
async def front_of(behind: str | Callable[[str], str], folder: Path) -> AsyncIterator[Front]:
    """A front whose requests go to the server at the URL `behind`, or at the one that it gives for a path."""
    authority = Authority(folder, "clients")
    async with aiohttp.ClientSession() as session:

        async def pass_on(request: web.Request) -> web.Response:
            headers, body = _kept(request.headers), await request.read()
            url = (behind if isinstance(behind, str) else behind(request.path)) + request.raw_path
            async with session.request(
                request.method, url, data=body or None, headers=headers, allow_redirects=False
            ) as answer:
                return web.Response(body=await answer.read(), status=answer.status, headers=_kept(answer.headers))

        app = web.Application()
        app.router.add_route("*", "/{target:.*}", pass_on)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=_by_name(authority)).start()
            port = runner.addresses[0][1]
            async with EgressProxy(port_behind=port) as proxy:
                yield Front(authority, port, f"http://127.0.0.1:{proxy.port}")
        finally:
            await runner.cleanup()


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _HOP_BY_HOP}


def _by_name(authority: Authority) -> ssl.SSLContext:
    """A server's context that shows the certificate of the host that is asked for."""
    contexts = {host: authority.server(host) for host in HOSTS}
    first = next(iter(contexts.values()))

    def choose(connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
        if name not in contexts:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        connection.context = contexts[name]
        return None

    first.sni_callback = choose
    return first


@dataclass(frozen=True)
class Runtime:
    """What a client runs on: the name of its environment under INSTALLED."""

    name: str

    def missing(self) -> str:
        """Why its clients cannot run here; empty when they can."""
        if not (INSTALLED / ".ready").exists():
            return "NOT RUN: the clients are not installed (`make .venv/clients/.ready`)"
        if not (INSTALLED / self.name).exists():
            return f"NOT RUN: {self.name} was not at hand when the clients were installed (`.ci/clients`)"
        return ""

    def command(self, program: str, *, rerouted: bool = True) -> list[str]:
        if self.name == "node":
            preload = ["--require", str(PROGRAMS / "reroute.cjs")] if rerouted else []
            return [shutil.which("node") or "node", *preload, str(PROGRAMS / f"{program}.cjs")]
        return [str(INSTALLED / self.name / "bin" / "python"), "-m", f"clients.families.{program}"]

    def environment(self, front: Front) -> dict[str, str]:
        trusted = str(front.authority.file)
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        if self.name == "node":
            modules = str(INSTALLED / "node" / "node_modules")
            return kept | {"NODE_PATH": modules, "NODE_EXTRA_CA_CERTS": trusted, "REROUTE_PORT": str(front.port)}
        return kept | {
            "HTTPS_PROXY": front.proxy,
            "REQUESTS_CA_BUNDLE": trusted,
            "SSL_CERT_FILE": trusted,
            "PYTHONPATH": str(PROGRAMS.parents[1]),
            "TZ": "Asia/Tehran",  # a shop's server has it, and Sadad compares its clock
        }


@dataclass
class Driven:
    """A client's program that runs, and takes commands."""

    process: asyncio.subprocess.Process

    async def say(self, **command: Any) -> dict[str, Any]:
        """The answer to a command. What the program wrote to its standard error stands in the failure when it died."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        async with asyncio.timeout(PATIENCE_SECONDS):
            line = await self.process.stdout.readline()
        if not line:
            assert self.process.stderr is not None
            pytest.fail((await self.process.stderr.read()).decode())
        answer: dict[str, Any] = json.loads(line)
        return answer


@asynccontextmanager
async def driven(
    runtime: Runtime, program: str, client: str, family: str, front: Front, credentials: Mapping[str, str] | None = None
) -> AsyncIterator[Driven]:
    """The client, driven by `program`, with those of CREDENTIALS unless others are given; skips the test, saying why,
    where its runtime is missing.
    """
    if why := runtime.missing():
        (pytest.fail if REQUIRED else pytest.skip)(why)
    given = credentials or CREDENTIALS[family]
    process = await asyncio.create_subprocess_exec(
        *(*runtime.command(program, rerouted="base" not in given), client, family, json.dumps(given)),
        cwd=front.authority.folder,
        env=runtime.environment(front),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Driven(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@dataclass(frozen=True)
class Trip:
    """The customer's way back to the shop."""

    method: str
    url: str
    params: Mapping[str, str]


class _Form(HTMLParser):
    """The first form of a page: its action and its hidden fields."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action, self.fields = "", dict[str, str]()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.action = given.get("action") or ""
        elif tag == "input" and given.get("type") == "hidden":
            self.fields[given.get("name") or ""] = given.get("value") or ""


def form_of(page: str) -> tuple[str, dict[str, str]]:
    """The action and the hidden fields of the first form of a page."""
    form = _Form(page)
    return form.action, form.fields


@dataclass
class Customer:
    """Opens the gateway's page as the client says, and presses a button there."""

    front: Front
    session: aiohttp.ClientSession

    async def acts(self, there: Mapping[str, Any], action: str) -> Trip:
        """What the customer does (`pay`, `cancel`, `fail`), and the trip back."""
        fields = {name: str(value) for name, value in (there["fields"] or {}).items()}
        url = URL(there["url"])
        method = there.get("method", "POST" if fields else "GET")
        if method == "GET":
            url = url.update_query(fields)
        async with self._go(method, url, fields) as page:
            text = await page.text()
            assert page.status == 200, text
            form = _Form(text)
        async with self._go("POST", url, form.fields | {"action": action}) as sent:
            if sent.status == 303:
                back = URL(sent.headers["Location"], encoded=True)
                return Trip("GET", str(back), dict(back.query))
            text = await sent.text()
            assert sent.status == 200, text
            form = _Form(text)
            return Trip("POST", form.action, form.fields)

    def _go(self, method: str, url: URL, fields: Mapping[str, str]) -> Any:
        return self.session.request(
            method,
            url,
            data=fields if method == "POST" else None,
            proxy=self.front.proxy,
            ssl=self.front.trust,
            allow_redirects=False,
        )
