"""Answers over real sockets: their heads decide, whatever bytes follow; and no peer's bytes are without an end."""

import asyncio
import gc
import tomllib
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.metadata import version
from pathlib import Path

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver
from packaging.requirements import Requirement

from adapters.servers import Names, RawServer, Script, answer, hang, raw, then
from proxy.gateways.invoice_script.client import InvoiceScript
from proxy.gateways.port import Account, Captured, CheckOutcome, CheckUnknown, InvoiceIssued
from proxy.http.outbound.exchange import (
    MAX_HEAD_BYTES,
    MAX_INFORMATIONAL,
    AnswerProtocol,
    Pool,
    exchange,
    origin_of,
)
from proxy.http.outbound.ssrf_guard import Guard
from proxy.kernel.clock import Deadline
from proxy.operations.doctor.base import Prober
from proxy.webhooks.request import WebhookRequest, WebhookResult
from proxy.webhooks.sender import HttpSender

RETURN_URL = "https://pay.example/return/abc"
PERSIAN = "پرداخت دریافت شد"
PAID = b'{"status":1,"amount":150000,"bank_code":"777"}'
OK = answer(b"ok")


@pytest.fixture
async def sender() -> AsyncIterator[HttpSender]:
    client = HttpSender(Guard(["127.0.0.0/8"]), total_seconds=10, body_seconds=0.2)
    yield client
    await client.close()


@pytest.fixture
async def gateway() -> AsyncIterator[InvoiceScript]:
    client = InvoiceScript(request_seconds=5, check_seconds=5)
    yield client
    await client.close()


async def post(sender: HttpSender, server: RawServer) -> WebhookResult:
    return await sender.send(WebhookRequest(f"{server.url}/hook", {"webhook-id": "evt_1"}, b"{}"))


async def check(gateway: InvoiceScript, *scripts: Script) -> CheckOutcome:
    async with RawServer(scripts) as server:
        return (await gateway.check(Account("trm_1", server.url, {"api_key": "key"}), "inv_1")).outcome


def in_two(data: bytes, at: int, close: bool = False) -> Script:
    """`data` in two segments."""

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(data[:at])
        await writer.drain()
        for _ in range(20):
            await asyncio.sleep(0)
        writer.write(data[at:])
        await writer.drain()
        if close:
            writer.close()

    return script


def head(status: str, *lines: str) -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status}", *lines, "", "")).encode()


IN_CHARACTERS = f"Content-Length: {len(PERSIAN)}"
BEHIND: dict[str, tuple[bytes, bytes]] = {
    "204 with a body": (head("204 No Content"), b'{"ok":true}'),
    "204 with a body and its length": (head("204 No Content", "Content-Length: 11"), b'{"ok":true}'),
    "304 with a body": (head("304 Not Modified"), b"x"),
    "a length in characters": (head("200 OK", IN_CHARACTERS), PERSIAN.encode()),
    "a length in characters of a 410": (head("410 Gone", IN_CHARACTERS), PERSIAN.encode()),
    "a length in characters of a 429": (head("429 Slow", IN_CHARACTERS, "Retry-After: 60"), PERSIAN.encode()),
    "a length in characters of a 503": (head("503 Busy", IN_CHARACTERS, "Retry-After: 60"), PERSIAN.encode()),
    "no length left over": (head("200 OK", "Content-Length: 0"), b"x"),
    "a length, and it closes": (head("200 OK", "Content-Length: 2", "Connection: close"), b"okay"),
    "no chunks": (head("200 OK", "Transfer-Encoding: chunked"), b"plain text"),
    "no chunks of a 410": (head("410 Gone", "Transfer-Encoding: chunked"), b"plain text"),
    "a bad chunk": (head("200 OK", "Transfer-Encoding: chunked"), b"2\r\nokzz\r\n"),
    "another answer": (head("200 OK", "Content-Length: 2"), b"ok" + head("500 No", "Content-Length: 0")),
    "many other answers": (head("202 Yes", "Content-Length: 0"), head("204 No Content") * 1000),
    "bare line feeds": (b"HTTP/1.1 410 Gone\nContent-Length: 1\n\n", b"a\r\n\r\nb"),
}


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("case", sorted(BEHIND))
async def test_the_status_of_a_whole_head_decides_and_the_connection_is_not_kept(
    sender: HttpSender, case: str, apart: bool
) -> None:
    first, rest = BEHIND[case]
    async with RawServer((in_two(first + rest, len(first)) if apart else raw(first + rest, close=False), OK)) as server:
        result = await post(sender, server)
        assert (result.status, result.error) == (int(first.split()[1]), None)
        assert result.retry_after_seconds == (60 if b"Retry-After" in first else None)
        await asyncio.wait_for(server.left.wait(), 5)
        assert (await post(sender, server)).excerpt == b"ok"
        assert server.connections == 2


async def test_a_length_too_long_is_not_waited_for(sender: HttpSender) -> None:
    cut = then(raw(head("410 Gone", "Content-Length: 500") + b"gone", close=False), hang)
    async with RawServer((cut,)) as server:
        result = await post(sender, server)
    assert (result.status, result.excerpt) == (410, b"gone")


@pytest.mark.parametrize("split", [1, 9, 16, 17, 18, 30, 44, 45, 46, 47, 48, 60])
async def test_an_answer_in_pieces_is_the_same_answer(gateway: InvoiceScript, split: int) -> None:
    whole = head("200 OK", f"Content-Length: {len(PAID)}") + PAID
    async with RawServer((in_two(whole, split),)) as server:
        account = Account("trm_1", server.url, {"api_key": "key"})
        for _ in range(2):
            assert (await gateway.check(account, "inv_1")).outcome == Captured("inv_1", 150_000, "777")
        assert server.connections == 1


async def test_an_answer_byte_by_byte_is_the_same_answer(gateway: InvoiceScript) -> None:
    async def script(writer: asyncio.StreamWriter) -> None:
        for byte in head("100 Continue") + head("200 OK", f"Content-Length: {len(PAID)}") + PAID:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    assert await check(gateway, script) == Captured("inv_1", 150_000, "777")


REST = PERSIAN.encode()
NOT_ONE_ANSWER: dict[str, bytes] = {
    "more than its length": head("200 OK", f"Content-Length: {len(PAID)}") + PAID + b"<!-- 3 ms -->",
    "a second object": head("200 OK", f"Content-Length: {len(PAID)}") + PAID + b'{"status":0,"errorCode":201}',
    "a second answer": (head("200 OK", f"Content-Length: {len(PAID)}") + PAID) * 2,
    "less than its length": head("200 OK", f"Content-Length: {len(PAID) + 1}") + PAID,
    "a length in characters": head("200 OK", f"Content-Length: {len(PAID) + len(PERSIAN)}") + PAID[:-1] + b',"a":"'
    + REST + b'"}',
    "chunks with a rest": head("200 OK", "Transfer-Encoding: chunked") + b"2e\r\n" + PAID + b"\r\n0\r\n\r\nmore",
    "chunks that break": head("200 OK", "Transfer-Encoding: chunked") + b"2e\r\n" + PAID + b"\r\nzz\r\n",
    "a length and chunks": head("200 OK", "Content-Length: 46", "Transfer-Encoding: chunked") + PAID,
    "two lengths": head("200 OK", "Content-Length: 46", "Content-Length: 4") + PAID,
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(NOT_ONE_ANSWER))
async def test_a_gateways_200_that_is_not_exactly_its_length_is_never_paid(gateway: InvoiceScript, case: str) -> None:
    fact = await check(gateway, raw(NOT_ONE_ANSWER[case]))
    assert isinstance(fact, CheckUnknown)


PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]


def test_the_installed_release_is_within_bounds_that_end_at_the_next_minor_one() -> None:
    (bounds,) = (found.specifier for found in map(Requirement, PROJECT["dependencies"]) if found.name == "aiohttp")
    assert version("aiohttp") in bounds
    major, minor, *_ = version("aiohttp").split(".")
    assert f"{major}.{int(minor) + 1}" not in bounds, f"aiohttp{bounds} has no upper bound"


async def test_every_connection_of_the_pool_speaks_our_protocol_and_is_used_again() -> None:
    resolver: AbstractResolver = Names(["127.0.0.1"])
    async with RawServer((OK, OK)) as server, aiohttp.ClientSession(connector=Pool(resolver=resolver)) as session:
        origin = origin_of(session, server.url)
        message = b"POST /" + origin.headers + b"0\r\n\r\n"
        protocols = set()
        for _ in range(2):
            response = await exchange(session, origin, message)
            protocols.add(response._protocol)
            assert (response.status, await response.read(10)) == (200, b"ok")
            response.release()
    assert {type(protocol) for protocol in protocols} == {AnswerProtocol}
    assert (len(protocols), server.connections) == (1, 1)


async def test_a_session_of_aiohttps_works_on_the_same_pool() -> None:
    async with (
        RawServer((OK,)) as server,
        aiohttp.ClientSession(connector=Pool()) as session,
        session.get(server.url) as response,
    ):
        assert (response.status, await response.read()) == (200, b"ok")


@pytest.fixture
async def patient_sender() -> AsyncIterator[HttpSender]:
    client = HttpSender(Guard(["127.0.0.0/8"]))
    yield client
    await client.close()


@pytest.fixture
async def patient_gateway() -> AsyncIterator[InvoiceScript]:
    client = InvoiceScript()
    yield client
    await client.close()


async def test_informational_answers_are_passed_over(patient_sender: HttpSender) -> None:
    hints = head("103 Early Hints", "Link: </a.css>") * (MAX_INFORMATIONAL - 1)
    async with RawServer((raw(head("100 Continue") + hints + head("204 No Content"), close=False),)) as server:
        for _ in range(2):
            assert (await post(patient_sender, server)).status == 204
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
async def test_answers_without_an_end_are_a_bad_response_at_once(patient_sender: HttpSender, data: bytes) -> None:
    async with RawServer((then(raw(data, close=False), hang),)) as server:
        result = await post(patient_sender, server)
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
    patient_gateway: InvoiceScript, start: bytes, more: bytes
) -> None:
    async with RawServer((endless(start, more),)) as server:
        checked = await patient_gateway.check(Account("trm_1", server.url, {"api_key": "key"}), "inv_1")
        assert checked.outcome == CheckUnknown("inv_1", "bad_answer")
        seen = await Prober(seconds=5).look(f"{server.url}/invoice/request", "look")
    # It reads no body.
    assert (seen.status, seen.error) == ((200, None) if start else (None, "bad_response"))


@pytest.mark.parametrize(
    "data", [b"\xff" * 240_000, CHUNKED + b"z" * 240_000, CHUNKED + b"0\r\n" + b"X: y\r\n" * 40_000]
)
async def test_an_answer_that_cannot_be_read_leaves_no_memory_behind(patient_sender: HttpSender, data: bytes) -> None:
    """Not until a collector comes either, which is seldom."""
    async with RawServer((raw(data),)) as server:
        await post(patient_sender, server)
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            for _ in range(10):
                await post(patient_sender, server)
            left, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            gc.enable()
    assert left < len(data)


async def test_heads_are_at_most_64_kb_together(patient_sender: HttpSender) -> None:
    line = "X: " + "x" * 8000
    most = head("103 ReplicaNotifications", *[line] * 4) + head("200 OK", "Content-Length: 0", *[line] * 4)
    assert len(most) < MAX_HEAD_BYTES < len(most) + 8000
    for data, error in ((most, None), (head("103 ReplicaNotifications", line) + most, "bad_response")):
        async with RawServer((raw(data),)) as server:
            assert (await post(patient_sender, server)).error == error


async def test_bytes_that_nobody_asked_for_close_the_connection(patient_gateway: InvoiceScript) -> None:
    more = asyncio.Event()

    async def twice(writer: asyncio.StreamWriter) -> None:
        await answer(b'{"status":1,"invoice_key":"first"}')(writer)
        await more.wait()
        await answer(b'{"status":1,"invoice_key":"unasked"}')(writer)

    async with RawServer((twice, answer(b'{"status":1,"invoice_key":"third"}'))) as server:
        account = Account("trm_1", server.url, {"api_key": "key"})
        assert (await patient_gateway.request(account, 150_000, RETURN_URL)).outcome == InvoiceIssued("first")
        more.set()
        await asyncio.wait_for(server.left.wait(), 5)
        assert (await patient_gateway.request(account, 150_000, RETURN_URL)).outcome == InvoiceIssued("third")
        assert server.connections == 2


async def test_a_deadline_that_passes_is_a_timeout() -> None:
    with pytest.raises(TimeoutError), Deadline(0):
        await asyncio.Event().wait()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@pytest.mark.parametrize("seconds", [0, 60])
async def test_a_task_that_somebody_else_cancels_before_its_deadline_is_cancelled(seconds: float) -> None:
    async def call() -> None:
        with Deadline(seconds):
            await asyncio.Event().wait()

    task = asyncio.create_task(call())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
