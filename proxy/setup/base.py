"""What every part of the set-up needs: the ports, and an audit entry for each write."""

import os
from collections.abc import Callable, Mapping
from typing import Protocol

from proxy.errors import Conflict
from proxy.ids import AUDIT, Ids, RandomBytes
from proxy.merchant import AuditEntry
from proxy.operators.ports import TokenUses
from proxy.ports import Now, Registry, Vault
from proxy.setup.fields import HttpPolicy, Inspection


class Rows(Registry, TokenUses, Protocol):
    """What the set-up writes."""


class Base:
    def __init__(
        self,
        store: Rows,
        vault: Vault,
        now: Now,
        random_bytes: RandomBytes = os.urandom,
        *,
        http: HttpPolicy | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """`changed` is called after each write, so that what is kept in memory can be dropped."""
        self._store = store
        self._vault = vault
        self._now = now
        self._random_bytes = random_bytes
        self._ids = Ids(random_bytes)
        self._http = http or HttpPolicy()
        self._changed = changed

    def _inspect(self) -> Inspection:
        return Inspection(self._http)

    def _audit(self, merchant_id: str, actor: str, action: str, target: str, data: Mapping[str, object]) -> AuditEntry:
        now = self._now()
        return AuditEntry(self._ids.record(AUDIT, merchant_id, now), merchant_id, now, actor, action, target, data)


def require_room(count: int, limit: int, what: str, what_fa: str) -> None:
    """Raises Conflict when a merchant has `limit` of something already."""
    if count >= limit:
        raise Conflict(f"this merchant has {limit} {what} already", f"این پذیرنده {limit} {what_fa} دارد")
