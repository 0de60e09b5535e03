"""The Rechecks port: what a restore leaves to be done."""

from dataclasses import replace
from typing import Final

from proxy.adapters.store.parts import StoreParts
from proxy.adapters.store.transaction import Transaction
from proxy.recovery.records import Recheck

# More events than a merchant has in a window that was lost, and few enough to be gone through a billion times.
SKIPPED_NUMBERS: Final = 1_000_000


class StoreRechecks(StoreParts):
    async def note_restore(self, moment: int | None, now: int) -> int:
        return await self._write.do(lambda transaction: _note(transaction, moment, now))

    async def claim_recheck(self, now: int, lease_until: int) -> Recheck | None:
        return await self._write.do(lambda transaction: _claim(transaction, now, lease_until))

    async def save_recheck(self, held: Recheck, after: Recheck | None) -> None:
        key = (held.noted_at, held.due_at)
        if after is None:
            await self._write.do(lambda transaction: transaction.run("end_recheck", key))
            return
        row = (*key, after.due_at, after.reached, after.unclear)
        await self._write.do(lambda transaction: transaction.run("save_recheck", row))

    async def next_recheck_at(self) -> int | None:
        row = await self._row("first_recheck", (0,))
        return None if row is None else row[2]


async def _note(transaction: Transaction, moment: int | None, now: int) -> int:
    if moment is None:
        beat = await transaction.row("last_heartbeat", (1,))
        moment = now if beat is None else beat[0]
    await transaction.run("insert_recheck", (now, moment, now))
    await transaction.run("skip_sequence_numbers", (SKIPPED_NUMBERS,))
    return moment


async def _claim(transaction: Transaction, now: int, lease_until: int) -> Recheck | None:
    row = await transaction.row("first_recheck", (0,))
    if row is None:
        return None
    noted_at, moment, due_at, reached, unclear = row
    found = Recheck(noted_at, moment, due_at, reached, unclear)
    if due_at > now or not await transaction.run("save_recheck", (noted_at, due_at, lease_until, reached, unclear)):
        return None
    return replace(found, due_at=lease_until)
