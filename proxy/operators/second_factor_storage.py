"""Second factors: their last step, recovery codes and counted guesses. The sealed secret lies among the others."""

from collections.abc import Sequence
from enum import Enum, auto

from proxy.audit.log import INSTALLATION, AuditEntry, write_audit
from proxy.database.repository import Repository
from proxy.database.transaction import Transaction
from proxy.kernel.errors import Conflict
from proxy.kernel.frozen import dataclass
from proxy.merchants.storage.rows import sealed_row
from proxy.merchants.vault import SealedSecret


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A second factor of the operator with the token `operator_id`, confirmed by the code of `step` in a session."""

    factor_id: str
    operator_id: str
    at: int
    step: int
    session: bytes
    secret: SealedSecret
    recovery_codes: Sequence[bytes]


class Guess(Enum):
    RIGHT = auto()
    WRONG = auto()
    LAST = auto()
    """Wrong, and the last one that was left."""
    SPENT = auto()
    """Not looked at: there was none left."""


class SecondFactorRepository(Repository):
    async def enrol(self, made: Enrolment, operator: str, audit: AuditEntry) -> None:
        """Also ends the operator's other sessions. Raises Conflict where they have one, or the token is over."""

        async def step(transaction: Transaction) -> None:
            await write_audit(transaction, audit)
            row = (made.factor_id, made.at, made.step, made.operator_id)
            if await transaction.run("insert_second_factor", row) == 0:
                raise Conflict(
                    "there is a second factor already, or the token is over",
                    "رمز دوم از پیش هست، یا توکن پایان یافته است",
                )
            await transaction.run("put_secret", sealed_row(made.secret))
            await _insert_codes(transaction, made.factor_id, made.recovery_codes)
            await transaction.run("prove_session", (INSTALLATION, made.session, made.factor_id))
            await transaction.run("end_sessions_of_operator", (INSTALLATION, operator, made.session))

        await self._write.do(step, INSTALLATION)

    async def guess(self, factor_id: str, step: int | None, browser: str, now: int, limit: int, window: int) -> Guess:
        """Whether the code of `step` (None is a wrong one) lets in: each step once, and a browser `limit` wrong ones
        within `window` milliseconds.
        """

        async def look(transaction: Transaction) -> Guess:
            await transaction.run("forget_guesses", (factor_id, now - window))
            # Before the code is looked at, so that guesses at the same time are all counted.
            if await transaction.run("count_guess", (factor_id, browser, now, limit)) == 0:
                return Guess.SPENT
            if step is not None and await transaction.run("use_step", (factor_id, step)) == 1:
                await transaction.run("give_back_guess", (factor_id, browser))
                return Guess.RIGHT
            row = await transaction.row("guesses_of_browser", (factor_id, browser))
            return Guess.LAST if row is not None and row[0] >= limit else Guess.WRONG

        return await self._write.do(look, INSTALLATION)

    async def guesses_begun_at(self, factor_id: str, browser: str) -> int | None:
        """When the first of the counted guesses was."""
        row = await self._row("guesses_of_browser", (factor_id, browser))
        return None if row is None else int(row[1])

    async def has_recovery_code(self, factor_id: str, code: bytes) -> bool:
        return await self._row("recovery_code", (factor_id, code)) is not None

    async def use_recovery_code(self, factor_id: str, code: bytes, audit: AuditEntry) -> None:
        """Raises Conflict where it was used meanwhile."""

        async def step(transaction: Transaction) -> None:
            await write_audit(transaction, audit)
            if await transaction.run("use_recovery_code", (factor_id, code)) == 0:
                raise Conflict("this recovery code is used", "این کد بازیابی به کار رفته است")

        await self._write.do(step, INSTALLATION)

    async def recovery_codes_left(self, factor_id: str) -> int:
        row = await self._row("count_recovery_codes", (factor_id,))
        return 0 if row is None else int(row[0])

    async def replace_recovery_codes(self, factor_id: str, codes: Sequence[bytes], audit: AuditEntry) -> None:
        """Raises Conflict where the second factor has ended meanwhile."""

        async def step(transaction: Transaction) -> None:
            await write_audit(transaction, audit)
            if await transaction.row("second_factor", (factor_id,)) is None:
                raise _ended()
            await transaction.run("delete_recovery_codes", (factor_id,))
            await _insert_codes(transaction, factor_id, codes)

        await self._write.do(step, INSTALLATION)

    async def end(self, factor_id: str, operator: str, kept: bytes, audit: AuditEntry) -> None:
        """Also ends the operator's sessions but the one of the digest `kept`. Raises Conflict where it has ended."""

        async def step(transaction: Transaction) -> None:
            await write_audit(transaction, audit)
            if not await forget_second_factor(transaction, factor_id):
                raise _ended()
            await transaction.run("end_sessions_of_operator", (INSTALLATION, operator, kept))

        await self._write.do(step, INSTALLATION)


async def forget_second_factor(transaction: Transaction, factor_id: str) -> bool:
    """Deletes it with all that it has; gives whether there was one."""
    await transaction.run("delete_secrets", (INSTALLATION, factor_id))
    await transaction.run("delete_recovery_codes", (factor_id,))
    await transaction.run("delete_guesses", (factor_id,))
    return await transaction.run("delete_second_factor", (factor_id,)) == 1


async def _insert_codes(transaction: Transaction, factor_id: str, codes: Sequence[bytes]) -> None:
    await transaction.run_all("insert_recovery_code", [(factor_id, code) for code in codes])


def _ended() -> Conflict:
    return Conflict("this second factor has ended", "این رمز دوم پایان یافته است")
