"""The people who run Dargah, as they are stored, and what each role may do."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """Each may do what the one before it may."""

    READ = "read"  # look at everything; no secret is among it
    OPERATE = "operate"  # the day's work: recover, resolve, check up, reseal, and end what leaked
    OWNER = "owner"  # who may sell, with which keys, and who runs Dargah

    def covers(self, needed: "Role") -> bool:
        return _RANKS[self] >= _RANKS[needed]


_RANKS: Final = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True, slots=True)
class Operator:
    """One token of one operator; while a token is rotated the name has two. `digest` is the SHA-256 of it."""

    id: str
    name: str
    role: Role
    prefix: str
    digest: bytes
    created_at: int
    expires_at: int | None
    revoked_at: int | None
    last_used_at: int | None = None

    def alive(self, now: int) -> bool:
        """Whether it may be used at `now`."""
        return (self.revoked_at is None or now < self.revoked_at) and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class Use:
    """A token that was used: the merchant it is of (or the installation), its id, and when."""

    merchant_id: str
    id: str
    at: int
