"""What a gateway's words do to a live payment: said twice, of another invoice, without a number, or "come later"."""

from typing import Any

import pytest
from adapters.servers import RawServer, answer
from structlog.testing import capture_logs

from proxy.gateways.circuit_breaker import LONGEST_RETRY_AFTER
from proxy.merchants.merchant import Mode
from web.lab import Lab

GATEWAY_KEY = "canary-of-the-raw-gateway-4711"
ISSUED = answer(b'{"status":1,"invoice_key":"inv_1"}')
NUMBERLESS = answer(b'{"status":1,"amount":150000,"bank_code":null}')
PAID = answer(b'{"status":1,"amount":150000,"bank_code":"777"}')
SLOW_DOWN = answer(f"slow down, {GATEWAY_KEY}".encode(), status="429 Too Many Requests", headers="Retry-After: 120\r\n")


async def asked(lab: Lab, server: RawServer, order_id: str = "A-1") -> dict[str, Any]:
    """A payment at a gateway that speaks by hand."""
    terminal = await lab.dargah.services.setup.add_terminal(
        lab.merchant_id, f"raw {order_id}", server.url, GATEWAY_KEY, mode=Mode.LIVE, actor="test"
    )
    return await lab.created(order_id=order_id, terminal_id=terminal.id)


async def checked(lab: Lab, payment: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await lab.call("POST", f"/v1/payments/{payment['id']}/check")).json
    return found


async def test_money_without_a_bank_code_waits_for_it_until_the_expiry(lab: Lab) -> None:
    async with RawServer((ISSUED, NUMBERLESS, NUMBERLESS, PAID)) as server:
        payment = await asked(lab, server)
        await lab.session.get(payment["pay_url"].replace("/pay/", "/return/"), allow_redirects=False)
        found = await checked(lab, payment)
        assert (found["status"], found["check"]["outcome"], found["check"]["reason"]) == (
            "pending",
            "unknown",
            "no_bank_code",
        )
        found = await checked(lab, payment)
        assert (found["status"], found["bank_code"]) == ("paid", "777")


async def test_money_whose_bank_code_never_comes_is_reviewed_and_takes_no_number_from_others(lab: Lab) -> None:
    for number in (1, 2):
        async with RawServer((answer(b'{"status":1,"invoice_key":"inv_%d"}' % number), NUMBERLESS)) as server:
            payment = await asked(lab, server, f"A-{number}")
            lab.clock.forward(31 * 60_000)
            await checked(lab, payment)
            shown = await lab.payment(payment["id"])
        assert (shown["status"], shown["bank_code"]) == ("needs_review", None)
        assert (shown["review"]["reason"], shown["review"]["bank_code"]) == ("bank_code_missing", None)
        assert (shown["review"]["captured_rials"], shown["review"]["other_payment_id"]) == (150_000, None)
    events = (await lab.call("GET", "/v1/events?type=payment.needs_review")).json["data"]
    assert len(events) == 2


UNBELIEVED: dict[str, bytes] = {
    "said twice": b'{"status":0,"errorCode":201,"status":1,"amount":150000,"bank_code":"x","errorCode":null}',
    "of another invoice": b'{"status":1,"amount":150000,"bank_code":"777","invoice_key":"inv_2"}',
    "cancels another invoice": b'{"status":0,"errorCode":202,"invoice_key":"inv_2"}',
    "of two objects": b'{"status":0,"errorCode":201}{"status":1,"amount":150000,"bank_code":"777"}',
}


@pytest.mark.parametrize("folder", ["sqlite"], indirect=True)
@pytest.mark.parametrize("case", sorted(UNBELIEVED))
async def test_what_does_not_say_one_thing_of_this_invoice_changes_nothing(lab: Lab, case: str) -> None:
    async with RawServer((ISSUED, answer(UNBELIEVED[case]), PAID)) as server:
        payment = await asked(lab, server)
        assert (await checked(lab, payment))["status"] == "pending"
        assert (await checked(lab, payment))["status"] == "paid"


async def test_retry_after_spares_the_gateway_and_stands_in_timeline_and_log(lab: Lab) -> None:
    async with RawServer((ISSUED, SLOW_DOWN, ISSUED)) as server:
        payment = await asked(lab, server)
        with capture_logs() as lines:
            found = await checked(lab, payment)
        assert (found["status"], found["check"]["http_status"]) == ("pending", 429)
        refused = await lab.create(terminal_id=payment["terminal_id"])
        assert (refused.status, refused.json["code"], refused.headers["Retry-After"]) == (
            503,
            "gateway_circuit_open",
            "120",
        )
        assert len(server.requests) == 2
    timeline = (await lab.call("GET", f"/v1/payments/{payment['id']}/timeline")).json["data"]
    [entry] = [each["data"] for each in timeline if each["kind"] == "gateway.check"]
    assert entry == {
        "outcome": "unknown",
        "invoice_key": "inv_1",
        "reason": "http_status",
        "http_status": 429,
        "excerpt": "slow down, …",
        "retry_after_seconds": 120,
    }
    [line] = [line for line in lines if line["event"] == "gateway_unclear"]
    assert (line["reason"], line["excerpt"], line["log_level"]) == ("HTTP 429", "slow down, …", "warning")


@pytest.mark.parametrize("folder", ["sqlite"], indirect=True)
async def test_the_poller_asks_again_when_the_pause_is_over_and_not_before(lab: Lab) -> None:
    async with RawServer((ISSUED, SLOW_DOWN, PAID)) as server:
        payment = await asked(lab, server)
        await checked(lab, payment)
        watch = await lab.dargah.services.store.payments.check_schedule(lab.merchant_id, payment["id"])
        assert watch is not None
        lab.clock.forward(watch.due_at - lab.clock.now)
        await lab.dargah.poller.step()
        await lab.dargah.poller.tasks.drain()
        later = await lab.dargah.services.store.payments.check_schedule(lab.merchant_id, payment["id"])
        assert later is not None
        assert len(server.requests) == 2
        lab.clock.forward(later.due_at - lab.clock.now)
        await lab.dargah.poller.step()
        await lab.dargah.poller.tasks.drain()
        assert (await lab.payment(payment["id"]))["status"] == "paid"


@pytest.mark.parametrize("folder", ["sqlite"], indirect=True)
async def test_a_gateway_that_asks_for_a_day_is_asked_again_within_minutes(lab: Lab) -> None:
    day = answer(b"", status="503 Busy", headers="Retry-After: 86400\r\n")
    async with RawServer((ISSUED, day, ISSUED)) as server:
        payment = await asked(lab, server)
        await checked(lab, payment)
        refused = await lab.create(terminal_id=payment["terminal_id"])
        assert refused.headers["Retry-After"] == str(LONGEST_RETRY_AFTER // 1000)
