"""The channel by e-mail: one message to one address, over TLS, by SMTP.

aiosmtplib speaks it on a socket of ours: the look-up of the name, which would else take a thread that nothing ends, is
the outbound client's. Nothing but a server on loopback is spoken to in the clear.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP as MAIL_POLICY
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final

from aiohttp.abc import AbstractResolver

from proxy.config.alerts import MailServer
from proxy.http.outbound.connector import BoundedResolver, Dial
from proxy.http.outbound.failures import failure_name
from proxy.kernel.clock import Now
from proxy.kernel.frozen import dataclass
from proxy.operations.alerts.answers import EMAIL, TAKEN, SendResult
from proxy.operations.alerts.channels import Note

if TYPE_CHECKING:
    from aiosmtplib import SMTP

TOTAL_SECONDS: Final = 20.0
QUIT_SECONDS: Final = 1.0
_MAX_ADDRESSES: Final = 4
_PERMANENT: Final = 500


@dataclass(frozen=True, slots=True)
class Mailer:
    """How mail is sent; `credentials` are user:password."""

    server: MailServer
    sender: str
    tls: ssl.SSLContext
    now: Now
    credentials: str | None = field(default=None, repr=False)
    total_seconds: float = TOTAL_SECONDS
    names: Callable[[], AbstractResolver] = BoundedResolver


class Mailbox:
    """One address that mail goes to."""

    kind = EMAIL

    def __init__(self, mailer: Mailer, address: str) -> None:
        self._mailer = mailer
        self._address = address
        self.name = f"{EMAIL} {address}"

    async def send(self, note: Note) -> SendResult:
        from aiosmtplib import SMTPException  # noqa: PLC0415  only who sends mail loads it

        try:
            async with asyncio.timeout(self._mailer.total_seconds):
                return await self._send(note)
        except SMTPException as error:
            return _answer_of(error)
        except (OSError, TimeoutError, ValueError, RuntimeError) as error:
            return SendResult(_name_of(error))

    async def _send(self, note: Note) -> SendResult:
        from aiosmtplib import SMTP  # noqa: PLC0415

        mailer = self._mailer
        connected = await _connect(mailer.server, mailer.names())
        client = SMTP(
            hostname=mailer.server.address.host,
            sock=connected,
            local_hostname=_domain(mailer.sender),  # else this machine's name is looked up, on a thread
            use_tls=mailer.server.tls,
            start_tls=False,
            tls_context=mailer.tls,
            timeout=mailer.total_seconds,
        )
        try:
            await client.connect()
            answer = await self._converse(client, note)
            if answer.failure is None:
                await _say_goodbye(client)
            return answer
        finally:
            client.close()

    async def _converse(self, client: "SMTP", note: Note) -> SendResult:
        await client.ehlo()
        if self._mailer.server.starttls:
            if not client.supports_extension("starttls"):
                return SendResult("no_starttls")
            await client.starttls()
            await client.ehlo()
        if self._mailer.credentials is not None:
            if not client.supported_auth_methods:
                return SendResult("no_auth")
            user, _, password = self._mailer.credentials.partition(":")
            await client.login(user, password)
        message = self._message(note)
        await client.sendmail(self._mailer.sender, [self._address], message.as_bytes(policy=MAIL_POLICY))
        return TAKEN

    def _message(self, note: Note) -> EmailMessage:
        message = EmailMessage(policy=MAIL_POLICY)
        message["From"] = self._mailer.sender
        message["To"] = self._address
        message["Subject"] = note.subject
        message["Date"] = format_datetime(datetime.fromtimestamp(self._mailer.now() // 1000, UTC))
        # The same on every try, so that a message that was sent twice is shown once.
        message["AlertMessage-ID"] = f"<{note.id}@{_domain(self._mailer.sender)}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(note.text)
        return message


def _domain(address: str) -> str:
    return address.rpartition("@")[2]


async def _connect(server: MailServer, names: AbstractResolver) -> socket.socket:
    """A connected socket, to the first address of the server's that takes one. Raises OSError."""
    try:
        found = await names.resolve(server.address.host, server.address.port)
    except OSError as error:
        raise socket.gaierror(*error.args) from None
    finally:
        await names.close()
    refusal: OSError = socket.gaierror()
    for each in found[:_MAX_ADDRESSES]:
        connected = socket.socket(each["family"], socket.SOCK_STREAM)
        connected.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(connected, (each["host"], each["port"]))
        except OSError as error:
            connected.close()
            refusal = error
        except BaseException:
            connected.close()
            raise
        else:
            return connected
    raise refusal


async def _say_goodbye(client: "SMTP") -> None:
    """The message is taken; whoever does not answer this is left."""
    from aiosmtplib import SMTPException  # noqa: PLC0415

    with suppress(SMTPException, OSError):
        await client.quit(timeout=QUIT_SECONDS)


def _answer_of(error: Exception) -> SendResult:
    import aiosmtplib  # noqa: PLC0415

    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        error = error.recipients[0]
    if isinstance(error, aiosmtplib.SMTPTimeoutError):
        return SendResult("timeout")
    if not isinstance(error, aiosmtplib.SMTPResponseException):
        return SendResult(_name_of(error))
    status = error.code if 400 <= error.code < 600 else None  # noqa: PLR2004  SMTP's refusals
    if status is None:
        return SendResult("bad_response")
    if status < _PERMANENT:
        return SendResult("unavailable", status)
    for kind, failure in (
        (aiosmtplib.SMTPAuthenticationError, "wrong_credentials"),
        (aiosmtplib.SMTPSenderRefused, "sender_refused"),
        (aiosmtplib.SMTPRecipientRefused, "recipient_refused"),
    ):
        if isinstance(error, kind):
            return SendResult(failure, status)
    return SendResult("refused_status", status)


def _name_of(error: Exception) -> str:
    """As the outbound clients name it, by the innermost cause: the library's own texts quote those within."""
    cause: BaseException = error
    while isinstance(cause.__cause__, OSError):
        cause = cause.__cause__
    if isinstance(cause, socket.gaierror):
        return "dns"
    if isinstance(cause, ConnectionRefusedError):
        return "refused"
    return failure_name(cause if isinstance(cause, OSError) else error, Dial())
