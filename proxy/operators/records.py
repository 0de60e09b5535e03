"""Operators, the rights of each role, and the sessions of browsers, as they are stored."""

from enum import StrEnum
from typing import Final

from proxy.kernel.frozen import dataclass


class SessionKind(StrEnum):
    """A link to the portal is a session that nobody has opened yet."""

    OPERATOR = "operator"
    PORTAL = "portal"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Session:
    """A browser's session. `merchant_id` is the installation's for an operator.

    `digest` is the SHA-256 of the browser's secret. `subject` is the credential that opened it, and ends it: an
    operator's token by its digest in hex, or a merchant's API token by its id. Where `role` is set, a provider's word
    opened it, and `subject` is a digest of the person there. `embed_origin` may frame its pages. The others are of
    operators, for people: their `name`, and the browser and address that it was opened from. `second_factor` is the id
    of the second factor that the operator proved in it.
    """

    merchant_id: str
    digest: bytes
    kind: SessionKind
    subject: str
    embed_origin: str | None
    created_at: int
    seen_at: int
    expires_at: int
    name: str | None = None
    role: "Role | None" = None
    browser: str | None = None
    address: str | None = None
    second_factor: str | None = None

    @property
    def id(self) -> str:
        """What names it to people. It opens nothing: the secret cannot be had from its digest."""
        return self.digest.hex()


@dataclass(frozen=True, slots=True)
class Opener:
    """Who opens an operator's session, and from where. `role` where a provider's word says it."""

    name: str | None = None
    role: "Role | None" = None
    browser: str | None = None
    address: str | None = None
    second_factor: str | None = None


class Role(StrEnum):
    """Each role has all rights of the one before it."""

    READ = "read"  # look at everything; no secret is among it
    OPERATE = "operate"  # the day's work: recover, resolve, check up, reseal, and end what leaked
    OWNER = "owner"  # who may sell, with which keys, and who runs Dargah

    def covers(self, needed: "Role") -> bool:
        return _RANKS[self] >= _RANKS[needed]


_RANKS: Final = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True, slots=True)
class Operator:
    """One token of one operator; while a token is rotated the name has two. `digest` is the SHA-256 of it.

    The second factor, by its id and since when, is of the name.
    """

    id: str
    name: str
    role: Role
    prefix: str
    digest: bytes
    created_at: int
    expires_at: int | None
    revoked_at: int | None
    last_used_at: int | None = None
    second_factor: str | None = None
    second_factor_at: int | None = None

    def alive(self, now: int) -> bool:
        """Whether it may be used at `now`."""
        return (self.revoked_at is None or now < self.revoked_at) and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class TokenUse:
    """A token that was used: the merchant it is of (or the installation), its id, and when."""

    merchant_id: str
    id: str
    at: int
