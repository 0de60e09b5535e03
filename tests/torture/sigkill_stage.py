"""The stage of the SIGKILL campaign: the gateway simulator and Dargah as processes, three merchants, one receiver."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import aiohttp
from e2e.playground import RETURN_ORIGIN, server, settings
from e2e.process import START_SECONDS, Process

from proxy.app import running
from proxy.merchant import Mode
from proxy.simulator.ledger import ReturnMethod

from .sigkill_moments import Moments
from .sigkill_receiver import Receiver

# Short, so that a gateway that does not answer costs the campaign seconds; the simulator's delay outlasts both.
REQUEST_TIMEOUT_SECONDS: Final = 2.0
CHECK_TIMEOUT_SECONDS: Final = 1.5
DELAY_SECONDS: Final = 2.5
LATE_SECONDS: Final = 3.0
# The campaign's own hand: however slow the machine is, what it asks for must be known to have been done.
CONTROL_TIMEOUT: Final = aiohttp.ClientTimeout(total=60)
SETTINGS: Final = {
    "DARGAH_REQUEST_TIMEOUT_SECONDS": str(REQUEST_TIMEOUT_SECONDS),
    "DARGAH_CHECK_TIMEOUT_SECONDS": str(CHECK_TIMEOUT_SECONDS),
    "DARGAH_GATEWAY_CALLS_PER_TERMINAL": "64",
    "DARGAH_LOG_LEVEL": "warning",
}
RETURN_METHODS: Final = (ReturnMethod.GET, ReturnMethod.POST, ReturnMethod.GET)


@dataclass(frozen=True, slots=True)
class Storefront:
    """A merchant's shop: its token here, its account at the gateway."""

    merchant_id: str
    token: str
    api_key: str


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
    """`public_url` is where Dargah believes that customers reach it; each merchant has an endpoint at each receiver."""

    folder: Path
    process: Served
    public_url: str
    gateway_url: str
    storefronts: list[Storefront]
    receivers: list[Receiver]
    moments: Moments
    session: aiohttp.ClientSession

    @property
    def receiver(self) -> Receiver:
        return self.receivers[0]

    async def control(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """A call to the simulator's control API: the customer's hands, and the oracle."""
        url = f"{self.gateway_url}/control{path}"
        async with self.session.request(method, url, json=body, timeout=CONTROL_TIMEOUT) as answer:
            return answer.status, await answer.json(content_type=None)

    async def start_chaos(self, seed: int, rate: float) -> None:
        order = {"seed": seed, "rate": rate, "delay_seconds": DELAY_SECONDS, "late_seconds": LATE_SECONDS}
        await self.control("POST", "/chaos", order)

    async def end_faults(self) -> None:
        """From here on the gateway and the receiver do as they should."""
        await self.control("DELETE", "/faults")
        for receiver in self.receivers:
            receiver.fault_rate = 0.0


@asynccontextmanager
async def stage(folder: Path, seed: int, receiver_fault_rate: float) -> AsyncIterator[Stage]:
    """Everything but Dargah running; `stage.process` is Dargah, not started yet."""
    async with AsyncExitStack() as stack:
        moments = Moments()
        receiver = Receiver(seed, moments, receiver_fault_rate)
        receiver.url = await stack.enter_async_context(server(receiver.app()))
        gateway_url = await stack.enter_async_context(simulator(folder / "ledger.db", seed))
        session = await stack.enter_async_context(client(30))
        storefronts = await open_shops(folder, gateway_url, [receiver])
        process = Process(folder, **SETTINGS)
        stack.push_async_callback(process.kill)
        yield Stage(folder, process, process.url, gateway_url, storefronts, [receiver], moments, session)


def client(timeout_seconds: float) -> aiohttp.ClientSession:
    """What customers and storefronts call with."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=500),
        timeout=aiohttp.ClientTimeout(total=timeout_seconds),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def open_shops(folder: Path, gateway_url: str, receivers: Sequence[Receiver]) -> list[Storefront]:
    storefronts = []
    async with running(settings(folder)) as dargah:
        setup = dargah.services.setup
        for number, _ in enumerate(RETURN_METHODS):
            merchant, _ = await setup.create_merchant(f"فروشگاه {number}", [RETURN_ORIGIN], actor="test")
            api_key = _api_key(number)
            await setup.add_terminal(merchant.id, "main", gateway_url, api_key, mode=Mode.LIVE, actor="test")
            _, token = await setup.issue_token(merchant.id, "main", actor="test")
            for receiver in receivers:
                _, secret = await setup.add_endpoint(merchant.id, f"{receiver.url}/hook/{merchant.id}", actor="test")
                receiver.secrets[merchant.id] = secret
            storefronts.append(Storefront(merchant.id, token, api_key))
    return storefronts


def _api_key(number: int) -> str:
    return f"sigkill-terminal-{number}"


@asynccontextmanager
async def simulator(ledger: Path, seed: int) -> AsyncIterator[str]:
    """The base URL of a gateway with a ledger that lasts. With `--chaos` its invoice_keys follow the seed too."""
    terminals = [
        word
        for number, method in enumerate(RETURN_METHODS)
        for word in ("--terminal", f"{_api_key(number)}:{method.value}")
    ]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "simulator", "--quiet", "--port", "0", "--ledger", str(ledger)),
        *("--chaos", str(seed), *terminals),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            line = (await process.stdout.readline()).decode()
        assert "ready on " in line, line
        yield line.strip().rsplit(" ", 1)[-1]
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()
