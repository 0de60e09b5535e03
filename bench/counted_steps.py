"""The steps of payments in a Dargah under Valgrind, and their bounds beside it, in CPU instructions of one.

Each step comes alone, but for the backlog's webhooks. The gateway, the shop, the load and PostgreSQL run outside.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from bench.callgrind import Instructions, Meter, counted
from bench.load import Connection
from bench.shops import ABOVE_ALL, RETURN_URL, Shop, come_back, creates, gateway, listening, must_be, post, set_up
from proxy.demo.stage import Stage

CREATE, RETURN, CHECK, WEBHOOK, BACKLOG = "create", "return", "check", "webhook", "webhook of a backlog"
PASS_THROUGH, DURABLE, CLIENT_LOOP = "pass-through", "a create's bare transactions", "bare client loop"
JSON: Final = "application/json"

Figures = dict[str, Instructions]


@dataclass(frozen=True, slots=True)
class Counts:
    """How many of a step are counted together, how often, and how many of each warm up before."""

    batch: int = 25
    batches: int = 4
    warm_up: int = 30


class CountedDargah(Stage):
    """`dargah serve` of a tree under Valgrind, and its commands; `tree` is its folder."""

    def __init__(self, tree: Path, folder: Path, hook_port: int, settings: Mapping[str, str]) -> None:
        python = {"PYTHONHASHSEED": "0", "PYTHONSAFEPATH": "1", "PYTHONPATH": str(tree)}
        super().__init__(folder, shop_port=hook_port, settings=ABOVE_ALL | python | dict(settings))
        python_of_tree = tree / ".venv/bin/python"
        self._python = str(python_of_tree) if python_of_tree.exists() else sys.executable

    def _dargah(self, *arguments: str) -> tuple[str, ...]:  # type: ignore[override] # it is the tree's, not this one's
        return self._python, "-m", "proxy", *arguments

    @asynccontextmanager
    async def served(self) -> AsyncIterator[Meter]:
        self._env["DARGAH_KEYS"] = (await self.command("keys", "generate")).strip()
        with (self._folder / "lines").open("wb") as lines:
            async with counted(self._folder, self._dargah("serve")[1:], self._env, self._python, lines) as meter:
                yield meter


class Storefront:
    """One of a merchant with this token, whose requests come one after the other on one connection."""

    def __init__(self, connection: Connection, token: str) -> None:
        self._ask = connection.ask
        self._bearer = b"Authorization: Bearer " + token.encode()
        self._make = creates(token, return_url=RETURN_URL)
        self._created = 0

    async def create(self, count: int) -> list[dict[str, Any]]:
        """So many new payments."""
        made = []
        for _ in range(count):
            status, body = await self._ask(self._make(self._created))
            self._created += 1
            must_be(status, 201)
            made.append(json.loads(body))
        return made

    async def come_back(self, payments: Sequence[Mapping[str, Any]], told: Shop | None = None) -> None:
        """Their customers return; with a shop, each waits until its webhook was answered."""
        for payment in payments:
            status, _ = await self._ask(come_back(payment["pay_url"]))
            must_be(status, 303)
            if told is not None:
                await told.wait_for(1)
                told.forget()

    async def check(self, payments: Sequence[Mapping[str, Any]]) -> None:
        for payment in payments:
            status, _ = await self._ask(post(f"/v1/payments/{payment['id']}/check", b"", JSON, self._bearer))
            must_be(status, 200)

    async def listen(self, url: str) -> None:
        """Adds its one endpoint."""
        made = await self._send(b"POST /v1/webhook-endpoints", {"url": url})
        self._endpoint = f"PATCH /v1/webhook-endpoints/{made['id']}".encode()

    async def pause(self, *, paused: bool) -> None:
        """Has the webhooks of its endpoint wait, or leave."""
        await self._send(self._endpoint, {"paused": paused})

    async def _send(self, start: bytes, said: dict[str, Any]) -> Any:
        body = json.dumps(said).encode()
        head = (start + b" HTTP/1.1", b"Host: 127.0.0.1", self._bearer, b"Content-Type: application/json")
        status, answer = await self._ask(b"\r\n".join((*head, b"Content-Length: %d" % len(body), b"", body)))
        must_be(status, 201 if start.startswith(b"POST") else 200)
        return json.loads(answer)


@dataclass(frozen=True, slots=True)
class Merchants:
    """Two in one Dargah, of which one is told by webhooks; each count is of a batch."""

    meter: Meter
    told: Storefront
    untold: Storefront
    shop: Shop
    batch: int

    async def warm_up(self, count: int, only: Sequence[str]) -> None:
        if set(only) == {CREATE}:  # on PostgreSQL webhooks wait for timers, which are slow here
            await self.untold.create(count)
            return
        await self.untold.come_back(await self.untold.create(count))
        await self.untold.check(await self.untold.create(count))
        await self.told.come_back(await self.told.create(count), self.shop)

    async def create(self) -> Instructions:
        return await self.meter.count(self.untold.create(self.batch))

    async def come_back(self) -> Instructions:
        return await self.meter.count(self.untold.come_back(await self.untold.create(self.batch)))

    async def come_back_and_tell(self) -> Instructions:
        return await self.meter.count(self.told.come_back(await self.told.create(self.batch), self.shop))

    async def check(self) -> Instructions:
        return await self.meter.count(self.untold.check(await self.untold.create(self.batch)))

    async def tell_backlog(self) -> Instructions:
        await self.told.pause(paused=True)
        await self.told.come_back(await self.told.create(self.batch))
        return await self.meter.count(self._let_go())

    async def _let_go(self) -> None:
        await self.told.pause(paused=False)
        await self.shop.wait_for(self.batch)
        self.shop.forget()


COUNTS: Final[Mapping[str, Callable[[Merchants], Awaitable[Instructions]]]] = {
    CREATE: Merchants.create,
    RETURN: Merchants.come_back,
    CHECK: Merchants.check,
    WEBHOOK: Merchants.come_back_and_tell,
    BACKLOG: Merchants.tell_backlog,
}
STEPS: Final = tuple(COUNTS)


@asynccontextmanager
async def merchants(tree: Path, counts: Counts, settings: Mapping[str, str]) -> AsyncIterator[Merchants]:
    """Of a new process of that tree; `settings` are its DARGAH_ ones."""
    shop = Shop()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port, asked = await stack.enter_async_context(listening(shop)), await stack.enter_async_context(gateway())
        dargah = CountedDargah(tree, folder, port, settings)
        meter = await stack.enter_async_context(dargah.served())
        told, untold = [
            Storefront(await Connection.open(dargah.url), await set_up(dargah, asked.url, None)) for _ in range(2)
        ]
        await told.listen(f"http://127.0.0.1:{port}/hook")
        await meter.start()
        yield Merchants(meter, told, untold, shop, counts.batch)


async def dargahs_steps(
    tree: Path, counts: Counts, settings: Mapping[str, str] | None = None, only: Sequence[str] = STEPS
) -> Figures:
    """Each step in that tree's Dargah. A WEBHOOK needs the RETURN before it."""
    figures: Figures = {}
    async with merchants(tree, counts, settings or {}) as made:
        await made.warm_up(counts.warm_up, only)
        for step in only:
            figures[step] = await least_of(counts, partial(COUNTS[step], made))
    if WEBHOOK in figures:
        figures[WEBHOOK] -= figures[RETURN]
    return figures


async def least_of(counts: Counts, one: Callable[[], Awaitable[Instructions]]) -> Instructions:
    """Of one in the batches, by each kind of thread: what else the process does meanwhile only adds to it."""
    found = [astuple(await one() / counts.batch) for _ in range(counts.batches)]
    return Instructions(*map(min, zip(*found, strict=True)))


async def bounds(counts: Counts) -> Figures:
    """The pass-through, a create's bare transactions in a SQLite file, and the client loop."""
    shop = Shop()
    with tempfile.TemporaryDirectory() as folder:
        async with listening(shop) as port:
            return {
                PASS_THROUGH: await pass_through(counts),
                DURABLE: await durable(counts, f"{folder}/bare.db"),
                CLIENT_LOOP: await _on_demand(counts, "webhooks", f"http://127.0.0.1:{port}/hook"),
            }


async def durable(counts: Counts, database: str) -> Instructions:
    """A create's bare transactions on that database: SQLite's file, or PostgreSQL's URL."""
    return await _on_demand(counts, "durable", database)


async def pass_through(counts: Counts) -> Instructions:
    env = {"PYTHONPATH": str(Path.cwd())}
    with tempfile.TemporaryDirectory() as folder:
        async with (
            gateway() as asked,
            counted(Path(folder), ("bench/servers.py", "pass-through", asked.url), env) as meter,
        ):
            storefront = Storefront(await Connection.open(meter.url), "none")
            await meter.start()
            await storefront.create(counts.warm_up)
            return await least_of(counts, lambda: meter.count(storefront.create(counts.batch)))


async def _on_demand(counts: Counts, what: str, where: str) -> Instructions:
    env = {"PYTHONPATH": str(Path.cwd())}
    with tempfile.TemporaryDirectory() as folder:
        async with counted(Path(folder), ("-m", "bench.bare", what, where), env) as meter:
            address = urlsplit(meter.url)
            reader, writer = await asyncio.open_connection(address.hostname, address.port)

            async def act(count: int) -> None:
                writer.write(b"%d\n" % count)
                await reader.readline()

            await meter.start()
            await act(counts.warm_up)
            return await least_of(counts, lambda: meter.count(act(counts.batch)))
