"""Secrets: a credential goes to where it was sealed for and nowhere else, whatever is written into the database.

What an older Dargah sealed is bound once, and what lies on the machine is for its owner only.
"""

import asyncio
import base64
import os
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from databases.places import database_in
from support.command import Cli
from support.dargah import API_KEY, KEY_RING, OPERATOR_TOKEN, gateway, server, settings
from support.families import CREDENTIALS, add_bank
from support.process import Process
from support.receiver import receiver
from support.shop import Shop, open_shop, playground
from web.clients import operator as operator_of
from web.lab import Lab

from proxy.app import Dargah, running
from proxy.config.settings import SettingsError, load
from proxy.kernel.clock import system_now
from proxy.kernel.errors import CredentialUnusable, InvalidInput, VaultError
from proxy.merchants.merchant import Mode
from proxy.merchants.vault import KeyRing
from proxy.stores.sqlite import open_store
from security.older import make_older, older_seal, put_older, put_plain, sql

BOUND_HEADERS = {"X-Api-Key": "canary-header-2f81", "X-Auth-Token": "canary-header-77b0"}


@dataclass
class Thief:
    """A server of somebody else's: it keeps all that it is sent."""

    url: str = ""
    got: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        self.got.append((request.path, dict(request.headers), await request.read()))
        return web.json_response({"status": 1, "invoice_key": "k" * 12})


@asynccontextmanager
async def thief() -> AsyncIterator[Thief]:
    made = Thief()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    async with server(app) as url:
        made.url = url
        yield made


async def operator(shop: Shop, dargah: Dargah, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    url = f"{dargah.admin_url}/admin/v1/merchants/{shop.merchant_id}{path}"
    async with shop.session.request(method, url, json=body, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None)


def refused(answer: tuple[int, dict[str, Any]]) -> dict[str, str]:
    """The fields of a 422 with their codes."""
    status, problem = answer
    assert status == 422, problem
    return {error["field"]: error["code"] for error in problem["errors"]}


async def test_a_gateway_url_written_by_sql_is_never_sent_the_api_key(folder: Path) -> None:
    async with thief() as other, playground(folder) as (shop, dargah):
        pending = await shop.created()
        sql(folder, "UPDATE terminals SET gateway_url = $1", other.url)
        dargah.services.merchant_cache.forget()
        stored = sql(folder, "SELECT count(*) FROM payments")
        status, problem = await shop.create()
        assert (status, problem["code"]) == (503, "credential_unusable")
        assert sql(folder, "SELECT count(*) FROM payments") == stored
        status, problem = await shop.call("POST", f"/v1/payments/{pending['id']}/check")
        assert (status, problem["code"]) == (503, "credential_unusable")
        async with shop.session.get(pending["pay_url"], allow_redirects=False) as page:
            assert page.status == 503
        found = await dargah_findings(shop, dargah, folder)
        assert found["terminal_seal"] == "problem"
        # A payment that is watched is put off, and is seen to once the URL is right again.
        sql(folder, "UPDATE watches SET due_at = 0")
        await dargah.poller.step()
        await dargah.poller.tasks.drain()
        assert other.got == []
        sql(folder, "UPDATE terminals SET gateway_url = $1", shop.gateway_url)
        dargah.services.merchant_cache.forget()
        await shop.come_back(await shop.act(pending, "pay"))
        assert (await shop.payment(pending["id"]))["status"] == "paid"
        assert other.got == []


async def dargah_findings(shop: Shop, dargah: Dargah, folder: Path) -> dict[str, str]:
    ran = await Cli({"DARGAH_ADMIN_URL": dargah.admin_url, "DARGAH_ADMIN_TOKEN": OPERATOR_TOKEN}, folder).run(
        "doctor", "--merchant", shop.merchant_id
    )
    lines = [line.split() for line in ran.out.splitlines() if line.split()]
    return {line[1]: line[0].lower() for line in lines if len(line) > 1}


async def test_another_origin_needs_the_api_key_and_another_path_does_not(folder: Path) -> None:
    async with thief() as other, playground(folder) as (shop, dargah):
        path = f"/terminals/{shop.terminal_id}"
        for url in (other.url, f"{other.url}/base", shop.gateway_url.replace("http:", "https:")):
            assert refused(await operator(shop, dargah, "PATCH", path, {"gateway_url": url})) == {
                "api_key": "secret_required"
            }
        cli = Cli({"DARGAH_ADMIN_URL": dargah.admin_url, "DARGAH_ADMIN_TOKEN": OPERATOR_TOKEN}, folder)
        ran = await cli.run("terminal", "update", shop.terminal_id, "--gateway-url", other.url)
        assert (ran.code, "api_key" in ran.error) == (1, True)
        status, changed = await operator(shop, dargah, "PATCH", path, {"gateway_url": f"{shop.gateway_url}/v2"})
        assert (status, changed["gateway_url"]) == (200, f"{shop.gateway_url}/v2")
        both = {"gateway_url": other.url, "api_key": "another-key"}
        assert (await operator(shop, dargah, "PATCH", path, both))[0] == 200
        await shop.created()
        assert [(path, b"another-key" in body) for path, _, body in other.got] == [("/invoice/request", True)]
        assert all(API_KEY.encode() not in body for _, _, body in other.got)


async def test_a_new_api_key_is_not_sealed_for_a_url_that_somebody_else_wrote(folder: Path) -> None:
    async with thief() as other, playground(folder) as (shop, dargah):
        path = f"/terminals/{shop.terminal_id}"
        sql(folder, "UPDATE terminals SET gateway_url = $1", other.url)
        dargah.services.merchant_cache.forget()
        assert refused(await operator(shop, dargah, "PATCH", path, {"api_key": API_KEY})) == {
            "gateway_url": "url_required"
        }
        both = {"gateway_url": shop.gateway_url, "api_key": API_KEY}
        assert (await operator(shop, dargah, "PATCH", path, both))[0] == 200
        await shop.created()
        assert other.got == []


async def test_no_credential_of_a_family_opens_for_a_url_that_somebody_else_wrote(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_bank(monkeypatch)
    async with playground(folder) as (shop, dargah):
        setup, accounts = dargah.services.setup, dargah.services.merchant_cache
        terminal = await setup.add_terminal(
            *(shop.merchant_id, "bank", None, None, Mode.LIVE), gateway="bank", credentials=CREDENTIALS, actor="test"
        )
        assert (await accounts.account(terminal)).credentials == CREDENTIALS
        sql(folder, "UPDATE terminals SET gateway_url = $1 WHERE id = $2", "https://evil.example", terminal.id)
        accounts.forget()
        with pytest.raises(CredentialUnusable):
            await accounts.account(await accounts.terminal(shop.merchant_id, terminal.id))
        changes: Any = {"credentials": {"password": "another"}}
        with pytest.raises(InvalidInput) as caught:
            await setup.change_terminal(shop.merchant_id, terminal.id, **changes, actor="test")
        assert [error.code for error in caught.value.errors] == ["url_required"]


@pytest.fixture
async def hooked(folder: Path) -> AsyncIterator[tuple[Shop, Dargah, str]]:
    """A shop whose endpoint has headers that only its receiver should know."""
    async with playground(folder) as (shop, dargah):
        # The operator's endpoint is none of a shop's token.
        [operators] = await dargah.services.store.webhooks.list_endpoints(shop.merchant_id)
        await dargah.services.endpoints.delete_endpoint(shop.merchant_id, operators.id, actor="test")
        asked = {"url": shop.receiver.url, "headers": BOUND_HEADERS}
        status, endpoint = await shop.call("POST", "/v1/webhook-endpoints", asked)
        assert (status, endpoint["header_names"]) == (201, ["x-api-key", "x-auth-token"])
        shop.receiver.secret = endpoint["secret"]
        path = f"/v1/webhook-endpoints/{endpoint['id']}"
        yield shop, dargah, path


async def test_an_endpoints_headers_are_sent_and_neither_shown_nor_stored(
    hooked: tuple[Shop, Dargah, str], folder: Path
) -> None:
    shop, _, path = hooked
    status, changed = await shop.call("PATCH", path, {"headers": BOUND_HEADERS})
    assert (status, changed["header_names"]) == (200, ["x-api-key", "x-auth-token"])
    assert (await shop.call("POST", f"{path}/test"))[1]["outcome"] == "delivered"
    [(headers, _)] = shop.receiver.requests
    assert {name: headers[name.lower()] for name in BOUND_HEADERS} == BOUND_HEADERS
    for method, target in (("GET", path), ("GET", "/v1/webhook-endpoints"), ("PATCH", path)):
        _, shown = await shop.call(method, target, {} if method == "PATCH" else None)
        assert "canary-header" not in str(shown)
    for table in ("endpoints", "secrets", "audit"):
        assert "canary-header" not in str(sql(folder, f"SELECT * FROM {table}"))  # noqa: S608
    for file in folder.glob("dargah.db*"):
        assert b"canary-header" not in file.read_bytes()


async def test_another_origin_of_an_endpoint_needs_its_headers(hooked: tuple[Shop, Dargah, str]) -> None:
    shop, _, path = hooked
    async with thief() as other:
        assert refused(await shop.call("PATCH", path, {"url": f"{other.url}/hook"})) == {"headers": "secret_required"}
        status, changed = await shop.call("PATCH", path, {"url": f"{other.url}/hook", "headers": {}})
        assert (status, changed["header_names"]) == (200, [])
        await shop.call("POST", f"{path}/test")
        [(_, headers, _)] = other.got
        assert not {name.lower() for name in BOUND_HEADERS} & {name.lower() for name in headers}
        # Without headers there is nothing to bind.
        assert (await shop.call("PATCH", path, {"url": shop.receiver.url}))[0] == 200


async def test_an_endpoints_url_written_by_sql_is_sent_nothing(hooked: tuple[Shop, Dargah, str], folder: Path) -> None:
    shop, dargah, path = hooked
    async with thief() as other:
        sql(folder, "UPDATE endpoints SET url = $1", f"{other.url}/hook")
        dargah.services.merchant_cache.forget()
        status, problem = await shop.call("POST", f"{path}/test")
        assert (status, problem["code"]) == (503, "credential_unusable")
        await shop.come_back(await shop.act(await shop.created(), "pay"))
        await dargah.delivery.step()
        await dargah.delivery.tasks.drain()
        _, deliveries = await shop.call("GET", f"{path}/deliveries")
        log = (await shop.call("GET", f"/v1/deliveries/{deliveries['data'][0]['id']}"))[1]["log"]
        assert log[0]["error"] == "sealed_elsewhere"
        assert refused(await shop.call("PATCH", path, {"headers": BOUND_HEADERS})) == {"url": "url_required"}
        assert other.got == []


async def test_the_console_takes_an_address_with_its_api_key_only(lab: Lab) -> None:
    browser = await operator_of(lab)
    await browser.get(f"/console/merchants/{lab.merchant_id}")
    path = f"/console/terminals/{lab.terminal_id}"
    stored = lab.rows()["secrets"]
    answer = await browser.post(path, {"gateway_url": "https://evil.example", "enabled": "1"})
    assert answer.status == 303
    assert "evil.example" not in str(lab.rows()["terminals"])
    sql(lab.folder, "UPDATE terminals SET gateway_url = 'https://evil.example'")
    refused = await browser.post(path, {"api_key": "another-key"})
    assert (refused.status, "gateway_url" in refused.text) == (422, True)
    assert lab.rows()["secrets"] == stored
    both = {"api_key": "another-key", "gateway_url": lab.gateway_url}
    assert (await browser.post(path, both)).status == 303
    assert lab.rows()["secrets"] != stored


OLDER_HEADERS = {"x-api-key": "canary-header-2f81", "x-team": "accounts"}
RING = KeyRing.parse(KEY_RING)


@dataclass
class Older:
    """A database of the Dargah before, with a shop of two terminals and an endpoint with headers in it."""

    shop: Shop
    second: str
    endpoint: str

    def unbind(self, folder: Path) -> None:
        for terminal in (self.shop.terminal_id, self.second):
            put_older(folder, older_seal(RING, self.shop.merchant_id, terminal, "api_key", API_KEY))
        put_plain(folder, self.endpoint, OLDER_HEADERS)
        make_older(folder)


async def older(folder: Path, stack: AsyncExitStack) -> Older:
    gateway_url = await stack.enter_async_context(gateway())
    made = await stack.enter_async_context(receiver())
    session = await stack.enter_async_context(aiohttp.ClientSession())
    async with running(settings(folder)) as dargah:
        shop = await open_shop(dargah, gateway_url, made, session)
        setup = dargah.services.setup
        second = await setup.add_terminal(shop.merchant_id, "second", gateway_url, API_KEY, Mode.TEST, actor="test")
        [endpoint] = await dargah.services.store.webhooks.list_endpoints(shop.merchant_id)
        found = Older(shop, second.id, endpoint.id)
    found.unbind(folder)
    return found


def versions(folder: Path) -> list[int]:
    """Of the stored api_keys and headers."""
    rows = sql(folder, "SELECT blob FROM secrets WHERE name IN ('api_key', 'headers') ORDER BY owner_id")
    return [blob[0] for (blob,) in rows]


async def works(shop: Shop, url: str) -> None:
    shop = replace(shop, url=url)
    before = len(shop.receiver.requests)
    await shop.come_back(await shop.act(await shop.created(), "pay"))
    await shop.receiver.told(before + 1)
    headers, _ = shop.receiver.requests[-1]
    assert {name: headers[name] for name in OLDER_HEADERS} == OLDER_HEADERS


async def test_an_older_database_works_after_the_upgrade_and_is_bound_once(folder: Path) -> None:
    async with AsyncExitStack() as stack:
        found = await older(folder, stack)
        assert versions(folder) == [1, 1]
        async with running(settings(folder)) as dargah:
            await works(found.shop, dargah.url)
            assert versions(folder) == [2, 2, 2]
            # The audit log says to which origin each was bound: one that somebody wrote before shows.
            audits = await dargah.services.store.audit.list_audit(found.shop.merchant_id, None, 100)
            bound = {entry.target: entry.data for entry in audits if entry.action.endswith(".bind")}
            assert bound[found.shop.terminal_id] == {"origin": found.shop.gateway_url}
            assert bound.keys() == {found.shop.terminal_id, found.second, found.endpoint}
        blobs = sql(folder, "SELECT name, blob FROM secrets")
        async with running(settings(folder)) as dargah:
            await works(found.shop, dargah.url)
        assert sql(folder, "SELECT name, blob FROM secrets") == blobs
        database = database_in(folder)
        if isinstance(database, Path):
            assert all(b"canary-header" not in file.read_bytes() for file in folder.glob("dargah.db*"))


async def test_an_overlap_that_ran_at_the_upgrade_runs_on_beside_a_new_one(folder: Path) -> None:
    async with AsyncExitStack() as stack:
        found = await older(folder, stack)
        mine = (found.shop.merchant_id, found.endpoint)
        async with running(settings(folder)) as dargah:
            await dargah.services.endpoints.rotate_secret(*mine, actor="test")
        make_older(folder)
        async with running(settings(folder)) as dargah:
            endpoint, _ = await dargah.services.endpoints.rotate_secret(*mine, actor="test")
            assert [number for number, _ in endpoint.overlaps(system_now())] == [2, 1]
            await works(found.shop, dargah.url)
        headers, _ = found.shop.receiver.requests[-1]
        assert len(headers["webhook-signature"].split(" ")) == 3


async def test_an_old_blob_with_a_new_url_does_not_open_after_the_upgrade(folder: Path) -> None:
    async with thief() as other, AsyncExitStack() as stack:
        found = await older(folder, stack)
        async with running(settings(folder)):
            pass
        put_older(folder, older_seal(RING, found.shop.merchant_id, found.shop.terminal_id, "api_key", API_KEY))
        put_plain(folder, found.endpoint, OLDER_HEADERS)
        sql(folder, "UPDATE terminals SET gateway_url = $1", other.url)
        sql(folder, "UPDATE endpoints SET url = $1", f"{other.url}/hook")
        async with running(settings(folder)) as dargah:
            status, problem = await replace(found.shop, url=dargah.url).create()
            assert (status, problem["code"]) == (503, "credential_unusable")
            # Nor does a change of the key that seals make it one of today's.
            rotated = await dargah.services.setup.rotate(actor="test")
            assert rotated.rewrapped == 0
        assert other.got == []


async def test_an_upgrade_that_ended_half_way_goes_on(folder: Path) -> None:
    async with AsyncExitStack() as stack:
        found = await older(folder, stack)
        async with running(settings(folder)):
            pass
        put_older(folder, older_seal(RING, found.shop.merchant_id, found.second, "api_key", API_KEY))
        sql(folder, "UPDATE heartbeat SET secrets_bound_at = NULL")
        async with running(settings(folder)) as dargah:
            assert versions(folder) == [2, 2, 2]
            await works(found.shop, dargah.url)


async def test_replicas_that_start_at_once_bind_together(folder: Path) -> None:
    if isinstance(database_in(folder), Path):
        pytest.skip("a file has one process")
    async with AsyncExitStack() as stack:
        found = await older(folder, stack)
        starting = [stack.enter_async_context(running(settings(folder))) for _ in range(3)]
        for dargah in await asyncio.gather(*starting):
            await works(found.shop, dargah.url)
        assert versions(folder) == [2, 2, 2]
        [count] = sql(folder, "SELECT count(*) FROM audit WHERE action LIKE '%.bind'")
        assert count == (3,)


async def test_a_ring_without_the_old_key_stops_the_start_and_binds_nothing(folder: Path) -> None:
    async with AsyncExitStack() as stack:
        found = await older(folder, stack)
        other = "k2:" + base64.b64encode(bytes(range(1, 33))).decode()
        with pytest.raises(VaultError, match="is not in the ring"):
            async with running(settings(folder, keys=other)):
                pass
        assert versions(folder) == [1, 1]
        async with running(settings(folder, keys=f"{other},{KEY_RING}")) as dargah:
            await works(found.shop, dargah.url)
            assert (await dargah.services.setup.rotate(actor="test")).failed == ()
        assert {kek for (kek,) in sql(folder, "SELECT kek_id FROM secrets")} == {KeyRing.parse(other).kek_id}


async def test_one_row_that_cannot_be_bound_keeps_the_others_from_nothing(folder: Path) -> None:
    async with AsyncExitStack() as stack:
        found = await older(folder, stack)
        sql(folder, "UPDATE terminals SET gateway_url = 'https://a@b' WHERE id = $1", found.second)
        async with running(settings(folder)) as dargah:
            await works(found.shop, dargah.url)
        assert sorted(versions(folder)) == [1, 2, 2]


async def test_a_new_database_has_nothing_to_bind(folder: Path) -> None:
    async with playground(folder):
        [at] = sql(folder, "SELECT secrets_bound_at FROM heartbeat")
        assert at[0] is not None


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.glob("dargah.db*")}


@pytest.fixture
def open_umask() -> object:
    before = os.umask(0)
    yield before
    os.umask(before)


async def test_a_databases_files_are_their_owners_whatever_the_umask(tmp_path: Path, open_umask: object) -> None:
    assert open_umask is not None
    process = Process(tmp_path)
    await process.start()
    try:
        found = modes(tmp_path)
        assert found.keys() >= {"dargah.db", "dargah.db-wal", "dargah.db-shm", "dargah.db.lock"}
        assert set(found.values()) == {0o600}
        env = {"DARGAH_ADMIN_URL": process.admin_url, "DARGAH_ADMIN_TOKEN": OPERATOR_TOKEN}
        assert (await Cli(env, tmp_path).run("backup", "copy.db")).code == 0
        assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    finally:
        await process.stop()


async def test_files_that_others_could_read_are_tightened_at_the_start(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "dargah.db", now=system_now)
    await store.close()
    for name, mode in {"dargah.db": 0o644, "dargah.db.lock": 0o666, "dargah.db-wal": 0o664}.items():
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    store = await open_store(tmp_path / "dargah.db", now=system_now)
    try:
        assert set(modes(tmp_path).values()) == {0o600}
    finally:
        await store.close()


@pytest.mark.parametrize("mode", [0o602, 0o620, 0o666, 0o777])
def test_a_key_ring_that_others_can_write_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    ring = tmp_path / "ring"
    ring.write_text(KEY_RING)
    ring.chmod(mode)
    monkeypatch.setenv("DARGAH_KEYS_FILE", str(ring))
    with pytest.raises(SettingsError, match=r"can be written by others .*chmod go-w"):
        load().key_text()
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "dargah_keys").write_text(KEY_RING)
    (secrets / "dargah_keys").chmod(mode)
    monkeypatch.delenv("DARGAH_KEYS_FILE")
    monkeypatch.setenv("DARGAH_SECRETS_DIR", str(secrets))
    with pytest.raises(SettingsError, match="can be written by others"):
        load()


def test_a_key_ring_in_a_folder_that_everybody_writes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    (folder / "ring").write_text(KEY_RING)
    (folder / "ring").chmod(0o600)
    monkeypatch.setenv("DARGAH_KEYS_FILE", str(folder / "ring"))
    folder.chmod(0o777)
    with pytest.raises(SettingsError, match="can be replaced by anybody"):
        load().key_text()
    folder.chmod(0o1777)  # sticky: only its owner replaces a file
    assert load().key_text() == KEY_RING


async def test_a_key_ring_that_everybody_can_read_is_warned_of(tmp_path: Path) -> None:
    ring = tmp_path / "ring"
    ring.write_text(KEY_RING)
    ring.chmod(0o644)
    assert settings(tmp_path, keys=None, keys_file=ring).readable_secrets() == ["ring"]
    ring.chmod(0o640)
    assert settings(tmp_path, keys=None, keys_file=ring).readable_secrets() == []


@pytest.mark.parametrize(
    "token",
    [
        "x" * 64,
        "ab" * 20,
        "abcdefg" * 5,
        "0123456789abcdef" * 2,
        "passwordpasswordpassword",
        "aaaaaaaaaaaaaaaaaaaaaaab",
    ],
)
async def test_an_operators_token_that_repeats_itself_is_refused(tmp_path: Path, token: str) -> None:
    ran = await Cli({"DARGAH_ADMIN_TOKEN": token, "DARGAH_KEYS": KEY_RING}, tmp_path).run("serve")
    assert ran.code == 2
    assert "repeats itself" in ran.error
    assert token not in ran.error


@pytest.mark.parametrize(
    "where", ["postgresql://u:canary@127.0.0.1:1/d", "postgresql://u@127.0.0.1:1/d?password=canary"]
)
async def test_a_stores_password_is_taken_from_a_file_and_not_from_the_arguments(tmp_path: Path, where: str) -> None:
    store = await open_store(tmp_path / "dargah.db", now=system_now)
    await store.close()
    begin = ("migrate-store", "--from", "sqlite:dargah.db")
    ran = await Cli({}, tmp_path).run(*begin, "--to", where)
    assert (ran.code, "canary" in ran.out + ran.error) == (2, False)
    assert "PGPASSWORD" in ran.error
    assert (await Cli({}, tmp_path).run(*begin)).code == 2
    (tmp_path / "url").write_text(f"{where}\n")
    (tmp_path / "url").chmod(0o600)
    for ran in (
        await Cli({}, tmp_path).run(*begin, "--to-file", "url"),
        await Cli({}, tmp_path).run(*begin, "--to-file", "-", stdin=where),
    ):
        # It was let through, as far as the server that is not there.
        assert (ran.code, "canary" in ran.out + ran.error) == (2, False)
        assert "Connect call failed" in ran.error


async def test_a_serving_process_leaves_no_core_dump(folder: Path) -> None:
    process = Process(folder)
    await process.start()
    try:
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        [line] = [line for line in limits.splitlines() if line.startswith("Max core file size")]
        assert line.split()[4:6] == ["0", "0"]
    finally:
        await process.stop()


def test_a_handler_of_core_dumps_is_not_called_either() -> None:
    """The kernel pipes a dump to one without regard to the limit, but none of what is not dumpable."""
    asked = "import ctypes; from proxy.cli import serve; serve.keep_memory_private(); print(ctypes.CDLL(None).prctl(3))"
    ran = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == "0\n"
