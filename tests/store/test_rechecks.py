"""What a restore notes is kept until it is done, by one process at a time."""

from dataclasses import replace

from proxy.ports import Store
from proxy.recovery.records import Recheck
from store import records
from store.records import MERCHANT_ID, NOW


async def test_a_restore_goes_back_to_when_the_store_was_last_seen_to_be_written(store: Store) -> None:
    assert await store.next_recheck_at() is None
    await store.ping()
    assert await store.note_restore(None, NOW + 5000) == NOW
    assert await store.next_recheck_at() == NOW + 5000
    assert await store.claim_recheck(NOW + 5000, NOW + 9000) == Recheck(NOW + 5000, NOW, NOW + 9000)


async def test_a_walk_is_one_processs_until_its_lease_is_over(store: Store) -> None:
    await store.note_restore(NOW - 1, NOW)
    assert await store.claim_recheck(NOW - 1, NOW + 50) is None
    held = await store.claim_recheck(NOW, NOW + 50)
    assert held is not None
    assert await store.claim_recheck(NOW + 49, NOW + 99) is None
    other = await store.claim_recheck(NOW + 50, NOW + 99)
    assert other is not None
    await store.save_recheck(held, None)
    await store.save_recheck(held, replace(held, reached="pay_late"))
    assert await store.next_recheck_at() == NOW + 99
    await store.save_recheck(other, replace(other, reached="pay_1", unclear=2, due_at=NOW + 60))
    again = await store.claim_recheck(NOW + 60, NOW + 70)
    assert again == Recheck(NOW, NOW - 1, NOW + 70, "pay_1", 2)
    await store.save_recheck(again, None)
    assert await store.next_recheck_at() is None


async def test_the_older_walk_comes_first(store: Store) -> None:
    await store.note_restore(NOW - 100, NOW)
    await store.note_restore(NOW - 50, NOW + 10)
    held = await store.claim_recheck(NOW + 10, NOW + 20)
    assert held is not None
    assert held.noted_at == NOW
    await store.save_recheck(held, None)
    held = await store.claim_recheck(NOW + 10, NOW + 20)
    assert held is not None
    assert (held.noted_at, held.moment) == (NOW + 10, NOW - 50)


async def test_events_are_numbered_on_behind_those_that_may_have_been_told_of(store: Store) -> None:
    await records.add_merchant(store)
    await records.add_endpoint(store)
    await records.paid(store, "order-1")
    before = await store.last_sequence(MERCHANT_ID)
    await store.note_restore(None, NOW)
    await records.paid(store, "order-2")
    assert before == 1
    assert await store.last_sequence(MERCHANT_ID) == before + 1_000_001
