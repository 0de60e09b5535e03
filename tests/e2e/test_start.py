"""What a start loads, and where a database takes no second process; test_refusals.py has the starts that are refused.

A database file has one process, under whatever name two containers have it mounted; at a database server, replicas
that each do a part make a whole payment together, and alone none does another's work.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from databases.places import served
from support.command import Cli
from support.dargah import OPERATOR_TOKEN, settings
from support.eventually import eventually
from support.process import Process, environment
from support.shop import Shop, prepared_shop

from proxy.app import running
from proxy.config.settings import SettingsError, load
from proxy.config.values import ALL_ROLES, ProcessRole, parse_roles

_MOUNTED = 'mount --bind "$0" "$1" && exec "$2" -m proxy serve'


@pytest.fixture
async def serving(tmp_path: Path) -> AsyncIterator[Process]:
    (tmp_path / "data").mkdir()
    process = Process(tmp_path / "data")
    await process.start()
    yield process
    await process.stop()


def serve_mounted(source: Path, target: Path, database: Path) -> subprocess.CompletedProcess[str]:
    """`dargah serve` on `database` where `source` is mounted at `target`, in a mount namespace of its own."""
    command = ["unshare", "-m", "sh", "-c", _MOUNTED, str(source), str(target), sys.executable]
    env = environment(str(database))
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    if "Operation not permitted" in done.stderr or "permission denied" in done.stderr:
        pytest.skip("mounting needs root")
    return done


async def test_the_folder_of_a_running_store_mounted_elsewhere_is_refused(serving: Process, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    done = await asyncio.to_thread(serve_mounted, tmp_path / "data", other, other / "dargah.db")
    assert (done.returncode != 0, "is open in another process (pid " in done.stderr) == (True, True), done
    assert "Traceback" not in done.stderr


async def test_a_database_mounted_as_a_single_file_is_refused(serving: Process, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "dargah.db").touch()
    database = tmp_path / "data" / "dargah.db"
    done = await asyncio.to_thread(serve_mounted, database, other / "dargah.db", other / "dargah.db")
    assert (done.returncode != 0, "mount the folder" in done.stderr) == (True, True), done
    assert "Traceback" not in done.stderr


async def test_a_file_that_is_deleted_under_a_running_process_ends_its_readiness(
    serving: Process, tmp_path: Path
) -> None:
    async with aiohttp.ClientSession() as session:

        async def unready() -> str | None:
            async with session.get(f"{serving.url}/readyz") as answer:
                return await answer.text() if answer.status == 503 else None

        assert await unready() is None
        (tmp_path / "data" / "dargah.db").unlink()
        assert '"store"' in await eventually(unready)
    assert "was deleted or replaced while it was open" in serving.log.read_text()


# Tells what is loaded when `dargah serve` is ready, and ends it.
SCRIPT = """
import json, os, signal, sys
import click

def ready(text):
    sys.stdout.write(json.dumps([text, *sys.modules]))
    os.kill(os.getpid(), signal.SIGINT)

click.echo = ready
from proxy.cli import dargah
dargah(["serve"])
"""
NEEDED_BY_SOME = {
    "asyncpg": "a server of PostgreSQL",
    "proxy.database.postgresql": "the same",
    "proxy.database.transfer": "dargah migrate-store",
    "proxy.observability.otlp": "traces",
    "opentelemetry": "the same",
    "jinja2": "a page",
    "segno": "a QR code",
    "proxy.demo": "dargah demo",
    "proxy.simulator": "dargah simulator",
    "proxy.gateways.simulation": "the same",
}


def loaded(folder: Path) -> list[str]:
    """The names of all modules of a `dargah serve` that is ready, on an empty SQLite file."""
    env = environment(str(folder / "dargah.db"), ENVIRONMENT="production", LOG_LEVEL="error")
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=True)
    text, *modules = map(str, json.loads(done.stdout))
    assert text.startswith("dargah ready on http://127.0.0.1:")
    return modules


def test_a_start_loads_nothing_that_only_some_need(tmp_path: Path) -> None:
    modules = loaded(tmp_path)
    assert {"proxy.app", "proxy.database.sqlite.store", "proxy.console.routes"} <= set(modules)
    assert [name for name in modules if name in NEEDED_BY_SOME] == []


@pytest.fixture
def shared(tmp_path: Path, postgresql_url: str) -> Iterator[Path]:
    """A folder whose database is a server's."""
    with served(tmp_path, postgresql_url):
        yield tmp_path


@pytest.fixture
async def shop(shared: Path) -> AsyncIterator[Shop]:
    async with prepared_shop(shared) as made:
        yield made


async def test_an_api_and_a_worker_make_a_whole_payment(shop: Shop, shared: Path) -> None:
    api, worker = Process(shared, DARGAH_ROLES="api"), Process(shared, DARGAH_ROLES="deliver,watch")
    shop = replace(shop, url=api.url)
    try:
        await api.start()
        await worker.start()
        payment = await shop.paid()
        [told] = await shop.receiver.told(1)
        assert (told["type"], told["data"]["id"]) == ("payment.paid", payment["id"])

        # The customer's own check is not answered: the worker asks again.
        unclear = await shop.created()
        await shop.fault("check", "http_500", invoice_key=unclear["invoice_key"], times=1)
        await shop.come_back(await shop.act(unclear, "pay"))
        told = (await shop.receiver.told(2))[1]
        assert (told["type"], told["data"]["id"]) == ("payment.paid", unclear["id"])
        await looks_like_a_worker(shop.session, worker)
    finally:
        await api.kill()
        await worker.kill()


async def looks_like_a_worker(session: aiohttp.ClientSession, worker: Process) -> None:
    async def status(path: str) -> int:
        headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
        async with session.get(worker.admin_url + path, headers=headers) as answer:
            return answer.status

    assert [await status(path) for path in ("/healthz", "/readyz", "/metrics")] == [200, 200, 200]
    assert [await status(path) for path in ("/admin/v1/me", "/console", "/v1/payments")] == [404, 404, 404]
    with pytest.raises(aiohttp.ClientConnectorError):
        await session.get(f"{worker.url}/healthz")
    given = {"DARGAH_ROLES": "watch", "DARGAH_DATABASE": "postgresql://nobody@127.0.0.1/none"}
    ran = await Cli({"DARGAH_ADMIN_LISTEN": worker.admin_url.removeprefix("http://"), **given}, Path()).run(
        "health", "--ready"
    )
    assert ran.code == 0, ran.error


@pytest.mark.parametrize("role", ALL_ROLES)
async def test_a_process_runs_only_the_loops_of_its_role(shared: Path, role: ProcessRole) -> None:
    loops = {
        ProcessRole.API: set(),
        ProcessRole.WATCH: {"watch", "audit", "recheck"},
        ProcessRole.DELIVER: {"deliver", "forget"},
    }
    async with running(settings(shared, roles=role.value)):
        names = {task.get_name() for task in asyncio.all_tasks()}
    assert names & {name for each in loops.values() for name in each} == loops[role]


async def test_a_webhook_of_one_role_is_sent_by_another_that_starts_later(shop: Shop, shared: Path) -> None:
    async with running(settings(shared, roles="api")) as dargah:
        shop = replace(shop, url=dargah.url)
        payment = await shop.paid()
        assert (await shop.payment(payment["id"]))["status"] == "paid"
    assert shop.receiver.events == []
    async with running(settings(shared, roles="deliver")):
        [told] = await shop.receiver.told(1)
    assert told["data"]["id"] == payment["id"]


def test_roles_are_read_in_any_order_and_named_when_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_roles("deliver, API") == (ProcessRole.API, ProcessRole.DELIVER)
    monkeypatch.setenv("DARGAH_DATABASE", "postgresql://nobody@127.0.0.1/none")
    assert load().roles == ALL_ROLES
    with pytest.raises(SettingsError, match="'send' is no role; write one or more of api, watch, deliver"):
        load(roles="api,send")


async def test_a_file_takes_no_process_that_does_only_a_part(tmp_path: Path) -> None:
    ran = await Cli({}, tmp_path).run("serve", "--roles", "api,deliver")
    assert ran.code == 2
    assert "DARGAH_ROLES lacks watch: a SQLite database has exactly one process" in ran.error
    assert list(tmp_path.iterdir()) == []
