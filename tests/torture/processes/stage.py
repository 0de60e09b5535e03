"""The stage of the campaigns whose Dargahs are processes: the gateway simulator, three storefronts, webhook receivers.

A receiver is one server, a path per storefront, which fails at random by the seed. What came is noted for the judge,
who verifies it. The load tells of the moments at which a kill hurts most.
"""

import asyncio
import os
import signal
from asyncio import Transport
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final, Protocol
from urllib.parse import urlsplit
from weakref import WeakSet

import aiohttp
from aiohttp import web
from support.dargah import server, settings
from support.process import START_SECONDS, Forked, Process
from support.shop import RETURN_ORIGIN

from proxy.app import running
from proxy.gateways.simulation.ledger import HostReturnMethod
from proxy.merchants.merchant import Mode
from proxy.webhooks.endpoint import DEFAULT_IN_FLIGHT, MOST_IN_FLIGHT

from ..history_lines import Recorder
from ..world.chronicle import rules_of
from ..world.families import credentials_of, drawn

MOMENTS: Final = ("creating", "created", "paying", "returning", "returned", "checking", "webhook")


class Moments:
    """`tell` wakes who waits for that moment; nobody need be waiting."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[asyncio.Future[None]]] = defaultdict(list)

    def tell(self, moment: str) -> None:
        for future in self._waiting.pop(moment, ()):
            if not future.done():
                future.set_result(None)

    async def next(self, moment: str, seconds: float) -> bool:
        """Whether the moment came within `seconds`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[moment].append(future)
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            return False
        return True


@dataclass(slots=True)
class Receiver:
    """`arrivals` counts what came, by the event's id; `used` are the connections that have carried a webhook."""

    seed: int
    moments: Moments
    history: Recorder
    fault_rate: float
    url: str = ""
    arrivals: Counter[str] = field(default_factory=Counter)
    used: WeakSet[Transport] = field(default_factory=WeakSet)
    violations: list[str] = field(default_factory=list)

    def app(self) -> web.Application:
        made = web.Application()
        made.router.add_post("/hook/{door}", self._handle)
        return made

    def endpoint_of(self, door: str) -> str:
        return f"{self.url}/hook/{door}"

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.text()
        event_id = request.headers.get("webhook-id", "")
        self.arrivals[event_id] += 1
        self.moments.tell("webhook")
        status = self._status(event_id)
        self.history.note(
            "webhook",
            endpoint=self.endpoint_of(request.match_info["door"]),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
            status=status,
            kept=self._is_kept(request.transport),
        )
        if status == 0 and request.transport is not None:
            # It was taken in, and the sender never hears of it: the same id must come again.
            request.transport.abort()
        return web.Response(status=status or 500)

    def _is_kept(self, connection: Transport | None) -> bool:
        """Whether it had carried a webhook before: what is cut off on such a one is sent once more."""
        if connection is None:
            return False
        kept = connection in self.used
        self.used.add(connection)
        return kept

    def _status(self, event_id: str) -> int:
        """What it answers; 0 to hang up."""
        random = Random(f"{self.seed}|{event_id}|{self.arrivals[event_id]}")
        return random.choice((500, 503, 0, 0)) if random.random() < self.fault_rate else 204


# Short, so that a gateway that does not answer costs the campaign seconds; the simulator's delay outlasts both.
REQUEST_TIMEOUT_SECONDS: Final = 2.0
CHECK_TIMEOUT_SECONDS: Final = 1.5
HISTORY: Final = "history.jsonl"
DELAY_SECONDS: Final = 2.5
LATE_SECONDS: Final = 3.0
# Of the checks and confirms, how many tell of another amount than was taken.
LIE_RATE: Final = 0.02
# The campaign's own hand: however slow the machine is, what it asks for must be known to have been done.
CONTROL_TIMEOUT: Final = aiohttp.ClientTimeout(total=60)
SETTINGS: Final = {
    "DARGAH_REQUEST_TIMEOUT_SECONDS": str(REQUEST_TIMEOUT_SECONDS),
    "DARGAH_CHECK_TIMEOUT_SECONDS": str(CHECK_TIMEOUT_SECONDS),
    "DARGAH_GATEWAY_CALLS_PER_TERMINAL": "64",
    "DARGAH_LOG_LEVEL": "warning",
}
RETURN_METHODS: Final = (HostReturnMethod.GET, HostReturnMethod.POST, HostReturnMethod.GET)
# The last storefront is the first merchant's again, in test mode: nothing of one may be told to the other.
MERCHANTS: Final = len(RETURN_METHODS) - 1
# Of each storefront's endpoints: the default, the most, and a weak shop's.
IN_FLIGHT: Final = (DEFAULT_IN_FLIGHT, MOST_IN_FLIGHT, 2)


@dataclass(frozen=True, slots=True)
class Storefront:
    """A merchant's shop in a mode: its token, its gateway account, that one's family, and its endpoints' limit."""

    merchant_id: str
    mode: Mode
    token: str
    api_key: str
    family: str
    max_in_flight: int

    @property
    def door(self) -> str:
        """Where its webhooks go at a receiver."""
        return f"{self.merchant_id}.{self.mode}"


class Served(Protocol):
    """A Dargah of one process, or of several behind one address. `url` is where the next call goes."""

    @property
    def url(self) -> str: ...

    @property
    def log(self) -> Path: ...

    async def start(self) -> None: ...

    async def kill(self) -> object: ...


@dataclass(slots=True)
class Stage:
    """`public_url` is where Dargah believes that customers reach it; each storefront has an endpoint at each receiver.

    `history` is all that anybody is told, for the judge. `allowed` is DARGAH_WEBHOOK_ALLOW.
    """

    folder: Path
    process: Served
    public_url: str
    gateway_url: str
    storefronts: list[Storefront]
    receivers: list[Receiver]
    moments: Moments
    session: aiohttp.ClientSession
    history: Recorder
    allowed: str = ""

    async def control(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """A call to the simulator's control API: the customer's hands, and the oracle."""
        url = f"{self.gateway_url}/control{path}"
        async with self.session.request(method, url, json=body, timeout=CONTROL_TIMEOUT) as answer:
            return answer.status, await answer.json(content_type=None)

    async def start_chaos(self, seed: int, rate: float) -> None:
        order = {"seed": seed, "rate": rate, "delay_seconds": DELAY_SECONDS, "late_seconds": LATE_SECONDS}
        await self.control("POST", "/chaos", order)
        for operation in ("check", "confirm"):
            lie = {"operation": operation, "kind": "wrong_amount", "probability": LIE_RATE, "seed": seed}
            await self.control("POST", "/faults", lie)

    async def end_faults(self) -> None:
        """From here on the gateway and the receiver do as they should."""
        await self.control("DELETE", "/faults")
        for receiver in self.receivers:
            receiver.fault_rate = 0.0


@asynccontextmanager
async def stage(
    folder: Path,
    seed: int,
    receiver_fault_rate: float,
    make: Callable[..., Process] = Process,
    named: Callable[[str], str] = str,
) -> AsyncIterator[Stage]:
    """Everything but Dargah running; `stage.process` is Dargah, not started yet, and made by `make`.

    `named` gives the URL by which Dargah knows a server on loopback.
    """
    async with AsyncExitStack() as stack:
        moments, history = Moments(), Recorder(folder / HISTORY)
        stack.callback(history.close)
        receiver = Receiver(seed, moments, history, receiver_fault_rate)
        receiver.url = named(await stack.enter_async_context(server(receiver.app())))
        gateway_url = await stack.enter_async_context(simulator(folder / "ledger.db", seed))
        allowed = "" if named is str else ",".join(urlsplit(url).netloc for url in (receiver.url, named(gateway_url)))
        session = await stack.enter_async_context(client(30))
        storefronts = await open_shops(folder, seed, named(gateway_url), [receiver], history, allowed)
        process = make(folder, **SETTINGS, DARGAH_WEBHOOK_ALLOW=allowed)
        stack.push_async_callback(process.kill)
        yield Stage(
            folder, process, process.url, gateway_url, storefronts, [receiver], moments, session, history, allowed
        )


def client(timeout_seconds: float) -> aiohttp.ClientSession:
    """What customers and storefronts call with."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=500),
        timeout=aiohttp.ClientTimeout(total=timeout_seconds),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def open_shops(
    folder: Path, seed: int, gateway_url: str, receivers: Sequence[Receiver], history: Recorder, allowed: str = ""
) -> list[Storefront]:
    """Two merchants in live mode, and the first of them in test mode too, at families that the seed draws."""
    storefronts, merchants = [], []
    async with running(settings(folder, webhook_allow=allowed)) as dargah, aiohttp.ClientSession(dargah.url) as session:
        setup = dargah.services.setup
        for number in range(MERCHANTS):
            merchant, _ = await setup.create_merchant(f"فروشگاه {number}", [RETURN_ORIGIN], actor="test")
            merchants.append(merchant.id)
        for number in range(len(RETURN_METHODS)):
            merchant_id, account = merchants[number % MERCHANTS], _accounts(seed)[number]
            mode = Mode.LIVE if number < MERCHANTS else Mode.TEST
            await setup.add_terminal(
                merchant_id,
                mode,
                gateway_url,
                None,
                mode=mode,
                gateway=account.family,
                credentials=account.credentials,
                actor="test",
            )
            _, token = await setup.issue_token(merchant_id, mode=mode, actor="test")
            storefront = Storefront(merchant_id, mode, token, account.main_id, account.family, IN_FLIGHT[number])
            for receiver in receivers:
                url = receiver.endpoint_of(storefront.door)
                made = await _add_endpoint(session, token, url, storefront.max_in_flight)
                owner = {"merchant": merchant_id, "mode": mode}
                history.note("endpoint", name=url, id=made["id"], secret=made["secret"], **owner)
            own = {"merchant": merchant_id, "mode": mode, "api_key": account.main_id, "token": token}
            history.note("terminal", **own, **rules_of(account.family))
            storefronts.append(storefront)
    return storefronts


async def _add_endpoint(session: aiohttp.ClientSession, token: str, url: str, max_in_flight: int) -> Any:
    """As a storefront registers its own: with its token, and no word of the mode."""
    headers, body = {"Authorization": f"Bearer {token}"}, {"url": url, "max_in_flight": max_in_flight}
    async with session.post("/v1/webhook-endpoints", json=body, headers=headers) as answer:
        made = await answer.json(content_type=None)
        assert answer.status == 201, made
        return made


@dataclass(frozen=True, slots=True)
class _Account:
    """A terminal at the gateway, as both sides know it."""

    family: str
    credentials: Mapping[str, str]
    method: HostReturnMethod

    @property
    def main_id(self) -> str:
        return next(iter(self.credentials.values()))

    @property
    def order(self) -> str:
        """As the simulator's command takes it."""
        main, *others = self.credentials.items()
        settings = "".join(f",{name}={value}" for name, value in (("family", self.family), *others))
        return f"{main[1]}:{self.method.value}{settings}"


def _accounts(seed: int) -> list[_Account]:
    """Those of the storefronts, whose families the seed draws."""
    families = drawn(Random(f"{seed}|families"), len(RETURN_METHODS))
    return [
        _Account(family, credentials_of(family, number), method)
        for number, (family, method) in enumerate(zip(families, RETURN_METHODS, strict=True))
    ]


@asynccontextmanager
async def simulator(ledger: Path, seed: int) -> AsyncIterator[str]:
    """The base URL of a gateway with a ledger that lasts. With `--chaos` its invoice_keys follow the seed too."""
    terminals = [word for account in _accounts(seed) for word in ("--terminal", account.order)]
    arguments = ("simulator", "--quiet", "--port", "0", "--ledger", str(ledger), "--chaos", str(seed), *terminals)
    process = await Forked.launched(arguments, os.environ, ledger.with_suffix(".log"))
    try:
        async with asyncio.timeout(START_SECONDS):
            line = (await process.stdout.readline()).decode()
        assert "ready on " in line, line
        yield line.strip().rsplit(" ", 1)[-1]
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()
