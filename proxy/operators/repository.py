"""Operators, and when tokens were last used."""

from collections.abc import Sequence
from typing import Final

from proxy.audit.log import INSTALLATION, AuditEntry, write_audit
from proxy.database.repository import LIST_LIMIT, Repository
from proxy.database.transaction import Row, Transaction
from proxy.kernel.clock import MINUTE
from proxy.kernel.errors import Conflict, NotFound
from proxy.operators.records import Operator, Role, Session, SessionKind, TokenUse
from proxy.operators.second_factor_storage import forget_second_factor


class SessionStorage(Repository):
    async def add_session(self, session: Session, limit: int, limit_of_subject: int, *, replaces: bool = False) -> None:
        """Also forgets those of the same merchant that are over.

        Raises Conflict when the merchant has `limit` others, or the subject has `limit_of_subject`; one that `replaces`
        ends the subject's oldest instead.
        """

        async def step(transaction: Transaction) -> None:
            await transaction.run("forget_sessions", (session.merchant_id, session.created_at))
            [(count, own)] = await transaction.rows("count_sessions", (session.merchant_id, limit, session.subject))
            if replaces and own >= limit_of_subject:
                await transaction.run("end_oldest_session", (session.merchant_id, session.subject))
                count, own = count - 1, own - 1
            if count >= limit or own >= limit_of_subject:
                raise Conflict(
                    f"there are {max(count, own)} sessions and links already; wait for one to end",
                    f"{max(count, own)} نشست و پیوند باز هست؛ صبر کنید تا یکی پایان یابد",
                )
            await transaction.run("insert_session", _row(session))

        await self._write.do(step, session.merchant_id)

    async def session(self, merchant_id: str, digest: bytes) -> Session | None:
        row = await self._row("session", (merchant_id, digest))
        return None if row is None else _session(row)

    async def touch_session(self, merchant_id: str, digest: bytes, now: int) -> None:
        """Notes its use at `now`; does nothing after its end."""
        await self._write.do(
            lambda transaction: transaction.run("touch_session", (merchant_id, digest, now)), merchant_id
        )

    async def end_session(self, merchant_id: str, digest: bytes) -> bool:
        """Whether there was one to end."""
        key = (merchant_id, digest)
        return await self._write.do(lambda transaction: transaction.run("end_session", key), merchant_id) == 1

    async def list_sessions(self, merchant_id: str, now: int, seen_after: int) -> list[Session]:
        """Those that are neither over nor were last seen before, the longest-living first; at most 1000."""
        return [_session(row) for row in await self._rows("list_sessions", (merchant_id, now, seen_after, LIST_LIMIT))]

    async def end_sessions(self, digests: Sequence[bytes], audit: AuditEntry) -> int:
        """Ends these of the installation; gives how many there were to end."""

        async def step(transaction: Transaction) -> int:
            await write_audit(transaction, audit)
            return sum([await transaction.run("end_session", (INSTALLATION, digest)) for digest in digests])

        return await self._write.do(step, INSTALLATION)


def _row(session: Session) -> Row:
    return (
        session.merchant_id,
        session.digest,
        session.kind.value,
        session.subject,
        session.embed_origin,
        session.created_at,
        session.seen_at,
        session.expires_at,
        session.name,
        None if session.role is None else session.role.value,
        session.browser,
        session.address,
        session.second_factor,
    )


def _session(row: Row) -> Session:
    merchant_id, digest, kind, subject, embed_origin, created_at, seen_at, expires_at, name, role, *device = row
    return Session(
        *(merchant_id, bytes(digest), SessionKind(kind), subject, embed_origin, created_at, seen_at, expires_at),
        *(name, None if role is None else Role(role), *device),
    )


# Between two notes of one token's use: to a minute is what anybody asks of it.
NOTED_EVERY: Final = MINUTE


class OperatorRepository(SessionStorage):
    async def add_operator(self, operator: Operator, audit: AuditEntry, limit: int) -> None:
        """Raises Conflict when the name is in use, or there are `limit` operators already."""

        async def step(transaction: Transaction) -> None:
            # First, as it holds the installation's chain: no two are added at the same time.
            await write_audit(transaction, audit)
            names = [row[0] for row in await transaction.rows("living_operators", (operator.created_at,))]
            if operator.name in names:
                raise Conflict(
                    f"there is an operator {operator.name} already", f"گرداننده‌ای به نام {operator.name} هست"
                )
            if len(names) >= limit:
                raise Conflict(f"there are {limit} operators already", f"{limit} گرداننده هست")
            # That of somebody before, whose name is free again.
            left = await transaction.row("second_factor_of_operator", (operator.name,))
            if left is not None:
                await forget_second_factor(transaction, left[0])
            await transaction.run("insert_operator", _row_of(operator))

        await self._write.do(step, INSTALLATION)

    async def replace_operator(self, before: Operator, after: Operator, audit: AuditEntry) -> None:
        """Ends `before` at its time, and adds `after`. An earlier end stands. Raises NotFound."""

        async def step(transaction: Transaction) -> None:
            await write_audit(transaction, audit)
            await _end(transaction, before)
            await transaction.run("insert_operator", _row_of(after))

        await self._write.do(step, INSTALLATION)

    async def end_operator(self, operator: Operator, audit: AuditEntry) -> None:
        """Ends it as it says, unless it ends earlier. Raises NotFound."""

        async def step(transaction: Transaction) -> None:
            await write_audit(transaction, audit)
            await _end(transaction, operator)

        await self._write.do(step, INSTALLATION)

    async def operator(self, operator_id: str) -> Operator:
        """Raises NotFound."""
        row = await self._row("operator", (operator_id,))
        if row is None:
            raise NotFound("operator")
        return _operator_of(row)

    async def operator_by_digest(self, digest: bytes) -> Operator | None:
        row = await self._row("operator_by_digest", (digest,))
        return None if row is None else _operator_of(row)

    async def list_operators(self) -> list[Operator]:
        """In id order, which is that of their making; at most 1000."""
        return [_operator_of(row) for row in await self._rows("list_operators", (LIST_LIMIT,))]

    async def note_token_uses(self, uses: Sequence[TokenUse]) -> None:
        """When tokens were last used; one that was noted within the minute before is left as it is."""
        operators = [(use.id, use.at, use.at - NOTED_EVERY) for use in uses if use.merchant_id == INSTALLATION]
        # In one order everywhere: a merchant's own step may hold one of these rows and wait for another.
        tokens = sorted(
            (use.merchant_id, use.id, use.at, use.at - NOTED_EVERY) for use in uses if use.merchant_id != INSTALLATION
        )

        async def step(transaction: Transaction) -> None:
            await transaction.run_all("use_operator", operators)
            await transaction.run_all("use_token", tokens)

        await self._write.do(step, INSTALLATION)


async def _end(transaction: Transaction, operator: Operator) -> None:
    if await transaction.run("end_operator", (operator.id, operator.revoked_at)) == 0:
        raise NotFound("operator")


def _row_of(operator: Operator) -> Row:
    return (
        operator.id,
        operator.name,
        operator.role.value,
        operator.prefix,
        operator.digest,
        operator.created_at,
        operator.expires_at,
        operator.revoked_at,
        operator.last_used_at,
    )


def _operator_of(row: Row) -> Operator:
    operator_id, name, role, *rest = row
    return Operator(operator_id, name, Role(role), *rest)
