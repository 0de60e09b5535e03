"""The gate's queue when its callers give up."""

import asyncio
from contextlib import suppress

import pytest

from proxy.gate import Gate, GateLimits

LIMITS = GateLimits(per_terminal=1, total=1, waiting=10)


async def hold(gate: Gate, until: asyncio.Event) -> None:
    async with gate.slot("trm_1"):
        await until.wait()


async def test_a_caller_who_gives_up_just_when_a_call_ends_is_told_nothing_else() -> None:
    gate, never = Gate(LIMITS, lambda: 0), asyncio.Event()
    done = asyncio.Event()
    holder = asyncio.create_task(hold(gate, done))
    await asyncio.sleep(0)
    waiter = asyncio.create_task(hold(gate, never))
    await asyncio.sleep(0)
    # The holder wakes first, and passes over the waiter, who has not heard yet that it was cancelled.
    done.set()
    waiter.cancel()
    await holder
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert gate.has_room("trm_1")


async def test_the_turn_of_a_caller_who_gave_up_goes_to_the_next() -> None:
    gate, never = Gate(LIMITS, lambda: 0), asyncio.Event()
    done = asyncio.Event()
    holder = asyncio.create_task(hold(gate, done))
    await asyncio.sleep(0)
    first, second = (asyncio.create_task(hold(gate, never)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    done.set()
    await holder
    with suppress(asyncio.CancelledError):
        await first
    await asyncio.sleep(0)
    assert not gate.has_room("trm_1")
    assert not second.done()
    second.cancel()
    with suppress(asyncio.CancelledError):
        await second
