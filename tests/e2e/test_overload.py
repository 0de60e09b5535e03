"""Over the limits of calls, of memory and of open files: a create is told so at once, and nothing of it is left.

A returned customer is asked for anyway, no payment fails for good, nobody takes the last open file, and probes are
answered whatever else is going on.
"""

import asyncio
import re
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs
from support.clock import OffsetClock
from support.dargah import API_KEY, settings
from support.eventually import eventually, until
from support.process import process_shop
from support.shop import Shop, playground

from proxy.app import Dargah, Outside
from proxy.config.open_files import LEAST_FILES, OWN_FILES, TooFewFiles, fitted
from proxy.gateways.circuit_breaker import FAILURES_TO_OPEN, FIRST_PAUSE, LONGEST_PAUSE
from proxy.http.connection_limits import MOST_OPERATORS, PROBES, operator_connections
from proxy.kernel.clock import SECOND
from proxy.merchants.merchant import Mode

LONG = 600


@asynccontextmanager
async def held(shop: Shop, dargah: Dargah) -> AsyncIterator[None]:
    """While it lasts, one create of the shop's is at the gateway, which has made its invoice and does not answer."""
    await shop.fault("request", "delay", seconds=LONG, processed=True, times=1)
    asking = asyncio.create_task(shop.create(key="held", order_id="held"))
    await until(lambda: in_flight(dargah) == 1)
    try:
        yield
    finally:
        asking.cancel()


def in_flight(dargah: Dargah) -> int:
    return dargah.services.checkout._gateway.limiter.load().in_flight


def waiting(dargah: Dargah) -> int:
    return dargah.services.checkout._gateway.limiter.load().waiting


async def refused_create(shop: Shop, order_id: str, **more: str) -> tuple[int, str, int]:
    """Status, code and Retry-After of a create that gets no payment."""
    headers = {"Authorization": f"Bearer {shop.token}", "Idempotency-Key": order_id, **more}
    order = {"amount": 150_000, "currency": "IRR", "order_id": order_id}
    async with shop.session.post(f"{shop.url}/v1/payments", json=order, headers=headers) as answer:
        body = await answer.json(content_type=None)
        return answer.status, body["code"], int(answer.headers["Retry-After"])


async def nothing_of(shop: Shop, order_id: str) -> bool:
    """Neither Dargah nor the gateway knows anything of the order."""
    _, page = await shop.call("GET", f"/v1/payments?order_id={order_id}")
    rows = await shop.control("GET", f"/invoices?api_key={API_KEY}")
    known = {invoice["return_url"].rsplit("/", 1)[-1] for invoice in rows["invoices"]}
    _, listed = await shop.call("GET", "/v1/payments?limit=100")
    links = {payment["pay_url"].rsplit("/", 1)[-1] for payment in listed["data"]}
    return page["data"] == [] and known <= links


@pytest.mark.parametrize("limit", ["gateway_calls_per_terminal", "gateway_calls_total"])
async def test_over_the_calls_in_flight_and_those_that_may_wait_a_create_is_503_and_not_stored(
    folder: Path, limit: str
) -> None:
    limits: dict[str, Any] = {limit: 1, "waiting_limit": 2, "request_timeout_seconds": LONG, "drain_seconds": 0.5}
    async with playground(folder, **limits) as (shop, dargah), held(shop, dargah):
        patient = [asyncio.create_task(shop.create(key=f"p{n}", order_id=f"p{n}")) for n in range(2)]
        await until(lambda: waiting(dargah) == 2)

        answers = await asyncio.gather(*(refused_create(shop, f"over-{number}") for number in range(5)))

        assert [(status, code) for status, code, _ in answers] == [(503, "overloaded")] * 5
        assert all(seconds >= 1 for _, _, seconds in answers)
        for number in range(5):
            assert await nothing_of(shop, f"over-{number}")
        assert (in_flight(dargah), waiting(dargah)) == (1, 2)
        for task in patient:
            task.cancel()


async def test_a_create_that_may_not_wait_is_refused_at_once_and_not_stored(folder: Path) -> None:
    limits: dict[str, Any] = {"gateway_calls_per_terminal": 1, "request_timeout_seconds": LONG, "drain_seconds": 0.5}
    async with playground(folder, **limits) as (shop, dargah), held(shop, dargah):
        for number, preference in enumerate(("wait=0", "respond-async, Wait = 0", 'wait="0"; x=y', "wait=0, wait=60")):
            asking = asyncio.create_task(refused_create(shop, f"hurried-{number}", Prefer=preference))
            await until(lambda: asking.done() or waiting(dargah) > 0)  # noqa: B023  it is done with here
            assert waiting(dargah) == 0, preference
            assert (await asking)[:2] == (503, "overloaded"), preference
            assert await nothing_of(shop, f"hurried-{number}")
        waits = [
            asyncio.create_task(refused_create(shop, f"patient-{number}", Prefer=preference))
            for number, preference in enumerate(
                ("wait=x", "wait", "wait=-1", "respond-async", "", ",;=", "wait=" + "9" * 5000)
            )
        ]
        await until(lambda: waiting(dargah) > 0)
        for task in waits:
            task.cancel()


async def test_a_create_that_need_not_wait_is_made_whatever_its_caller_prefers(folder: Path) -> None:
    async with playground(folder) as (shop, _):
        headers = {"Authorization": f"Bearer {shop.token}", "Idempotency-Key": "hurried", "Prefer": "wait=0"}
        order = {"amount": 150_000, "currency": "IRR", "order_id": "hurried"}
        async with shop.session.post(f"{shop.url}/v1/payments", json=order, headers=headers) as answer:
            assert answer.status == 201


async def test_what_waited_goes_on_when_a_call_has_ended_and_a_refused_key_can_be_used_again(folder: Path) -> None:
    async with playground(folder, gateway_calls_per_terminal=1, waiting_limit=1) as (shop, dargah):
        await shop.fault("request", "delay", seconds=1, processed=True, times=1)
        first = asyncio.create_task(shop.create())
        await until(lambda: in_flight(dargah) == 1)
        second = asyncio.create_task(shop.create())
        await until(lambda: waiting(dargah) == 1)
        assert (await refused_create(shop, "again"))[:2] == (503, "overloaded")
        assert [status for status, _ in await asyncio.gather(first, second)] == [201, 201]
        status, payment = await shop.create(key="again", order_id="again")
        assert (status, payment["status"]) == (201, "pending")
        assert (in_flight(dargah), waiting(dargah)) == (0, 0)


async def test_one_terminals_full_house_does_not_hold_another_up(folder: Path) -> None:
    async with playground(
        folder, gateway_calls_per_terminal=1, waiting_limit=1, request_timeout_seconds=LONG, drain_seconds=0.5
    ) as (shop, dargah):
        setup = dargah.services.setup
        other = await setup.add_terminal(shop.merchant_id, "other", shop.gateway_url, API_KEY, Mode.LIVE, actor="test")
        first_terminal = {"terminal_id": shop.terminal_id}
        await shop.fault("request", "delay", seconds=LONG, processed=True, times=1)
        asking = asyncio.create_task(shop.create(**first_terminal))
        await until(lambda: in_flight(dargah) == 1)
        status, payment = await shop.create(terminal_id=other.id)
        assert (status, payment["terminal_id"]) == (201, other.id)
        asking.cancel()


async def broken(shop: Shop) -> None:
    """The gateway's answers to creates are unclear until its breaker is open."""
    await shop.fault("request", "http_500", times=FAILURES_TO_OPEN)
    for number in range(FAILURES_TO_OPEN):
        status, problem = await shop.create(key=f"broken-{number}", order_id=f"broken-{number}")
        assert (status, problem["code"]) == (502, "gateway_unclear")


async def asked(shop: Shop, operation: str) -> int:
    answered = (await shop.control("GET", "/stats"))["answered"]
    return sum(count for name, count in answered.items() if name.startswith(f"{operation}:"))


@pytest.fixture
async def clock() -> OffsetClock:
    return OffsetClock()


@pytest.fixture
async def shop(folder: Path, clock: OffsetClock) -> AsyncIterator[Shop]:
    async with playground(folder, outside=Outside(now=clock)) as (made, _):
        yield made


async def test_four_unclear_answers_leave_the_breaker_closed(shop: Shop) -> None:
    await shop.fault("request", "http_500", times=FAILURES_TO_OPEN - 1)
    for number in range(FAILURES_TO_OPEN - 1):
        assert (await shop.create(key=f"{number}", order_id=f"{number}"))[0] == 502
    assert (await shop.create())[0] == 201


async def test_five_unclear_answers_open_the_breaker_and_a_create_is_503_at_once_and_not_stored(shop: Shop) -> None:
    await broken(shop)
    before = await asked(shop, "request")

    status, code, retry_after = await refused_create(shop, "spared")

    assert (status, code) == (503, "gateway_circuit_open")
    assert 1 <= retry_after <= FIRST_PAUSE // SECOND
    assert await asked(shop, "request") == before
    assert await nothing_of(shop, "spared")


async def test_a_replay_is_answered_although_the_breaker_is_open(shop: Shop) -> None:
    first = await shop.created(key="first", order_id="first")
    await broken(shop)
    assert await shop.create(key="first", order_id="first") == (201, first)


async def test_a_customer_who_is_back_is_asked_for_although_the_breaker_is_open(shop: Shop) -> None:
    payment = await shop.created(return_url="https://shop.example/thanks")
    await broken(shop)

    returned = await shop.come_back(await shop.act(payment, "pay"))

    assert "status=paid" in returned.headers["Location"]
    assert (await shop.payment(payment["id"]))["status"] == "paid"
    [event] = await shop.receiver.told()
    assert event["type"] == "payment.paid"


async def test_one_clear_answer_of_a_check_closes_the_breaker(shop: Shop) -> None:
    payment = await shop.created()
    await broken(shop)
    assert (await refused_create(shop, "still"))[1] == "gateway_circuit_open"
    _, checked = await shop.call("POST", f"/v1/payments/{payment['id']}/check")
    assert checked["check"]["outcome"] == "not_paid"
    assert (await shop.create(key="still", order_id="still"))[0] == 201


async def test_after_its_pause_a_create_is_let_through_and_its_outcome_decides(shop: Shop, clock: OffsetClock) -> None:
    await broken(shop)
    await shop.fault("request", "http_500", times=1)
    clock.offset += FIRST_PAUSE
    assert (await shop.create(key="probe", order_id="probe"))[0] == 502
    status, code, retry_after = await refused_create(shop, "longer")
    assert (status, code) == (503, "gateway_circuit_open")
    assert FIRST_PAUSE // SECOND < retry_after <= LONGEST_PAUSE // SECOND
    clock.offset += 2 * FIRST_PAUSE
    assert (await shop.create(key="longer", order_id="longer"))[0] == 201
    assert (await shop.create())[0] == 201


async def test_what_a_spared_gateway_was_not_asked_is_asked_later_with_the_same_key(
    shop: Shop, clock: OffsetClock
) -> None:
    await broken(shop)
    clock.offset += FIRST_PAUSE
    for number in range(FAILURES_TO_OPEN):
        status, payment = await shop.create(key=f"broken-{number}", order_id=f"broken-{number}")
        assert (status, payment["status"]) == (201, "pending")
    rows: Any = await shop.control("GET", f"/invoices?api_key={API_KEY}")
    assert len(rows["invoices"]) == FAILURES_TO_OPEN


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
