"""What sends webhooks: four queues, each with a producer and a worker, and Dargah, whose events are its payments'.

A queue's events are filled in while its worker is not there; Dargah's while its endpoint is paused.
"""

import asyncio
import base64
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from bench.peers import zibal
from bench.peers.dargah import dargah
from bench.peers.databases import pinned_server
from bench.peers.merchants import Ours
from bench.peers.programs import PROGRAMS, REPOSITORY, Program, redis, running
from bench.peers.receiver import Receiver, listening
from bench.peers.requests import ask, get, url_of
from bench.postgres import cpu_of
from bench.shops import RETURN_URL, creates
from proxy.kernel.clock import system_now
from proxy.kernel.ids import Ids
from proxy.merchants.merchant import Mode
from proxy.payments.serializers import sample_data
from proxy.webhooks.event import EventType
from tests.databases.durable import Server

FOREIGN: Final = "bench.peers.foreign"
SECRET: Final = base64.b64encode(bytes(range(32))).decode()
AT_ONCE: Final = 16
FIRST_SECONDS: Final = 60
Enqueue = Callable[[], Awaitable[tuple[str, float]]]
"""Gives the event's name, and the time at which its enqueue began."""


class Sender(Protocol):
    receiver: Receiver

    @property
    def worker(self) -> Program: ...

    def store_cpu_seconds(self) -> float:
        """Of the broker or the database, where that is a process of its own."""

    async def fill(self, count: int) -> None:
        """So many events wait."""

    async def release(self) -> None:
        """They begin to be sent."""

    async def rest(self) -> None:
        """The end of a turn."""

    async def ready(self, count: int) -> Sequence[Enqueue]:
        """The sender waits for events, and so many are made for it."""


@dataclass(slots=True)
class Queue:
    """A queue library: its producer is a process that stays, as a shop's server does."""

    receiver: Receiver
    worker: Program
    producer: asyncio.subprocess.Process
    store: Program | Server
    _turns: int = field(default=0, init=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    def store_cpu_seconds(self) -> float:
        return self.store.cpu_seconds() if isinstance(self.store, Program) else cpu_of(self.store)

    async def fill(self, count: int) -> None:
        self._turns += 1
        await self._produce(f"turn{self._turns} {count}")

    async def release(self) -> None:
        await self.worker.start()

    async def rest(self) -> None:
        await self.worker.stop()

    async def ready(self, count: int) -> Sequence[Enqueue]:
        self.receiver.forget()
        self._turns += 1
        await self.worker.start()
        await self._produce(f"first{self._turns}")
        assert await self.receiver.wait_for(1, FIRST_SECONDS), f"{self.worker.name} sent nothing"
        return [partial(self._one, f"event{self._turns}-{number}") for number in range(count)]

    async def _one(self, name: str) -> tuple[str, float]:
        return name, await self._produce(name)

    async def _produce(self, line: str) -> float:
        assert self.producer.stdin is not None
        assert self.producer.stdout is not None
        async with self._turn:
            self.producer.stdin.write(f"{line}\n".encode())
            return float(await self.producer.stdout.readline())


@dataclass(slots=True)
class Payments:
    """Dargah: an event is a payment that becomes paid by its customer's return."""

    receiver: Receiver
    shop: Ours
    gateway: zibal.Zibal
    _made: int = field(default=0, init=False)

    @property
    def worker(self) -> Program:
        return self.shop.program

    def store_cpu_seconds(self) -> float:
        return cpu_of(self.shop.store)

    async def fill(self, count: int) -> None:
        await self.shop.dargah.hold(paused=True)
        events = iter(await self.ready(count))

        async def some() -> None:
            for enqueue in events:
                await enqueue()

        await asyncio.gather(*(some() for _ in range(AT_ONCE)))

    async def release(self) -> None:
        await self.shop.dargah.hold(paused=False)

    async def rest(self) -> None:
        pass

    async def ready(self, count: int) -> Sequence[Enqueue]:
        """Payments whose customers are at the gateway."""
        made: list[Enqueue] = []
        numbers = iter(range(self._made, self._made + count))
        self._made += count

        async def some() -> None:
            for number in numbers:
                status, body = await ask(url_of(self.shop), self.shop.create(number))
                assert status == 201, body
                track_id, name = self.shop.made(body)
                made.append(partial(self._come_back, name, get(self.gateway.pay(track_id))))

        await asyncio.gather(*(some() for _ in range(AT_ONCE)))
        return made

    async def _come_back(self, name: str, request: bytes) -> tuple[str, float]:
        began = time.monotonic()
        status, body = await ask(url_of(self.shop), request)
        assert status in {200, 303}, (status, body[:200])  # 200 is of one who is asked to wait
        return name, began


@asynccontextmanager
async def payments(folder: Path, core: int, store: Server | None) -> AsyncIterator[Payments]:
    """Dargah on that PostgreSQL or on a new SQLite file."""
    name = "dargah-sqlite" if store is None else "dargah-postgresql"
    async with listening() as receiver, zibal.listening() as gateway:
        database = folder / f"{name}.db" if store is None else store.url
        made = dargah(f"{name}-webhooks", folder, database, core, receiver.port)
        async with running(made.program):
            await made.set_up(gateway.url, receiver.port)
            receiver.secret = made.secret
            yield Payments(receiver, Ours(made, creates(made.token, return_url=RETURN_URL), store), gateway)


def environment(receiver: Receiver, store: Program | Server) -> dict[str, str]:
    """Of producer and worker."""
    data = sample_data(EventType.PAID, "m_0", "main", Mode.LIVE, system_now(), Ids(os.urandom))
    event: dict[str, Any] = {"type": "payment.paid", "timestamp": data["updated_at"], "data": data}
    where = f"redis://127.0.0.1:{store.port}/0" if isinstance(store, Program) else store.url
    return {
        "WEBHOOK_URL": f"http://127.0.0.1:{receiver.port}/hook",
        "WEBHOOK_SECRET": SECRET,
        "WEBHOOK_EVENT": json.dumps(event),
        "REDIS_URL" if isinstance(store, Program) else "DATABASE_URL": where,
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONWARNINGS": "ignore",
    }


# How the worker is started, and what makes its tables.
CELERY: Final = ("celery", "-A", f"{FOREIGN}.tasks_celery", "worker", "--concurrency", "4", "--loglevel", "ERROR")
RQ: Final = (
    "rq", "worker-pool", "--num-workers", "4", "--quiet", "--worker-class", f"{FOREIGN}.tasks_rq.Worker", "--url",
)  # fmt: skip
PGQUEUER: Final = ("python", "-m", f"{FOREIGN}.tasks_pgqueuer")
PROCRASTINATE: Final = ("procrastinate", "--log-level", "error", "--app", f"{FOREIGN}.tasks_procrastinate.app")


@asynccontextmanager
async def queue(name: str, folder: Path, core: int) -> AsyncIterator[Queue]:
    """One of celery, rq, pgqueuer, procrastinate, with a broker or a database of its own."""
    on_redis = name in {"celery", "rq"}
    async with listening() as receiver, running(redis(folder, core)) if on_redis else pinned_server(core) as store:
        receiver.secret = f"whsec_{SECRET}"
        env = environment(receiver, store)
        where = env.get("REDIS_URL") or env["DATABASE_URL"]
        if name == "pgqueuer":
            await run(env, "pgq", "--pg-dsn", where, "install")
        elif name == "procrastinate":
            await run(env, *PROCRASTINATE, "schema", "--apply")
        words = {
            "celery": CELERY,
            "rq": (*RQ, where),
            "pgqueuer": PGQUEUER,
            "procrastinate": (*PROCRASTINATE, "worker", "--concurrency", "8"),
        }[name]
        worker = Program(name, [str(PROGRAMS / words[0]), *words[1:]], folder, core, env=env)
        producer = await begin_producer(name, env)
        try:
            yield Queue(receiver, worker, producer, store)
        finally:
            await worker.stop()
            producer.terminate()
            await producer.wait()


async def begin_producer(name: str, env: dict[str, str]) -> asyncio.subprocess.Process:
    producer = await asyncio.create_subprocess_exec(
        PROGRAMS / "python", "-m", f"{FOREIGN}.produce", name, env=os.environ | env, cwd=REPOSITORY,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert producer.stdout is not None
    if await producer.stdout.readline() != b"ready\n":
        raise SystemExit(f"the producer of {name} has ended: see its error output above")
    return producer


async def run(env: dict[str, str], program: str, *words: str) -> None:
    process = await asyncio.create_subprocess_exec(
        PROGRAMS / program, *words, env=os.environ | env, cwd=REPOSITORY, stdout=asyncio.subprocess.DEVNULL
    )
    if await process.wait() != 0:
        raise SystemExit(f"{program} {' '.join(words)} failed: see its error output above")
