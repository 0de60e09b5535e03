"""The channels over HTTP, against real servers: a bot API of Telegram's kind, and a signed webhook."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from adapters.servers import RawServer, Script, answer, drip, hang, hang_up, raw, reset
from support.dargah import settings
from support.receiver import Receiver, receiver

from alerts.bot_api import CHAT, TOKEN, BotApi, bot_api
from proxy.config.outbound_clients import alert_sender
from proxy.config.settings import SettingsError
from proxy.http.outbound.ssrf_guard import Guard
from proxy.kernel.clock import system_now
from proxy.operations.alerts.answers import CHANNELS, TAKEN, SendResult, sentence
from proxy.operations.alerts.channels import BotChat, Note, OperatorWebhook
from proxy.operations.alerts.setup import channels_of
from proxy.webhooks.request import new_secret
from proxy.webhooks.sender import HttpSender

NOTE = Note("alert-1795514400000-7", "a subject", "🔴 مشکل\nsecond line", {"type": "operator.alert", "data": {"n": 1}})
SECRET = new_secret(bytes(range(32)))


@asynccontextmanager
async def sender(seconds: float = 5.0) -> AsyncIterator[HttpSender]:
    made = HttpSender(Guard(development=True), total_seconds=seconds, body_seconds=seconds, excerpt_bytes=64 * 1024)
    try:
        yield made
    finally:
        await made.close()


async def told(api: BotApi, token: str = TOKEN, chat: str = CHAT) -> SendResult:
    async with sender() as made:
        return await BotChat(made, api.base, token, chat).send(NOTE)


@pytest.mark.parametrize("path", ["", "/tapi", "/a/b"])
async def test_a_bot_writes_to_a_chat_at_any_base(path: str) -> None:
    async with bot_api(path) as api:
        assert await told(api) == TAKEN
        assert await told(api, chat="@ops") == TAKEN
        assert [each["chat_id"] for each in api.said] == [int(CHAT), "@ops"]
        assert api.texts() == [NOTE.text] * 2


async def test_a_wrong_token_and_an_unknown_chat_are_told_apart() -> None:
    async with bot_api() as api:
        assert await told(api, token="1:wrong") == SendResult("wrong_token", 401)
        assert await told(api, chat="-1") == SendResult("unknown_chat", 400)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ((404, {"ok": False, "error_code": 404, "description": "Not Found"}, {}), SendResult("wrong_token", 404)),
        (
            (403, {"ok": False, "error_code": 403, "description": "bot was blocked"}, {}),
            SendResult("forbidden_chat", 403),
        ),
        ((404, {"ok": False, "error_code": 404, "description": "no such chat"}, {}), SendResult("unknown_chat", 404)),
        # Some say 200 to everything, and the rest in the body.
        ((200, {"ok": False, "error_code": 401, "description": "x"}, {}), SendResult("wrong_token", 401)),
        ((200, {"ok": False}, {}), SendResult("bad_answer", 200)),
        ((200, {"ok": "true"}, {}), SendResult("bad_answer", 200)),
        ((200, ["ok"], {}), SendResult("bad_answer", 200)),
        ((204, None, {}), SendResult("bad_answer", 204)),
        ((302, {}, {"Location": "http://127.0.0.1:1/"}), SendResult("redirected", 302)),
        (
            (429, {"ok": False, "error_code": 429, "parameters": {"retry_after": 41}}, {}),
            SendResult("too_many", 429, 41),
        ),
        ((429, {"ok": False}, {"Retry-After": "17"}), SendResult("too_many", 429, 17)),
        ((429, {"parameters": {"retry_after": 10**30}}, {}), SendResult("too_many", 429, None)),
        ((429, {"parameters": {"retry_after": 999_999}}, {}), SendResult("too_many", 429, 3600)),
        ((502, {}, {}), SendResult("unavailable", 502)),
        ((400, {"ok": False, "description": "message is too long"}, {}), SendResult("refused_status", 400)),
    ],
)
async def test_each_answer_of_a_bot_api_is_read(said: tuple[int, Any, dict[str, str]], expected: SendResult) -> None:
    async with bot_api() as api:
        api.answers.append(said)
        assert await told(api) == expected


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (hang, {"timeout"}),
        (hang_up, {"reset"}),
        (reset, {"reset"}),
        (raw(b"SMTP is not HTTP\r\n\r\n"), {"bad_response"}),
        (answer(b"<html>not found</html>"), {"bad_answer"}),
        (answer(b"[" * 60_000), {"bad_answer"}),
        (answer(b'{"ok": true', length=500), {"bad_answer"}),
        (drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", 0.01), {"timeout", "bad_answer"}),
    ],
)
async def test_a_bot_api_that_does_it_wrong_is_left_in_time(script: Script, expected: set[str]) -> None:
    async with RawServer((script,)) as peer, sender(0.5) as made:
        began = time.monotonic()
        assert (await BotChat(made, peer.url, TOKEN, CHAT).send(NOTE)).failure in expected
        assert time.monotonic() - began < 20


async def test_an_answer_that_repeats_the_whole_text_is_still_read() -> None:
    long = Note("id", "s", "ن" * 4000, {})
    async with bot_api() as api, sender() as made:
        assert await BotChat(made, api.base, TOKEN, CHAT).send(long) == TAKEN


def hook(made: HttpSender, place: Receiver) -> OperatorWebhook:
    return OperatorWebhook(made, place.url, SECRET, "127.0.0.1", system_now)


async def test_the_webhook_is_signed_as_merchants_are() -> None:
    async with receiver() as place, sender() as made:
        place.secret, place.any_event = SECRET, True
        assert await hook(made, place).send(NOTE) == TAKEN
        [(headers, body)] = place.requests
        assert headers["webhook-id"] == NOTE.id
        assert json.loads(body) == NOTE.document


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (500, {}, SendResult("unavailable", 500)),
        (503, {"Retry-After": "7"}, SendResult("unavailable", 503, 7)),
        (410, {}, SendResult("refused_status", 410)),
        (308, {"Location": "http://127.0.0.1:1/"}, SendResult("redirected", 308)),
        (429, {"Retry-After": "99999999"}, SendResult("too_many", 429, 3600)),
    ],
)
async def test_what_a_receiver_refuses_is_told_apart(
    status: int, headers: dict[str, str], expected: SendResult
) -> None:
    async with receiver(status) as place, sender() as made:
        place.headers, place.any_event = headers, True
        assert await hook(made, place).send(NOTE) == expected


async def test_a_private_target_needs_the_operators_word_and_no_merchants(tmp_path: Path) -> None:
    more = {"environment": "production", "alert_webhook_secret": SECRET, "public_url": "https://pay.example.ir"}
    url = {"alert_webhook_url": "http://10.1.2.3:9000/alerts"}
    for allowed in ({}, {"webhook_allow": "10.1.2.3:9000"}, {"alert_allow": "10.1.2.3:9001"}):
        with pytest.raises(SettingsError, match="DARGAH_ALERT_WEBHOOK_URL must be https"):
            alert_sender(settings(tmp_path, **more, **url, **allowed), None, system_now)
    made = settings(tmp_path, **more, **url, alert_allow="10.1.2.3:9000")
    assert made.http_policy.targets == frozenset()
    await alert_sender(made, None, system_now).close()


async def test_the_channels_are_those_of_the_settings_without_their_secrets(tmp_path: Path) -> None:
    none = channels_of(settings(tmp_path), _no_sender, system_now)
    assert none == ()
    made = settings(
        tmp_path,
        alert_bot_token=TOKEN,
        alert_bot_chats=f"{CHAT},@ops",
        alert_email_server="smtps://mail.example.ir",
        alert_email_from="dargah@example.ir",
        alert_email_to="a@example.ir b@example.ir a@example.ir",
        alert_webhook_url="https://ops.example.ir/canary/hook?key=canary",
        alert_webhook_secret=SECRET,
    )
    async with sender() as opened:
        channels = channels_of(made, lambda: opened, system_now)
    assert [each.name for each in channels] == [
        f"bot {CHAT}",
        "bot @ops",
        "webhook ops.example.ir",
        "email a@example.ir",
        "email b@example.ir",
    ]


def _no_sender() -> HttpSender:
    raise AssertionError("nothing is opened where nothing is set")


@pytest.mark.parametrize("kind", CHANNELS)
def test_every_failure_has_one_sentence_for_each_channel(kind: str) -> None:
    for failure in FAILURES:
        english, persian = sentence(kind, SendResult(failure, 418))
        assert english.endswith(".")
        assert persian.endswith(".")
        assert english.count(". ") == 0
        assert "{" not in english + persian
        assert "418" not in persian  # its digits are Persian


# Of proxy/webhooks/request.py, and those that the channels find.
FAILURES = (
    *("timeout", "connect_timeout", "refused", "reset", "dns", "tls", "tls_expired", "tls_wrong_host"),
    *("tls_unknown_authority", "tls_client_certificate", "tls_cut_off", "blocked_address", "bad_url", "bad_response"),
    *("proxy_unreachable", "proxy_timeout", "proxy_auth", "proxy_refused", "proxy_bad_response", "proxy_needs_tls"),
    *("wrong_token", "unknown_chat", "forbidden_chat", "too_many", "unavailable", "redirected", "refused_status"),
    *("bad_answer", "wrong_credentials", "no_auth", "no_starttls", "sender_refused", "recipient_refused"),
)
