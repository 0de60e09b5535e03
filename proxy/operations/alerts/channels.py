"""The channels over HTTP: a bot API of Telegram's kind, and a signed webhook of the operator's."""

import json
from collections.abc import Mapping
from typing import Any, Final, Protocol

from proxy.kernel.clock import Now
from proxy.kernel.frozen import dataclass
from proxy.operations.alerts.answers import BOT, TAKEN, WEBHOOK, SendResult
from proxy.webhooks.request import Sender, WebhookRequest, WebhookResult, signed_headers

MAX_RETRY_AFTER: Final = 3600
_CLIENT_ERRORS: Final = range(400, 500)
_REDIRECTS: Final = range(300, 400)
_TOO_MANY: Final = 429
_OK: Final = 200
_SUCCESS: Final = range(200, 300)
_BOT_FAILURES: Final = {401: "wrong_token", 404: "wrong_token", 403: "forbidden_chat"}
_OF_CHAT: Final = frozenset({400, 404})


@dataclass(frozen=True, slots=True)
class Note:
    """One message as it is sent. `id` is the same on every try; `document` is for programs."""

    id: str
    subject: str
    text: str
    document: Mapping[str, Any]


class Channel(Protocol):
    """One channel to one target. `name` is shown: it has no secret."""

    kind: str
    name: str

    async def send(self, note: Note) -> SendResult:
        """What the target answered. Never raises for what a peer or the network does."""


class BotChat:
    """One chat of a bot, at a bot API: Telegram's, Bale's, or one of one's own."""

    kind = BOT

    def __init__(self, sender: Sender, base: str, token: str, chat: str) -> None:
        self._sender = sender
        self._url = f"{base}/bot{token}/sendMessage"
        self._chat: int | str = chat if chat.startswith("@") else int(chat)
        self.name = f"{BOT} {chat}"

    async def send(self, note: Note) -> SendResult:
        body = json.dumps(
            {"chat_id": self._chat, "text": note.text, "disable_web_page_preview": True}, ensure_ascii=False
        )
        request = WebhookRequest(self._url, {"content-type": "application/json"}, body.encode())
        return _of_bot(await self._sender.send(request))


class OperatorWebhook:
    """A program of the operator's. It is signed as merchants' webhooks are, with the type `operator.alert`."""

    kind = WEBHOOK

    def __init__(self, sender: Sender, url: str, secret: str, host: str, now: Now) -> None:
        self._sender = sender
        self._url = url
        self._secret = secret
        self._now = now
        self.name = f"{WEBHOOK} {host}"

    async def send(self, note: Note) -> SendResult:
        body = json.dumps(note.document, ensure_ascii=False).encode()
        headers = signed_headers([self._secret], note.id, body, self._now())
        result = await self._sender.send(WebhookRequest(self._url, headers, body))
        if result.delivered:
            return TAKEN
        return _unanswered(result) or _of_status(result.status or 0, result.retry_after_seconds)


def _unanswered(result: WebhookResult) -> SendResult | None:
    return None if result.error is None else SendResult(result.error)


def _of_status(status: int, retry_after: int | None) -> SendResult:
    wait = None if retry_after is None else min(retry_after, MAX_RETRY_AFTER)
    if status in _REDIRECTS:
        return SendResult("redirected", status)
    if status == _TOO_MANY:
        return SendResult("too_many", status, wait)
    return SendResult("refused_status" if status in _CLIENT_ERRORS else "unavailable", status, wait)


def _of_bot(result: WebhookResult) -> SendResult:
    """The body decides where it is of the bot API's form, because some say 200 to everything."""
    unanswered = _unanswered(result)
    if unanswered is not None:
        return unanswered
    status, said = result.status or 0, _object_in(result.excerpt)
    if status == _OK and said.get("ok") is True:
        return TAKEN
    code = _number(said.get("error_code")) or status
    if code in _SUCCESS:
        return SendResult("bad_answer", code)
    if code in _OF_CHAT and "chat" in str(said.get("description", "")).lower():
        return SendResult("unknown_chat", code)
    if code in _BOT_FAILURES:
        return SendResult(_BOT_FAILURES[code], code)
    parameters = said.get("parameters")
    told = _number(parameters.get("retry_after")) if isinstance(parameters, dict) else None
    return _of_status(code, told or result.retry_after_seconds)


def _object_in(body: bytes) -> Mapping[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**9 else None
