"""Operators, the ends and uses of tokens, and the chain of audit entries, in every store."""

import asyncio
from dataclasses import replace

import pytest

from proxy.audit.chain import INSTALLATION, Head
from proxy.audit.log import AuditLog
from proxy.clock import MINUTE
from proxy.errors import Conflict, NotFound
from proxy.ids import NO_MERCHANT, OPERATOR, digest
from proxy.merchant import AuditEntry
from proxy.operators.records import Operator, Role, Use
from proxy.ports import Store
from store.records import IDS, MERCHANT_ID, NOW, add_merchant, new_audit, new_token

LATER = NOW + 5


def new_operator(name: str = "sara", at: int = NOW) -> Operator:
    text = IDS.operator_token()
    return Operator(IDS.record(OPERATOR, NO_MERCHANT, at), name, Role.OPERATE, text[:10], digest(text), at, None, None)


def installation_audit() -> AuditEntry:
    return replace(new_audit(NO_MERCHANT), merchant_id=INSTALLATION)


async def added(store: Store, name: str = "sara", at: int = NOW) -> Operator:
    operator = new_operator(name, at)
    await store.add_operator(operator, installation_audit(), 10)
    return operator


async def test_an_operator_is_found_by_digest_and_id_and_listed(store: Store) -> None:
    first, second = await added(store), await added(store, "omid", NOW + 1)
    assert await store.operator(first.id) == first
    assert await store.operator_by_digest(second.digest) == second
    assert await store.operator_by_digest(bytes(32)) is None
    assert await store.list_operators() == [first, second]
    with pytest.raises(NotFound):
        await store.operator("opr_nobody")


async def test_a_name_in_use_and_a_full_house_are_conflicts_and_leave_no_trace(store: Store) -> None:
    first = await added(store)
    before = await store.list_audit(INSTALLATION, None, 10)
    with pytest.raises(Conflict):
        await store.add_operator(new_operator(), installation_audit(), 10)
    with pytest.raises(Conflict):
        await store.add_operator(new_operator("omid"), installation_audit(), 1)
    assert await store.list_operators() == [first]
    assert await store.list_audit(INSTALLATION, None, 10) == before
    assert (await AuditLog(store).verify(INSTALLATION)).broken is None


async def test_of_two_who_add_one_name_at_once_one_is_told(store: Store) -> None:
    adding = [store.add_operator(new_operator(), installation_audit(), 10) for _ in range(4)]
    results = await asyncio.gather(*adding, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Conflict", "Conflict", "Conflict", "NoneType"]
    assert len(await store.list_operators()) == 1


async def test_an_end_stands_against_a_later_one_and_gives_the_name_free(store: Store) -> None:
    operator = await added(store)
    await store.end_operator(replace(operator, revoked_at=LATER), installation_audit())
    await store.end_operator(replace(operator, revoked_at=LATER + 100), installation_audit())
    assert (await store.operator(operator.id)).revoked_at == LATER
    again = new_operator(at=LATER)
    await store.add_operator(again, installation_audit(), 10)
    with pytest.raises(NotFound):
        await store.end_operator(new_operator("nobody"), installation_audit())


async def test_a_replaced_operator_and_token_have_their_successors(store: Store) -> None:
    await add_merchant(store)
    before, after = await added(store), new_operator(at=NOW + 1)
    await store.replace_operator(replace(before, revoked_at=LATER), after, installation_audit())
    assert await store.list_operators() == [replace(before, revoked_at=LATER), after]
    old, new = new_token(), new_token()
    await store.add_token(old, new_audit())
    await store.replace_token(replace(old, revoked_at=LATER), new, new_audit())
    assert (await store.token(MERCHANT_ID, old.id)).revoked_at == LATER
    assert await store.token_by_digest(MERCHANT_ID, new.digest) == new
    await store.save_token(replace(old, revoked_at=LATER + 9), new_audit())
    assert (await store.token(MERCHANT_ID, old.id)).revoked_at == LATER
    entries = await store.list_audit(MERCHANT_ID, None, 100)
    with pytest.raises(NotFound):
        await store.replace_token(replace(new_token(), revoked_at=NOW), new_token(), new_audit())
    assert await store.list_audit(MERCHANT_ID, None, 100) == entries


async def test_a_use_is_noted_once_a_minute(store: Store) -> None:
    await add_merchant(store)
    token, operator = new_token(), await added(store)
    await store.add_token(token, new_audit())

    async def used(at: int) -> tuple[int | None, int | None]:
        await store.note_uses([Use(MERCHANT_ID, token.id, at), Use(INSTALLATION, operator.id, at)])
        return (await store.token(MERCHANT_ID, token.id)).last_used_at, (await store.operator(operator.id)).last_used_at

    assert await used(NOW) == (NOW, NOW)
    assert await used(NOW + MINUTE - 1) == (NOW, NOW)
    assert await used(NOW + MINUTE) == (NOW + MINUTE, NOW + MINUTE)
    assert await used(NOW) == (NOW + MINUTE, NOW + MINUTE)
    await store.note_uses([])
    await store.save_token(replace(token, expires_at=LATER), new_audit())
    assert (await store.token(MERCHANT_ID, token.id)).last_used_at == NOW + MINUTE


async def test_entries_that_are_written_at_once_are_one_whole_chain_per_merchant(store: Store) -> None:
    others = ("mer_OTHER001", "mer_OTHER002")
    for merchant_id in (MERCHANT_ID, *others):
        await add_merchant(store, merchant_id)
    entries = [new_audit(merchant_id) for merchant_id in (MERCHANT_ID, *others) for _ in range(20)]
    await asyncio.gather(*(store.add_audit(entry) for entry in entries))
    log = AuditLog(store)
    assert sorted(await log.chains("", 10)) == sorted([INSTALLATION, MERCHANT_ID, *others])
    for merchant_id in (MERCHANT_ID, *others):
        verified = await log.verify(merchant_id)
        assert (verified.broken, verified.reached.number) == (None, 21)
    links, head = await store.audit_links(MERCHANT_ID, 19, 10)
    assert [link.number for link in links] == [20, 21]
    assert head == Head(21, links[-1].hash)
    assert await store.audit_links("mer_NOBODY00", 0, 10) == ([], None)
