"""Operators: named people with a role each, by a token that is shown once.

The tokens of DARGAH_ADMIN_TOKEN are owners that need no database row: the way in at the start, and when all else is
lost. The others are kept as digests, for the commands and the console alike. A change is honoured at once by the
process that made it and within the cache's MAX_AGE_SECONDS by every other.
"""

import hmac
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from proxy.audit.log import INSTALLATION, AuditEntry, AuditRepository
from proxy.kernel.clock import DAY, MINUTE, SECOND, Now
from proxy.kernel.errors import Conflict, StoreUnavailable, Unauthenticated, invalid
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import AUDIT, NO_MERCHANT, OPERATOR, Ids, digest, token_kind
from proxy.kernel.rate_limits import RecentKeys
from proxy.kernel.read_through_cache import MAX_AGE_SECONDS
from proxy.merchants.cache import BeforeLookUp, unlimited
from proxy.merchants.merchant import Token
from proxy.operators.records import Operator, Role, TokenUse
from proxy.operators.repository import OperatorRepository

MAX_OPERATORS: Final = 200
MAX_KEPT: Final = 1000
DEFAULT_OVERLAP_SECONDS: Final = DAY // SECOND
LONGEST_OVERLAP_SECONDS: Final = 7 * DAY // SECOND
SHOWN_PREFIX_CHARS: Final = 10  # dg_op_ and 4 of the 30 secret characters
OPERATOR_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,40}")
_NAME_FA: Final = "باید ۱ تا ۴۰ نویسه از A-Z و a-z و 0-9 و . _ - باشد"


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller: the name in the audit log, and the role; `operator_id` is None for a token of the settings.

    `second_factor` is the id of the one that the operator has.
    """

    name: str
    role: Role
    operator_id: str | None
    second_factor: str | None = None


class Operators:
    """`owners` are the tokens of the settings by name; `on_use` is called with a token whenever its row is read for
    use.
    """

    def __init__(
        self,
        operators: OperatorRepository,
        audit: AuditRepository,
        ids: Ids,
        now: Now,
        owners: Mapping[str, str],
        on_use: Callable[[Operator], None] = lambda _operator: None,
    ) -> None:
        self._operators = operators
        self._audit_log = audit
        self._ids = ids
        self._now = now
        self._names = frozenset(owners)
        # Digests have one length, so comparing them tells nothing of a token, not even how long it is.
        self._owners = [(digest(token), Caller(name, Role.OWNER, None)) for name, token in owners.items()]
        self._kept: dict[bytes, tuple[int, Operator]] = {}
        self._right = RecentKeys(MAX_KEPT)
        self._on_use = on_use

    async def authenticate(self, text: str, before_look_up: BeforeLookUp = unlimited) -> Caller:
        """The operator of the token. Raises Unauthenticated when it is unknown, malformed, revoked or expired."""
        hashed = digest(text)
        owner = self._owner(hashed)
        if owner is None and token_kind(text) != "op":
            raise Unauthenticated
        return owner or await self.known(hashed, before_look_up)

    async def known(self, hashed: bytes, before_look_up: BeforeLookUp = unlimited) -> Caller:
        """The operator of the token with this digest. Raises Unauthenticated when it is unknown, revoked or expired."""
        owner = self._owner(hashed)
        if owner is not None:
            return owner
        operator = await self._row(hashed, before_look_up)
        if operator is None or not operator.alive(self._now()):
            raise Unauthenticated
        return Caller(operator.name, operator.role, operator.id, operator.second_factor)

    async def add(self, name: str, role: Role, expires_at: int | None = None, *, actor: str) -> tuple[Operator, str]:
        """The operator and the token, which is shown once. `expires_at` is milliseconds since the epoch.

        Raises InvalidInput, and Conflict when the name is in use.
        """
        now = self._now()
        if not OPERATOR_NAME.fullmatch(name):
            raise invalid("name", "name_invalid", "must be 1 to 40 of A-Z, a-z, 0-9, . _ and -", _NAME_FA)
        if expires_at is not None and expires_at <= now:
            raise invalid("expires_at", "in_the_past", "must be later than now", "باید پس از اکنون باشد")
        if name in self._names:
            raise Conflict(f"the settings have an operator {name} already", f"گرداننده‌ای به نام {name} در تنظیمات هست")
        operator, text = self._new(name, role, expires_at, now)
        audit = self._audit(actor, "operator.add", operator, now, {"role": role.value, "expires_at": expires_at})
        await self._operators.add_operator(operator, audit, MAX_OPERATORS)
        return operator, text

    async def rotate(
        self, operator_id: str, overlap_seconds: int = DEFAULT_OVERLAP_SECONDS, *, actor: str
    ) -> tuple[Operator, str]:
        """The same operator with a new token, shown once; the one before ends after the overlap.

        Raises NotFound, InvalidInput, and Conflict for a token that is over.
        """
        now = self._now()
        before = await self._operators.operator(operator_id)
        if not before.alive(now):
            raise Conflict("this token is over; add the operator anew", "این توکن پایان یافته است؛ دوباره بیفزایید")
        made, text = self._new(before.name, before.role, before.expires_at, now)
        after = replace(made, second_factor=before.second_factor, second_factor_at=before.second_factor_at)
        ended = replace(before, revoked_at=_later(now, "overlap_seconds", overlap_seconds))
        data = {"replaces": operator_id, "overlap_seconds": overlap_seconds}
        await self._operators.replace_operator(ended, after, self._audit(actor, "operator.rotate", after, now, data))
        self.forget()
        return after, text

    async def revoke(self, operator_id: str, after_seconds: int = 0, *, actor: str) -> Operator:
        """The operator; the token ends after `after_seconds`. An earlier end stands. Raises NotFound."""
        now = self._now()
        before = await self._operators.operator(operator_id)
        ended = replace(before, revoked_at=_later(now, "after_seconds", after_seconds))
        data = {"after_seconds": after_seconds}
        await self._operators.end_operator(ended, self._audit(actor, "operator.revoke", before, now, data))
        self.forget()
        return await self._operators.operator(operator_id)

    def forget(self) -> None:
        """Drops the cached operators, after a change."""
        self._kept.clear()

    async def noted(self, actor: str, action: str, data: Mapping[str, object]) -> None:
        """An audit entry for an act that is on no merchant, and writes nothing else."""
        now = self._now()
        entry_id = self._ids.record(AUDIT, NO_MERCHANT, now)
        await self._audit_log.add_audit(AuditEntry(entry_id, INSTALLATION, now, actor, action, INSTALLATION, data))

    def _owner(self, hashed: bytes) -> Caller | None:
        for owned, caller in self._owners:
            if hmac.compare_digest(owned, hashed):
                return caller
        return None

    async def _row(self, hashed: bytes, before_look_up: BeforeLookUp) -> Operator | None:
        kept = self._kept.get(hashed)
        if kept is not None and 0 <= self._now() - kept[0] < MAX_AGE_SECONDS * SECOND:
            return kept[1]
        if hashed not in self._right:
            before_look_up()
        operator = await self._operators.operator_by_digest(hashed)
        self._right.discard(hashed)
        if operator is not None and operator.alive(self._now()):
            self._right.add(hashed)
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            self._kept[hashed] = (self._now(), operator)
            self._on_use(operator)
        return operator

    def _new(self, name: str, role: Role, expires_at: int | None, now: int) -> tuple[Operator, str]:
        text = self._ids.operator_token()
        operator_id = self._ids.record(OPERATOR, NO_MERCHANT, now)
        prefix = text[:SHOWN_PREFIX_CHARS]
        return Operator(operator_id, name, role, prefix, digest(text), now, expires_at, revoked_at=None), text

    def _audit(self, actor: str, action: str, operator: Operator, now: int, data: Mapping[str, object]) -> AuditEntry:
        entry_id = self._ids.record(AUDIT, NO_MERCHANT, now)
        shown = {"name": operator.name, "prefix": operator.prefix, **data}
        return AuditEntry(entry_id, INSTALLATION, now, actor, action, operator.id, shown)


def _later(now: int, field: str, seconds: int) -> int:
    if not 0 <= seconds <= LONGEST_OVERLAP_SECONDS:
        raise invalid(field, "out_of_range", f"must be 0 to {LONGEST_OVERLAP_SECONDS}", "باید حداکثر هفت روز باشد")
    return now + seconds * SECOND


WRITTEN_EVERY: Final = 5 * SECOND
WRITTEN_AGAIN: Final = MINUTE
# Beyond it a use goes unnoticed until the next writing: what is noted is a help to people, and no request waits for it.
MAX_NOTED: Final = 10_000


class TokenUsage:
    """When tokens were last used: noted beside the requests, and written together now and then.

    A token's row is read every two seconds at most, which is when a use is noticed; it is written once a minute at
    most.
    """

    def __init__(self, write: Callable[[Sequence[TokenUse]], Awaitable[None]], now: Now) -> None:
        self._write = write
        self._now = now
        self._noted: dict[tuple[str, str], TokenUse] = {}

    def token_used(self, token: Token) -> None:
        self._note(token.merchant_id, token.id, token.last_used_at)

    def operator_used(self, operator: Operator) -> None:
        self._note(INSTALLATION, operator.id, operator.last_used_at)

    async def step(self) -> int:
        """Writes the noted uses; gives the time of the next step."""
        noted, self._noted = self._noted, {}
        if noted:
            await self._write(list(noted.values()))
        return self._now() + WRITTEN_EVERY

    async def end(self) -> None:
        """The last step, which is no reason to end with an error."""
        with suppress(StoreUnavailable):
            await self.step()

    def _note(self, merchant_id: str, record_id: str, before: int | None) -> None:
        now = self._now()
        known = before is not None and now - before < WRITTEN_AGAIN
        if not known and len(self._noted) < MAX_NOTED:
            self._noted.setdefault((merchant_id, record_id), TokenUse(merchant_id, record_id, now))
