"""What an operator decided about a payment is stored with its audit entry, or not at all."""

from dataclasses import replace

import pytest

from proxy.errors import StaleVersion
from proxy.facts import Decision, Resolved
from proxy.ports import Store
from proxy.records import Entry, EventFilter
from store.records import MERCHANT_ID, captured, change, new_audit, pending, step

RESOLVED = Resolved(Decision.ACCEPTED, "کالا فرستاده شد", "sara")


async def test_a_transition_stores_its_audit_entry(store: Store) -> None:
    before = await pending(store)
    reviewed = await step(store, before, replace(captured(before), amount_rials=1000))
    audit = new_audit(action="payment.resolve")
    await store.transition(change(reviewed, RESOLVED, audit=audit))
    assert await store.list_audit(MERCHANT_ID, None, 10) == [audit]


async def test_a_transition_that_lost_its_race_leaves_no_audit_entry_and_no_event(store: Store) -> None:
    before = await pending(store)
    reviewed = await step(store, before, replace(captured(before), amount_rials=1000))
    await store.transition(change(reviewed, RESOLVED, audit=new_audit()))
    events = await store.list_events(MERCHANT_ID, EventFilter())
    with pytest.raises(StaleVersion):
        await store.transition(change(reviewed, RESOLVED, audit=new_audit()))
    assert len(await store.list_audit(MERCHANT_ID, None, 10)) == 1
    assert await store.list_events(MERCHANT_ID, EventFilter()) == events


async def test_a_long_timeline_gives_its_newest_entries_oldest_first(store: Store) -> None:
    before = await pending(store)
    watch = await store.watch(MERCHANT_ID, before.id)
    entries = [Entry(before.created_at + number, "return", None, {"n": number}) for number in range(30)]
    await store.transition(
        replace(
            change(before, captured(before)), after=before, events=(), entries=entries, watch=watch, watch_read=watch
        )
    )
    assert await store.timeline(MERCHANT_ID, before.id, 10) == entries[-10:]
    assert await store.timeline(MERCHANT_ID, before.id) == entries
