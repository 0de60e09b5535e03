"""Recovery in the store: restores, their rechecks, and lost payments."""

from dataclasses import replace
from enum import Enum
from typing import Final

from proxy.database.repository import LIST_LIMIT, Repository
from proxy.database.transaction import Transaction
from proxy.kernel.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Recheck:
    """A walk over the payments that may have been paid between `moment`, which the database went back to, and
    `noted_at`. It continues after `reached` at `due_at`; `unclear` counts the unclear answers of gateways so far.
    """

    noted_at: int
    moment: int
    due_at: int
    reached: str | None = None
    unclear: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    """A lost window: records made between `moment`, which the database went back to, and the restore are missing."""

    moment: int
    noted_at: int


class Asker(Enum):
    CUSTOMER = "customer"
    STOREFRONT = "storefront"


@dataclass(frozen=True, slots=True)
class LostPayment:
    """A missing payment that a restore removed and somebody asks for, by its link or its id. `storefront` and the
    `invoice_key` of a return are known only where the request named them.
    """

    merchant_id: str
    asked_by: Asker
    reference: str
    storefront: str | None
    invoice_key: str | None
    made_at: int
    first_asked_at: int
    last_asked_at: int
    times: int


# More events than a merchant has in a window that was lost, and few enough to be gone through a billion times.
SKIPPED_NUMBERS: Final = 1_000_000


class RecoveryRepository(Repository):
    async def note_restore(self, moment: int | None, now: int) -> int:
        """Notes that the database is as it was at `moment`; by default, and at the latest, the time of its last
        heartbeat. Gives the moment. The events' numbers continue far behind those that may have been sent meanwhile.
        """
        return await self._write.do(lambda transaction: _note_restore(transaction, moment, now))

    async def claim_recheck(self, now: int, lease_until: int) -> Recheck | None:
        """The oldest one, if it is due and unclaimed; due again at the lease's end."""
        return await self._write.do(lambda transaction: _claim_recheck(transaction, now, lease_until))

    async def save_recheck(self, held: Recheck, after: Recheck | None) -> None:
        """Stores the progress of a claimed recheck; None when it is over. Does nothing if another process holds it by
        now.
        """
        key = (held.noted_at, held.due_at)
        if after is None:
            await self._write.do(lambda transaction: transaction.run("end_recheck", key))
            return
        row = (*key, after.due_at, after.reached, after.unclear)
        await self._write.do(lambda transaction: transaction.run("save_recheck", row))

    async def next_recheck_at(self) -> int | None:
        """When the oldest one is due."""
        row = await self._row("first_recheck", (0,))
        return None if row is None else row[2]

    async def lost_windows(self) -> list[Window]:
        """The windows of all restores, newest first."""
        return [Window(*row) for row in await self._rows("restores", (0,))]

    async def ask_for_lost(self, lost: LostPayment, most: int) -> bool:
        """Notes the question, or counts it where it was asked before. False where `most` of its kind are kept."""
        return await self._write.do(lambda transaction: _ask_for_lost(transaction, lost, most), lost.merchant_id)

    async def lost_payments(self, merchant_id: str) -> list[LostPayment]:
        """Those of the merchant, the newest first."""
        rows = await self._rows("lost_payments", (merchant_id, LIST_LIMIT))
        return [LostPayment(row[0], Asker(row[1]), *row[2:]) for row in rows]


async def _note_restore(transaction: Transaction, moment: int | None, now: int) -> int:
    if moment is None:
        beat = await transaction.row("last_heartbeat", (1,))
        moment = now if beat is None else beat[0]
    await transaction.run("insert_recheck", (now, moment, now))
    await transaction.run("insert_restore", (now, moment))
    await transaction.run("skip_sequence_numbers", (SKIPPED_NUMBERS,))
    return moment


async def _claim_recheck(transaction: Transaction, now: int, lease_until: int) -> Recheck | None:
    row = await transaction.row("first_recheck", (0,))
    if row is None:
        return None
    noted_at, moment, due_at, reached, unclear = row
    found = Recheck(noted_at, moment, due_at, reached, unclear)
    if due_at > now or not await transaction.run("save_recheck", (noted_at, due_at, lease_until, reached, unclear)):
        return None
    return replace(found, due_at=lease_until)


async def _ask_for_lost(transaction: Transaction, lost: LostPayment, most: int) -> bool:
    key = (lost.merchant_id, lost.asked_by.value, lost.reference)
    if await transaction.run("ask_lost_again", (*key, lost.last_asked_at, lost.invoice_key)):
        return True
    [(count,)] = await transaction.rows("count_lost", (*key[:2], most))
    if count >= most:
        return False
    row = (*key, lost.storefront, lost.invoice_key, lost.made_at, lost.first_asked_at)
    await transaction.run("insert_lost", row)
    return True
