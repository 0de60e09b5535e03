"""Over the limits a create is told so at once, and nothing of it is left; a returned customer is asked for anyway."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.clock import OffsetClock
from support.dargah import API_KEY
from support.eventually import until
from support.shop import Shop, playground

from proxy.app import Dargah, Outside
from proxy.gateways.circuit_breaker import FAILURES_TO_OPEN, FIRST_PAUSE, LONGEST_PAUSE
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
