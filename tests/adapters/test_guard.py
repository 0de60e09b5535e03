"""Where a webhook may go: no form of an inner address is dialled, each attempt says why, and look-ups end in time."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import aiohttp
import pytest

from adapters.servers import Names, NameServer, RawServer, answer
from proxy.http.outbound.connector import BoundedResolver, ClientOptions, _check_address
from proxy.http.outbound.ssrf_guard import BlockedAddress, Guard, verdict
from proxy.webhooks.request import WebhookRequest, WebhookResult
from proxy.webhooks.sender import HttpSender


def words(text: str) -> list[str]:
    return text.split()


BLOCKED_IPV4 = words("""
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1 127.255.255.255
168.63.129.16 169.254.0.1 169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.8 192.0.0.192
192.0.2.1 192.88.99.1 192.168.0.1 192.168.255.255 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1
239.255.255.255 240.0.0.1 255.255.255.255
""")
BLOCKED_IPV6 = words("""
:: ::1 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:8.8.8.8 ::ffff:0:8.8.8.8 64:ff9b::127.0.0.1
64:ff9b::a9fe:a9fe 64:ff9b::8.8.8.8 64:ff9b:1::10.0.0.1 100::1 2001::1 2001:0:53aa:64c:0:7cff:80ff:fffe 2001:2::1
2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1:: 2002:a9fe:a9fe::1 2002:808:808::1 3fff::1 4000::1 5f00::1 fc00::1
fd00:ec2::254 fd12:3456:789a::1 fe80::1 fe80::1%eth0 febf::1 fec0::1 ff02::1 ff0e::1
""")
PUBLIC = words("""
1.1.1.1 8.8.8.8 5.160.0.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 168.63.129.15
169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0 192.88.98.255 192.167.255.255
192.169.0.0 198.17.255.255 198.20.0.0 198.51.99.255 203.0.112.255 223.255.255.255
2001:200::1 2001:4860:4860::8888 2003::1 2606:4700:4700::1111 2a00:1450::1 2400::1 3ffe::1
""")

# {port} is a server's that listens on loopback and counts who comes.
BLOCKED_URLS = words("""
https://127.0.0.1:{port}/ https://127.1:{port}/ https://127.0.1:{port}/ https://2130706433:{port}/
https://0x7f000001:{port}/ https://0x7f.0.0.1:{port}/ https://0x7F.1:{port}/ https://017700000001:{port}/
https://0177.0.0.1:{port}/ https://127.0.0.1.:{port}/ https://127.0.0.01:{port}/ https://0:{port}/ https://0.0.0.0:{port}/
https://[::1]:{port}/ https://[0:0:0:0:0:0:0:1]:{port}/ https://[::]:{port}/ https://[::ffff:127.0.0.1]:{port}/
https://[::ffff:7f00:1]:{port}/ https://[::127.0.0.1]:{port}/ https://[64:ff9b::7f00:1]:{port}/
https://１２７.０.０.１:{port}/ https://127。0。0。1:{port}/ https://①②⑦.⓪.⓪.①:{port}/ http://127.0.0.1:{port}/
https://169.254.169.254/latest/meta-data/ https://2852039166/ https://0xa9fea9fe/ https://0251.0376.0251.0376/
https://[::ffff:a9fe:a9fe]/ https://[fd00:ec2::254]/ https://168.63.129.16/ https://[fe80::1%25eth0]/
""")
BAD_URLS = [
    "",
    "shop.example/hook",
    "//127.0.0.1:{port}/",
    "https://",
    "https:///hook",
    "https://:443/",
    "file:///etc/passwd",
    "ftp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/_",
    "unix:///run/docker.sock",
    "http://shop.example/hook",
    "https://shop.example@127.0.0.1:{port}/",
    "https://user:pw@shop.example/",
    "https://@shop.example/",
    "https://127.0.0.1:{port}\\@shop.example/",
    "https://shop.example\\.evil.example/",
    "https://shop.example/ hook",
    "https://shop.example/\r\nX-Injected: 1",
    "https://shop.exa\tmple/",
    "https://shop.example/\x00",
    "https://shop.example:0/",
    "https://shop.example:99999/",
    "https://shop.example:port/",
    "https://[::1/",
    "https://[nonsense]/",
    "https://256.256.256.256/",
    "https://1.2.3.4.5/",
    "https://134744072/",
    "https://010.010.010.010/",
    "https://0x08080808/",
    "https://8.8.2056/",
    "https://shop.example.0x7f/",
]


class WatchedGuard(Guard):
    """Notes what it lets through: every one of these is a socket that would be dialled."""

    def __init__(self, allow: tuple[str, ...] = (), *, development: bool = False) -> None:
        super().__init__(allow, development=development)
        self.dialled: list[tuple[str, int]] = []

    def refuses(self, address: str, port: int) -> str | None:
        reason = super().refuses(address, port)
        if reason is None:
            self.dialled.append((address, port))
        return reason


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with RawServer((answer(b"ok", close=True, headers="Connection: close\r\n"),)) as running:
        yield running


async def send(url: str, guard: Guard, *answers: list[str], tls: ssl.SSLContext | None = None) -> WebhookResult:
    sender = HttpSender(guard, ClientOptions(resolver=Names(*answers), tls=tls))
    try:
        return await sender.send(WebhookRequest(url, {"webhook-id": "msg_1"}, b"{}"))
    finally:
        await sender.close()


@pytest.mark.parametrize("address", BLOCKED_IPV4 + BLOCKED_IPV6)
def test_an_inner_address_is_blocked_with_a_reason(address: str) -> None:
    assert verdict(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_not(address: str) -> None:
    assert verdict(address) is None


@pytest.mark.parametrize(
    "text", ["", "localhost", "127.1", "0x7f.0.0.1", "2130706433", "1.2.3.4.5", "::g", "127.0.0.01"]
)
def test_what_is_no_address_is_not_dialled_either(text: str) -> None:
    assert verdict(text) == "not an address"


@pytest.mark.parametrize("address", BLOCKED_IPV4 + BLOCKED_IPV6)
def test_the_socket_itself_is_refused(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with pytest.raises(BlockedAddress):
        _check_address(Guard(), (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 443)))


@pytest.mark.parametrize("url", BLOCKED_URLS)
async def test_a_url_of_an_inner_address_is_never_dialled(url: str, server: RawServer) -> None:
    guard = WatchedGuard()
    result = await send(url.format(port=server.port), guard, ["127.0.0.1"])
    assert (result.status, result.error) == (None, "blocked_address")
    assert guard.dialled == []
    assert server.connections == 0


@pytest.mark.parametrize("url", BAD_URLS)
async def test_a_url_that_tries_a_trick_is_never_dialled(url: str, server: RawServer) -> None:
    guard = WatchedGuard()
    result = await send(url.replace("{port}", str(server.port)), guard, ["127.0.0.1"])
    assert (result.status, result.error) == (None, "bad_url")
    assert guard.dialled == []
    assert server.connections == 0


@pytest.mark.parametrize("address", BLOCKED_IPV4 + [address for address in BLOCKED_IPV6 if "%" not in address])
async def test_a_name_that_answers_an_inner_address_is_never_dialled(address: str) -> None:
    guard = WatchedGuard()
    result = await send("https://shop.example/hook", guard, [address])
    assert (result.status, result.error) == (None, "blocked_address")
    assert guard.dialled == []


async def test_a_name_with_many_inner_addresses_says_the_same() -> None:
    result = await send("https://shop.example/", Guard(), ["10.0.0.1", "127.0.0.1", "fd00::1", "169.254.169.254"])
    assert result.error == "blocked_address"


async def test_where_one_address_is_blocked_and_the_other_refuses_the_block_is_told() -> None:
    async with RawServer((answer(b"ok"),)) as server:
        port = server.port
    guard = WatchedGuard((f"127.0.0.1:{port}",))
    assert (await send(f"https://shop.example:{port}/", guard, ["10.0.0.1", "127.0.0.1"])).error == "blocked_address"
    assert set(guard.dialled) == {("127.0.0.1", port)}


async def test_of_several_addresses_only_the_allowed_one_is_dialled(server: RawServer) -> None:
    guard = WatchedGuard((f"127.0.0.1:{server.port}",), development=False)
    guard._development = True  # plain http, without the loopback addresses that come with it
    result = await send(f"http://shop.example:{server.port}/", guard, ["10.0.0.1", "127.0.0.1", "127.0.0.2"])
    assert result.status == 200
    assert guard.dialled == [("127.0.0.1", server.port)]


async def test_a_name_that_answers_otherwise_the_second_time_is_blocked_then(server: RawServer) -> None:
    guard = WatchedGuard((f"127.0.0.1:{server.port}",))
    guard._development = True
    sender = HttpSender(guard, ClientOptions(resolver=Names(["127.0.0.1"], ["127.0.0.2"])))
    request = WebhookRequest(f"http://shop.example:{server.port}/", {}, b"{}")
    first = await sender.send(request)
    sender._outbound.session.connector.clear_dns_cache()  # type: ignore[union-attr]  # what its 10 seconds do
    second = await sender.send(request)
    await sender.close()
    assert (first.status, second.error) == (200, "blocked_address")
    assert guard.dialled == [("127.0.0.1", server.port)]


async def test_a_redirect_to_an_inner_address_is_an_answer_and_nothing_more() -> None:
    location = "Location: http://169.254.169.254/latest/\r\n"
    for status in ("301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"):
        async with RawServer((answer(b"", status=status, headers=location),)) as server:
            guard = WatchedGuard((f"127.0.0.1:{server.port}",))
            result = await send(server.url, guard, [])
            assert (result.status, result.error, result.delivered) == (int(status[:3]), None, False)
            assert guard.dialled == [("127.0.0.1", server.port)]


async def test_the_allow_list_is_exact(server: RawServer) -> None:
    url, port = server.url, server.port
    assert (await send(url, Guard(["127.0.0.0/8"]))).status == 200
    assert (await send(url, Guard(["127.0.0.1"]))).status == 200
    assert (await send(url, Guard([f" 127.0.0.1:{port} "]))).status == 200
    assert (await send(url, Guard(development=True))).status == 200
    assert server.connections == 4
    for allow in ([f"127.0.0.1:{port + 1}"], [f"127.0.0.2:{port}"], ["10.0.0.0/8"], [f"shop:{port}"], ["::/0"]):
        assert (await send(url, Guard(allow))).error == "blocked_address"
    assert server.connections == 4


async def test_a_name_in_the_allow_list_may_be_an_inner_one(server: RawServer) -> None:
    guard = Guard([f"Shop.internal:{server.port}"])
    assert (await send(f"http://shop.INTERNAL:{server.port}/hook", guard, ["127.0.0.1"])).status == 200
    assert (await send(f"http://other.internal:{server.port}/hook", guard, ["127.0.0.1"])).error == "bad_url"
    assert (await send(f"https://other.internal:{server.port}/hook", guard, ["127.0.0.1"])).error == "blocked_address"
    assert (await send(f"https://shop.internal:{server.port + 1}/", guard, ["127.0.0.1"])).error == "blocked_address"
    assert server.connections == 1


async def test_trust_in_one_call_is_no_trust_in_another_at_the_same_time(server: RawServer) -> None:
    guard = Guard([f"shop.internal:{server.port}"])
    sender = HttpSender(guard, ClientOptions(resolver=Names(["127.0.0.1"])))
    urls = [f"http://shop.internal:{server.port}/", f"https://other.internal:{server.port}/"] * 5
    results = await asyncio.gather(*(sender.send(WebhookRequest(url, {}, b"{}")) for url in urls))
    await sender.close()
    assert {(result.status, result.error) for result in results} == {(200, None), (None, "blocked_address")}
    assert server.connections == 5


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://127.0.0.1:3000/hook", None),
        ("http://localhost:3000/hook", None),
        ("http://shop.example/hook", None),
        ("http://10.0.0.1/hook", "blocked_address"),
        ("http://user@localhost/", "bad_url"),
        ("ftp://localhost/", "bad_url"),
    ],
)
def test_development_allows_loopback_and_plain_http_and_nothing_else(url: str, problem: str | None) -> None:
    assert Guard(development=True).url_problem(url) == problem


@pytest.mark.parametrize(
    "url", ["https://shop.example/hook?a=b#c", "https://8.8.8.8/", "https://[2606:4700::1111]:8443/"]
)
def test_an_ordinary_url_is_left_to_the_socket(url: str) -> None:
    assert Guard().url_problem(url) is None


@pytest.mark.parametrize(
    "entry", ["", "shop", "127.0.0.1/33", "10.0.0.1/8", "shop:", ":80", "shop:port", "http://shop:80", "10.0.0.0/8:80"]
)
def test_a_bad_entry_of_the_allow_list_is_refused_at_the_start(entry: str) -> None:
    with pytest.raises(ValueError, match="neither a CIDR nor host:port"):
        Guard([entry])


@asynccontextmanager
async def resolver_of(server: NameServer, seconds: float = 3.0) -> AsyncIterator[BoundedResolver]:
    asking = partial(aiohttp.AsyncResolver, nameservers=["127.0.0.1"], udp_port=server.port)
    resolver = BoundedResolver(seconds, asking, partial(asking, timeout=seconds - 0.2, tries=1))
    try:
        yield resolver
    finally:
        await resolver.close()


async def addresses(resolver: BoundedResolver, name: str) -> list[str]:
    return [found["host"] for found in await resolver.resolve(name, 443)]


async def test_a_name_server_may_take_two_and_a_half_seconds_after_many_quick_answers() -> None:
    # Twice the product's seconds: a busy machine answers the slow ones late.
    async with NameServer() as quick_then_slow, resolver_of(quick_then_slow, seconds=6.0) as resolver:
        for number in range(45):
            assert await addresses(resolver, f"quick-{number}.example") == ["127.0.0.1"]
        assert len(quick_then_slow.asked) == 90  # no look-up on a second channel where the first is quick
        quick_then_slow.seconds = 2.5
        found = await asyncio.gather(*(addresses(resolver, f"slow-{number}.example") for number in range(5)))
        assert found == [["127.0.0.1"]] * 5


async def test_one_that_never_answers_is_given_up_in_time() -> None:
    async with NameServer(seconds=60) as silent, resolver_of(silent, seconds=0.5) as resolver:
        async with asyncio.timeout(10):
            with pytest.raises(OSError, match="in time"):
                await resolver.resolve("silent.example", 443)


async def test_a_name_that_is_not_there_is_told_at_once() -> None:
    async with NameServer(refuses=True) as server, resolver_of(server, seconds=30) as resolver:
        async with asyncio.timeout(10):
            with pytest.raises(OSError, match="Domain name not found"):
                await resolver.resolve("nobody.example", 443)
