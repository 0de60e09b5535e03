"""The audit log where several replicas write it: one whole chain per merchant, on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from databases.server import Databases

from proxy.adapters import postgresql
from proxy.audit.log import AuditLog
from proxy.ports import Store
from store.records import MERCHANT_ID, NOW, add_merchant, new_audit
from store.test_operators import installation_audit, new_operator

OTHER = "mer_OTHER001"


@pytest.fixture
async def replicas(databases: Databases) -> AsyncIterator[list[Store]]:
    async with databases.lent() as url, AsyncExitStack() as stack:
        opened: list[Store] = []
        for _ in range(3):
            store = await postgresql.open_store(url, now=lambda: NOW)
            stack.push_async_callback(store.close)
            opened.append(store)
        yield opened


async def test_replicas_that_write_at_once_make_one_whole_chain(replicas: list[Store]) -> None:
    for merchant_id in (MERCHANT_ID, OTHER):
        await add_merchant(replicas[0], merchant_id)
    merchants = (MERCHANT_ID, OTHER)
    acts = [
        store.add_audit(new_audit(merchant_id)) for _ in range(15) for store in replicas for merchant_id in merchants
    ]
    await asyncio.gather(*acts)
    for merchant_id in merchants:
        verified = await AuditLog(replicas[1]).verify(merchant_id)
        assert (verified.broken, verified.reached.number) == (None, 1 + 45)


async def test_a_look_while_others_write_finds_no_break(replicas: list[Store]) -> None:
    await add_merchant(replicas[0])
    writing = asyncio.gather(*(store.add_audit(new_audit()) for _ in range(30) for store in replicas[:2]))
    log = AuditLog(replicas[2])
    while not writing.done():
        assert (await log.verify(MERCHANT_ID)).broken is None
    await writing
    assert (await log.verify(MERCHANT_ID)).reached.number == 61


async def test_of_replicas_that_add_one_name_at_once_one_does(replicas: list[Store]) -> None:
    adding = [store.add_operator(new_operator(), installation_audit(), 10) for store in replicas]
    results = await asyncio.gather(*adding, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Conflict", "Conflict", "NoneType"]
    assert len(await replicas[0].list_operators()) == 1
