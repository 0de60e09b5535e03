"""The log of gateway calls, of answers that are errors, and of the end of a process: whose, why, and no secret."""

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from proxy.gateways.circuit_breaker import FAILURES_TO_OPEN
from proxy.gateways.port import (
    Account,
    CheckResult,
    CheckUnknown,
    Inquiry,
    NothingOffered,
    RequestRefused,
    RequestResult,
)
from proxy.kernel import log_context
from proxy.observability.gateway_calls import ObservedGateway
from proxy.observability.metrics import Metrics
from web.clients import drop_in
from web.lab import API_KEY, Lab, lab_in
from web.test_facade import refused

Line = dict[str, Any]
ON_SQLITE = pytest.mark.parametrize("folder", ["sqlite"], indirect=True)


def logged() -> Any:
    """The lines within it, with what their work is about."""
    return capture_logs([log_context.add_context])


def of(lines: list[Any], event: str) -> list[Line]:
    return [line for line in lines if line["event"] == event]


@ON_SQLITE
async def test_each_call_to_a_gateway_leaves_one_line_and_no_secret(lab: Lab) -> None:
    with logged() as lines:
        payment = await lab.created()
        back = await lab.act(payment, "pay")
        await lab.call("GET", back)
    called = of(lines, "gateway_call")
    assert [(line["operation"], line["outcome"]) for line in called] == [("request", "issued"), ("check", "captured")]
    for line in called:
        assert (line["payment_id"], line["merchant_id"]) == (payment["id"], lab.merchant_id)
        assert (line["terminal_id"], line["gateway"]) == (lab.terminal_id, "invoice_script")
        assert (line["status"], line["log_level"]) == (200, "info")
        assert line["ms"] >= 0
        assert line["request_id"] in {request["request_id"] for request in of(lines, "request")}
    paid = await lab.payment(payment["id"])
    for secret in (API_KEY, lab.token, lab.gateway_url, payment["pay_url"].rpartition("/")[2], paid["bank_code"]):
        assert secret not in repr(called)


@ON_SQLITE
async def test_a_poller_s_call_names_its_payment(lab: Lab) -> None:
    payment = await lab.created()
    watch = await lab.dargah.services.store.payments.check_schedule(lab.merchant_id, payment["id"])
    assert watch is not None
    lab.clock.forward(watch.due_at - lab.clock.now)
    with logged() as lines:
        await lab.dargah.poller.step()
        await lab.dargah.poller.tasks.drain()
    [line] = of(lines, "gateway_call")
    assert (line["operation"], line["outcome"], line["payment_id"]) == ("check", "not_paid", payment["id"])
    assert "request_id" not in line


class Answering(NothingOffered):
    """A family whose every call about an invoice has the same answer."""

    async def confirm(self, _account: Account, inquiry: Inquiry, /) -> CheckResult:
        return CheckResult(CheckUnknown(inquiry.invoice_key, "code", -51, alert=True), 7, "secret", http_status=422)

    settle = reverse = confirm

    async def request(self, *_: Any) -> RequestResult:
        return RequestResult(RequestRefused(100), 3)


@pytest.mark.parametrize("operation", ["confirm", "settle", "reverse"])
async def test_the_calls_of_confirming_families_are_logged_and_without_a_payment_as_probes(operation: str) -> None:
    gateway = ObservedGateway(Answering(), Metrics())
    account = Account("trm_1", "https://gateway.example", {"api_key": "secret"}, "zibal")
    call = getattr(gateway, operation)
    with logged() as lines:
        await call(account, Inquiry("secret", 10_000))
        with log_context.about(merchant_id="mer_1", payment_id="pay_1"):
            await call(account, Inquiry("secret", 10_000))
    probe, called = of(lines, "gateway_call")
    assert (probe.pop("operation"), "payment_id" in probe) == ("probe", False)
    assert called == probe | {"operation": operation, "merchant_id": "mer_1", "payment_id": "pay_1"}
    assert "secret" not in repr(lines)
    assert (called["gateway"], called["outcome"], called["status"], called["ms"]) == ("zibal", "unknown", 422, 7)
    assert (called["reason"], called["error_code"]) == ("code", -51)


@ON_SQLITE
async def test_a_create_without_a_clear_answer_says_why_and_for_which_payment(lab: Lab) -> None:
    await lab.fault("request", "error", code=301, times=1)
    with logged() as lines:
        unclear = await lab.create(key="k", order_id="A")
    problem = unclear.json
    assert (unclear.status, problem["code"]) == (502, "gateway_unclear")
    assert (problem["gateway"], problem["gateway_error_code"]) == ("invoice_script", 301)
    assert "(301)" in problem["detail"]
    assert "۳۰۱" in problem["detail_fa"]
    for event in ("gateway_call", "gateway_unclear", "request"):
        [line] = of(lines, event)
        assert (line["payment_id"], line["merchant_id"]) == (problem["payment_id"], lab.merchant_id), event
    assert of(lines, "request")[0]["code"] == "gateway_unclear"
    assert of(lines, "gateway_call")[0]["error_code"] == 301
    assert of(lines, "gateway_call")[0]["outcome"] == "unknown"


@ON_SQLITE
async def test_a_refused_create_and_its_repetition_are_logged_with_code_and_payment(lab: Lab) -> None:
    await lab.fault("request", "error", code=204, times=1)
    with logged() as lines:
        first, again = [await lab.create(key="k", order_id="A") for _ in range(2)]
    assert (first.status, first.json["gateway"], again.body) == (502, "invoice_script", first.body)
    said = [(line["status"], line["code"], line["payment_id"]) for line in of(lines, "request")]
    assert said == [(502, "gateway_refused", first.json["payment_id"])] * 2
    assert len(of(lines, "gateway_call")) == 1


@ON_SQLITE
async def test_a_create_while_the_gateway_is_spared_names_terminal_reason_and_the_payment_that_waits(lab: Lab) -> None:
    await lab.fault("request", "http_500")
    creates = [await lab.create(key=f"k{number}") for number in range(FAILURES_TO_OPEN)]
    with logged() as lines:
        spared = await lab.create(key="k0", order_id="A-0")
    assert (spared.status, spared.json["code"]) == (503, "gateway_circuit_open")
    assert lab.terminal_id in spared.json["detail"]
    assert "HTTP 500" in spared.json["detail"]
    assert spared.json["payment_id"] == creates[0].json["payment_id"]
    [line] = of(lines, "request")
    assert (line["code"], line["payment_id"]) == ("gateway_circuit_open", creates[0].json["payment_id"])
    other = await lab.create(key="k1", order_id="another order")
    assert (other.status, "payment_id" in other.json) == (503, False), "another body under a key is told of nothing"


@ON_SQLITE
async def test_a_drop_in_s_answer_keeps_its_form_and_the_log_says_what_happened(lab: Lab) -> None:
    shop = await drop_in(lab)
    await lab.fault("request", "http_500", times=1)
    with logged() as lines:
        assert await shop.request() == refused(301)
    [payment] = await shop.payments()
    [line] = of(lines, "request")
    assert (line["status"], line["code"], line["payment_id"]) == (200, "gateway_unclear", payment.id)
    await lab.fault("request", "error", code=204, times=1)
    with logged() as lines:
        assert await shop.request() == refused(204)
    [line] = of(lines, "request")
    assert (line["status"], line["code"]) == (200, "gateway_refused")
    assert line["payment_id"] != payment.id


@ON_SQLITE
async def test_a_process_that_ends_says_what_it_drained(folder: Path) -> None:
    with logged() as lines:
        async with lab_in(folder) as lab:
            lab.dargah.drain.reason = "SIGTERM"
    [stopping], [stopped] = of(lines, "stopping"), of(lines, "stopped")
    assert (stopping["reason"], stopping["running"]) == ("SIGTERM", 0)
    assert (stopped["reason"], stopped["unfinished"]) == ("SIGTERM", 0)
    assert 0 <= stopped["seconds"] < 30
    assert lines[-1]["event"] == "stopped"
