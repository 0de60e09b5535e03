"""Rewraps secrets under the key that seals now, a batch at a time, while the proxy runs."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Final

from proxy.errors import VaultError
from proxy.merchant import AuditEntry
from proxy.records import Sealed
from proxy.setup.base import Base

MAX_BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a batch did. `failed` names secrets that could not be opened; `done` when no other batch is worth asking."""

    kek_id: str
    rewrapped: int
    failed: tuple[str, ...]
    done: bool


class Rotation(Base):
    async def rotate(self, limit: int = MAX_BATCH, *, actor: str) -> Rotated:
        """Rewraps up to `limit` secrets that are under another key, with an audit entry for each merchant touched."""
        kek_id, limit = self._vault.kek_id, min(limit, MAX_BATCH)
        batch = await self._store.sealed_otherwise(kek_id, limit)
        failed: list[str] = []
        pairs: list[tuple[Sealed, Sealed]] = []
        for sealed in batch:
            try:
                pairs.append((sealed, self._vault.rewrap(sealed)))
            except VaultError:
                failed.append(f"{sealed.owner_id} {sealed.name}")
        # Side by side, so that the store commits them together.
        audits = self._rotation_audits(pairs, actor)
        await asyncio.gather(*(self._store.rewrap(*pair, audit) for pair, audit in zip(pairs, audits, strict=True)))
        self._changed()
        done = len(batch) < limit or not pairs
        return Rotated(kek_id, len(pairs), tuple(failed), done)

    def _rotation_audits(self, pairs: list[tuple[Sealed, Sealed]], actor: str) -> list[AuditEntry | None]:
        counts = Counter(before.merchant_id for before, _ in pairs)
        audits: list[AuditEntry | None] = []
        for before, after in pairs:
            count = counts.pop(before.merchant_id, None)
            data = {"kek_id": after.kek_id, "secrets": count}
            first = count is not None
            audits.append(
                self._audit(before.merchant_id, actor, "keys.rotate", before.merchant_id, data) if first else None
            )
        return audits
