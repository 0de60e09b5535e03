"""/healthz, /readyz and `dargah health`: what they look at, what they must not cost, and what they never look at."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.clock import SteadyClock
from support.command import Cli
from support.dargah import server
from support.shop import Shop, playground

from proxy.app import Dargah, Outside
from proxy.kernel.errors import Overloaded, StoreUnavailable, VaultError
from proxy.merchants.vault import KeyRing, SealedSecret, Vault, generate_line
from proxy.observability.readiness import KEEP_SECONDS, WAIT_SECONDS, Readiness


class Store:
    """A store that is pinged: it waits for `gate`, and raises `error`."""

    def __init__(self) -> None:
        self.pings = 0
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def ping(self) -> None:
        self.pings += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error


class LostKeys(Vault):
    def open(self, sealed: SealedSecret, origin: str | None = None) -> str:  # noqa: ARG002  it opens nothing
        raise VaultError(sealed.name)


@pytest.fixture
def disk() -> Store:
    return Store()


@pytest.fixture
def ticks() -> SteadyClock:
    return SteadyClock()


@pytest.fixture
def ring() -> KeyRing:
    return KeyRing.parse(generate_line("k1"))


@pytest.fixture
def readiness(disk: Store, ring: KeyRing, ticks: SteadyClock) -> Readiness:
    return ready_of(disk, Vault(ring), ticks)


def ready_of(disk: Store, vault: Vault, ticks: SteadyClock) -> Readiness:
    return Readiness(disk, vault, ticks)  # type: ignore[arg-type]  # it pings, and nothing else


async def test_each_readiness_check_has_its_name(readiness: Readiness) -> None:
    assert await readiness() == {"store": True, "keys": True, "accepting": True}
    readiness.draining = True
    assert await readiness() == {"store": True, "keys": True, "accepting": False}


@pytest.mark.parametrize("error", [StoreUnavailable(), Overloaded()])
async def test_a_store_that_takes_no_write_is_not_ready(readiness: Readiness, disk: Store, error: Exception) -> None:
    disk.error = error
    assert (await readiness())["store"] is False


async def test_keys_that_do_not_open_what_they_sealed_are_not_ready(
    disk: Store, ring: KeyRing, ticks: SteadyClock
) -> None:
    assert await ready_of(disk, LostKeys(ring), ticks)() == {"store": True, "keys": False, "accepting": True}


async def test_many_probes_are_one_write_a_second(readiness: Readiness, disk: Store, ticks: SteadyClock) -> None:
    answers = await asyncio.gather(*(readiness() for _ in range(50)))
    assert all(answer["store"] for answer in answers)
    assert disk.pings == 1
    ticks.seconds = KEEP_SECONDS - 0.01
    await readiness()
    assert disk.pings == 1
    ticks.seconds = KEEP_SECONDS
    disk.error = StoreUnavailable()
    assert (await readiness())["store"] is False
    assert disk.pings == 2
    disk.error = None
    assert (await readiness())["store"] is True, "what failed is looked at again at once"


async def test_a_store_that_hangs_holds_no_probe_up(
    readiness: Readiness, disk: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert WAIT_SECONDS <= 2
    monkeypatch.setattr("proxy.observability.readiness.WAIT_SECONDS", 0.01)
    disk.gate.clear()
    assert (await readiness())["store"] is False
    assert (await readiness())["store"] is False
    assert disk.pings == 1, "it is not asked again while it hangs"
    disk.gate.set()
    monkeypatch.undo()
    assert (await readiness())["store"] is True


async def get(shop: Shop, path: str) -> tuple[int, Any]:
    async with shop.session.get(shop.url + path) as answer:
        return answer.status, await answer.json()


async def test_a_gateway_that_is_down_turns_nobody_away(played: tuple[Shop, Dargah]) -> None:
    shop, _ = played
    await shop.fault("request", "http_500")
    for number in range(6):
        await shop.create(key=f"k{number}")
    assert await get(shop, "/readyz") == (
        200,
        {"status": "ready", "checks": {"store": True, "keys": True, "accepting": True}},
    )


async def test_a_full_disk_is_not_ready_but_alive(tmp_path: Path) -> None:
    full = False

    def fault(statement: str) -> None:
        if full and statement == "COMMIT":
            raise OSError("no space left on device")

    async with playground(tmp_path, outside=Outside(fault=fault)) as (shop, _):
        full = True
        assert await get(shop, "/healthz") == (200, {"status": "ok"})
        status, body = await get(shop, "/readyz")
        assert (status, body["status"], body["checks"]["store"]) == (503, "unready", False)
        full = False


async def test_a_store_that_is_stuck_leaves_the_process_alive(
    played: tuple[Shop, Dargah], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, dargah = played
    stuck = asyncio.Event()

    async def ping() -> None:
        await stuck.wait()

    monkeypatch.setattr(dargah.services.store.heartbeat, "ping", ping)
    monkeypatch.setattr("proxy.observability.readiness.WAIT_SECONDS", 0.05)
    unready, alive = await asyncio.gather(get(shop, "/readyz"), get(shop, "/healthz"))
    assert (unready[0], alive[0]) == (503, 200)
    stuck.set()


async def asked(url: str, folder: Path, *arguments: str) -> tuple[int, str]:
    ran = await Cli({"DARGAH_LISTEN": url.removeprefix("http://")}, folder).run("health", *arguments)
    return ran.code, ran.out + ran.error


def answering(**statuses: int) -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        status = statuses[request.path.strip("/")]
        return web.json_response({"says": status}, status=status)

    app = web.Application()
    for name in statuses:
        app.router.add_get(f"/{name}", answer)
    return app


async def test_the_command_asks_whether_the_process_lives_or_may_be_sent_work(tmp_path: Path) -> None:
    async with server(answering(healthz=200, readyz=503)) as url:
        assert await asked(url, tmp_path) == (0, '{"says": 200}\n')
        code, said = await asked(url, tmp_path, "--ready")
        assert (code, "/readyz says 503" in said) == (1, True)


async def test_a_process_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    gone = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = gone.sockets[0].getsockname()[1]
    gone.close()
    code, said = await asked(f"http://127.0.0.1:{port}", tmp_path)
    assert (code, said.count("\n"), "nothing answers" in said) == (1, 1, True)


async def test_the_command_asks_a_wildcard_on_loopback(tmp_path: Path) -> None:
    async with server(answering(healthz=200)) as url:
        assert (await asked(url.replace("127.0.0.1", "0.0.0.0"), tmp_path))[0] == 0  # noqa: S104  listened on, not called
