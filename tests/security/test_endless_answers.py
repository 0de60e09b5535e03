"""A peer that never ends: informational answers, heads and unasked bytes are bounded, from receivers and gateways."""

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from adapters.raw_server import RawServer, answer, hang, raw, then
from adapters.test_answers import head

from proxy.gateways.invoice_script.client import HttpGateway
from proxy.gateways.port import Account, CheckUnknown, InvoiceIssued
from proxy.http.outbound.exchange import MAX_HEAD_BYTES, MAX_INFORMATIONAL
from proxy.http.outbound.ssrf_guard import Guard
from proxy.operations.doctor.prober import Prober
from proxy.webhooks.port import WebhookRequest, WebhookResult
from proxy.webhooks.sender import HttpSender

RETURN_URL = "https://pay.example/return/abc"


@pytest.fixture
async def sender() -> AsyncIterator[HttpSender]:
    client = HttpSender(Guard(["127.0.0.0/8"]))
    yield client
    await client.close()


@pytest.fixture
async def gateway() -> AsyncIterator[HttpGateway]:
    client = HttpGateway()
    yield client
    await client.close()


async def post(sender: HttpSender, server: RawServer) -> WebhookResult:
    return await sender.send(WebhookRequest(f"{server.url}/hook", {"webhook-id": "evt_1"}, b"{}"))


async def test_informational_answers_are_passed_over(sender: HttpSender) -> None:
    hints = head("103 Early Hints", "Link: </a.css>") * (MAX_INFORMATIONAL - 1)
    async with RawServer((raw(head("100 Continue") + hints + head("204 No Content"), close=False),)) as server:
        for _ in range(2):
            assert (await post(sender, server)).status == 204
        assert server.connections == 1


@pytest.mark.parametrize(
    "data",
    [
        head("102 Processing") * (MAX_INFORMATIONAL + 1) + head("200 OK", "Content-Length: 0"),
        head("102 Processing") * 100_000,
        head("102 Processing", *["X: " + "x" * 8000] * 3) * 3,
        b"\r\n" * 100_000,
        head("101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade") + b"x" * 1000,
    ],
)
async def test_answers_without_an_end_are_a_bad_response_at_once(sender: HttpSender, data: bytes) -> None:
    async with RawServer((then(raw(data, close=False), hang),)) as server:
        result = await post(sender, server)
    assert (result.status, result.error) == (None, "bad_response")
    assert result.duration_ms < 5000


def endless(start: bytes, more: bytes) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while not writer.is_closing():
            writer.write(more)
            await writer.drain()

    return write


CHUNKED = head("200 OK", "Transfer-Encoding: chunked")


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"", head("102 Processing") * 1000),
        (CHUNKED + b"1;", b"x" * 60_000),
        (CHUNKED, b"1;name=value\r\nx\r\n" * 1000),
        (CHUNKED + b"0\r\n", b"X: y\r\n" * 1000),
    ],
    ids=["heads", "an extension of a chunk", "extensions of chunks", "trailers"],
)
async def test_a_peer_that_never_stops_costs_no_more_than_what_it_may_say(
    gateway: HttpGateway, start: bytes, more: bytes
) -> None:
    async with RawServer((endless(start, more),)) as server:
        checked = await gateway.check(Account("trm_1", server.url, "key"), "inv_1")
        assert checked.outcome == CheckUnknown("inv_1", "bad_answer")
        seen = await Prober(seconds=5).look(f"{server.url}/invoice/request", "look")
    # It reads no body.
    assert (seen.status, seen.error) == ((200, None) if start else (None, "bad_response"))


@pytest.mark.parametrize(
    "data", [b"\xff" * 240_000, CHUNKED + b"z" * 240_000, CHUNKED + b"0\r\n" + b"X: y\r\n" * 40_000]
)
async def test_an_answer_that_cannot_be_read_leaves_no_memory_behind(sender: HttpSender, data: bytes) -> None:
    """Not until a collector comes either, which is seldom."""
    async with RawServer((raw(data),)) as server:
        await post(sender, server)
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            for _ in range(10):
                await post(sender, server)
            left, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            gc.enable()
    assert left < len(data)


async def test_heads_are_at_most_64_kb_together(sender: HttpSender) -> None:
    line = "X: " + "x" * 8000
    most = head("103 ReplicaNotifications", *[line] * 4) + head("200 OK", "Content-Length: 0", *[line] * 4)
    assert len(most) < MAX_HEAD_BYTES < len(most) + 8000
    for data, error in ((most, None), (head("103 ReplicaNotifications", line) + most, "bad_response")):
        async with RawServer((raw(data),)) as server:
            assert (await post(sender, server)).error == error


async def test_bytes_that_nobody_asked_for_close_the_connection(gateway: HttpGateway) -> None:
    more = asyncio.Event()

    async def twice(writer: asyncio.StreamWriter) -> None:
        await answer(b'{"status":1,"invoice_key":"first"}')(writer)
        await more.wait()
        await answer(b'{"status":1,"invoice_key":"unasked"}')(writer)

    async with RawServer((twice, answer(b'{"status":1,"invoice_key":"third"}'))) as server:
        account = Account("trm_1", server.url, "key")
        assert (await gateway.request(account, 150_000, RETURN_URL)).outcome == InvoiceIssued("first")
        more.set()
        await asyncio.wait_for(server.left.wait(), 5)
        assert (await gateway.request(account, 150_000, RETURN_URL)).outcome == InvoiceIssued("third")
        assert server.connections == 2
