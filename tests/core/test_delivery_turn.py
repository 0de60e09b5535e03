"""How long an endpoint keeps its place in the engine: for ever while nobody waits, for a turn while others do."""

import random
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from proxy.delivery import ATTEMPTS_IN_A_TURN, Delivery
from proxy.directory import Directory
from proxy.ids import Ids
from proxy.merchant import Endpoint, EndpointState
from proxy.ports import Store
from proxy.records import Answer, Claim, Finished, Judged, Lease, Outgoing, StoredEvent
from proxy.verdict import Health, judge

NOW = 1_800_000_000_000
ENDPOINT = Endpoint(
    "ep_1", "mer_1", "https://shop.example/hook", None, frozenset(), "", {}, EndpointState.ENABLED, None, NOW, NOW, NOW
)
EVENT = StoredEvent("evt_1", "mer_1", 1, None, "ping", None, NOW, b"{}")


@dataclass
class Backlog:
    """A store that lets one delivery at a time start; it notes how many a place was given in a row."""

    waiting: deque[Claim]
    in_a_row: list[int] = field(default_factory=list)

    async def claim_deliveries(self, _now: int, _lease: Lease, limit: int) -> list[Claim]:
        claims = [self.waiting.popleft() for _ in range(min(1, limit, len(self.waiting)))]
        self.in_a_row += [1] * len(claims)
        return claims

    async def record_attempt(self, finished: Finished, follow: Lease | None) -> Judged:
        verdict = judge(Health(), 1, finished.attempt.status, None, finished.at, 0.0)
        if follow is None or not self.waiting:
            return Judged(verdict, None)
        self.in_a_row[-1] += 1
        return Judged(verdict, self.waiting.popleft())

    async def next_delivery_at(self) -> int | None:
        return NOW if self.waiting else None


class Keys:
    async def signing_keys(self, _endpoint: Endpoint) -> list[str]:
        return []


@dataclass
class Shop:
    status: int = 204

    async def send(self, _outgoing: Outgoing) -> Answer:
        return Answer(self.status, None, 1)


async def places(count: int, max_in_flight: int, status: int = 204) -> list[int]:
    claims = [Claim("mer_1", f"dlv_{n}", ENDPOINT, replace(EVENT, id=f"evt_{n}"), 1, 1, NOW, "t") for n in range(count)]
    store = Backlog(deque(claims))
    engine = Delivery(
        cast("Store", store),
        cast("Directory", cast("Any", Keys())),
        Shop(status),
        Ids(random.Random(1).randbytes),
        lambda: NOW,
        lambda: 0.0,
        max_in_flight=max_in_flight,
    )
    while store.waiting or len(engine.tasks):
        await engine.step()
        await engine.tasks.drain()
    return store.in_a_row


async def test_where_others_wait_a_place_goes_on_after_a_turn() -> None:
    assert await places(2 * ATTEMPTS_IN_A_TURN + 1, max_in_flight=1) == [ATTEMPTS_IN_A_TURN, ATTEMPTS_IN_A_TURN, 1]


@pytest.mark.parametrize("status", [404, 500])
async def test_where_others_wait_a_failure_ends_the_turn(status: int) -> None:
    assert await places(3, max_in_flight=1, status=status) == [1, 1, 1]


async def test_where_nobody_waits_an_endpoint_keeps_its_place() -> None:
    assert await places(3 * ATTEMPTS_IN_A_TURN, max_in_flight=2) == [3 * ATTEMPTS_IN_A_TURN]
