"""A real SMTP server in the test's loop, with TLS and passwords as a test says."""

import asyncio
import socket
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "dargah", "canary-mail-password"
NAME = "mail.example.ir"


@dataclass
class Inbox:
    """What came; `refuses` is what a RCPT or the DATA is answered instead of 250."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    refuses: dict[str, str] = field(default_factory=dict)

    async def handle_MAIL(self, *given: Any) -> str:  # noqa: N802  aiosmtpd names it
        _, _, envelope, address, _ = given
        envelope.mail_from = address
        return self.refuses.get("MAIL", "250 OK")

    async def handle_RCPT(self, *given: Any) -> str:  # noqa: N802
        _, _, envelope, address, _ = given
        envelope.rcpt_tos.append(address)
        return self.refuses.get("RCPT", "250 OK")

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        if "DATA" in self.refuses:
            return self.refuses["DATA"]
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=default)
        assert isinstance(message, EmailMessage)
        assert envelope.rcpt_tos == [message["To"]]
        self.mails.append(message)
        assert server.transport is not None
        self.encrypted.append(server.transport.get_extra_info("ssl_object") is not None)
        return "250 OK"


class Names(AbstractResolver):
    """Every name is this machine's."""

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        """Nothing is open."""


class _Speaking(SMTP):
    """Keeps its connections' transports, for who ends them."""

    def __init__(self, sockets: list[asyncio.BaseTransport], *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._sockets = sockets

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._sockets.append(transport)
        super().connection_made(transport)


@asynccontextmanager
async def mail_server(
    tls: ssl.SSLContext | None = None, *, starttls: bool = False, password: bool = False
) -> AsyncIterator[Inbox]:
    """A server with `tls` from the first byte, or by STARTTLS; with a `password` it wants one."""
    inbox, sockets = Inbox(), list[asyncio.BaseTransport]()

    def authenticate(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
        right = isinstance(data, LoginPassword) and data == LoginPassword(USER.encode(), PASSWORD.encode())
        return AuthResult(success=right, handled=False)

    def protocol() -> SMTP:
        with warnings.catch_warnings(action="ignore"):  # of a password in the clear, which is what is tested
            return _Speaking(
                sockets,
                inbox,
                hostname=NAME,
                tls_context=tls if starttls else None,
                require_starttls=starttls,
                auth_required=password,
                auth_require_tls=False,
                auth_exclude_mechanism=() if password else ("LOGIN", "PLAIN"),
                authenticator=authenticate if password else None,
            )

    serving = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, ssl=None if starttls else tls)
    inbox.port = serving.sockets[0].getsockname()[1]
    try:
        yield inbox
    finally:
        serving.close()
        for each in sockets:
            each.close()
        await asyncio.sleep(0)  # for the loop to close them
