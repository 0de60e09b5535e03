"""Answers that are read without aiohttp's parser: only those that leave no question."""

import asyncio

import pytest

from adapters.raw_server import RawServer, answer
from proxy.adapters.gateway import HttpGateway
from proxy.adapters.whole_answers import plain_answer
from proxy.facts import InvoiceIssued, RequestUnknown
from proxy.records import Account

RETURN_URL = "https://pay.example/return/abc"


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"{}"),
        (b"HTTP/1.1 200 \r\nServer: nginx\r\nCONNECTION: Keep-Alive\r\ncontent-length:0\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nX-A: Content\r\nContent-Length: 4\r\nConnection: keep-alive\r\n\r\n", b"\r\n\r\n"),
    ],
)
def test_a_plain_answer_is_read(head: bytes, body: bytes) -> None:
    assert plain_answer(head + body) == (200, body)


@pytest.mark.parametrize(
    ("data", "plain"),
    [
        (b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}", (201, b"{}")),
        (b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", (202, b"")),
        (b"HTTP/1.1 204 No Content\r\nDate: now\r\n\r\n", (204, b"")),
    ],
)
def test_so_is_what_webhooks_are_answered(data: bytes, plain: tuple[int, bytes]) -> None:
    assert plain_answer(data) == plain


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}{",
        b"HTTP/1.1 200 OK\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\nTransfer: 2\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 203 Other\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n{}",
        b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 301 Moved\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_whatever_leaves_a_question_is_left_to_the_parser(data: bytes) -> None:
    assert plain_answer(data) is None


@pytest.mark.parametrize("split", [1, 16, 40, 60, 80])
async def test_an_answer_in_pieces_is_the_same_answer(split: int) -> None:
    body = b'{"status":1,"invoice_key":"inv_0001"}'
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    async def in_pieces(writer: asyncio.StreamWriter) -> None:
        writer.write(whole[:split])
        await writer.drain()
        await asyncio.sleep(0)
        writer.write(whole[split:])
        await writer.drain()

    client = HttpGateway()
    async with RawServer((in_pieces,)) as server:
        account = Account("trm_1", server.url, "key")
        for _ in range(2):
            assert (await client.request(account, 150_000, RETURN_URL)).fact == InvoiceIssued("inv_0001")
        assert server.connections == 1
    await client.close()


async def test_what_comes_unasked_is_not_the_answer_to_the_next_request() -> None:
    more, said = asyncio.Event(), asyncio.Event()

    async def twice(writer: asyncio.StreamWriter) -> None:
        await answer(b'{"status":1,"invoice_key":"first"}')(writer)
        await more.wait()
        await answer(b'{"status":1,"invoice_key":"unasked"}')(writer)
        said.set()
        await asyncio.Event().wait()

    client = HttpGateway()
    async with RawServer((twice, answer(b'{"status":1,"invoice_key":"third"}'))) as server:
        account = Account("trm_1", server.url, "key")
        assert (await client.request(account, 150_000, RETURN_URL)).fact == InvoiceIssued("first")
        more.set()
        await said.wait()
        await _arrived(client)
        assert (await client.request(account, 150_000, RETURN_URL)).fact == RequestUnknown("reset")
        assert (await client.request(account, 150_000, RETURN_URL)).fact == InvoiceIssued("third")
        assert server.connections == 2
    await client.close()


async def _arrived(client: HttpGateway) -> None:
    """Returns when the idle connection has got something to read."""
    connector = client._outbound.session.connector
    assert connector is not None
    [idle] = [protocol for kept in connector._conns.values() for protocol, _ in kept]
    async with asyncio.timeout(5):
        while not idle.should_close:  # noqa: ASYNC110  the protocol has no event to wait for
            await asyncio.sleep(0)
