"""Secrets: what an older Dargah sealed is bound once, and what lies on the machine is for its owner only."""

import asyncio
import base64
import os
import stat
import subprocess
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import pytest
from databases.places import database_in
from support.command import Cli
from support.dargah import API_KEY, KEY_RING, OPERATOR_TOKEN, gateway, settings
from support.process import Process
from support.receiver import receiver
from support.shop import Shop, open_shop, playground

from proxy.app import running
from proxy.config.settings import SettingsError, load
from proxy.kernel.clock import system_now
from proxy.kernel.errors import VaultError
from proxy.merchants.merchant import Mode
from proxy.merchants.vault import KeyRing
from proxy.stores.sqlite import open_store
from security.older import make_older, older_seal, put_older, put_plain, sql
from security.test_destinations import thief

HEADERS = {"x-api-key": "canary-header-2f81", "x-team": "accounts"}
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
        put_plain(folder, self.endpoint, HEADERS)
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
    assert {name: headers[name] for name in HEADERS} == HEADERS


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
        put_plain(folder, found.endpoint, HEADERS)
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
        assert (ran.code, "canary" in ran.out + ran.error) == (1, False)
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
