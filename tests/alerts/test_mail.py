"""E-mail to a real SMTP server: TLS and passwords, and what becomes of a server that does it wrong."""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

import pytest
from adapters.servers import DAY, Authority, RawServer, drip, hang
from aiosmtplib import SMTP

from alerts.mail_server import NAME, PASSWORD, USER, Inbox, Names, mail_server
from proxy.config.alerts import MailServer
from proxy.http.listeners import Address
from proxy.http.outbound.connector import tls_context
from proxy.operations.alerts.answers import TAKEN, SendResult, sentence
from proxy.operations.alerts.channels import Note
from proxy.operations.alerts.mail import Mailbox, Mailer

NOTE = Note("alert-1795514400000-7", "Dargah pay.example.ir: ۲ مشکل تازه", "یک\n\n.دو\nسه", {})


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


def mailer(port: int, tls: ssl.SSLContext, **more: object) -> Mailer:
    server = MailServer(Address(NAME, port), tls=True)
    made = Mailer(server, "dargah@example.ir", tls, lambda: 1_795_514_400_000, names=Names, total_seconds=5)
    return replace(made, **more)  # type: ignore[arg-type]


def to(made: Mailer) -> Mailbox:
    return Mailbox(made, "ops@example.ir")


def starttls(made: Mailer) -> Mailer:
    return replace(made, server=replace(made.server, tls=False))


def assert_is_the_note(inbox: Inbox) -> None:
    [mail] = inbox.mails
    assert isinstance(mail, EmailMessage)
    assert (mail["From"], mail["To"], mail["Subject"]) == ("dargah@example.ir", "ops@example.ir", NOTE.subject)
    assert mail.get_content().replace("\r\n", "\n").strip() == NOTE.text
    assert mail["AlertMessage-ID"] == f"<{NOTE.id}@example.ir>"
    assert mail["Date"].datetime.isoformat() == "2026-11-24T10:00:00+00:00"


async def test_mail_goes_over_tls_with_a_password_and_arrives_whole(ours: Authority) -> None:
    async with mail_server(ours.server(NAME), password=True) as inbox:
        box = to(mailer(inbox.port, tls_context(ours.file), credentials=f"{USER}:{PASSWORD}"))
        assert await box.send(NOTE) == TAKEN
    assert_is_the_note(inbox)
    assert inbox.encrypted == [True]


async def test_mail_goes_over_starttls_and_the_password_only_after_it(ours: Authority) -> None:
    async with mail_server(ours.server(NAME), starttls=True, password=True) as inbox:
        box = to(starttls(mailer(inbox.port, tls_context(ours.file), credentials=f"{USER}:{PASSWORD}")))
        assert await box.send(NOTE) == TAKEN
    assert_is_the_note(inbox)
    assert inbox.encrypted == [True]


async def test_a_server_on_loopback_needs_no_tls() -> None:
    async with mail_server() as inbox:
        server = MailServer(Address("127.0.0.1", inbox.port), tls=False)
        assert await to(mailer(inbox.port, tls_context(), server=server)).send(NOTE) == TAKEN
    assert inbox.encrypted == [False]


async def test_nothing_is_sent_in_the_clear_to_a_server_without_starttls() -> None:
    async with mail_server(password=True) as inbox:
        answer = await to(starttls(mailer(inbox.port, tls_context(), credentials=f"{USER}:{PASSWORD}"))).send(NOTE)
    assert (answer, inbox.mails) == (SendResult("no_starttls"), [])


async def test_a_wrong_password_and_a_server_without_one_are_told(ours: Authority) -> None:
    async with mail_server(ours.server(NAME), password=True) as inbox:
        box = to(mailer(inbox.port, tls_context(ours.file), credentials=f"{USER}:wrong:one"))
        assert await box.send(NOTE) == SendResult("wrong_credentials", 535)
    async with mail_server(ours.server(NAME)) as inbox:
        box = to(mailer(inbox.port, tls_context(ours.file), credentials=f"{USER}:{PASSWORD}"))
        assert await box.send(NOTE) == SendResult("no_auth")


@pytest.mark.parametrize("by_starttls", [False, True])
@pytest.mark.parametrize(
    ("server", "expected"),
    [
        (lambda ours: ours.server("other.example.ir"), "tls_wrong_host"),
        (lambda ours: ours.server(NAME, begins=-3 * DAY, lasts=2 * DAY), "tls_expired"),
        (lambda ours: Authority(ours.folder, "theirs").server(NAME), "tls_unknown_authority"),
    ],
)
async def test_certificates_are_verified(
    ours: Authority,
    server: Callable[[Authority], ssl.SSLContext],
    expected: str,
    by_starttls: bool,
) -> None:
    async with mail_server(server(ours), starttls=by_starttls) as inbox:
        made = mailer(inbox.port, tls_context(ours.file), credentials=f"{USER}:{PASSWORD}")
        answer = await to(starttls(made) if by_starttls else made).send(NOTE)
    assert (answer, inbox.mails) == (SendResult(expected), [])


@pytest.mark.parametrize(
    ("refuses", "expected"),
    [
        ({"MAIL": "550 no"}, SendResult("sender_refused", 550)),
        ({"RCPT": "550 5.1.1 canary-of-the-peer"}, SendResult("recipient_refused", 550)),
        ({"RCPT": "451 greylisted"}, SendResult("unavailable", 451)),
        ({"DATA": "554 spam"}, SendResult("refused_status", 554)),
        ({"DATA": "452 full"}, SendResult("unavailable", 452)),
    ],
)
async def test_each_refusal_is_told_apart(ours: Authority, refuses: dict[str, str], expected: SendResult) -> None:
    async with mail_server(ours.server(NAME)) as inbox:
        inbox.refuses = refuses
        answer = await to(mailer(inbox.port, tls_context(ours.file))).send(NOTE)
    assert (answer, inbox.mails) == (expected, [])
    assert "canary" not in "".join(sentence("email", answer))


@pytest.mark.parametrize(
    ("greeting", "expected"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "bad_response"),
        (b"220-" + b"x" * 200_000, "bad_response"),
        (b"554 go away\r\n", "refused_status"),
        (b"421 later\r\n", "unavailable"),
        (b"220 mail ESMTP\r\n", "timeout"),
        (b"", "timeout"),
    ],
)
async def test_a_server_that_does_it_wrong_is_left_in_time(greeting: bytes, expected: str) -> None:
    async with RawServer((hang,), greeting=greeting) as server:
        began = time.monotonic()
        server_address = MailServer(Address("127.0.0.1", server.port), tls=False)
        box = to(mailer(0, tls_context(), server=server_address, total_seconds=0.3))
        assert (await box.send(NOTE)).failure == expected
        assert time.monotonic() - began < 20


async def test_a_server_that_drips_is_left_in_time() -> None:
    async def endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await drip(b"220-" * 1000)(writer)
        writer.close()
        left.set()

    left = asyncio.Event()
    async with await asyncio.start_server(endless, "127.0.0.1", 0) as server:
        address = Address("127.0.0.1", server.sockets[0].getsockname()[1])
        box = to(mailer(0, tls_context(), server=MailServer(address, tls=False), total_seconds=0.3))
        assert await box.send(NOTE) == SendResult("timeout")
        await left.wait()


async def test_nobody_there_and_a_name_that_is_not_are_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert await to(mailer(port, tls_context())).send(NOTE) == SendResult("refused")

    class NoNames(Names):
        async def resolve(self, *_: object, **__: object) -> list[object]:  # type: ignore[override]
            raise OSError(None, "no such name")

    assert await to(mailer(port, tls_context(), names=NoNames)).send(NOTE) == SendResult("dns")


async def test_a_message_that_was_taken_is_taken_though_the_goodbye_is_not_answered(
    ours: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_answer(*_: object, **__: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(SMTP, "quit", no_answer)
    async with mail_server(ours.server(NAME)) as inbox:
        assert await to(mailer(inbox.port, tls_context(ours.file))).send(NOTE) == TAKEN


def test_the_mailer_shows_no_password() -> None:
    assert PASSWORD not in repr(mailer(1, tls_context(), credentials=f"{USER}:{PASSWORD}"))
