"""Peers for tests: an HTTP server that can do it wrong, certificates, an egress proxy, and name servers."""

import asyncio
import datetime as dt
import ipaddress
import itertools
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Self

from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Script = Callable[[asyncio.StreamWriter], Awaitable[None]]


def answer(
    body: bytes, status: str = "200 OK", headers: str = "", *, length: int | None = None, close: bool = False
) -> Script:
    """A whole answer. `length` lies about it; `close` hangs up after it without having said so."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body) if length is None else length}\r\n{headers}\r\n"
    return raw(head.encode() + body, close=close)


def raw(data: bytes, *, close: bool = True) -> Script:
    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if close:
            writer.close()

    return script


async def reset(writer: asyncio.StreamWriter) -> None:
    """RST instead of a tidy FIN."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def hang(writer: asyncio.StreamWriter) -> None:
    await writer.wait_closed()


def then(*scripts: Script) -> Script:
    async def script(writer: asyncio.StreamWriter) -> None:
        for one in scripts:
            await one(writer)

    return script


def drip(data: bytes, seconds: float = 0.02) -> Script:
    """One byte each `seconds`, for ever at the last one."""

    async def script(writer: asyncio.StreamWriter) -> None:
        place = 0
        while not writer.is_closing():
            writer.write(data[place : place + 1] or b" ")
            await writer.drain()
            await asyncio.sleep(seconds)
            place += 1

    return script


@dataclass
class RawServer:
    """Plays one script per request, the last one again and again. Used as `async with`."""

    scripts: tuple[Script, ...]
    tls: ssl.SSLContext | None = None
    greeting: bytes = b""
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)  # a client closed its connection, or we did
    port: int = 0

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._tasks = set[asyncio.Task[None]]()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        writer.write(self.greeting)
        try:
            # How the other side leaves is its own business.
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while not writer.is_closing():
                    self.requests.append(await _request(reader))
                    self.asked.set()
                    await self.scripts[min(len(self.requests), len(self.scripts)) - 1](writer)
        finally:
            writer.close()
            self.left.set()


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.splitlines() if line.lower().startswith(b"content-length:")]
    return head + (await reader.readexactly(int(lengths[0])) if lengths else b"")


HERE = "127.0.0.1"
DAY = dt.timedelta(days=1)


@dataclass
class Authority:
    """An authority whose certificate is `file`; its other files stand beside."""

    folder: Path
    name: str
    _key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.file = self.folder / f"{self.name}.pem"
        self.file.write_bytes(self._signed(self.name, self._key, dt.datetime.now(dt.UTC) - DAY, 30 * DAY, None))

    def server(self, host: str = HERE, *, begins: dt.timedelta = -DAY, lasts: dt.timedelta = 2 * DAY) -> ssl.SSLContext:
        """A server's context with a certificate for `host`, valid from `begins` after now."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.issued(host, begins=begins, lasts=lasts))
        return context

    def issued(
        self,
        host: str,
        *,
        begins: dt.timedelta = -DAY,
        lasts: dt.timedelta = 2 * DAY,
        lock: serialization.KeySerializationEncryption | None = None,
    ) -> Path:
        """A file with a certificate for `host` and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed(host, key, dt.datetime.now(dt.UTC) + begins, lasts, host)
        file = self.folder / f"{self.name}-{next(self._numbers)}.pem"
        pem, lock = serialization.Encoding.PEM, lock or serialization.NoEncryption()
        file.write_bytes(certificate + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, lock))
        return file

    def by_itself(self) -> Path:
        """A file with the authority's own certificate and its key."""
        file = self.folder / f"{self.name}-own.pem"
        plain = serialization.NoEncryption()
        key = self._key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        file.write_bytes(self.file.read_bytes() + key)
        return file

    def _signed(
        self, name: str, key: ec.EllipticCurvePrivateKey, begins: dt.datetime, lasts: dt.timedelta, host: str | None
    ) -> bytes:
        """A server's certificate for `host`, or the authority's own."""
        names: x509.GeneralName = x509.DNSName(host or name)
        with suppress(ValueError):
            names = x509.IPAddress(ipaddress.ip_address(host or name))
        built = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(self.name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(begins + lasts)
            .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if host is not None:
            built = built.add_extension(x509.SubjectAlternativeName([names]), critical=False)
        else:
            built = built.add_extension(_MAY_SIGN, critical=True)
        return built.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


# Python 3.13 and later refuse an authority that does not say what its key is for.
_MAY_SIGN = x509.KeyUsage(
    key_cert_sign=True,
    crl_sign=True,
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def wanting_ours(
    authority: Authority, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, clients: Authority | None = None
) -> ssl.SSLContext:
    """A server's context that asks for a certificate of `clients`, which are else of the same authority."""
    context = authority.server()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations((clients or authority).file)
    context.maximum_version = newest
    return context


@asynccontextmanager
async def refusing(context: ssl.SSLContext) -> AsyncIterator[str]:
    """The URL of a server that says why it ends a handshake: asyncio's servers do not."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(asyncio.to_thread(_refuse, listener, context))
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            await serving


def _refuse(listener: socket.socket, context: ssl.SSLContext) -> None:
    """Handshakes, until the listener is shut down."""
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as made:
                with suppress(OSError):
                    made.do_handshake()
                with suppress(OSError):
                    made.shutdown(socket.SHUT_WR)
                    while made.recv(1000):
                        pass


@asynccontextmanager
async def cutting(ending: str) -> AsyncIterator[str]:
    """The URL of a server that hangs up in the handshake: `closed` or `reset`."""

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        if ending == "reset":
            await reset(writer)
        writer.close()

    server = await asyncio.start_server(cut, "127.0.0.1", 0)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@dataclass
class EgressProxy:
    """Whatever address is asked for is the server at `port` of this machine; an address of `refused` is a 502.

    With a `script` it plays that in place of an answer. Used as `async with`.
    """

    port_behind: int = 0
    script: Script | None = None
    credentials: str | None = None
    refused: tuple[str, ...] = ()
    heads: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def targets(self) -> list[str]:
        return [head.split(" ")[1] for head in self.heads]

    async def __aenter__(self) -> Self:
        self._tasks = set[asyncio.Task[None]]()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            if self.script is not None:
                await self.script(writer)
            else:
                await self._answer(reader, writer)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = self.heads[-1]
        if self.credentials is not None and f"Proxy-Authorization: Basic {self.credentials}\r\n" not in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno")
        elif self.targets[-1].rpartition(":")[0] in (*self.refused, "dargah.invalid"):
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
        else:
            writer.write(ESTABLISHED)
            behind = await asyncio.open_connection("127.0.0.1", self.port_behind)
            try:
                await asyncio.gather(_pipe(reader, behind[1]), _pipe(behind[0], writer))
            finally:
                behind[1].close()


async def _pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()


class Names(AbstractResolver):
    """Every name has the addresses given; each lookup takes the next list, the last one again and again."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not addresses:
            raise OSError(None, "no such name")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in addresses
            if family in (socket.AF_UNSPEC, socket.AF_INET6 if ":" in address else socket.AF_INET)
        ]

    async def close(self) -> None:
        pass


class SilentNames(AbstractResolver):
    async def resolve(
        self,
        host: str,  # noqa: ARG002  the interface's
        port: int = 0,  # noqa: ARG002
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002
    ) -> list[ResolveResult]:
        await asyncio.Event().wait()
        return []

    async def close(self) -> None:
        pass


_A = 1


@dataclass
class NameServer(asyncio.DatagramProtocol):
    """Used as `async with`. `asked` has the names of all queries, those that were sent again among them.

    An answer takes `seconds` and up to `spread` more.
    """

    seconds: float = 0.0
    spread: float = 0.0
    random: Random = field(default_factory=lambda: Random(1))
    address: bytes = bytes((127, 0, 0, 1))
    refuses: bool = False
    asked: list[bytes] = field(default_factory=list)
    port: int = 0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self.port = self._transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        end = data.index(b"\0", 12)
        self.asked.append(data[12:end])
        asyncio.get_running_loop().call_later(self._delay(), self._answer, data, data[12 : end + 5], addr)

    def _delay(self) -> float:
        return self.seconds + self.random.random() * self.spread

    def _answer(self, query: bytes, question: bytes, addr: Any) -> None:
        if self._transport.is_closing():
            return
        [kind] = struct.unpack(">H", question[-4:-2])
        records = 1 if kind == _A else 0
        if self.refuses:
            self._transport.sendto(query[:2] + struct.pack(">HHHHH", 0x8183, 1, 0, 0, 0) + question, addr)
            return
        head = query[:2] + struct.pack(">HHHHH", 0x8180, 1, records, 0, 0)
        answer = b"\xc0\x0c" + struct.pack(">HHIH", _A, 1, 60, 4) + self.address if records else b""
        self._transport.sendto(head + question + answer, addr)
