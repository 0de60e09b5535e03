"""A real store, a real listener and a clock that the test holds; an operator's desk before a whole running Dargah."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from databases.places import AnyStore, store_in
from support.clock import ManualClock, OffsetClock
from support.command import Cli
from support.dargah import OPERATOR_TOKEN, server
from support.eventually import eventually
from support.fakes import FakeSender, NoGateway
from support.shop import Shop, playground
from web import openapi_check
from web.openapi_check import check_answer

from proxy.api.admin.app import create_admin_app
from proxy.api.services import AdminServices
from proxy.app import Dargah, Outside
from proxy.gateways.circuit_breaker import CircuitBreaker
from proxy.gateways.concurrency_limiter import ConcurrencyLimiter, ConcurrencyLimits
from proxy.kernel.background import Tasks
from proxy.kernel.ids import Ids
from proxy.merchants.cache import GuardedGateway, MerchantCache
from proxy.merchants.setup import HttpPolicy, MerchantSetup
from proxy.merchants.vault import KeyRing, Vault, generate_line
from proxy.observability.metrics import Metrics
from proxy.operations.doctor.base import InspectedSettings, Prober, Repositories
from proxy.operations.doctor.doctor import Doctor
from proxy.operations.recovery import Recovery
from proxy.operations.test_events import EventTester
from proxy.operators.operators import Operators
from proxy.operators.second_factor import SecondFactors
from proxy.payments.checkout import Checkout
from proxy.payments.settlement import Reviews, Settlement
from proxy.webhooks.endpoint import EndpointSecrets
from proxy.webhooks.endpoint_setup import EndpointSetup
from proxy.webhooks.resends import Resends

BEGIN = 1_795_514_400_000  # 2026-11-24T10:00:00Z
OPERATORS = {"sara": "sara-token-0123456789abcdef", "omid": "omid-token-0123456789abcdef"}


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


def services_of(setup: MerchantSetup, store: AnyStore, vault: Vault, clock: ManualClock) -> AdminServices:
    ids = Ids(os.urandom)
    settlement = Settlement(store.payments, ids, clock, lambda: 0.0)
    limiter, breaker = ConcurrencyLimiter(ConcurrencyLimits()), CircuitBreaker(clock)
    merchant_cache = MerchantCache(store.merchants, vault, clock)
    guarded = GuardedGateway(NoGateway(), merchant_cache, limiter, breaker)
    checkout = Checkout(store.payments, guarded, settlement, clock)
    event_tester = EventTester(store.webhooks, EndpointSecrets(store.merchants, vault, clock), FakeSender(), ids, clock)
    around = InspectedSettings(
        "http://127.0.0.1:1", development=True, database=Path(), admin_on_loopback=True, kek_id=vault.kek_id
    )
    operators = Operators(store.operators, store.audit, ids, clock, OPERATORS)
    return AdminServices(
        setup=setup,
        endpoints=EndpointSetup(store.merchants, store.webhooks, vault, clock),
        reviews=Reviews(store.payments, settlement, ids, clock),
        recovery=Recovery(store.payments, checkout, clock),
        doctor=Doctor(
            Repositories(store.heartbeat, store.merchants, store.webhooks, store.retention, store.payments),
            merchant_cache,
            NoGateway(),
            event_tester,
            Prober(),
            ids,
            clock,
            around,
        ),
        resends=Resends(store.resends, store.webhooks, store.merchants, ids, clock),
        store=store,
        tasks=Tasks(100),
        metrics=Metrics(),
        random_bytes=os.urandom,
        operators=operators,
        second_factors=SecondFactors(
            store.second_factors, store.merchants, store.audit, vault, os.urandom, clock, operators.forget
        ),
    )


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(BEGIN, step=1)  # no two acts in the same millisecond, so that the newest is the newest


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "dargah.db"


@pytest.fixture
async def store(folder: Path, clock: ManualClock) -> AsyncIterator[AnyStore]:
    store = await store_in(folder, clock)
    yield store
    await store.close()


@pytest.fixture
def key_line() -> str:
    return generate_line("k1")


@pytest.fixture
def vault(key_line: str) -> Vault:
    return Vault(KeyRing.parse(key_line))


@pytest.fixture
def changes() -> list[int]:
    """One entry for each time that the set-up said that something changed."""
    return []


@pytest.fixture
def setup(store: AnyStore, vault: Vault, clock: ManualClock, changes: list[int]) -> MerchantSetup:
    return MerchantSetup(store.merchants, vault, clock, changed=lambda: changes.append(clock.now))


@pytest.fixture
def endpoints(store: AnyStore, vault: Vault, clock: ManualClock) -> EndpointSetup:
    return EndpointSetup(store.merchants, store.webhooks, vault, clock)


@pytest.fixture
def services(setup: MerchantSetup, store: AnyStore, vault: Vault, clock: ManualClock) -> AdminServices:
    return services_of(setup, store, vault, clock)


@pytest.fixture
async def serve_admin(
    store: AnyStore, vault: Vault, clock: ManualClock
) -> AsyncIterator[Callable[[MerchantSetup], Any]]:
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(ClientSession())

        async def serve(setup: MerchantSetup) -> Admin:
            app = create_admin_app(services_of(setup, store, vault, clock))
            return Admin(await stack.enter_async_context(server(app)), session)

        yield serve


@pytest.fixture
async def admin(serve_admin: Callable[[MerchantSetup], Any], setup: MerchantSetup) -> Admin:
    served: Admin = await serve_admin(setup)
    return served


@pytest.fixture
def development(store: AnyStore, vault: Vault, clock: ManualClock) -> EndpointSetup:
    http = HttpPolicy(loopback=True, targets=frozenset({"shop:3000"}))
    return EndpointSetup(store.merchants, store.webhooks, vault, clock, http=http)


@dataclass
class Desk:
    shop: Shop
    dargah: Dargah
    clock: OffsetClock
    cli: Cli

    async def call(self, method: str, path: str, body: Any = None, **query: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
        url = f"{self.dargah.admin_url}/admin/v1{path}"
        async with self.shop.session.request(method, url, json=body, params=query, headers=headers) as answer:
            raw = await answer.read()
            check_answer(method, f"/admin/v1{path}", answer.status, answer.headers, raw)
            return answer.status, await answer.json(content_type=None)

    async def odd(self, **fields: Any) -> dict[str, Any]:
        """A payment of which another amount was taken than was asked."""
        payment = await self.shop.created(**fields)
        await self.shop.fault("check", "wrong_amount", amount_rials=1000, invoice_key=payment["invoice_key"], times=1)
        await self.shop.act(payment, "pay")
        return await self.check(payment)

    async def canceled_then_paid(self, **fields: Any) -> dict[str, Any]:
        """A payment that Dargah knows as canceled, and of which the bank has the money since."""
        payment = await self.shop.created(**fields)
        await self.shop.act(payment, "cancel")
        assert (await self.check(payment))["status"] == "canceled"
        await self.shop.act(payment, "pay")
        return payment

    async def check(self, payment: dict[str, Any]) -> dict[str, Any]:
        status, checked = await self.shop.call("POST", f"/v1/payments/{payment['id']}/check")
        assert status == 200, checked
        return checked

    async def timeline(self, payment: dict[str, Any]) -> list[dict[str, Any]]:
        status, answer = await self.call("GET", f"/payments/{payment['id']}/timeline")
        assert (status, answer["truncated"]) == (200, False)
        entries: list[dict[str, Any]] = answer["data"]
        return entries

    async def timeline_with(self, payment: dict[str, Any], kind: str, **data: Any) -> list[dict[str, Any]]:
        """The timeline once it has such an entry."""

        async def look() -> list[dict[str, Any]] | None:
            entries = await self.timeline(payment)
            fits = [entry for entry in entries if entry["kind"] == kind and entry["data"].items() >= data.items()]
            return entries if fits else None

        return await eventually(look)


@asynccontextmanager
async def desk(folder: Path, **more: Any) -> AsyncIterator[Desk]:
    clock = OffsetClock()
    async with playground(folder, outside=Outside(now=clock), **more) as (shop, dargah):
        variables = {"DARGAH_ADMIN_URL": dargah.admin_url, "DARGAH_ADMIN_TOKEN": OPERATOR_TOKEN}
        yield Desk(shop, dargah, clock, Cli(variables, folder))


@pytest.fixture
async def office(folder: Path) -> AsyncIterator[Desk]:
    async with desk(folder) as made:
        yield made


@pytest.fixture
def cli(admin: Admin, tmp_path: Path) -> Cli:
    return Cli({"DARGAH_ADMIN_URL": admin.url, "DARGAH_ADMIN_TOKEN": OPERATORS["sara"]}, tmp_path)


@pytest.fixture
async def played(folder: Path) -> AsyncIterator[tuple[Shop, Dargah]]:
    async with playground(folder) as (shop, dargah):
        yield shop, dargah
