"""Replicas that each do a part: together they make a whole payment, and alone none does another's work."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from databases.places import served
from support.command import Cli
from support.dargah import OPERATOR_TOKEN, settings
from support.process import Process
from support.shop import Shop, prepared_shop

from proxy.app import running
from proxy.config.settings import SettingsError, load
from proxy.config.values import ALL_ROLES, ProcessRole, parse_roles


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
