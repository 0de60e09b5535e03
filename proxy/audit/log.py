"""Is the audit log still the one that was written? Walks its chains, a batch at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from proxy.audit.chain import INSTALLATION, START, Break, Fault, Head, Link, end, follow
from proxy.operators.ports import AuditChains

BATCH: Final = 1000


@dataclass(frozen=True, slots=True)
class Verified:
    """One chain: how far it is whole, what breaks it, and the hash that it has at the number that was asked about."""

    merchant_id: str
    reached: Head
    broken: Break | None
    noted: bytes | None = None


class AuditLog:
    def __init__(self, store: AuditChains) -> None:
        self._store = store

    async def chains(self, after: str, limit: int) -> list[str]:
        """The merchants whose chains there are, or must be, in id order, after one; the installation's comes first."""
        found = await self._store.audit_merchants(after, limit)
        # It sorts before every merchant's id, and is looked at even where nothing is left of it.
        missing = after < INSTALLATION and INSTALLATION not in found
        return ([INSTALLATION] if missing else []) + found[: limit - missing]

    async def verify(self, merchant_id: str, noted_at: int = 0) -> Verified:
        """The whole chain, or as far as it is whole. `noted_at` asks for the hash of the entry of that number."""
        reached, newest, noted, told = START, None, None, 0
        while True:
            links, stored = await self._store.audit_links(merchant_id, reached.number, BATCH)
            noted = next((link.hash for link in links if link.number == noted_at), noted)
            followed = follow(reached, links)
            if isinstance(followed, Break):
                return Verified(merchant_id, _before(reached, links, followed), followed, noted)
            reached, newest = followed, links[-1].id if links else newest
            if len(links) == BATCH:
                continue
            broken = end(reached, stored, newest)
            # The head is read after the entries, and may tell of one written in between: that one is found by the next
            # look, unless it is gone.
            if broken is None or broken.fault is not Fault.CUT_OFF or told > reached.number:
                return Verified(merchant_id, reached, broken or _absent(merchant_id, reached), noted)
            told = stored.number if stored is not None else 0


def _absent(merchant_id: str, reached: Head) -> Break | None:
    """A merchant's own making is its first entry, so one without any has lost its log."""
    return None if reached.number or merchant_id == INSTALLATION else Break(1, Fault.CUT_OFF, None)


def _before(reached: Head, links: Sequence[Link], broken: Break) -> Head:
    whole = [link for link in links if link.number < broken.number]
    return Head(whole[-1].number, whole[-1].hash) if whole else reached
