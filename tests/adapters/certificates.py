"""Authorities of the tests' own, contexts of servers with what they issue, and servers that end a handshake."""

import asyncio
import datetime as dt
import ipaddress
import itertools
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from adapters.raw_server import reset

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
        return built.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def wanting_ours(authority: Authority, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = authority.server()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.file)
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
