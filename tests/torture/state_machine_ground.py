"""The ground that the state machine plays on: one running Dargah, one gateway, one receiver, used by every example.

An example is a merchant of its own. The clock is ours; what is due is done by the loops' own steps, so that nothing
waits and nothing happens behind an example's back.
"""

import asyncio
import itertools
from collections import Counter, defaultdict
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar
from unittest.mock import patch

import aiohttp
import orjson
from aiohttp import web
from jsonschema_rs import ValidationError
from standardwebhooks import Webhook
from support.dargah import OPERATOR_TOKEN, UNLIMITED, server, settings
from support.shop import RETURN_ORIGIN
from web.openapi_check import check_answer, check_event
from yarl import URL

from proxy.app import Dargah, Outside, running
from proxy.gateways.simulation.gateway import SimulatedGateway
from proxy.gateways.simulation.ledger import SimulatedTerminal
from proxy.kernel.background import Repeater
from proxy.simulator.command import GATEWAY, create_app

T = TypeVar("T")
EPOCH: Final = 1_800_000_000_000
MAX_ROUNDS: Final = 2000


@dataclass(frozen=True, slots=True)
class Said:
    """An answer."""

    status: int
    body: bytes
    headers: Any

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def code(self) -> str:
        """The problem's code, or the empty text when it is none."""
        return str(self.json.get("code", "")) if self.status >= 400 else ""


@dataclass(slots=True)
class Hooks:
    """The receiver: it verifies each webhook by the specification's library, as of when it was sent."""

    url: str = ""
    secrets: dict[str, str] = field(default_factory=dict)
    arrived: dict[str, dict[str, bytes]] = field(default_factory=lambda: defaultdict(dict))
    times: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        name, body = request.match_info["name"], await request.read()
        event_id, timestamp = request.headers["webhook-id"], int(request.headers["webhook-timestamp"])
        right = Webhook(self.secrets[name]).sign(event_id, datetime.fromtimestamp(timestamp, UTC), body.decode())
        if request.headers["webhook-signature"].split() != [right]:
            self.wrong.append(f"{event_id} came to {name} with a wrong signature")
        if self.arrived[name].setdefault(event_id, body) != body:
            self.wrong.append(f"{event_id} came to {name} with two bodies")
        try:
            check_event(orjson.loads(body))
        except ValidationError as error:
            self.wrong.append(f"{event_id} is not of its type's schema: {error}")
        self.times["webhooks arrived"] += 1
        return web.Response(status=204)


class Ground:
    """Everything that runs, for callers that are not coroutines. Made by `ground`."""

    def __init__(self, folder: Path) -> None:
        self.now = EPOCH
        self.hooks = Hooks()
        self.gateway: SimulatedGateway
        self.dargah: Dargah
        self.counts: Counter[str] = Counter()
        self.secrets: list[str] = []
        self._gateway_url = ""
        self._folder = folder
        self._session: aiohttp.ClientSession
        self._numbers = itertools.count()
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    def begin(self) -> None:
        self.run(self._begin())

    def end(self) -> None:
        self.run(self._stack.aclose())
        self._loop.close()

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str = "",
        key: str = "",
        form: dict[str, str] | None = None,
        admin: bool = False,
        held: bool = True,
    ) -> Said:
        """The answer, which openapi.yaml must have (`held`) and in which no gateway key may stand."""
        return self.run(self._call(method, path, body, token, key, form, admin=admin, held=held))

    def merchant(self, *storefronts: str) -> tuple[str, str, str, dict[str, tuple[str, str]]]:
        """A new merchant by the operator's API: its id, return secret, gateway key, and (token id, token) of each."""
        number = next(self._numbers)
        api_key = f"canary-key-of-machine-{number}"
        self.gateway.bank.put_terminal(SimulatedTerminal(api_key))
        self.secrets = [api_key]
        made = self.operator("POST", "/merchants", {"name": f"M{number}", "return_origins": [RETURN_ORIGIN]}).json
        merchant_id: str = made["id"]
        terminal = {"name": "main", "gateway_url": self._gateway_url, "api_key": api_key}
        self.operator("POST", f"/merchants/{merchant_id}/terminals", terminal)
        tokens = {storefront: self.token(merchant_id, storefront) for storefront in storefronts}
        return merchant_id, made["return_secret"], api_key, tokens

    def token(self, merchant_id: str, storefront: str) -> tuple[str, str]:
        """A new token: its id and its text."""
        made = self.operator("POST", f"/merchants/{merchant_id}/tokens", {"storefront": storefront}).json
        return made["id"], made["token"]

    def operator(self, method: str, path: str, body: Any = None) -> Said:
        said = self.call(method, f"/admin/v1{path}", body, token=OPERATOR_TOKEN, admin=True)
        assert said.status < 300, said
        return said

    def forward(self, milliseconds: int) -> None:
        """Time passes at once, and then what is due is done."""
        self.now += milliseconds
        self.run(self._settle())

    def settle(self) -> None:
        """Does what is due now."""
        self.run(self._settle())

    def nothing_is_due(self) -> bool:
        """Whether nothing is planned any more, for nobody."""
        return self.run(self._due()) is None

    async def _begin(self) -> None:
        enter = self._stack.enter_async_context
        app = create_app(clock=lambda: self.now)
        self.gateway = app[GATEWAY]
        self._gateway_url = await enter(server(app))
        receiver = web.Application()
        receiver.router.add_post("/hook/{name}", self.hooks.handle)
        self.hooks.url = await enter(server(receiver)) + "/hook"
        self._session = await enter(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
        outside = Outside(now=lambda: self.now, jitter=lambda: 0.0)
        with patch.object(Repeater, "start"):
            self.dargah = await enter(running(settings(self._folder, drain_seconds=2, **UNLIMITED), outside))

    async def _call(
        self,
        method: str,
        path: str,
        body: Any,
        token: str,
        key: str,
        form: dict[str, str] | None,
        *,
        admin: bool,
        held: bool,
    ) -> Said:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if key:
            headers["Idempotency-Key"] = key
        data: Any = form
        if body is not None:
            data, headers["Content-Type"] = body if isinstance(body, bytes) else orjson.dumps(body), "application/json"
        url = URL((self.dargah.admin_url if admin else self.dargah.url) + path, encoded=True)
        async with self._session.request(method, url, data=data, headers=headers, allow_redirects=False) as answer:
            said = Said(answer.status, await answer.read(), answer.headers)
        self.counts["calls"] += 1
        if held:
            check_answer(method, url.path, said.status, said.headers, said.body)
        for secret in self.secrets:
            assert secret.encode() not in said.body, f"{method} {path} shows a gateway's key"
        return said

    async def _settle(self) -> None:
        poller, delivery = self.dargah.poller, self.dargah.delivery
        for _ in range(MAX_ROUNDS):
            await poller.step()
            await poller.tasks.drain()
            await delivery.step()
            await delivery.tasks.drain()
            due_at = await self._due()
            if due_at is None or due_at > self.now:
                return
        raise AssertionError("there always is something due")

    async def _due(self) -> int | None:
        store = self.dargah.services.store
        times = [
            at
            for at in (await store.payments.next_check_at(), await store.webhooks.next_delivery_at())
            if at is not None
        ]
        return min(times, default=None)


@contextmanager
def ground(folder: Path) -> Iterator[Ground]:
    """A ground with its files in `folder`."""
    made = Ground(folder)
    made.begin()
    try:
        yield made
    finally:
        made.end()
