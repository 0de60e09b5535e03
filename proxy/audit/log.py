"""The audit log: a hash chain for each merchant, its rows, and the check that it is unchanged."""

import hashlib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, cast

import orjson

from proxy.database.repository import Repository, json_text
from proxy.database.transaction import Row, Transaction
from proxy.kernel.frozen import dataclass


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One act of an operator: its actor, action and target, and the values that were set (never a secret)."""

    id: str
    merchant_id: str
    at: int
    actor: str
    action: str
    target: str
    data: Mapping[str, object]


INSTALLATION: Final = "installation"
GENESIS: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class Link:
    """An entry as it is stored: its place in the chain from 1, the texts that are hashed, and the hash."""

    merchant_id: str
    number: int
    id: str
    at: int
    actor: str
    action: str
    target: str
    data: str
    hash: bytes

    def hash_after(self, previous: bytes) -> bytes:
        """The expected hash of this entry, behind an entry with the hash `previous`."""
        content = [self.merchant_id, self.number, self.id, self.at, self.actor, self.action, self.target, self.data]
        return hashlib.sha256(previous + orjson.dumps(content)).digest()


@dataclass(frozen=True, slots=True)
class Head:
    """The newest entry of a chain, by its number and hash. `number` 0 is the state before the first one."""

    number: int
    hash: bytes


class ChainFault(StrEnum):
    """The fault of a chain."""

    ALTERED = "altered"  # the entry is not the one that was written there
    MISSING = "missing"  # an entry is not there
    CUT_OFF = "cut_off"  # the newest are not there, or none of a merchant that must have some
    UNKNOWN = "unknown"  # entries stand behind the head, which was not told of them


@dataclass(frozen=True, slots=True)
class ChainBreak:
    """The first row of a chain that is wrong: its number, and its id where it is there."""

    number: int
    fault: ChainFault
    entry_id: str | None


START: Final = Head(0, GENESIS)


def follow(head: Head, links: Sequence[Link]) -> Head | ChainBreak:
    """The head after `links`, in the order of their numbers; or the first of them that does not follow."""
    for link in links:
        if link.number != head.number + 1:
            fault = ChainFault.MISSING if link.number > head.number else ChainFault.ALTERED
            return ChainBreak(head.number + 1, fault, None)
        if link.hash != link.hash_after(head.hash):
            return ChainBreak(link.number, ChainFault.ALTERED, link.id)
        head = Head(link.number, link.hash)
    return head


def end(reached: Head, stored: Head | None, newest: str | None) -> ChainBreak | None:
    """The fault at the end of a chain, from the id of its last entry, `newest`, and its stored head; None when it is
    intact.
    """
    known = stored or START
    if reached.number < known.number:
        return ChainBreak(reached.number + 1, ChainFault.CUT_OFF, None)
    if reached.number > known.number:
        return ChainBreak(known.number + 1, ChainFault.UNKNOWN, newest)
    return None if reached == known else ChainBreak(reached.number, ChainFault.ALTERED, newest)


def audit_row(entry: AuditEntry) -> Row:
    data = json_text(entry.data)
    return (entry.merchant_id, entry.id, entry.at, entry.actor, entry.action, entry.target, data)


def audit_of(row: Row) -> AuditEntry:
    merchant_id, entry_id, at, actor, action, target, data = row
    return AuditEntry(entry_id, merchant_id, at, actor, action, target, orjson.loads(data))


# Later than every entry: the page before the first one.
_AFTER_ALL_TIMES = 2**63 - 1


async def write_audit(transaction: Transaction, entry: AuditEntry) -> None:
    """Appends the entry to its merchant's chain, within the transaction of the act."""
    merchant_id, entry_id, at, actor, action, target, data = audit_row(entry)
    # All rows are fetched, as with the events' numbers: a RETURNING that is not read to its end is not done.
    [(number, previous)] = await transaction.rows("advance_audit", (merchant_id, GENESIS))
    content = (entry_id, at, actor, action, target, data)
    digest = Link(merchant_id, number, *content, b"").hash_after(previous)
    await transaction.run("insert_audit", (merchant_id, *content, number, digest))
    await transaction.run("set_audit_head", (merchant_id, digest))


class AuditRepository(Repository):
    async def add_audit(self, entry: AuditEntry) -> None:
        """An act that writes nothing else."""

        async def step(transaction: Transaction) -> None:
            await write_audit(transaction, entry)

        await self._write.do(step)

    async def list_audit(self, merchant_id: str | None, after: str | None, limit: int) -> list[AuditEntry]:
        """Newest first; `after` is the id of the last one of the page before. None means all merchants."""

        async def step(transaction: Transaction) -> Sequence[Row]:
            point: tuple[int, str] = (_AFTER_ALL_TIMES, "")
            if after is not None:
                row = await transaction.row("audit_at", (after,))
                if row is None:
                    return []
                point = (row[0], after)
            if merchant_id is None:
                return await transaction.rows("list_audit_of_all", (*point, limit))
            return await transaction.rows("list_audit", (merchant_id, *point, limit))

        return [audit_of(row) for row in await self._read.do(step)]

    async def audit_merchants(self, after: str, limit: int) -> list[str]:
        """The ids of merchants, and of other chains with a head or entries, in order, after one id."""
        return [row[0] for row in await self._rows("audit_merchants", (after, limit))]

    async def audit_links(self, merchant_id: str, after: int, limit: int) -> tuple[Sequence[Link], Head | None]:
        """The entries of a chain after a number, in order, and then its head."""

        async def step(transaction: Transaction) -> tuple[Sequence[Row], Row | None]:
            # In this order: a head that is read later knows every entry that was read.
            rows = await transaction.rows("audit_links", (merchant_id, after, limit))
            return rows, await transaction.row("audit_head", (merchant_id,))

        rows, head = await self._read.do(step)
        return [Link(*row) for row in rows], None if head is None else Head(*cast("tuple[int, bytes]", tuple(head)))


BATCH: Final = 1000


@dataclass(frozen=True, slots=True)
class ChainVerification:
    """The result for one chain: its intact length, its first fault, and the hash of the requested entry."""

    merchant_id: str
    reached: Head
    broken: ChainBreak | None
    noted: bytes | None = None


class AuditLog:
    def __init__(self, audit: AuditRepository) -> None:
        self._audit = audit

    async def chains(self, after: str, limit: int) -> list[str]:
        """The merchants with a chain, or that must have one, in id order, after one id; the installation's chain comes
        first.
        """
        found = await self._audit.audit_merchants(after, limit)
        # It sorts before every merchant's id, and is looked at even where nothing is left of it.
        missing = after < INSTALLATION and INSTALLATION not in found
        return ([INSTALLATION] if missing else []) + found[: limit - missing]

    async def verify(self, merchant_id: str, noted_at: int = 0) -> ChainVerification:
        """The whole chain, or as far as it is whole. `noted_at` asks for the hash of the entry of that number."""
        reached, newest, noted, head_number = START, None, None, 0
        while True:
            links, stored = await self._audit.audit_links(merchant_id, reached.number, BATCH)
            noted = next((link.hash for link in links if link.number == noted_at), noted)
            followed = follow(reached, links)
            if isinstance(followed, ChainBreak):
                return ChainVerification(merchant_id, _before(reached, links, followed), followed, noted)
            reached, newest = followed, links[-1].id if links else newest
            if len(links) == BATCH:
                continue
            broken = end(reached, stored, newest)
            # The head is read after the entries, and may tell of one written in between: that one is found by the next
            # look, unless it is gone.
            if broken is None or broken.fault is not ChainFault.CUT_OFF or head_number > reached.number:
                return ChainVerification(merchant_id, reached, broken or _absent(merchant_id, reached), noted)
            head_number = stored.number if stored is not None else 0


def _absent(merchant_id: str, reached: Head) -> ChainBreak | None:
    """A merchant's own making is its first entry, so one without any has lost its log."""
    return None if reached.number or merchant_id == INSTALLATION else ChainBreak(1, ChainFault.CUT_OFF, None)


def _before(reached: Head, links: Sequence[Link], broken: ChainBreak) -> Head:
    intact = [link for link in links if link.number < broken.number]
    return Head(intact[-1].number, intact[-1].hash) if intact else reached
