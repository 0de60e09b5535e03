"""Exports, sums and reports: few at once, bounded, and over when nobody reads them any more."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from structlog.testing import capture_logs
from support.eventually import eventually

from proxy.locale.day_ranges import tehran_day
from proxy.payments import long_reads
from proxy.payments.long_reads import AT_ONCE
from proxy.payments.scan import PaymentScan
from proxy.payments.search import LinePage, PaymentFilter
from web.clients import OPERATOR_TOKEN, operator
from web.lab import Answer, Lab

EXPORT = "/admin/v1/payments.csv"
SINGLE = AT_ONCE - 1  # that one caller gets while nobody else asks


async def asked(lab: Lab, path: str) -> Answer:
    return await lab.call("GET", lab.dargah.admin_url + path, token=OPERATOR_TOKEN)


async def test_more_exports_than_places_are_told_when_to_come_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    free, began = asyncio.Event(), asyncio.Semaphore(0)
    whole = PaymentScan.batches

    async def held(scan: PaymentScan) -> AsyncGenerator[LinePage]:
        began.release()
        await free.wait()
        async for page in whole(scan):
            yield page

    monkeypatch.setattr(PaymentScan, "batches", held)
    payment = await lab.created()
    browser = await operator(lab)
    running = [asyncio.create_task(asked(lab, EXPORT)) for _ in range(SINGLE)]
    for _ in running:
        await began.acquire()
    for path in (EXPORT, "/admin/v1/payments/totals", "/admin/v1/settlement?first_day=2026-11-24&last_day=2026-11-24"):
        refused = await asked(lab, path)
        assert (refused.status, refused.json["code"]) == (503, "overloaded"), path
        assert refused.headers["Retry-After"] == "10"
    for path in ("/payments.csv", "/payments/totals", "/settlement?from=2026-11-24"):
        page = await browser.get(f"/console{path}")
        assert (page.status, page.headers["Retry-After"]) == (503, "10"), path
    free.set()
    assert {payment["id"] in (await each).text for each in running} == {True}
    assert (await asked(lab, EXPORT)).status == 200


async def test_an_export_ends_when_its_client_has_gone(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    await lab.created()
    over = False

    async def endless(scan: PaymentScan) -> AsyncGenerator[LinePage]:
        page = await scan._payments.lines(lab.merchant_id, PaymentFilter(), 1)
        while not over:
            yield page

    monkeypatch.setattr(PaymentScan, "batches", endless)
    request = f"GET {EXPORT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {OPERATOR_TOKEN}\r\n\r\n"
    with capture_logs() as lines:
        for _ in range(SINGLE):
            port = int(lab.dargah.admin_url.rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request.encode())
            await reader.readuntil(b"\r\n\r\n")
            writer.transport.abort()
        over = True

        async def free() -> bool:
            return (await asked(lab, "/admin/v1/payments/totals")).status == 200

        await eventually(free)
    assert "request_failed" not in {line["event"] for line in lines}


async def test_sums_of_too_many_payments_ask_for_fewer(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_reads, "MAX_LOOKED", 1)
    day = tehran_day(lab.clock.now).isoformat()
    sums = {
        "created_after": f"/admin/v1/payments/totals?merchant_id={lab.merchant_id}",
        "first_day": f"/admin/v1/settlement?first_day={day}&last_day={day}",
    }
    for number, status in enumerate((200, 422)):
        payment = await lab.created(order_id=f"order-{number}")
        await lab.act(payment, "pay")
        await lab.call("POST", f"/v1/payments/{payment['id']}/check")
        for field, path in sums.items():
            answer = await asked(lab, path)
            assert answer.status == status, path
            if status == 422:
                [error] = answer.json["errors"]
                assert (error["field"], error["code"]) == (field, "too_much")
    browser = await operator(lab)
    assert (await browser.get(f"/console/settlement.csv?from={day}")).status == 422
    page = await browser.followed(await browser.get("/console/payments/totals?lang=en"))
    assert page.status == 200, "what is counted in the background has as long as it takes"
