"""POSTs to gateways over HTTP, each with its deadline, each always with an answer or the reason why there is none."""

import html
import json
import re
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping
from functools import lru_cache
from typing import Any, ClassVar, Final
from urllib.parse import quote_plus

from yarl import URL

from proxy.gateways.answers import (
    CLIENT_ERRORS,
    MAX_ANSWER_BYTES,
    OK,
    Answer,
    HttpAnswer,
    NoAnswer,
    Unclear,
    fields_of,
    unpacked,
)
from proxy.gateways.forms import HostForm, kept_fields
from proxy.gateways.port import (
    CheckOutcome,
    CheckResult,
    CheckUnknown,
    InvoiceIssued,
    NothingOffered,
    RequestOutcome,
    RequestResult,
    RequestUnknown,
)
from proxy.http.outbound.connector import DIAL, ClientOptions, Dial, Outbound, resend_if_stale
from proxy.http.outbound.exchange import RAISED, Origin, Response, exchange, origin_of
from proxy.http.outbound.failures import failure_name, retry_after_seconds
from proxy.kernel.clock import Deadline

REQUEST_SECONDS: Final = 10.0
CHECK_SECONDS: Final = 10.0
GLANCE_SECONDS: Final = 1.0  # at the body of a status that has said all; it is for people
DEFAULT_OPTIONS: Final = ClientOptions()
FORM: Final = b"Content-Type: application/x-www-form-urlencoded\r\n"
JSON: Final = b"Content-Type: application/json\r\n"
_REASONS: Final = {"connect_timeout": "timeout", "refused": "refused_connection", "bad_response": "bad_answer"}

MAX_CHARS: Final = 200
READ_BYTES: Final = 2048
_HIDDEN: Final = "…"
_TAG: Final = re.compile(r"<[^<>]{0,300}>")
_CUT_WORD: Final = re.compile(r"\S{0,200}\Z")
# Keys, tokens and session ids; digits of cards and phones, however they are grouped.
_TOKEN: Final = re.compile(r"(?=[A-Za-z_+=-]{0,200}[0-9])[0-9A-Za-z_+=-]{16,}|[0-9A-Za-z_+=-]{32,}")
_DIGITS: Final = re.compile(r"[0-9](?:[ -]?[0-9]){8,}")


Shows = Callable[[HttpAnswer], Mapping[str, str] | None]
"""What of an answer is kept because it shows how its host differs from others of the family."""


class HttpCalls:
    """The calls of one family, with its `headers` on each. Made inside the running loop; `close` it when nothing is
    under way any more. The TLS contexts and the egress proxy are those of `options`. With `reads_errors` the body of a
    4xx status is read as that of a 200 is, because the family answers its error codes with one. `shows` is asked about
    each answer but that of an issued invoice.
    """

    def __init__(
        self,
        options: ClientOptions,
        headers: Mapping[str, str],
        request_seconds: float = REQUEST_SECONDS,
        check_seconds: float = CHECK_SECONDS,
        *,
        reads_errors: bool = False,
        shows: Shows | None = None,
    ) -> None:
        self._options = options
        self._shows = shows
        self._request_seconds = request_seconds
        self._check_seconds = check_seconds
        self._statuses_read = {OK, *CLIENT_ERRORS} if reads_errors else {OK}
        self._outbound = Outbound(options, headers)
        self._origin = lru_cache(maxsize=1024)(self._origin_of)

    async def close(self) -> None:
        await self._outbound.close()

    async def request(
        self,
        base: str,
        path: str,
        body: str,
        meaning: Callable[[Answer], RequestOutcome],
        secrets: Iterable[str],
        return_url: str,
        content_type: bytes = b"",
    ) -> RequestResult:
        """POSTs once, and gives what `meaning` makes of the answer. `secrets`, `return_url` and the token at its end
        are kept out of the excerpt.

        `content_type` is FORM or JSON where the family's `headers` leave it to the call.
        """
        started = self._options.tick()
        answer = await self._post(base, path, content_type, body, self._request_seconds, resend=False)
        outcome = meaning(answer)
        excerpt = ""
        if isinstance(outcome, RequestUnknown):
            excerpt = _excerpt(answer, (*secrets, return_url, return_url.rpartition("/")[2]))
        fields = None if isinstance(outcome, InvoiceIssued) else self._shown(answer)
        spent = self._options.milliseconds_since(started)
        return RequestResult(outcome, spent, excerpt, self._put_off(answer), fields, _status(answer))

    async def check(
        self,
        base: str,
        path: str,
        body: str,
        meaning: Callable[[Answer], CheckOutcome],
        secrets: Iterable[str],
        content_type: bytes = b"",
    ) -> CheckResult:
        """The same for a call that may be made twice: on a stale idle connection it is made again at once."""
        started = self._options.tick()
        answer = await self._post(base, path, content_type, body, self._check_seconds, resend=True)
        outcome = meaning(answer)
        excerpt = _excerpt(answer, secrets) if isinstance(outcome, CheckUnknown) else ""
        spent, fields = self._options.milliseconds_since(started), self._shown(answer)
        return CheckResult(outcome, spent, excerpt, self._put_off(answer), fields, _status(answer))

    def _shown(self, answer: Answer) -> Mapping[str, str] | None:
        return None if self._shows is None or isinstance(answer, NoAnswer) else self._shows(answer)

    async def _post(
        self, base: str, path: str, content_type: bytes, body: str, seconds: float, *, resend: bool
    ) -> Answer:
        dial = Dial()
        DIAL.set(dial)
        try:
            origin = self._origin(base)
            data = body.encode()
            start = f"POST {origin.target.partition('?')[0].rstrip('/')}{path}".encode()
            message = b"%s%s%d\r\n%s\r\n%s" % (start, origin.headers, len(data), content_type, data)

            async def once() -> Response:
                return await exchange(self._outbound.session, origin, message)

            asking = resend_if_stale(once, dial) if resend else once()
            return await _read(seconds, asking, self._statuses_read)
        except RAISED as error:
            name = failure_name(error, dial)
            return NoAnswer(_REASONS.get(name, name), timed_out=isinstance(error, TimeoutError))

    def _put_off(self, answer: Answer) -> int | None:
        if isinstance(answer, NoAnswer) or answer.retry_after is None:
            return None
        return retry_after_seconds(answer.status, answer.retry_after, self._options.now())

    def _origin_of(self, base: str) -> Origin:
        return origin_of(self._outbound.session, base, self._options.own_context(URL(base)))


class FamilyClient(NothingOffered):
    """A family's client over HTTP, with the calls that the family has. Made inside the running loop; `close` it when
    nothing is under way any more.

    `headers` go with each call; `reads_errors` is as in HttpCalls; `forms` are the family's.
    """

    headers: ClassVar[Mapping[str, str]]
    reads_errors: ClassVar[bool] = False
    forms: ClassVar[tuple[HostForm, ...]] = ()

    def __init__(
        self,
        options: ClientOptions = DEFAULT_OPTIONS,
        *,
        request_seconds: float = REQUEST_SECONDS,
        check_seconds: float = CHECK_SECONDS,
    ) -> None:
        self._now = options.now
        self._of_answers = [form for form in self.forms if not form.of_returns]
        self._calls = HttpCalls(
            options,
            self.headers,
            request_seconds,
            check_seconds,
            reads_errors=self.reads_errors,
            shows=self._shows if self._of_answers else None,
        )

    async def close(self) -> None:
        await self._calls.close()

    def _shows(self, answer: HttpAnswer) -> Mapping[str, str] | None:
        fields = self._fields(answer)
        return (
            None if isinstance(fields, NoAnswer) else kept_fields(self._of_answers, str(answer.status), fields) or None
        )

    def _fields(self, answer: HttpAnswer) -> Mapping[str, Any] | NoAnswer:
        return fields_of(answer, reads_errors=self.reads_errors)


async def _read(seconds: float, asking: Awaitable[Response], statuses_read: Container[int]) -> HttpAnswer:
    response = None
    try:
        with Deadline(seconds) as deadline:
            response = await asking
            body = await response.read(MAX_ANSWER_BYTES) if response.status in statuses_read else b""
        if response.status not in statuses_read:
            body = await response.glance(READ_BYTES * 2, GLANCE_SECONDS, deadline)
        return HttpAnswer(response.status, body, response.headers.get("Retry-After"))
    finally:
        if response is not None:
            response.release()


def excerpt_of(body: bytes, secrets: Iterable[str]) -> str:
    """The first words of an unclear answer, for people, on one line of at most 200 characters, without its secrets.

    `secrets` are hidden however they are quoted, and so is any text that looks like one.
    """
    try:
        plain = unpacked(body)
    except Unclear:
        return ""
    text = plain[:READ_BYTES].decode("utf-8", "ignore")
    if len(plain) > READ_BYTES:
        text = _CUT_WORD.sub("", text)  # half a secret is not recognised
    text = html.unescape(_TAG.sub(" ", text))
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    for secret in filter(None, secrets):
        for form in {secret, quote_plus(secret), quote_plus(secret, safe="/:"), json.dumps(secret)[1:-1]}:
            text = text.replace(form, _HIDDEN)
    text = _DIGITS.sub(_HIDDEN, _TOKEN.sub(_HIDDEN, text))
    return text if len(text) <= MAX_CHARS else text[: MAX_CHARS - 1] + "…"


def _status(answer: Answer) -> int | None:
    return None if isinstance(answer, NoAnswer) else answer.status


def _excerpt(answer: Answer, secrets: Iterable[str]) -> str:
    return "" if isinstance(answer, NoAnswer) else excerpt_of(answer.body, secrets)
