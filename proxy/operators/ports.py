"""What the operators' side needs of the store, as Protocols; each method is one whole step, as in `ports`."""

from collections.abc import Sequence
from typing import Protocol

from proxy.audit.chain import Head, Link
from proxy.merchant import AuditEntry, Token
from proxy.operators.records import Operator, Use


class AuditChains(Protocol):
    async def add_audit(self, entry: AuditEntry) -> None:
        """An act that writes nothing else."""

    async def list_audit(self, merchant_id: str | None, after: str | None, limit: int) -> list[AuditEntry]:
        """Newest first; `after` is the id of the last one of the page before. None means all merchants."""

    async def audit_merchants(self, after: str, limit: int) -> list[str]:
        """The ids of the merchants, and of what has a head or entries without being one, in order, after one."""

    async def audit_links(self, merchant_id: str, after: int, limit: int) -> tuple[Sequence[Link], Head | None]:
        """The entries of a chain after a number, in order, and then its head."""


class OperatorRows(Protocol):
    async def add_operator(self, operator: Operator, audit: AuditEntry, limit: int) -> None:
        """Raises Conflict when the name is in use, or there are `limit` operators already."""

    async def replace_operator(self, before: Operator, after: Operator, audit: AuditEntry) -> None:
        """Ends `before` as it says, and adds `after`. An earlier end stands. Raises NotFound."""

    async def end_operator(self, operator: Operator, audit: AuditEntry) -> None:
        """Ends it as it says, unless it ends earlier. Raises NotFound."""

    async def operator(self, operator_id: str) -> Operator:
        """Raises NotFound."""

    async def operator_by_digest(self, digest: bytes) -> Operator | None: ...

    async def list_operators(self) -> list[Operator]:
        """In id order, which is that of their making; at most 1000."""


class TokenUses(Protocol):
    async def replace_token(self, before: Token, after: Token, audit: AuditEntry) -> None:
        """Ends `before` as it says, and adds `after`. An earlier end stands. Raises NotFound."""

    async def note_uses(self, uses: Sequence[Use]) -> None:
        """When tokens were last used; one that was noted within the minute before is left as it is."""
