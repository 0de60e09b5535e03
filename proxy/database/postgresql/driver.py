"""One connection to one host: the options of asyncpg, and a socket that notices a silent peer."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from proxy.database.libpq import SYSTEM_AUTHORITIES, Host, Silence, Target, Tls, in_home

Context = ssl.SSLContext | None
_ALPN: Final = ["postgresql"]
_VERIFIED: Final = frozenset({"verify-ca", "verify-full"})
_HINT: Final = "name the authority's file by sslrootcert, or those of the system by sslrootcert=system"


def ways(tls: Tls) -> Sequence[Context]:
    """How a server is spoken to, one after the other where it does not take the first; None is without TLS.

    Raises ValueError for files that cannot be used.
    """
    if tls.mode == "disable":
        return (None,)
    context = _context(tls)
    return {"prefer": (context, None), "allow": (None, context)}.get(tls.mode, (context,))


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion[tls.least_version.replace(".", "_")]
    if tls.greatest_version is not None:
        context.maximum_version = ssl.TLSVersion[tls.greatest_version.replace(".", "_")]
    context.set_alpn_protocols(_ALPN)
    if tls.mode not in {"prefer", "allow"}:
        _verify(context, tls)
    _show(context, tls)
    return context


def _verify(context: ssl.SSLContext, tls: Tls) -> None:
    """With `require` alone the certificate is verified if the home folder has an authority's file."""
    authorities = tls.authorities or _readable("root.crt")
    if authorities is None:
        if tls.mode in _VERIFIED:
            raise ValueError(f"sslmode={tls.mode} has no authority to compare with: {_HINT}")
        return
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = tls.mode == "verify-full"
    if authorities == SYSTEM_AUTHORITIES:
        context.load_default_certs()
    else:
        _load(context, "sslrootcert", authorities)
    revoked = tls.revoked or _readable("root.crl")
    if revoked is not None:
        _load(context, "sslcrl", revoked)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN


def _load(context: ssl.SSLContext, name: str, file: str) -> None:
    try:
        context.load_verify_locations(cafile=file)
    except OSError as error:  # ssl.SSLError is one
        raise ValueError(f"{name}: {_why(file, error)}") from None


def _show(context: ssl.SSLContext, tls: Tls) -> None:
    """Has a certificate of our own ready for a server that wants one."""
    certificate = tls.certificate or _readable("postgresql.crt")
    if certificate is None:
        return
    key = tls.key or _readable("postgresql.key")
    try:
        context.load_cert_chain(certificate, keyfile=key, password=lambda: tls.key_password)
    except OSError as error:
        raise ValueError(f"sslcert, sslkey: {_why(certificate, error, key)}") from None


def _readable(name: str) -> str | None:
    """A file of libpq's in the home. A home that is another user's has none for us."""
    path = in_home(f".postgresql/{name}")
    try:
        if path is not None:
            with path.open("rb"):
                return str(path)
    except OSError:
        pass
    return None


def _why(file: str, error: OSError, key: str | None = None) -> str:
    both = file if key is None else f"{file} with {key}"
    if isinstance(error, ssl.SSLError):
        return f"{both} cannot be used ({error.reason or 'there is no certificate in it'})"
    return f"{both} cannot be read ({error.strerror})"


CACHED_STATEMENTS: Final = 1024


async def open_connection(target: Target, host: Host, ways: tuple[Context, ...], **more: Any) -> Any:
    """A new connection to that host, by the first of the ways that it takes.

    Raises OSError, TimeoutError or an error of asyncpg's.
    """
    for number, way in enumerate(ways, 1):
        try:
            connection: Connection = await _open(target, host, way, more)
        except (OSError, asyncpg.InvalidAuthorizationSpecificationError) as error:
            if number == len(ways) or host.is_socket or not _another_way_may_do(error):
                raise
        else:
            _notice_silence(connection, host, target.silence)
            return connection
    raise AssertionError("the last way returns or raises")


async def _open(target: Target, host: Host, way: Context, more: dict[str, Any]) -> Any:
    return await asyncpg.connect(
        host=host.name,
        port=host.port,
        user=target.user,
        password=target.password,
        passfile=target.passfile,
        database=target.database,
        timeout=target.connect_seconds,
        ssl=False if way is None else way,
        direct_tls=target.tls.direct and way is not None,
        krbsrvname=target.kerberos_service,
        # Whether the server writes is asked of it: what it says by itself at the start, a pooler may remember wrongly.
        target_session_attrs="any",
        connection_class=Connection,
        max_cached_statement_lifetime=0,
        **more,
    )


def _another_way_may_do(error: Exception) -> bool:
    """Whether the server was there and did not like the way, rather than the password."""
    return not isinstance(
        error, TimeoutError | ConnectionRefusedError | socket.gaierror | asyncpg.InvalidPasswordError
    ) or isinstance(error, ssl.SSLError)


class Connection(asyncpg.Connection):  # type: ignore[misc]  # the driver has no types
    """A connection that remembers its transport, so that the application can configure the socket and cut it."""

    __slots__ = ("pooled", "transport")

    def __init__(self, protocol: Any, transport: Any, *more: Any, **named: Any) -> None:
        super().__init__(protocol, transport, *more, **named)
        self.transport = transport
        self.pooled = False

    def cut(self) -> None:
        """Ends it while another task runs a statement on it, which then sees a closed connection. After `terminate`
        that task would fail with an internal error of the driver.
        """
        self.transport.abort()

    @asynccontextmanager
    async def transaction(self, **options: Any) -> AsyncIterator[None]:
        """As the driver's, but who gives up inside of it ends the connection. The driver's would wait for its ROLLBACK,
        and a server that is frozen answers none for as long as its kernel lives.
        """
        transaction = super().transaction(**options)
        await transaction.start()
        try:
            yield
        except asyncio.CancelledError:
            self.cut()
            raise
        except BaseException:
            await transaction.rollback()
            raise
        await transaction.commit()

    @property
    def takes_writes(self) -> bool:
        """Whether the server accepts writes, by its last answer: it reports changes. A pooler passes none of these
        reports on.
        """
        if self.pooled:
            return True
        said = self.get_settings()
        return "on" not in {getattr(said, name, "off") for name in ("in_hot_standby", "default_transaction_read_only")}


def _notice_silence(connection: Connection, host: Host, silence: Silence) -> None:
    sock = connection.transport.get_extra_info("socket")
    if sock is None or host.is_socket:
        return
    options = {
        "TCP_KEEPIDLE": silence.idle,
        "TCP_KEEPINTVL": silence.interval,
        "TCP_KEEPCNT": silence.count,
        "TCP_USER_TIMEOUT": silence.user_timeout,
    }
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(silence.keepalives))
    for name, value in options.items():
        if hasattr(socket, name):  # not every system has all of them
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
