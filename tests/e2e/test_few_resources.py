"""Few addresses of memory and few open files: the process does not come near its limits, and no payment fails for good.

Nobody takes the last open file, and probes are answered whatever else is going on.
"""

import asyncio
import re
import resource
import socket
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from structlog.testing import capture_logs
from support.dargah import settings
from support.eventually import eventually
from support.process import process_shop
from support.shop import playground

from proxy.app import Outside
from proxy.config.open_files import LEAST_FILES, OWN_FILES, TooFewFiles, fitted
from proxy.http.connection_limits import MOST_OPERATORS, PROBES, operator_connections

MEGABYTE = 1 << 20
LIMIT_MEGABYTES = 200
CONNECTIONS = 800
# Few enough that each has one of the gateway's places while it waits.
CLIENTS = 16
CREATES = 60
# A whole head of 27 kB, and a body that is never whole: all that one connection may hold.
HELD = (
    b"POST /v1/payments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nIdempotency-Key: a\r\n"
    b"Content-Type: application/json\r\nContent-Length: 60000\r\n"
    + b"".join(b"X-%d: %s\r\n" % (number, b"a" * 900) for number in range(30))
    + b"\r\n"
    + b"x" * 50_000
)


def hold(url: str, token: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
    with suppress(ConnectionError):  # it was shown out
        connection.sendall(HELD % token.encode())
    return connection


async def test_as_many_connections_as_come_do_not_end_a_process_with_few_addresses(tmp_path: Path) -> None:
    async with process_shop(tmp_path, DARGAH_MAX_ADDRESS_CONNECTIONS="0") as (shop, process):
        await process.stop()
        process.limits = {resource.RLIMIT_AS: LIMIT_MEGABYTES * MEGABYTE}
        await process.start()
        with ExitStack() as held:
            for _ in range(CONNECTIONS):
                held.enter_context(await asyncio.to_thread(hold, process.url, shop.token))
            assert (await shop.create())[0] == 201
            assert (await shop.readiness())[0] == 200
        assert await process.stop() == 0


class Short:
    """A store's fault: no memory for the statements that have `part` in them, while it is set."""

    part = ""

    def __call__(self, statement: str) -> None:
        if self.part and self.part in statement:
            raise MemoryError


async def test_a_create_without_memory_is_told_503_and_is_made_when_there_is_some_again(tmp_path: Path) -> None:
    short = Short()
    async with playground(tmp_path, outside=Outside(fault=short)) as (shop, _):
        for part in ("INSERT", "COMMIT", "BEGIN"):
            short.part = part
            assert (await shop.create())[0] == 503, part
            short.part = ""
            await shop.created()


async def test_a_handler_without_memory_is_answered_503(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_given: object) -> None:
        raise MemoryError

    async with playground(tmp_path) as (shop, _):
        with monkeypatch.context() as short, capture_logs() as lines:
            short.setattr("proxy.api.health.json_answer", exhausted)
            status, problem = await shop.call("GET", "/healthz")
        assert (status, problem["code"]) == (503, "overloaded")
        assert "memory_exhausted" in [line["event"] for line in lines]
        assert (await shop.call("GET", "/healthz"))[0] == 200


async def test_probes_are_answered_while_every_connection_is_taken(tmp_path: Path) -> None:
    limits = {"DARGAH_MAX_ADDRESS_CONNECTIONS": "0", "DARGAH_MAX_CONNECTIONS": str(CLIENTS)}
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with (
        process_shop(tmp_path, **limits) as (shop, process),
        aiohttp.ClientSession(connector=connector) as session,
    ):
        await process.stop()
        process.limits = {resource.RLIMIT_NOFILE: LEAST_FILES}
        await process.start()
        shop.session = session
        await shop.fault("request", "delay", seconds=2, processed=True, times=CREATES)

        async def create() -> int:
            try:
                return (await shop.create())[0]
            except aiohttp.ClientError:  # it was refused while it was still sending
                return 503

        creates = [asyncio.create_task(create()) for _ in range(CREATES)]
        await eventually(partial(full, shop.session, process.admin_url))
        for _ in range(PROBES):
            async with shop.session.get(f"{process.url}/healthz") as answer:
                assert answer.status == 200
            async with shop.session.get(f"{process.admin_url}/metrics") as answer:
                assert answer.status == 200
        statuses = await asyncio.gather(*creates)
        assert set(statuses) == {201, 503}, "some had no place, and were told so"
        assert (await shop.readiness())[0] == 200
        assert await process.stop() == 0
        assert "Too many open files" not in process.log.read_text()


async def full(session: aiohttp.ClientSession, admin_url: str) -> bool | None:
    """Whether clients have all places that are theirs."""
    async with session.get(f"{admin_url}/metrics") as answer:
        [count] = re.findall(r'^dargah_connections{listener="public"} (\S+)', await answer.text(), re.MULTILINE)
    return float(count) >= CLIENTS or None


class Limits:
    def __init__(self, soft: int, hard: int) -> None:
        self.now = (soft, hard)

    def get(self, _kind: int) -> tuple[int, int]:
        return self.now

    def set(self, _kind: int, wanted: tuple[int, int]) -> None:
        self.now = wanted


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Limits:
    made = Limits(1024, 100_000)
    monkeypatch.setattr("resource.getrlimit", made.get)
    monkeypatch.setattr("resource.setrlimit", made.set)
    return made


def test_the_limit_of_open_files_is_raised_to_what_is_needed(tmp_path: Path, limits: Limits) -> None:
    wanted = settings(tmp_path)
    assert fitted(wanted) is wanted
    assert limits.now == (5224, 100_000)


@pytest.mark.parametrize("hard", [LEAST_FILES, 300, 512, 1024, 4096, 5223])
def test_a_low_limit_of_open_files_is_divided_so_that_all_fits(tmp_path: Path, limits: Limits, hard: int) -> None:
    limits.now = (128, hard)
    with capture_logs() as lines:
        less = fitted(settings(tmp_path))
    assert [(line["event"], line["count"]) for line in lines] == [("few_open_files_allowed", hard)]
    shares = (
        less.max_connections,
        less.gateway_calls_total,
        less.webhook_in_flight,
        operator_connections(less.max_connections),
    )
    assert all(share >= 16 for share in shares)
    assert sum(shares) + OWN_FILES + less.database_connections + 2 * PROBES <= hard
    assert less.gateway_calls_per_terminal <= less.gateway_calls_total


def test_fewer_open_files_than_the_least_are_refused(tmp_path: Path, limits: Limits) -> None:
    limits.now = (64, LEAST_FILES - 1)
    with pytest.raises(TooFewFiles, match="256 are the least, and 5224 are needed"):
        fitted(settings(tmp_path))


def test_the_operators_share_of_connections_follows_the_clients() -> None:
    assert [operator_connections(clients) for clients in (16, 512, 4096)] == [16, 64, MOST_OPERATORS]
