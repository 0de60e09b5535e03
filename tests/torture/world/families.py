"""The families of a world's terminals: their real clients, over simulators that answer in memory.

No socket is there: a client's POST goes to the handler of its family's own route, and the reply comes back before it
would be played. The invoice script has its own short way, in `network`.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

from aiohttp import web

from proxy.gateways import http_calls
from proxy.gateways.answers import MAX_ANSWER_BYTES, Answer, HttpAnswer, NoAnswer
from proxy.gateways.family import Family
from proxy.gateways.http_calls import HttpCalls, Shows
from proxy.gateways.port import INVOICE_SCRIPT, Account, GatewayClient
from proxy.gateways.registry import FAMILIES
from proxy.gateways.simulation.dialect import Dialect
from proxy.gateways.simulation.gateway import SimulatedGateway
from proxy.gateways.simulation.ledger import State
from proxy.gateways.simulation.replies import WireReply
from proxy.http.outbound.connector import ClientOptions
from proxy.kernel.clock import Now
from proxy.simulator.command import dialect_of

DARGAH_IP: Final = "192.0.2.10"
GATEWAY_URL: Final = "https://gateway.example"
SCRIPT_RATE: Final = 0.5
READ_OF_ERRORS: Final = 4096
CONFIRMING: Final = tuple(name for name, family in FAMILIES.items() if family.traits.confirms)
MONEY_CAME: Final = frozenset({State.PAID, State.CONFIRMED, State.CAPTURED, State.REVERSED})


def drawn(random: Random, count: int) -> tuple[str, ...]:
    """The families of that many terminals: the invoice script as often as all others."""
    return tuple(INVOICE_SCRIPT if random.random() < SCRIPT_RATE else random.choice(CONFIRMING) for _ in range(count))


def credentials_of(family: str, number: int) -> dict[str, str]:
    """Of the family's terminal of that number, below ten, the main id first."""
    sample = dict(dialect_of(family).sample)
    main = next(iter(sample))
    return sample | {main: f"{sample[main][:-1]}{number}"}


def main_id(account: Account) -> str:
    """The terminal's id by which the bank knows it."""
    return account.credentials[next(iter(dialect_of(account.gateway).sample))]


def bank_key(invoice_key: str) -> str:
    """The bank's own key of an invoice: some families pack our number before it."""
    return invoice_key.rpartition(":")[2]


class Carried(web.Response):
    """What a route would have played."""

    def __init__(self, reply: WireReply) -> None:
        super().__init__()
        self.reply = reply


class _InMemory:
    """Of a dialect: replies are taken as they are."""

    async def send(self, _request: web.Request, _call: str, reply: WireReply) -> web.StreamResponse:
        return Carried(reply)


class Wire:
    """A family's simulator without a transport."""

    def __init__(self, family: str, gateway: SimulatedGateway) -> None:
        kind = dialect_of(family)
        made = type(kind.__name__, (_InMemory, kind), {})
        self.dialect: Dialect = made(gateway)
        router = web.UrlDispatcher()
        self.dialect.add_routes(router, "")
        self._routes: dict[str, Any] = {
            route.resource.canonical: route.handler
            for route in router.routes()
            if route.method == "POST" and route.resource is not None
        }

    async def post(self, path: str, body: str, headers: Mapping[str, str]) -> WireReply:
        async def read() -> bytes:
            return body.encode()

        request: Any = SimpleNamespace(read=read, headers=headers, remote=DARGAH_IP, query={})
        carried = await self._routes[path](request)
        assert isinstance(carried, Carried), path
        return carried.reply


Ask = Callable[[], Awaitable[WireReply]]
Carry = Callable[[Ask], Awaitable[HttpAnswer | NoAnswer]]
_CARRY: ContextVar[Carry] = ContextVar("CARRY")


@contextmanager
def carried_by(carry: Carry) -> Iterator[None]:
    """While it lasts, the POSTs of the task go through `carry`, which has them meet turns and faults."""
    token = _CARRY.set(carry)
    try:
        yield
    finally:
        _CARRY.reset(token)


class NetCalls(HttpCalls):
    """The calls of a family's client, which go to its wire; what it makes of the answers is its own."""

    def __init__(
        self,
        wire: Wire,
        options: ClientOptions,
        headers: Mapping[str, str],
        _request_seconds: float = 0.0,
        _check_seconds: float = 0.0,
        *,
        reads_errors: bool = False,
        shows: Shows | None = None,
    ) -> None:
        self._shows = shows
        self._options = options
        self._request_seconds = self._check_seconds = 0.0
        self._headers = headers
        self._reads_errors = reads_errors
        self._wire = wire

    async def close(self) -> None:
        pass

    async def _post(
        self, _base: str, path: str, content_type: bytes, body: str, _seconds: float, *, resend: bool
    ) -> Answer:
        _ = resend
        name, _, value = content_type.decode().strip().partition(": ")
        headers = {**self._headers, **({name: value} if name else {})}
        answer = await _CARRY.get()(partial(self._wire.post, path, body, headers))
        if isinstance(answer, NoAnswer):
            return answer
        assert isinstance(answer, HttpAnswer)
        read = answer.status == 200 or (self._reads_errors and 400 <= answer.status < 500)
        return HttpAnswer(answer.status, answer.body[: MAX_ANSWER_BYTES + 1 if read else READ_OF_ERRORS])


def client_of(family: Family, wire: Wire, now: Now) -> GatewayClient:
    """The family's own client, whose calls go to the wire."""
    with patch.object(http_calls, "HttpCalls", partial(NetCalls, wire)):
        made: GatewayClient = family.make(ClientOptions(now=now, tick=lambda: now() / 1000))
    return made


def confirming(families: Sequence[str]) -> Iterator[str]:
    """Those of them that are not the invoice script, once each."""
    yield from dict.fromkeys(name for name in families if name != INVOICE_SCRIPT)
