"""No secret is shown: in no log, metric, trace, page, error, command's output or byte of the database.

Secrets have a mark, and one run of everything that touches a secret, good ways and bad, has all that it shows written
down: where is a mark that must not be there?
"""

import asyncio
import base64
import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import aiohttp
import asyncpg
import orjson
import pytest
from aiohttp import web
from databases.places import Databases
from support.authenticator import Authenticator
from support.command import Cli, Ran
from support.dargah import server
from support.eventually import eventually
from support.process import Process
from support.provider import echoing_provider
from support.shop import RETURN_ORIGIN

from proxy.config.settings import Settings
from proxy.gateways.simulation.ledger import SimulatedTerminal
from proxy.kernel.clock import system_now
from proxy.simulator.command import create_app

TAIL = 16
"""How many characters of a secret's end are looked for: half a secret is too much of it."""


@dataclass(frozen=True)
class Leak:
    secret: str
    surface: str


@dataclass
class Canaries:
    """`secrets` by name, and `surfaces`: what was shown, each with the names of the secrets that it may show once."""

    secrets: dict[str, str] = field(default_factory=dict)
    surfaces: list[tuple[str, bytes, frozenset[str]]] = field(default_factory=list)

    def hide(self, name: str, secret: str) -> str:
        """Notes a secret; gives it back."""
        assert len(secret) >= TAIL, name
        assert secret not in self.secrets.values(), name
        self.secrets[name] = secret
        return secret

    def shown(self, surface: str, content: bytes | str, *once: str) -> None:
        """Notes what was shown there. `once` names the secrets that were made by this very call."""
        raw = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
        self.surfaces.append((surface, raw, frozenset(once)))

    def shown_files(self, folder: Path, *names: str) -> None:
        """Every byte of these files, as they lie on the disk."""
        for name in names:
            path = folder / name
            if path.exists():
                self.shown(f"file {name}", path.read_bytes())

    def leaks(self) -> list[Leak]:
        """Every secret that a surface shows, in any of the forms in which bytes are written down."""
        return [
            Leak(name, surface)
            for name, secret in self.secrets.items()
            for surface, raw, once in self.surfaces
            if name not in once and any(form in raw for form in forms(secret))
        ]


def forms(secret: str) -> set[bytes]:
    """The secret's end as it is, and as base64, hex and a URL would write it."""
    tail = secret[-TAIL:].encode()
    # A byte before it shifts the digits of base64; what depends on its neighbours is cut off.
    shifted = {base64.b64encode(b"\0" * shift + tail)[4:-4] for shift in range(3)}
    return {tail, tail.hex().encode(), tail.hex().upper().encode(), quote(tail, safe="").encode(), *shifted}


def raw_key(line: str) -> Iterator[tuple[str, str]]:
    """A key ring's line as text and as the bytes that it stands for, which a file could hold as they are."""
    yield "master key", line
    yield "master key's bytes", base64.b64decode(line.partition(":")[2]).decode("ascii")


def headers_text(headers: Mapping[str, str]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in headers.items())


API_KEY, SECOND_API_KEY = "canary-api-key-7f3a91c05d", "canary-second-key-20be66f1"
WRONG_API_KEY = "canary-wrong-key-a9d81172e4"
OPERATOR_TOKEN = "canary-operator-token-5cd20f8817"
MASTER_KEY = f"k1:{base64.b64encode(b'canary-master-key-0123456789abcd').decode()}"
COLLECTOR_PASSWORD = "canary-collector-password-66e1"
EGRESS_PASSWORD = "canary-egress-password-3b7d"
BOT_TOKEN = "123456789:canary-bot-token-8e21d7"
MAIL_PASSWORD = "canary-mail-password-41f9"
ALERT_PATH = "canary-alert-path-c07e55"
ALERT_SECRET = f"whsec_{base64.b64encode(b'canary-alert-secret-0123456789ab').decode()}"
OIDC_SECRET = "canary-oidc-client-secret-8a41"
DATABASE_PASSWORD = "canary-database-password-91c2d0"
DATABASE = ("dargah.db", "dargah.db-wal", "dargah.db-shm", "dargah.db-journal")


@dataclass
class Run:
    """A running process of Dargah, a gateway, a receiver and a collector of traces, and all that they showed."""

    process: Process
    folder: Path
    gateway_url: str
    hook_url: str
    session: aiohttp.ClientSession
    seen: Canaries
    attempts: list[int]
    spans: list[bytes]
    cli: Cli
    merchant_id: str = ""
    token: str = ""
    facade_token: str = ""
    answers: list[dict[str, Any]] = field(default_factory=list)

    @property
    def admin_url(self) -> str:
        return f"http://{self.process.env['DARGAH_ADMIN_LISTEN']}"

    async def command(
        self, *arguments: str, stdin: str = "", once: Mapping[str, str] | None = None, code: int = 0
    ) -> Any:
        """The JSON of a command. `once` names the fields that hold a new secret, with the secrets' names."""
        ran = await self.cli.run(*arguments, "--json", stdin=stdin)
        assert ran.code == code, (arguments, ran)
        value: Any = orjson.loads(ran.out) if ran.out and code == 0 else None
        made = once or {}
        for field_name, name in made.items():
            self.seen.hide(name, value[field_name])
        self._shown(arguments, ran, *made.values())
        return value

    async def words(self, *arguments: str, stdin: str = "", code: int = 0) -> None:
        """A command as people read it."""
        ran = await self.cli.run(*arguments, stdin=stdin)
        assert ran.code == code, (arguments, ran)
        self._shown(arguments, ran)

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        token: str | None = None,
        base: str | None = None,
        **options: Any,
    ) -> tuple[int, Any]:
        """An HTTP answer, headers and all; `token` None is the shop's, and an empty one none."""
        headers = dict(options.pop("headers", {}))
        if token != "":
            headers["Authorization"] = f"Bearer {token or self.token}"
        url = path if path.startswith("http") else (base or self.process.url) + path
        async with self.session.request(
            method, url, json=json, headers=headers, allow_redirects=False, **options
        ) as answer:
            raw = await answer.read()
            self.seen.shown(f"{method} {path}", headers_text(answer.headers).encode() + raw)
            is_json = "json" in answer.headers.get("Content-Type", "")
            return answer.status, orjson.loads(raw) if is_json else raw

    async def raw(self, data: bytes) -> None:
        """Bytes on a connection of their own, and whatever comes back."""
        host, _, port = self.process.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(data)
        async with asyncio.timeout(20):
            self.seen.shown("raw answer", await reader.read(65_536))
        writer.close()

    async def create(self, key: str, **fields: Any) -> tuple[int, Any]:
        body = {"amount": 150_000, "currency": "IRR", "order_id": key} | fields
        return await self.call("POST", "/v1/payments", json=body, headers={"Idempotency-Key": key})

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        async with self.session.request(method, f"{self.gateway_url}/control{path}", json=body) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json(content_type=None)

    async def status_of(self, payment_id: str) -> str:
        status, payment = await self.call("GET", f"/v1/payments/{payment_id}")
        assert status == 200
        return str(payment["status"])

    def _shown(self, arguments: tuple[str, ...], ran: Ran, *once: str) -> None:
        self.seen.shown(f"dargah {' '.join(arguments[:2])}", ran.out + ran.error, *once)


@asynccontextmanager
async def begun(folder: Path, **more: str) -> AsyncIterator[Run]:
    """The parts, running; at the end they are stopped, and the logs, spans and files are written down too."""
    seen = Canaries()
    attempts: list[int] = []
    spans: list[bytes] = []

    async def hear(request: web.Request) -> web.Response:
        seen.shown("webhook", headers_text(request.headers).encode() + await request.read())
        attempts.append(len(attempts))
        return web.Response(status=500 if len(attempts) < 3 else 204, text="no")

    async def collect(request: web.Request) -> web.Response:
        spans.append(await request.read())
        return web.Response()

    receiver, collector = web.Application(), web.Application(client_max_size=16 * 1024 * 1024)
    receiver.router.add_post("/hook", hear)
    collector.router.add_post("/v1/traces", collect)
    terminals = [SimulatedTerminal(API_KEY), SimulatedTerminal(SECOND_API_KEY)]
    async with AsyncExitStack() as stack:
        gateway_url = await stack.enter_async_context(server(create_app(terminals=terminals)))
        hook_url = await stack.enter_async_context(server(receiver))
        traces = (await stack.enter_async_context(server(collector))).replace("http://", "")
        secrets = {
            "DARGAH_ADMIN_TOKEN": OPERATOR_TOKEN,
            "DARGAH_KEYS": MASTER_KEY,
            "DARGAH_EGRESS_PROXY_CREDENTIALS": f"dargah:{EGRESS_PASSWORD}",
            "DARGAH_OIDC_CLIENT_SECRET": OIDC_SECRET,
            "DARGAH_TRACES_URL": f"http://dargah:{COLLECTOR_PASSWORD}@{traces}/v1/traces",
            "DARGAH_ALERT_BOT_TOKEN": BOT_TOKEN,
            "DARGAH_ALERT_EMAIL_CREDENTIALS": f"dargah:{MAIL_PASSWORD}",
            "DARGAH_ALERT_WEBHOOK_URL": f"{hook_url}/{ALERT_PATH}",
            "DARGAH_ALERT_WEBHOOK_SECRET": ALERT_SECRET,
        }
        # None of them takes anything, so that each failure is told of.
        alerts = {
            "DARGAH_ALERT_BOT_CHATS": "1",
            "DARGAH_ALERT_BOT_URL": hook_url,
            "DARGAH_ALERT_EMAIL_SERVER": f"smtp://{hook_url.removeprefix('http://')}",
            "DARGAH_ALERT_EMAIL_FROM": "dargah@example.ir",
            "DARGAH_ALERT_EMAIL_TO": "ops@example.ir",
            "DARGAH_ALERT_HOLD_SECONDS": "0",
        }
        provider = {
            "DARGAH_OIDC_ISSUER": await stack.enter_async_context(server(echoing_provider())),
            "DARGAH_OIDC_CLIENT_ID": "dargah",
            "DARGAH_OIDC_ROLES": "owners=owner",
            "DARGAH_CONSOLE_URL": "http://127.0.0.1:8081",
        }
        quick = {"DARGAH_LOG_LEVEL": "debug", "DARGAH_UNREADY_SECONDS": "0"}
        process = Process(folder, **secrets, **alerts, **provider, **quick, **more)
        for name, secret in (*raw_key(MASTER_KEY), *_given()):
            seen.hide(name, secret)
        if DATABASE_PASSWORD in more.get("DARGAH_DATABASE", ""):
            seen.hide("database's password", DATABASE_PASSWORD)
        await process.start()
        stack.push_async_callback(process.stop)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        variables = {name: value for name, value in process.env.items() if name.startswith("DARGAH_")}
        admin = f"http://{variables['DARGAH_ADMIN_LISTEN']}"
        cli = Cli(variables | {"DARGAH_ADMIN_URL": admin}, folder)
        run = Run(process, folder, gateway_url, f"{hook_url}/hook", session, seen, attempts, spans, cli)
        yield run
        seen.shown_files(folder, *DATABASE)
        assert process._process is not None
        output = process._process.stdout
        assert await process.stop() == 0
        assert output is not None
        seen.shown("stdout", await output.read())
    seen.shown_files(folder, *DATABASE)
    seen.shown("log", process.log.read_bytes())
    for span in spans:
        seen.shown("span", span)


def _given() -> list[tuple[str, str]]:
    given = {
        "api_key": API_KEY,
        "second api_key": SECOND_API_KEY,
        "wrong api_key": WRONG_API_KEY,
        "operator's token": OPERATOR_TOKEN,
        "collector's password": COLLECTOR_PASSWORD,
        "egress proxy's password": EGRESS_PASSWORD,
        "bot's token": BOT_TOKEN,
        "mail's password": MAIL_PASSWORD,
        "alerts' address": ALERT_PATH,
        "alerts' secret": ALERT_SECRET,
        "provider's secret": OIDC_SECRET,
    }
    return list(given.items())


async def set_up(run: Run) -> str:
    """A merchant with all that it needs, by the commands; gives its endpoint's id."""
    origin = ("--return-origin", RETURN_ORIGIN)
    merchant = await run.command(
        *("merchant", "create", "--name", "فروشگاه", *origin), once={"return_secret": "return secret"}
    )
    owner = ("--merchant", merchant["id"])
    run.merchant_id = merchant["id"]
    create = ("terminal", "create", *owner, "--name", "main", "--gateway-url", run.gateway_url, "--api-key-stdin")
    await run.command(*create, stdin=f"{API_KEY}\x01", code=1)
    await run.command(*create, stdin=API_KEY)
    run.token = (await run.command("token", "create", *owner, once={"token": "token"}))["token"]
    facade = ("token", "create", *owner, "--scope", "facade")
    run.facade_token = (await run.command(*facade, once={"token": "drop-in token"}))["token"]
    endpoint = await run.command(
        *("endpoint", "create", *owner, "--url", run.hook_url, "--storefront", "main"),
        once={"secret": "endpoint secret"},
    )
    return str(endpoint["id"])


async def pay(run: Run) -> dict[str, Any]:
    """Created, paid, come back, and told to the shop, which fails twice first."""
    status, payment = await run.create("order-paid", return_url=f"{RETURN_ORIGIN}/thanks")
    assert status == 201, payment
    await run.call("GET", payment["pay_url"], token="")
    visit = await run.control("POST", f"/invoices/{payment['invoice_key']}/pay")
    status, _ = await run.call("GET", visit["return_url"], token="")
    assert status == 303
    assert await run.status_of(payment["id"]) == "paid"
    await run.call("GET", payment["pay_url"], token="")
    return dict(payment)


async def told(run: Run, endpoint_id: str) -> None:
    """Tried again by hand until the shop was told."""
    path = f"/v1/webhook-endpoints/{endpoint_id}/deliveries"

    async def delivered() -> bool | None:
        _, page = await run.call("GET", path)
        [delivery] = page["data"]
        if delivery["status"] == "delivered":
            return True
        await run.call("POST", f"/v1/deliveries/{delivery['id']}/retry", json={})
        await run.call("GET", f"/v1/deliveries/{delivery['id']}")
        return None

    await eventually(delivered)


async def go_wrong(run: Run, terminal_id: str) -> None:
    """Every kind of error: of the caller's, of the gateway's, of the wire."""
    for token in (OPERATOR_TOKEN, API_KEY, run.token[:-1] + "_", WRONG_API_KEY):
        await run.call("GET", "/v1/payments", token=token)
        await run.call("GET", "/admin/v1/merchants", token=token + "x", base=run.admin_url)
        await run.call("POST", "/invoice/request", json={"api_key": token, "amount": 10_000}, token="")
    await run.call("GET", f"/v1/payments/{run.token}")
    await run.call("GET", f"/pay/{run.token}", token="")
    await run.call("GET", f"/nowhere/{run.token}?api_key={API_KEY}", token="")
    await run.create("order-odd", metadata={"x": {"y": "z"}}, return_url="https://elsewhere.example")
    await run.call("POST", "/v1/payments", json={"api_key": API_KEY, "amount": run.token})
    for kind in ("html", "http_500", "reset"):
        await run.control("POST", "/faults", {"operation": "request", "kind": kind, "times": 1})
        await run.create(f"order-{kind}")
    await run.command("terminal", "update", terminal_id, "--api-key-stdin", stdin=WRONG_API_KEY)
    await run.create("order-wrong-key")
    for bad in (
        f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {run.token}\0\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization Bearer {run.token}\r\n\r\n",
        f"{run.token} {API_KEY} HTTP/9\r\n\r\n",
    ):
        await run.raw(bad.encode())


async def rotate(run: Run, terminal_id: str, endpoint_id: str) -> None:
    """Every secret is replaced by another, and used."""
    await run.command("terminal", "update", terminal_id, "--api-key-stdin", stdin=SECOND_API_KEY)
    owner = ("--merchant", run.merchant_id)
    [token] = [each for each in await run.command("token", "list", *owner) if "facade" not in each["scopes"]]
    rotated = await run.command("token", "rotate", token["id"], once={"token": "rotated token"})
    run.token = rotated["token"]
    await run.command("token", "revoke", token["id"], "--yes")
    await run.command("endpoint", "rotate-secret", endpoint_id, once={"secret": "rotated secret"})
    again = ("merchant", "rotate-return-secret", run.merchant_id, "--yes")
    await run.command(*again, once={"return_secret": "rotated return secret"})
    operator = await run.command("operator", "add", "--name", "new", "--role", "owner", once={"token": "operator"})
    theirs = ("operator", "rotate", operator["id"])
    await run.command(*theirs, once={"token": "rotated operator"})
    await run.command("keys", "rotate")


async def look(run: Run, payment: Mapping[str, Any]) -> None:
    """Everything that an operator, a developer or a scraper can look at."""
    owner = ("--merchant", run.merchant_id)
    for arguments in (
        ("config",),
        ("audit", "list"),
        ("audit", "verify"),
        ("operator", "list"),
        ("operator", "whoami"),
        ("merchant", "list"),
        ("terminal", "list", *owner),
        ("token", "list", *owner),
        ("endpoint", "list", *owner),
        ("payment", "show", str(payment["id"])),
        ("doctor",),
        ("recover", "--since", f"{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"),
    ):
        await run.words(*arguments)
    await run.words("alert", "test", code=1)
    await run.words("token", "check", run.token)
    for path in ("/v1/payments", "/v1/events", "/v1/webhook-endpoints", "/healthz", "/readyz"):
        assert (await run.call("GET", path))[0] == 200
    await run.call("GET", f"/v1/payments/{payment['id']}/timeline")
    status, metrics = await run.call("GET", "/metrics", base=run.admin_url, token="")
    assert status == 200
    assert b"dargah_" in metrics
    asked = {"api_key": run.facade_token, "amount": 150_000, "return_url": f"{RETURN_ORIGIN}/back"}
    status, answer = await run.call("POST", "/invoice/request", json=asked, token="")
    assert answer["status"] == 1, answer
    status, answer = await run.call(
        "POST", f"/invoice/check/{answer['invoice_key']}", json={"api_key": run.facade_token}, token=""
    )
    assert status == 200


async def sign_in(run: Run) -> None:
    """At a provider that does not take our secret."""
    login = f"{run.admin_url}/console/login/oidc"
    async with run.session.get(login, allow_redirects=False) as begun:
        assert begun.status == 303
        cookie, state = begun.headers["Set-Cookie"].partition(";")[0], begun.headers["Location"]
        run.seen.shown("sign-in", headers_text(begun.headers))
    query = {"state": parse_qs(urlsplit(state).query)["state"][0], "code": "any"}
    async with run.session.get(f"{login}/answer", params=query, headers={"Cookie": cookie}) as answer:
        assert answer.status == 503
        run.seen.shown("sign-in", headers_text(answer.headers).encode() + await answer.read())


async def second_factor(run: Run) -> None:
    """Enrolled, given at a login, and a recovery code: through the console."""
    made = await run.command(
        "operator", "add", "--name", "sara", "--role", "read", once={"token": "second operator's token"}
    )
    form = {"Origin": run.admin_url, "Sec-Fetch-Site": "same-origin"}
    cookies: dict[str, str] = {}

    async def sent(method: str, path: str, data: Mapping[str, str] | None = None, *once: str) -> str:
        held = "; ".join(f"{name}={value}" for name, value in cookies.items())
        headers, url = {**form, "Cookie": held}, f"{run.admin_url}/console{path}"
        async with run.session.request(method, url, data=data, headers=headers, allow_redirects=False) as answer:
            assert answer.status in {200, 303, 401}
            cookies.update({name: morsel.value for name, morsel in answer.cookies.items()})
            text = await answer.text()
            for name in once:
                found = re.search(_SHOWN_ONCE[name], text)
                assert found is not None, text
                run.seen.hide(name, found[1])
            run.seen.shown(f"{method} /console{path}", headers_text(answer.headers) + text, *once)
            return text

    token = {"token": made["token"]}
    await sent("POST", "/login", token)
    page = await sent("GET", "/second-factor", None, "second factor's secret")
    shown = {name: re.findall(f'name="{name}" value="([^"]+)"', page)[-1] for name in ("csrf", "offered")}
    app = Authenticator(run.seen.secrets["second factor's secret"])
    await sent("POST", "/second-factor", {**shown, "code": app.code(system_now())}, "recovery code")
    await sent("POST", "/login", token)
    for code in (app.wrong(system_now()), run.seen.secrets["recovery code"]):
        await sent("POST", "/login/code", {"code": code})
    await sent("GET", "/second-factor")
    await sent("GET", "/audit")


_SHOWN_ONCE = {
    "second factor's secret": r'id="secret"[^>]* value="([A-Z2-7]{32})"',
    "recovery code": r"((?:[A-Z2-7]{4}-){3}[A-Z2-7]{4})",
}


async def everything(run: Run) -> None:
    endpoint_id = await set_up(run)
    [terminal] = await run.command("terminal", "list", "--merchant", run.merchant_id)
    payment = await pay(run)
    await told(run, endpoint_id)
    await go_wrong(run, terminal["id"])
    await rotate(run, terminal["id"], endpoint_id)
    await look(run, payment)
    await sign_in(run)
    await second_factor(run)


# Where each secret setting has its canary; a new setting that holds a secret fails here until it has one.
SETTINGS = {
    "admin_token": "operator's token",
    "alert_bot_token": "bot's token",
    "alert_email_credentials": "mail's password",
    "alert_webhook_secret": "alerts' secret",
    "alert_webhook_url": "alerts' address",
    "egress_proxy_credentials": "egress proxy's password",
    "keys": "master key",
    "oidc_client_secret": "provider's secret",
    "traces_url": "collector's password",
}


def test_every_secret_setting_has_a_canary() -> None:
    secret = {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    assert secret == SETTINGS.keys()


@pytest.mark.parametrize("form", ["json", "console"])
async def test_no_secret_is_shown_anywhere_by_anything(tmp_path: Path, form: str) -> None:
    async with begun(tmp_path, DARGAH_LOG_FORMAT=form) as run:
        await everything(run)
    seen = run.seen
    assert {*SETTINGS.values(), *_SHOWN_ONCE} < seen.secrets.keys()
    surfaces = [surface for surface, _, _ in seen.surfaces]
    for kind in ("log", "stdout", "webhook", "file dargah.db", "GET /metrics", "span", "dargah doctor", "raw answer"):
        assert kind in surfaces, kind
    sizes = {surface: len(raw) for surface, raw, _ in seen.surfaces}
    assert sizes["file dargah.db"] > 100_000
    assert sizes["log"] > 10_000
    assert seen.leaks() == []


async def test_no_secret_is_shown_with_a_database_server_either(tmp_path: Path, databases: Databases) -> None:
    async with databases.lent() as url:
        with_password = urlsplit(url)._replace(netloc=_with_password(urlsplit(url).netloc)).geturl()
        async with begun(tmp_path, DARGAH_DATABASE=with_password) as run:
            await everything(run)
        rows = await _every_row(url)
    assert len(rows) > 10_000
    run.seen.shown("rows", rows)
    assert {*SETTINGS.values(), "database's password"} < run.seen.secrets.keys()
    assert run.seen.leaks() == []


def _with_password(netloc: str) -> str:
    user, _, host = netloc.rpartition("@")
    return f"{user.partition(':')[0] or 'postgres'}:{DATABASE_PASSWORD}@{host}"


async def _every_row(url: str) -> str:
    """All that is in the database, as text; bytes are hexadecimal there."""
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        queries = [f"SELECT t::text FROM {table} t" for (table,) in tables]  # noqa: S608  the schema's own names
        return "\n".join([row for query in queries for (row,) in await connection.fetch(query)])
    finally:
        await connection.close()


PLANTS = {
    # Somebody prints what they look at.
    "log": """
from proxy.merchants import vault
opened = vault.Vault.open
def open(self, sealed, origin=None):
    secret = opened(self, sealed, origin)
    print("opened", secret, file=__import__("sys").stderr)
    return secret
vault.Vault.open = open
""",
    # Somebody forgets to seal.
    "file dargah.db": """
from dataclasses import replace
from proxy.merchants import vault
sealed = vault.Vault.seal
def seal(self, merchant_id, owner_id, name, secret, origin=None):
    whole = sealed(self, merchant_id, owner_id, name, secret, origin)
    return replace(whole, blob=whole.blob + secret.encode())
unsealed = vault.Vault.open
vault.Vault.seal = seal
canary = "canary-api-key-7f3a91c05d"
vault.Vault.open = lambda self, whole, origin=None: canary if whole.name == "api_key" else "x" * 40
""",
    # Somebody shows the row as it is.
    "POST /v1/payments": """
from proxy.api.v1 import payments
shown = payments.payment_object
payments.payment_object = lambda services, payment: shown(services, payment) | {
    "debug": {**__import__("os").environ}["DARGAH_ADMIN_TOKEN"].encode().hex()
}
""",
}


@pytest.mark.parametrize("surface", PLANTS)
async def test_a_planted_leak_is_found(tmp_path: Path, surface: str) -> None:
    plant = tmp_path / "plant"
    plant.mkdir()
    (plant / "sitecustomize.py").write_text(PLANTS[surface])
    path = os.pathsep.join(filter(None, (str(plant), os.environ.get("PYTHONPATH"))))
    async with begun(tmp_path, PYTHONPATH=path) as run:
        await set_up(run)
        await run.create("order-planted")
    leaked = {leak.surface for leak in run.seen.leaks()}
    assert any(each.startswith(surface) for each in leaked), leaked


def test_a_secret_is_known_in_every_form_in_which_bytes_are_written_down() -> None:
    for before in range(4):
        around = b"x" * before + API_KEY.encode() + b"yz"
        for written in (around, around.hex().encode(), base64.b64encode(around)):
            assert any(form in written for form in forms(API_KEY)), (before, written)
    assert not any(form in b"canary-api-key" * 50 for form in forms(API_KEY))


def test_what_is_shown_once_is_no_leak_where_it_is_made_and_one_everywhere_else() -> None:
    seen = Canaries()
    seen.hide("token", OPERATOR_TOKEN)
    seen.shown("the making", f"token: {OPERATOR_TOKEN}", "token")
    assert seen.leaks() == []
    seen.shown("a page", f"<p>{OPERATOR_TOKEN[-20:]}</p>")
    assert seen.leaks() == [Leak("token", "a page")]


async def test_the_story_ends_as_it_should(tmp_path: Path) -> None:
    """What is looked at is a run that works: the payment is paid, and the shop was told."""
    async with begun(tmp_path) as run:
        await set_up(run)
        payment = await pay(run)
        assert await run.status_of(payment["id"]) == "paid"
