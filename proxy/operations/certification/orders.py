"""The shop's orders: where the stories get them from, and how their state is read, by a URL or by a command."""

import asyncio
import contextlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import field
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import orjson
from yarl import URL

from proxy.kernel.frozen import dataclass
from proxy.kernel.money import MAX_RIALS, MIN_RIALS, to_toman
from proxy.kernel.text import refused_in

ASK_SECONDS: Final = 30.0
MAX_BYTES: Final = 64 * 1024
END_SECONDS: Final = 2.0
MAX_ID_CHARS: Final = 100
_SHOWN_CHARS: Final = 60
# A story tells ten times the amount.
MOST_RIALS: Final = MAX_RIALS // 10
_LARGEST: Final = 10**18


class CertificationStopped(Exception):
    """The stories cannot go on as they were asked for; the text says what to do."""


@dataclass(frozen=True, slots=True)
class ShopOrder:
    """An open order of the shop; `known` is False for one that was made up, because the shop gave none."""

    id: str
    amount_rials: int
    known: bool = True


@dataclass(frozen=True, slots=True)
class Credit:
    """What the shop says of an order: whether it is paid, and the number that grows with each credit, if it has one."""

    paid: bool
    total: Decimal | None

    def __str__(self) -> str:
        return ("paid" if self.paid else "not paid") + ("" if self.total is None else f", credited {self.total}")


@dataclass(frozen=True, slots=True)
class ShopQuestion:
    """A URL or a command of the shop, with `{placeholders}`. Its answer is text of at most 64 kB."""

    option: str
    template: str
    method: str = "GET"

    @property
    def is_url(self) -> bool:
        return self.template.startswith(("http://", "https://"))

    async def ask(self, session: aiohttp.ClientSession, **values: object) -> str:
        """The answer. Raises CertificationStopped when there is none, or not the one of a success."""
        texts = {f"{{{name}}}": str(value) for name, value in values.items()}
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await (self._get(session, texts) if self.is_url else self._run(texts))
        except TimeoutError:
            raise self._stopped(f"gave no answer within {ASK_SECONDS:.0f} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._stopped(f"failed: {str(error) or type(error).__name__}") from None

    async def _get(self, session: aiohttp.ClientSession, texts: Mapping[str, str]) -> str:
        address = _filled(self.template, {name: quote(text, safe="") for name, text in texts.items()})
        url = URL(address, encoded=address.isascii())
        async with session.request(self.method, url, allow_redirects=False) as answer:
            body = await answer.content.read(MAX_BYTES)
            while len(body) < MAX_BYTES and (more := await answer.content.read(MAX_BYTES - len(body))):
                body += more
            if not answer.ok or answer.status >= 300:  # noqa: PLR2004  a redirect is not followed
                raise self._stopped(f"answered {answer.status}, where 200 was expected")
            return body.decode()

    async def _run(self, texts: Mapping[str, str]) -> str:
        """The standard output of the command, which no shell reads: a placeholder stays one argument."""
        arguments = [_filled(argument, texts) for argument in shlex.split(self.template)]
        process = await asyncio.create_subprocess_exec(
            *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, limit=MAX_BYTES
        )
        assert process.stdout is not None
        try:
            output = b""
            while len(output) < MAX_BYTES and (more := await process.stdout.read(MAX_BYTES - len(output))):
                output += more
            code = await process.wait() if len(output) < MAX_BYTES else None
        finally:
            await _end(process, process.stdout)
        if code != 0:
            raise self._stopped("wrote more than 64 kB" if code is None else f"ended with code {code}")
        return output.decode()

    def _stopped(self, why: str) -> CertificationStopped:
        return CertificationStopped(f"{self.option} {why}; try it by hand, with the id of one of your orders")


async def _end(process: asyncio.subprocess.Process, output: asyncio.StreamReader) -> None:
    """Kills it, and takes what it still had to say: asyncio waits for the end of its pipe, of which it reads no more
    while nobody takes it. Children that it left hold the pipe open, for which nobody waits.
    """
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            while await output.read(MAX_BYTES):
                pass
            await process.wait()


def _filled(template: str, texts: Mapping[str, str]) -> str:
    for name, text in texts.items():
        template = template.replace(name, text)
    return template


@dataclass(frozen=True, slots=True)
class StateReader:
    """Reads an order's state: paid where the value at `paid_path` is one of `paid_values`; with no path, where the
    whole text is. `total_path` is the place of the number that grows with each credit.
    """

    question: ShopQuestion
    paid_path: str | None
    paid_values: Sequence[str]
    total_path: str | None
    total_needed: bool

    async def read(self, session: aiohttp.ClientSession, order: ShopOrder) -> Credit:
        text = await self.question.ask(session, order_id=order.id)
        if self.paid_path is None:
            return Credit(text.strip() in self.paid_values, None)
        try:
            document = orjson.loads(text)
        except ValueError:
            raise CertificationStopped(
                f"the state of order {order.id} is no JSON: say --paid-when WORD for a plain text"
            ) from None
        paid = _at(document, self.paid_path, f"--paid-when {self.paid_path}=VALUE")
        return Credit(_text(paid) in self.paid_values, self._total(document))

    def _total(self, document: Any) -> Decimal | None:
        if self.total_path is None or (not self.total_needed and not _has(document, self.total_path)):
            return None
        value = _at(document, self.total_path, "--credited")
        try:
            number = Decimal(_text(value) or "0") if not isinstance(value, bool) else Decimal(int(value))
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite() or abs(number) > _LARGEST:
            raise CertificationStopped(
                f"--credited: {_text(value)[:_SHOWN_CHARS]!r} at {self.total_path} is no number of credits or rials"
            )
        return number


def _has(document: Any, path: str) -> bool:
    return _walk(document, path)[0]


def _at(document: Any, path: str, option: str) -> Any:
    found, value = _walk(document, path)
    if not found:
        names = ", ".join(sorted(map(str, document))[:20]) if isinstance(document, dict) else type(document).__name__
        raise CertificationStopped(f"{option}: an order's state has nothing at {path}; it has {names or 'nothing'}")
    return value


def _walk(document: Any, path: str) -> tuple[bool, Any]:
    for name in path.split("."):
        if isinstance(document, dict) and name in document:
            document = document[name]
        elif isinstance(document, list) and name.isdecimal() and int(name) < len(document):
            document = document[int(name)]
        else:
            return False, None
    return True, document


def _text(value: Any) -> str:
    """As JSON writes it, without the quotes of a text; null is empty."""
    if isinstance(value, str):
        return value
    return "" if value is None else orjson.dumps(value).decode()


@dataclass(slots=True)
class OrderBook:
    """Where each story gets its order: those that were named, or a new one by the shop's URL or command, or, without
    both, an id that the shop does not know.

    Of two or more named ones, the second serves all stories that should leave it as it was; where there is none for
    them, these are told of an order that the shop does not know, and judged by the shop's answers.
    """

    named: list[ShopOrder]
    question: ShopQuestion | None
    amount_rials: int
    random_id: str
    _few: bool = field(init=False)
    _shared: ShopOrder | None = field(init=False)
    _made_up: int = 0

    def __post_init__(self) -> None:
        self._few = bool(self.named)
        self._shared = self.named.pop(1) if len(self.named) > 1 else None

    async def take(self, session: aiohttp.ClientSession, *, shared: bool) -> ShopOrder | None:
        """The order of the next story; None when none is left. A `shared` one may serve other stories too."""
        if not self._few:
            return await self._make(session)
        if shared and self._shared is not None:
            return self._shared
        order = self.named.pop(0) if self.named else None
        if shared:
            order = self._shared = order or self._make_up()
        return order

    def spoil(self, order: ShopOrder) -> None:
        """The order was credited against all expectation: it serves no other story."""
        if order == self._shared:
            self._shared = None

    async def _make(self, session: aiohttp.ClientSession) -> ShopOrder:
        if self.question is None:
            return self._make_up()
        text = await self.question.ask(
            session, amount_rials=self.amount_rials, amount_toman=to_toman(self.amount_rials)
        )
        return _order_of(text.strip(), self.amount_rials)

    def _make_up(self) -> ShopOrder:
        self._made_up += 1
        return ShopOrder(f"certify-{self.random_id}-{self._made_up}", self.amount_rials, known=False)


def _order_of(text: str, amount_rials: int) -> ShopOrder:
    """The order that the shop made: its id as text, or JSON with `order_id` or `id`, and perhaps `amount_rials`."""
    order_id: Any = text
    with contextlib.suppress(ValueError):
        document = orjson.loads(text)
        if isinstance(document, dict):
            amount_rials = document.get("amount_rials", amount_rials)
            document = document.get("order_id", document.get("id"))
        order_id = _text(document)
    if not 0 < len(order_id) <= MAX_ID_CHARS or refused_in(order_id):
        raise CertificationStopped(
            f"--new-order should give an order's id alone, or JSON with order_id; it gave {text[:_SHOWN_CHARS]!r}"
        )
    if type(amount_rials) is not int or not MIN_RIALS <= amount_rials <= MOST_RIALS:
        raise CertificationStopped(
            f"--new-order gave amount_rials {str(amount_rials)[:_SHOWN_CHARS]}; it is {MIN_RIALS} to {MOST_RIALS} rials"
        )
    return ShopOrder(order_id, amount_rials)
