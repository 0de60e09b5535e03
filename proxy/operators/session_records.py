"""Who is logged in by a browser, as it is stored, and what is asked of the store for it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class SessionKind(StrEnum):
    """A link to the portal is a session that nobody has opened yet."""

    OPERATOR = "operator"
    PORTAL = "portal"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Session:
    """One browser's. `merchant_id` is the installation's for an operator.

    `digest` is the SHA-256 of what the browser holds. `subject` is what it was opened with, and ends with: an
    operator's token by its digest in hex, or a merchant's API token by its id. `embed_origin` may frame its pages.
    """

    merchant_id: str
    digest: bytes
    kind: SessionKind
    subject: str
    embed_origin: str | None
    created_at: int
    seen_at: int
    expires_at: int


class SessionRows(Protocol):
    """The store's part in it."""

    async def add_session(self, session: Session, limit: int) -> None:
        """Also forgets those of the same merchant that are over. Raises Conflict when it has `limit` others."""

    async def session(self, merchant_id: str, digest: bytes) -> Session | None: ...

    async def touch_session(self, merchant_id: str, digest: bytes, now: int) -> None:
        """It was seen at `now`; nothing when it is no more."""

    async def end_session(self, merchant_id: str, digest: bytes) -> None: ...
