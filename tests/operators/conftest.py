"""A real store, a real listener, and a clock that the test holds."""

import os
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from databases.places import AnyStore, store_in
from web import openapi_check

from proxy.adapters.prober import HttpProber
from proxy.adapters.vault import KeyRing, RingVault, generate_line
from proxy.checkout import Checkout
from proxy.directory import Directory
from proxy.doctor.base import Surroundings
from proxy.doctor.doctor import Doctor
from proxy.gate import Gate, GateLimits
from proxy.ids import Ids
from proxy.loops import Tasks
from proxy.metrics import Metrics
from proxy.operators.operators import Operators
from proxy.records import Account, Answer, Checked, Outgoing, Requested
from proxy.recovery.recovery import Recovery
from proxy.reviews import Reviews
from proxy.settlement import Settlement
from proxy.setup import HttpPolicy, Setup
from proxy.trial import Trial
from proxy.web.admin import create_admin_app
from proxy.web.admin_services import AdminServices

OPERATORS = {"sara": "sara-token-0123456789abcdef", "omid": "omid-token-0123456789abcdef"}


@dataclass
class Clock:
    now: int = 1_795_514_400_000  # 2026-11-24T10:00:00Z

    def __call__(self) -> int:
        self.now += 1  # no two acts in the same millisecond, so that the newest is the newest
        return self.now


@dataclass
class Admin:
    """A live operator's API, and everything that it ever answered."""

    url: str
    session: ClientSession
    answers: list[bytes] = field(default_factory=list)

    async def call(
        self, method: str, path: str, body: Any = None, *, token: str | None = OPERATORS["sara"], **options: Any
    ) -> tuple[int, Any]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        if body is not None:
            options["json"] = body
        async with self.session.request(method, f"{self.url}/admin/v1{path}", headers=headers, **options) as answer:
            raw = await answer.read()
            self.answers.append(raw + repr(dict(answer.headers)).encode())
            openapi_check.check_answer(method, f"/admin/v1{path}", answer.status, answer.headers, raw)
            return answer.status, await answer.json(content_type=None) if raw else None

    async def made(self, path: str, body: Any) -> Any:
        """What a POST made; it must succeed."""
        status, answer = await self.call("POST", path, body)
        assert status == 201, answer
        return answer


class NoGateway:
    """Nothing here is paid; whatever asks a gateway is tested with the simulator."""

    async def request(self, account: Account, amount_rials: int, return_url: str) -> Requested:
        raise NotImplementedError

    async def check(self, account: Account, invoice_key: str) -> Checked:
        raise NotImplementedError


class NoReceiver:
    async def send(self, outgoing: Outgoing) -> Answer:
        raise NotImplementedError


def services_of(setup: Setup, store: AnyStore, vault: RingVault, clock: Clock) -> AdminServices:
    ids = Ids(os.urandom)
    settlement = Settlement(store, ids, clock, lambda: 0.0)
    gate, directory = Gate(GateLimits(), clock), Directory(store, vault, clock)
    checkout = Checkout(store, directory, NoGateway(), gate, settlement, ids, clock, "http://127.0.0.1")
    trial = Trial(store, directory, NoReceiver(), ids, clock)
    around = Surroundings(
        "http://127.0.0.1:1", development=True, database=Path(), admin_on_loopback=True, kek_id=vault.kek_id
    )
    return AdminServices(
        setup=setup,
        reviews=Reviews(store, settlement, ids, clock),
        recovery=Recovery(store, checkout, clock),
        doctor=Doctor(store, directory, NoGateway(), trial, HttpProber(), ids, clock, around),
        store=store,
        tasks=Tasks(100),
        metrics=Metrics(),
        random_bytes=os.urandom,
        operators=Operators(store, ids, clock, OPERATORS),
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "dargah.db"


@pytest.fixture
async def store(folder: Path, clock: Clock) -> AsyncIterator[AnyStore]:
    store = await store_in(folder, clock)
    yield store
    await store.close()


@pytest.fixture
def key_line() -> str:
    return generate_line("k1")


@pytest.fixture
def vault(key_line: str) -> RingVault:
    return RingVault(KeyRing.parse(key_line))


@pytest.fixture
def changes() -> list[int]:
    """One entry for each time that the set-up said that something changed."""
    return []


@pytest.fixture
def setup(store: AnyStore, vault: RingVault, clock: Clock, changes: list[int]) -> Setup:
    return Setup(store, vault, clock, changed=lambda: changes.append(clock.now))


@pytest.fixture
def services(setup: Setup, store: AnyStore, vault: RingVault, clock: Clock) -> AdminServices:
    return services_of(setup, store, vault, clock)


@pytest.fixture
async def serve_admin(store: AnyStore, vault: RingVault, clock: Clock) -> AsyncIterator[Callable[[Setup], Any]]:
    runners: list[web.AppRunner] = []
    async with ClientSession() as session:

        async def serve(setup: Setup) -> Admin:
            runner = web.AppRunner(create_admin_app(services_of(setup, store, vault, clock)))
            await runner.setup()
            runners.append(runner)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            return Admin(f"http://127.0.0.1:{runner.addresses[0][1]}", session)

        yield serve
        for runner in runners:
            await runner.cleanup()


@pytest.fixture
async def admin(serve_admin: Callable[[Setup], Any], setup: Setup) -> Admin:
    served: Admin = await serve_admin(setup)
    return served


@pytest.fixture
def development(store: AnyStore, vault: RingVault, clock: Clock) -> Setup:
    http = HttpPolicy(loopback=True, targets=frozenset({"shop:3000"}))
    return Setup(store, vault, clock, random.Random(7).randbytes, http=http)
