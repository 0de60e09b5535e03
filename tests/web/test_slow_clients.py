"""Clients that take their time, on purpose or not: how long each part of a request may take, and who is shown out."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pytest
from aiohttp import web
from support.eventually import until

from proxy.http import connections, server
from proxy.http.connection_limits import ConnectionLimits
from proxy.http.parsing import MAX_BODY_BYTES, read_body
from proxy.http.server import Runner
from web.clients import answers_to, posted, statuses
from web.lab import Lab, lab_in

HEAD_SECONDS = 0.5
IDLE_SECONDS = 0.3
PATIENT_SECONDS = 60.0  # a busy machine is no slow client
WAITED_SECONDS = PATIENT_SECONDS / 2  # for what must come sooner than that
LARGE = 16_000_000  # more than loopback's buffers take


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With SQLite's file: what is looked at here comes before any store."""
    return tmp_path


@dataclass
class Ground:
    """A listener of ours over a few handlers; those of `/held` wait for `free`."""

    port: int
    door: ConnectionLimits
    free: asyncio.Event = field(default_factory=asyncio.Event)
    held: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))


@asynccontextmanager
async def ground(
    door: ConnectionLimits | None = None,
    *,
    head_seconds: float = PATIENT_SECONDS,
    idle_seconds: float = PATIENT_SECONDS,
) -> AsyncIterator[Ground]:
    door = ConnectionLimits(1000) if door is None else door
    made = Ground(0, door)

    async def hello(_request: web.Request) -> web.Response:
        return web.Response(text="hello")

    async def held(_request: web.Request) -> web.Response:
        made.held.release()
        await made.free.wait()
        return web.Response(text="held")

    async def large(_request: web.Request) -> web.Response:
        return web.Response(body=b"x" * LARGE)

    async def body(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await read_body(request))))

    app = web.Application()
    app.router.add_get("/", hello)
    app.router.add_get("/held", held)
    app.router.add_get("/large", large)
    app.router.add_post("/body", body)
    runner = Runner(app, door, head_seconds=head_seconds, idle_seconds=idle_seconds, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.port = runner.addresses[0][1]
    try:
        yield made
    finally:
        made.free.set()
        await runner.cleanup()


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def connect(cls, port: int) -> "Client":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def ask(self, path: str = "/") -> bytes:
        """The answer's status line and body."""
        await self.say(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return await self.answer()

    async def answer(self) -> bytes:
        async with asyncio.timeout(WAITED_SECONDS):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            return head.partition(b"\r\n")[0] + b" " + await self.reader.readexactly(length)

    async def rest(self) -> bytes:
        """All until the server hangs up."""
        said = b""
        with suppress(ConnectionError):
            async with asyncio.timeout(WAITED_SECONDS):
                while more := await self.reader.read(65536):
                    said += more
        return said

    def close(self) -> None:
        self.writer.close()


def code_of(answer: bytes) -> str:
    return str(orjson.loads(answer.partition(b"\r\n\r\n")[2])["code"])


async def test_a_head_that_drips_is_told_so_and_sent_away() -> None:
    async with ground(head_seconds=HEAD_SECONDS) as place:
        client = await Client.connect(place.port)

        async def drip() -> None:
            with suppress(ConnectionError):
                await client.say(b"GET / HTTP/1.1\r\nX: ")
                while True:
                    await client.say(b"a")
                    await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip())
        answer = await client.rest()
        dripping.cancel()
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert code_of(answer) == "head_too_slow"
        client.close()


async def test_who_says_nothing_is_sent_away_without_a_word() -> None:
    async with ground(head_seconds=HEAD_SECONDS) as place:
        client = await Client.connect(place.port)
        assert await client.rest() == b""
        assert len(place.door) == 0
        client.close()


async def test_the_next_head_of_a_connection_has_no_more_time_than_the_first() -> None:
    async with ground(head_seconds=1) as place:
        client = await Client.connect(place.port)
        assert await client.ask() == b"HTTP/1.1 200 OK hello"
        await client.say(b"GET / HT")
        answer = await client.rest()
        assert code_of(answer) == "head_too_slow"
        client.close()


async def test_an_idle_connection_is_closed_in_its_time_and_not_before() -> None:
    async with ground(head_seconds=HEAD_SECONDS, idle_seconds=2) as place:
        client = await Client.connect(place.port)
        for _ in range(2):
            assert await client.ask() == b"HTTP/1.1 200 OK hello"
            # Longer than a head may take: an idle connection is not one that is slow.
            await asyncio.sleep(HEAD_SECONDS + 0.1)
        assert await client.rest() == b""
        client.close()


async def test_a_handler_may_take_its_time() -> None:
    async with ground(head_seconds=HEAD_SECONDS, idle_seconds=IDLE_SECONDS) as place:
        client = await Client.connect(place.port)
        await client.say(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
        await place.held.acquire()
        await asyncio.sleep(HEAD_SECONDS + IDLE_SECONDS)  # what is asserted is that nothing happens for so long
        place.free.set()
        assert await client.answer() == b"HTTP/1.1 200 OK held"
        client.close()


async def test_a_body_that_drips_is_a_problem_and_ends_the_connection(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.http.parsing.BODY_TIMEOUT_SECONDS", 0.1)
    client = await Client.connect(int(lab.dargah.url.rpartition(":")[2]))
    await client.say(
        b"POST /v1/payments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nIdempotency-Key: k\r\n"
        b"Authorization: Bearer %s\r\nContent-Length: 100\r\n\r\n{" % lab.token.encode()
    )
    answer = await client.answer()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"body_too_slow"' in answer
    assert await client.rest() == b""
    client.close()


async def test_a_body_that_nobody_asked_for_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LINGER_SECONDS", 0.1)
    async with ground() as place:
        client = await Client.connect(place.port)
        await client.say(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\na")
        assert await client.answer() == b"HTTP/1.1 200 OK hello"
        assert await client.rest() == b""
        client.close()


@pytest.mark.parametrize("framing", ["Content-Length: 65537", "Transfer-Encoding: chunked"])
async def test_a_body_over_the_limit_is_not_read_to_its_end(lab: Lab, framing: str) -> None:
    client = await Client.connect(int(lab.dargah.url.rpartition(":")[2]))
    await client.say(
        b"POST /v1/payments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nIdempotency-Key: k\r\n"
        b"Authorization: Bearer %s\r\n%s\r\n\r\n" % (lab.token.encode(), framing.encode())
    )
    if "chunked" in framing:
        await client.say(b"%x\r\n%s\r\n" % (MAX_BODY_BYTES + 1, b"a" * (MAX_BODY_BYTES + 1)))
    answer = await client.answer()
    assert answer.startswith(b"HTTP/1.1 413 ")
    client.close()


async def test_an_answer_that_is_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WRITE_SECONDS", 0.2)
    async with ground() as place:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", place.port))
        await loop.sock_sendall(sock, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: len(place.door) == 1)
        await until(lambda: len(place.door) == 0)
        sock.close()


async def test_a_large_one_that_is_read_arrives_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WRITE_SECONDS", PATIENT_SECONDS)
    async with ground() as place:
        client = await Client.connect(place.port)
        await client.say(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        await client.reader.readuntil(b"\r\n\r\n")
        assert await client.reader.readexactly(LARGE) == b"x" * LARGE
        client.close()


@pytest.mark.parametrize(("at_once", "arrives"), [(30_000, True), (20, False)])
async def test_an_answer_may_take_as_long_as_it_is_read_steadily(
    monkeypatch: pytest.MonkeyPatch, at_once: int, arrives: bool
) -> None:
    monkeypatch.setattr(connections, "WRITE_SECONDS", 1.0)
    monkeypatch.setattr(connections, "WRITE_BYTES", 50_000)
    async with ground() as place:
        loop, read = asyncio.get_running_loop(), 0
        with socket.socket() as sock, suppress(ConnectionError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", place.port))
            await until(lambda: len(place.door) == 1)
            began = loop.time()
            await loop.sock_sendall(sock, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
            while read < LARGE and len(place.door) == 1:
                read += len(await loop.sock_recv(sock, at_once))
                await asyncio.sleep(0.002)
        assert (read >= LARGE) is arrives
        assert loop.time() - began > 1.0


async def test_a_full_house_shows_out_who_waits_and_takes_who_asks() -> None:
    async with ground(ConnectionLimits(16)) as place:
        silent = [await Client.connect(place.port) for _ in range(8)]
        idle = [await Client.connect(place.port) for _ in range(8)]
        for client in idle:
            await client.ask()
        newcomers = [await Client.connect(place.port) for _ in range(8)]
        for client in newcomers:
            assert await client.ask() == b"HTTP/1.1 200 OK hello"
        for client in silent:
            assert await client.rest() == b""
        assert len(place.door) == 16
        assert await idle[0].ask() == b"HTTP/1.1 200 OK hello"
        for client in (*silent, *idle, *newcomers):
            client.close()


async def test_where_all_are_being_served_a_newcomer_is_told_to_come_again() -> None:
    async with ground(ConnectionLimits(16)) as place:
        served = [await Client.connect(place.port) for _ in range(16)]
        for client in served:
            await client.say(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
            await place.held.acquire()
        newcomer = await Client.connect(place.port)
        await newcomer.say(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await newcomer.rest()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 1\r\n" in answer
        assert code_of(answer) == "overloaded"
        place.free.set()
        for client in served:
            assert await client.answer() == b"HTTP/1.1 200 OK held"
        for client in (*served, newcomer):
            client.close()


async def test_one_address_takes_no_more_than_its_share_and_a_proxy_of_ours_may() -> None:
    for door, left in (
        (ConnectionLimits(100, 4), 4),
        (ConnectionLimits(100, 4, lambda address: address == "127.0.0.1"), 9),
    ):
        async with ground(door) as place:
            clients = [await Client.connect(place.port) for _ in range(9)]
            assert await clients[-1].ask() == b"HTTP/1.1 200 OK hello"
            assert len(place.door) == left
            for client in clients:
                client.close()


async def test_hundreds_of_slow_ones_do_not_keep_a_shop_from_being_served(lab: Lab) -> None:
    port = int(lab.dargah.url.rpartition(":")[2])
    slow = [await Client.connect(port) for _ in range(400)]
    body = b"POST /invoice/request HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\napi_key="
    for number, client in enumerate(slow):
        await client.say(b"GET /v1/payments HTTP/1.1\r\nX: " if number % 2 else body)
    for number in range(30):
        for client in slow[number::30]:
            await client.say(b"a")
        assert (await lab.create()).status == 201
    for client in slow:
        client.close()


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

IN_SOCKETS_BYTES = 8_000_000  # more than both ends hold of what nobody has read
ROOM = 16
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture
async def small_lab(tmp_path: Path) -> AsyncIterator[Lab]:
    """One whose house is full with ROOM connections."""
    async with lab_in(tmp_path, max_connections=ROOM, max_address_connections=0) as made:
        yield made


async def connected(lab: Lab) -> Streams:
    host, _, port = lab.dargah.url.removeprefix("http://").partition(":")
    return await asyncio.open_connection(host, int(port))


async def dribble(lab: Lab, path: str = "/invoice/request", before: bytes = b"") -> Streams:
    """A connection whose body does not come."""
    reader, writer = await connected(lab)
    head = posted(path, b"x" * 100, "application/x-www-form-urlencoded").removesuffix(b"x" * 100)
    writer.write(before + head.replace(b"Connection: close\r\n", b"") + b"api_key=")
    if before:
        await reader.readuntil(b"\r\n\r\n")
    return reader, writer


@pytest.mark.parametrize("path", ["/invoice/request", "/v1/payments"])  # the second is answered without its body
@pytest.mark.parametrize("before", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_slow_bodies_fill_no_house(small_lab: Lab, before: bytes, path: str) -> None:
    held = [await dribble(small_lab, path, before) for _ in range(ROOM * 2)]
    try:
        for _ in range(ROOM):
            assert statuses(await answers_to(small_lab.dargah.url, HEALTH)) == [200]
        assert (await small_lab.create()).status == 201
    finally:
        for _, writer in held:
            writer.close()


async def test_a_body_that_comes_in_time_is_taken(small_lab: Lab) -> None:
    reader, writer = await dribble(small_lab)
    assert statuses(await answers_to(small_lab.dargah.url, HEALTH)) == [200]
    writer.write(b"x" * 92)
    assert b"HTTP/1.1 200 OK" in await reader.readuntil(b"\r\n\r\n")
    writer.close()


@pytest.mark.parametrize(
    ("start", "more"),
    [(b"1;", b"x" * 60_000), (b"", b"1;a=b\r\nx\r\n" * 5000), (b"0\r\n", b"X: y\r\n" * 5000)],
    ids=["an extension of a chunk", "extensions of chunks", "trailers"],
)
@pytest.mark.parametrize("path", ["/invoice/request", "/v1/payments"])
async def test_what_frames_a_body_ends(small_lab: Lab, path: str, start: bytes, more: bytes) -> None:
    head = posted(path, b"", "application/x-www-form-urlencoded").replace(b"Connection: close\r\n", b"")
    reader, writer = await connected(small_lab)
    writer.write(head.replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + start)
    sent = 0
    async with asyncio.timeout(WAITED_SECONDS):
        with suppress(ConnectionError):
            while not reader.at_eof():
                assert sent <= IN_SOCKETS_BYTES
                writer.write(more)
                sent += len(more)
                await writer.drain()
                await asyncio.sleep(0)
    writer.close()
    assert (await small_lab.create()).status == 201


class TestTheDoor:
    @dataclass(eq=False)
    class Guest:
        address: str
        since: float | None = None
        asked: bool = False
        out: bool = False

        def waiting(self) -> tuple[bool, float] | None:
            return None if self.since is None else (self.asked, self.since)

        def show_out(self) -> None:
            self.out = True

    def test_a_sixteenth_leaves_at_once_who_never_asked_before_who_did(self) -> None:
        door = ConnectionLimits(32)
        guests = [self.Guest("a", since=float(n), asked=n < 8) for n in range(32)]
        assert all(door.enter(guest) for guest in guests)
        assert door.enter(self.Guest("b"))
        assert [n for n, guest in enumerate(guests) if guest.out] == [8, 9]
        assert len(door) == 31

    def test_who_left_makes_room_and_leaving_twice_is_no_harm(self) -> None:
        door = ConnectionLimits(1, 1)
        one, two = self.Guest("a"), self.Guest("a")
        assert door.enter(one)
        assert not door.enter(two)
        door.leave(two)
        assert len(door) == 1
        door.leave(one)
        door.leave(one)
        assert door.enter(two)

    def test_a_v6_networks_addresses_are_one_caller(self) -> None:
        door = ConnectionLimits(100, 2)
        guests = [self.Guest(f"2001:db8::{n}") for n in range(3)]
        assert [door.enter(guest) for guest in guests] == [True, True, False]
        assert door.enter(self.Guest("2001:db8:0:1::1"))
