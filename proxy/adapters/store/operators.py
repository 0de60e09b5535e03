"""Operators, and when tokens were last used."""

from collections.abc import Sequence
from typing import Final

from proxy.adapters.store.audit import write_audit
from proxy.adapters.store.parts import LIST_LIMIT, StoreParts
from proxy.adapters.store.registry_rows import token_row
from proxy.adapters.store.transaction import Row, Transaction
from proxy.audit.chain import INSTALLATION
from proxy.clock import MINUTE
from proxy.errors import Conflict, NotFound
from proxy.merchant import AuditEntry, Token
from proxy.operators.records import Operator, Role, Use

# Between two notes of one token's use: to a minute is what anybody asks of it.
NOTED_EVERY: Final = MINUTE


class StoreOperators(StoreParts):
    async def add_operator(self, operator: Operator, audit: AuditEntry, limit: int) -> None:
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
            await transaction.run("insert_operator", _row_of(operator))

        await self._write.do(step, INSTALLATION)

    async def replace_operator(self, before: Operator, after: Operator, audit: AuditEntry) -> None:
        async def step(transaction: Transaction) -> None:
            await write_audit(transaction, audit)
            await _end(transaction, before)
            await transaction.run("insert_operator", _row_of(after))

        await self._write.do(step, INSTALLATION)

    async def end_operator(self, operator: Operator, audit: AuditEntry) -> None:
        async def step(transaction: Transaction) -> None:
            await write_audit(transaction, audit)
            await _end(transaction, operator)

        await self._write.do(step, INSTALLATION)

    async def operator(self, operator_id: str) -> Operator:
        row = await self._row("operator", (operator_id,))
        if row is None:
            raise NotFound("operator")
        return _operator_of(row)

    async def operator_by_digest(self, digest: bytes) -> Operator | None:
        row = await self._row("operator_by_digest", (digest,))
        return None if row is None else _operator_of(row)

    async def list_operators(self) -> list[Operator]:
        return [_operator_of(row) for row in await self._rows("list_operators", (LIST_LIMIT,))]

    async def replace_token(self, before: Token, after: Token, audit: AuditEntry) -> None:
        async def step(transaction: Transaction) -> None:
            await write_audit(transaction, audit)
            if await transaction.run("end_token", (before.merchant_id, before.id, before.revoked_at)) == 0:
                raise NotFound("token")
            await transaction.run("insert_token", token_row(after))

        await self._write.do(step, before.merchant_id)

    async def note_uses(self, uses: Sequence[Use]) -> None:
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
