"""The webhook sender over real HTTP: the status decides, and nothing that a receiver does can hold or hurt it."""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from adapters.servers import Names, RawServer, Script, SilentNames, answer, drip, hang, hang_up, raw, reset, then
from proxy.http.outbound.connector import BoundedResolver, ClientOptions, tls_context
from proxy.http.outbound.ssrf_guard import Guard
from proxy.webhooks.request import WebhookRequest, WebhookResult
from proxy.webhooks.sender import EXCERPT_BYTES, MAX_BODY_BYTES, HttpSender

NOW = 1_800_000_000_000  # Fri, 15 Jan 2027 08:00:00 GMT
BODY = '{"type":"payment.paid","data":{"order_id":"سفارش"}}'.encode()
HEADERS = {
    "content-type": "application/json",
    "webhook-id": "evt_1",
    "webhook-timestamp": "1800000000",
    "webhook-signature": "v1,abc v1a,def",
}
OK = answer(b"ok")


@pytest.fixture
async def sender() -> AsyncIterator[HttpSender]:
    client = HttpSender(Guard(["127.0.0.0/8"]), ClientOptions(now=lambda: NOW), total_seconds=10, body_seconds=5)
    yield client
    await client.close()


@pytest.fixture
async def impatient() -> AsyncIterator[HttpSender]:
    client = HttpSender(Guard(["127.0.0.0/8"]), total_seconds=0.4, body_seconds=0.1)
    yield client
    await client.close()


async def post(sender: HttpSender, server: RawServer) -> WebhookResult:
    return await sender.send(WebhookRequest(f"{server.url}/hook?shop=1", HEADERS, BODY))


async def test_the_exact_bytes_and_headers_leave(sender: HttpSender) -> None:
    async with RawServer((OK,)) as server:
        result = await post(sender, server)
    assert (result.status, result.error, result.excerpt, result.delivered) == (200, None, b"ok", True)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    lines = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in rest}
    assert first == "POST /hook?shop=1 HTTP/1.1"
    assert body == BODY
    assert lines.items() >= HEADERS.items()
    assert lines["accept-encoding"] == "identity"
    assert all(name in "".join(rest) for name in ("webhook-id", "webhook-timestamp", "webhook-signature"))


AS_REGISTERED = {
    path: path
    for path in (
        "/a%2Fb?to=x%40y%2fz",
        "/a/%2e%2e/b/../c/./d",
        "/%zz%",
        "/%41%7e~?a=1&&b=+%20&c",
        "//double//slash/",
        "/a;b=c,d:e@f!$'()*[]|^`{}",
        "/?",
    )
} | {"": "/", "?shop=1": "/?shop=1", "/سلام?q=é#part": "/%D8%B3%D9%84%D8%A7%D9%85?q=%C3%A9", "/a?b#c?d": "/a?b"}


@pytest.mark.parametrize("path", sorted(AS_REGISTERED))
async def test_the_registered_bytes_are_requested(sender: HttpSender, path: str) -> None:
    async with RawServer((OK,)) as server:
        assert (await sender.send(WebhookRequest(server.url + path, HEADERS, BODY))).delivered
    assert server.requests[0].split(b"\r\n")[0].decode() == f"POST {AS_REGISTERED[path]} HTTP/1.1"


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_every_2xx_is_delivered(sender: HttpSender, status: int) -> None:
    body = b"" if status == 204 else b"ok"
    async with RawServer((answer(body, status=f"{status} Fine"),)) as server:
        assert (await post(sender, server)).delivered


@pytest.mark.parametrize(
    "status", [300, 301, 302, 303, 304, 307, 308, 400, 401, 404, 410, 418, 429, 500, 503, 599, 999]
)
async def test_everything_else_is_a_failure_with_its_status(sender: HttpSender, status: int) -> None:
    location = "Location: /elsewhere\r\n"
    async with RawServer((answer(b"", status=f"{status} No", headers=location),)) as server:
        result = await post(sender, server)
    assert (result.status, result.error, result.delivered) == (status, None, False)
    assert len(server.requests) == 1


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
BOMB = gzip.compress(b"0" * 20_000_000)
BODIES: dict[str, tuple[Script, int]] = {
    "huge": (answer(b"x" * 10_000_000), EXCERPT_BYTES),
    "endless": (then(raw(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 200_000, close=False), hang), EXCERPT_BYTES),
    "gzip bomb": (answer(BOMB, headers="Content-Encoding: gzip\r\n"), EXCERPT_BYTES),
    "reset": (then(raw(HEAD + b"abc", close=False), reset), 0),
    "hang up": (raw(HEAD + b"abc"), 0),
    "not gzip": (answer(b"plain", headers="Content-Encoding: gzip\r\n"), 5),
}


@pytest.mark.parametrize("case", sorted(BODIES))
async def test_a_body_that_goes_wrong_changes_nothing(sender: HttpSender, case: str) -> None:
    script, at_least = BODIES[case]
    async with RawServer((script, OK)) as server:
        result = await post(sender, server)
        assert (result.status, result.error) == (200, None)
        assert at_least <= len(result.excerpt) <= EXCERPT_BYTES
        assert (await post(sender, server)).excerpt == b"ok"  # the next one gets none of what was left over


@pytest.mark.parametrize("script", [drip(b"x" * 1000), hang])
async def test_a_body_that_does_not_end_is_not_waited_for(impatient: HttpSender, script: Script) -> None:
    async with RawServer((then(raw(HEAD + b"abc", close=False), script),)) as server:
        result = await post(impatient, server)
    assert (result.status, result.error, result.excerpt[:3]) == (200, None, b"abc")
    assert result.duration_ms < 5000


async def test_a_body_within_the_limit_leaves_the_connection_for_the_next_one(sender: HttpSender) -> None:
    async with RawServer((answer(b"x" * (MAX_BODY_BYTES // 2)), OK)) as server:
        first = await post(sender, server)
        await post(sender, server)
    assert first.excerpt == b"x" * EXCERPT_BYTES
    assert server.connections == 1


NO_ANSWER: dict[str, tuple[Script, str]] = {
    "reset": (reset, "reset"),
    "hang up": (hang_up, "reset"),
    "hang": (hang, "timeout"),
    "drip": (drip(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 1000), "timeout"),
    "endless 1xx": (drip(b"HTTP/1.1 103 Early ReplicaNotifications\r\n\r\n" * 1000, 0), "bad_response"),
    "half a head": (raw(b"HTTP/1.1 200 OK\r\nContent-"), "reset"),
    "not HTTP": (raw(b"220 smtp.example ESMTP\r\n\r\n"), "bad_response"),
    "endless head": (raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000), "bad_response"),
    "too many headers": (raw(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 10_000 + b"\r\n"), "bad_response"),
}


@pytest.mark.parametrize("case", sorted(NO_ANSWER))
async def test_no_answer_has_a_name(sender: HttpSender, impatient: HttpSender, case: str) -> None:
    script, error = NO_ANSWER[case]
    async with RawServer((script,)) as server:
        result = await post(impatient if error == "timeout" else sender, server)
    assert (result.status, result.error, result.excerpt) == (None, error, b"")
    assert len(server.requests) == 1  # a first use of a connection is never sent twice


@pytest.mark.parametrize("death", [reset, hang_up])
async def test_an_idle_connection_that_died_gets_one_resend_with_the_same_id(sender: HttpSender, death: Script) -> None:
    async with RawServer((OK, death, OK)) as server:
        results = [await post(sender, server) for _ in range(2)]
    assert [result.status for result in results] == [200, 200]
    assert server.connections == 2
    assert server.requests[1] == server.requests[2]
    assert b"webhook-id: evt_1" in server.requests[2]


async def test_one_resend_and_no_more(sender: HttpSender) -> None:
    async with RawServer((OK, reset, reset)) as server:
        results = [await post(sender, server) for _ in range(2)]
    assert [result.error for result in results] == [None, "reset"]
    assert len(server.requests) == 3


async def test_no_resend_once_a_byte_of_the_answer_came(sender: HttpSender) -> None:
    async with RawServer((OK, raw(b"HTTP/1.1 200 OK\r\nContent-"), OK)) as server:
        results = [await post(sender, server) for _ in range(2)]
    assert [result.error for result in results] == [None, "reset"]
    assert len(server.requests) == 2


async def test_the_total_time_covers_the_resend() -> None:
    client = HttpSender(Guard(["127.0.0.0/8"]), total_seconds=2)
    async with RawServer((OK, reset, hang)) as server:
        await post(client, server)
        async with asyncio.timeout(3.9):
            assert (await post(client, server)).error == "timeout"
        assert len(server.requests) == 3
    await client.close()


async def test_nobody_listens(sender: HttpSender) -> None:
    async with RawServer((OK,)) as server:
        pass
    assert (await post(sender, server)).error == "refused"


@pytest.mark.parametrize("resolver", [Names([]), BoundedResolver(0.05, SilentNames, SilentNames)])
async def test_a_name_that_is_not_answered_is_a_dns_error_in_time(resolver: Any) -> None:
    client = HttpSender(Guard(), ClientOptions(resolver=resolver))
    assert (await client.send(WebhookRequest("https://shop.example/", HEADERS, BODY))).error == "dns"
    await client.close()


async def test_a_host_that_never_finishes_the_handshake_is_a_connect_timeout() -> None:
    client = HttpSender(Guard(["127.0.0.0/8"]), ClientOptions(connect_seconds=0.1))
    async with RawServer((OK,)) as server:
        # It waits for a request, and what comes is the start of a handshake.
        result = await client.send(WebhookRequest(f"https://127.0.0.1:{server.port}/", HEADERS, BODY))
    await client.close()
    assert result.error == "connect_timeout"


async def test_certificates_are_verified(own_tls: Any) -> None:
    guard = Guard(["127.0.0.0/8", "::1/128"])
    async with RawServer((OK,), tls=own_tls.server) as server:
        strict, trusting = (
            HttpSender(guard),
            HttpSender(guard, ClientOptions(tls=own_tls.client, resolver=Names(["127.0.0.1"]))),
        )
        assert (await post(strict, server)).error == "tls_unknown_authority"
        assert (await post(trusting, server)).status == 200
        # The certificate is good, but not for this name.
        other_name = await trusting.send(WebhookRequest(f"https://shop.example:{server.port}/", HEADERS, BODY))
        assert other_name.error == "tls_wrong_host"
        await strict.close()
        await trusting.close()
    assert len(server.requests) == 1


async def test_a_host_that_does_not_speak_tls(sender: HttpSender) -> None:
    async with RawServer((OK,), greeting=b"HTTP/1.1 400 Bad Request\r\n\r\n") as server:
        result = await sender.send(WebhookRequest(f"https://127.0.0.1:{server.port}/", HEADERS, BODY))
    assert result.error == "tls_not_spoken"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("86400", 86_400),
        ("86401", 86_400),
        ("9" * 400, 86_400),
        ("Fri, 15 Jan 2027 08:02:00 GMT", 120),
        ("Friday, 15-Jan-27 08:02:00 GMT", 120),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0),
        ("Fri, 15 Jan 2044 08:00:00 GMT", 86_400),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("Fri, 99 Jan 2027 08:00:00 GMT", None),
        ("Fri, 15 Jan 99999 08:00:00 GMT", None),
    ],
)
async def test_retry_after(sender: HttpSender, header: str, seconds: int | None) -> None:
    for status in ("429 Too Many Requests", "503 Service Unavailable"):
        async with RawServer((answer(b"", status=status, headers=f"Retry-After: {header}\r\n"),)) as server:
            assert (await post(sender, server)).retry_after_seconds == seconds


@pytest.mark.parametrize("status", ["200 OK", "302 Found", "500 Oops"])
async def test_retry_after_counts_on_429_and_503_only(sender: HttpSender, status: str) -> None:
    async with RawServer((answer(b"", status=status, headers="Retry-After: 120\r\n"),)) as server:
        assert (await post(sender, server)).retry_after_seconds is None


async def test_cookies_are_not_kept(sender: HttpSender) -> None:
    async with RawServer((answer(b"", headers="Set-Cookie: a=b\r\n"),)) as server:
        for _ in range(2):
            await post(sender, server)
    assert b"cookie" not in server.requests[1].lower()


async def test_a_proxy_of_the_environment_is_not_used(sender: HttpSender, monkeypatch: pytest.MonkeyPatch) -> None:
    async with RawServer((OK,)) as proxy, RawServer((OK,)) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert (await post(sender, server)).status == 200
    assert (proxy.connections, server.connections) == (0, 1)


async def test_tls_is_1_2_or_newer_and_idle_connections_live_4_seconds(sender: HttpSender) -> None:
    for context in (tls_context(), aiohttp.connector._SSL_CONTEXT_VERIFIED):
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    connector = sender._outbound.session.connector
    assert connector is not None
    assert (connector._keepalive_timeout, connector.limit) == (4.0, 0)


async def test_clients_without_a_context_of_their_own_read_the_systems_authorities_once(sender: HttpSender) -> None:
    other = HttpSender(Guard([]))
    own, others = sender._outbound.session.connector, other._outbound.session.connector
    assert isinstance(own, aiohttp.TCPConnector)
    assert isinstance(others, aiohttp.TCPConnector)
    assert own._ssl is others._ssl is True  # aiohttp's one context, which it makes when it is imported
    await other.close()


async def test_more_than_a_hundred_at_once_do_not_wait_for_each_other() -> None:
    client = HttpSender(Guard(["127.0.0.0/8"]), total_seconds=5)
    async with RawServer((hang,)) as slow, RawServer((OK,)) as fast:
        waiting = [asyncio.create_task(post(client, slow)) for _ in range(150)]
        async with asyncio.timeout(4):
            await asyncio.wait_for(slow.asked.wait(), 4)
            assert (await post(client, fast)).status == 200
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    await client.close()


async def test_durations_are_by_the_injected_clock() -> None:
    ticks = iter([1.0, 1.5])
    client = HttpSender(Guard(["127.0.0.0/8"]), ClientOptions(tick=lambda: next(ticks)))
    async with RawServer((OK,)) as server:
        assert (await post(client, server)).duration_ms == 500
    await client.close()
