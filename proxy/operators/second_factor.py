"""The second factor of an operator who logs in by token: codes of an authenticator app, and recovery codes.

It belongs to the operator's name, so a new token keeps it. The secret is sealed among the others; recovery codes have
80 random bits and are stored as digests. Guesses at a code are limited by browser: one that has logged in before has
its own, all others share one limit, so that somebody with a stolen token shuts nobody out of theirs; and a recovery
code, which cannot be guessed, is never limited.
"""

from collections.abc import Callable, Mapping
from dataclasses import field
from enum import StrEnum
from typing import Final

import structlog

from proxy.audit.log import INSTALLATION, AuditEntry, AuditRepository
from proxy.kernel.clock import DAY, SECOND, Now
from proxy.kernel.errors import Conflict, NotFound, RateLimited, Unauthenticated, VaultError, invalid
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import AUDIT, NO_MERCHANT, SECOND_FACTOR, Ids, RandomBytes, digest
from proxy.merchants.storage.repository import MerchantRepository
from proxy.merchants.vault import SealedSecret, Vault
from proxy.operators.login_tickets import PURPOSE, LoginTickets
from proxy.operators.records import Operator, Session
from proxy.operators.second_factor_storage import Enrolment, Guess, SecondFactorRepository
from proxy.operators.totp import (
    matching_step,
    new_recovery_code,
    new_secret,
    typed_code,
    typed_recovery_code,
)

log = structlog.get_logger()

RECOVERY_CODES: Final = 10
WRONG_CODES: Final = 20
WRONG_CODES_WITHIN: Final = DAY
"""Three codes of a million are right at a time: 20 guesses a day find one within a year once in 46 times."""
_SECRET: Final = "totp"  # noqa: S105  the name of a secret
_ANY_BROWSER: Final = ""


class Proof(StrEnum):
    CODE = "code"
    RECOVERY_CODE = "recovery_code"


class CodeRefused(Unauthenticated):
    """A wrong code: it counts against its address as a wrong token does."""

    def __init__(self) -> None:
        super().__init__()
        self.detail = (
            "This code is wrong, over or used already. Wait for the next one; if none works, the phone's clock is off."
        )
        self.detail_fa = (
            "این کد درست نیست، گذشته یا به کار رفته است. کد بعدی را بنویسید؛ اگر هیچ‌کدام کار نکرد، ساعت گوشی درست نیست."
        )


class SecretUnusable(CodeRefused):
    def __init__(self) -> None:
        super().__init__()
        self.detail = "The secret of this second factor does not open with the keys of Dargah: use a recovery code."
        self.detail_fa = "راز این رمز دوم با کلیدهای این درگاه باز نمی‌شود: کد بازیابی بنویسید."


class GuessesSpent(RateLimited):
    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__("wrong-codes", 0, retry_after_seconds)
        self.detail = (
            f"There were {WRONG_CODES} wrong codes within a day, from browsers like this one. Use a recovery code, or "
            "a browser that you have logged in with before. If they were not yours, have your token changed."
        )
        self.detail_fa = (
            "در یک روز بیست کد نادرست از چنین مرورگری آمده است. کد بازیابی بنویسید، یا از مرورگری بیایید که پیش‌تر با "
            "آن وارد شده‌اید. اگر کار شما نبوده، توکن‌تان لو رفته است: بدهید عوضش کنند."
        )


CODE_ERRORS: Final = (CodeRefused, GuessesSpent)


@dataclass(frozen=True, slots=True)
class Offered:
    """A secret that a session was shown, and may enrol: `sealed` is what its form brings back."""

    secret: str = field(repr=False)
    sealed: str = field(repr=False)


class SecondFactors:
    """`changed` is called after a second factor has come or gone."""

    def __init__(
        self,
        factors: SecondFactorRepository,
        merchants: MerchantRepository,
        audit: AuditRepository,
        vault: Vault,
        random_bytes: RandomBytes,
        now: Now,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._factors = factors
        self._merchants = merchants
        self._audit_log = audit
        self._vault = vault
        self._random_bytes = random_bytes
        self._ids = Ids(random_bytes)
        self._now = now
        self._changed = changed
        self.tickets = LoginTickets(vault.derived_keys(PURPOSE), self._ids, now)

    def offer(self, session: Session) -> Offered:
        """A new secret for this session. Nothing is stored before it is enrolled."""
        secret = new_secret(self._random_bytes)
        sealed = self._vault.seal(INSTALLATION, session.id, _SECRET, secret)
        return Offered(secret, f"{sealed.kek_id}.{sealed.blob.hex()}")

    def offered(self, session: Session, sealed: str) -> Offered:
        """The secret that this session was offered. Raises InvalidInput for anything else."""
        kek_id, _, blob = sealed.rpartition(".")
        try:
            row = SealedSecret(INSTALLATION, session.id, _SECRET, kek_id, bytes.fromhex(blob))
            return Offered(self._vault.open(row), sealed)
        except (ValueError, VaultError):
            raise invalid("offered", "malformed", "is not of this page", "از این صفحه نیست") from None

    async def enrol(self, operator: Operator, session: Session, offered: Offered, code: str) -> list[str]:
        """The recovery codes, which are shown once. Ends the operator's other sessions.

        Raises CodeRefused, and Conflict where there is a second factor already, or the token is over.
        """
        now, typed = self._now(), typed_code(code)
        step = None if typed is None else matching_step(offered.secret, typed, now)
        if step is None:
            raise CodeRefused
        factor_id = self._ids.record(SECOND_FACTOR, NO_MERCHANT, now)
        sealed = self._vault.seal(INSTALLATION, factor_id, _SECRET, offered.secret)
        codes = self._new_recovery_codes()
        digests = [_digest(factor_id, each) for each in codes]
        made = Enrolment(factor_id, operator.id, now, step, session.digest, sealed, digests)
        await self._factors.enrol(made, operator.name, self._audit(operator, "second_factor.enrol", operator.name))
        self._changed()
        return codes

    async def prove(self, operator: Operator, text: str, browser: str | None) -> Proof:
        """What proved the operator: a code of the app, or a recovery code, which is used up. `browser` is the name of
        one that has logged in before.

        Raises CodeRefused and GuessesSpent.
        """
        factor_id = operator.second_factor
        if factor_id is None:
            raise CodeRefused
        recovery_code, code = typed_recovery_code(text), typed_code(text)
        if recovery_code is not None:
            await self._recover(operator, factor_id, recovery_code)
            return Proof.RECOVERY_CODE
        if code is None:
            raise CodeRefused
        try:
            await self._guess(operator, factor_id, code, browser or _ANY_BROWSER)
        except CodeRefused:
            kind = "new_browser" if browser is None else "known_browser"
            log.warning("second_factor_refused", operator=operator.name, kind=kind)
            raise
        return Proof.CODE

    async def recovery_codes_left(self, operator: Operator) -> int:
        return 0 if operator.second_factor is None else await self._factors.recovery_codes_left(operator.second_factor)

    async def renew_recovery_codes(self, operator: Operator) -> list[str]:
        """New recovery codes, which are shown once, in place of all before. Raises Conflict where there is none."""
        factor_id, codes = _factor_of(operator), self._new_recovery_codes()
        audit = self._audit(operator, "second_factor.new_recovery_codes", operator.name)
        await self._factors.replace_recovery_codes(factor_id, [_digest(factor_id, each) for each in codes], audit)
        return codes

    async def end(self, operator: Operator, session: Session) -> None:
        """The operator's own end of it, from a session: the others end. Raises Conflict where there is none."""
        audit = self._audit(operator, "second_factor.end", operator.name)
        await self._factors.end(_factor_of(operator), operator.name, session.digest, audit)
        self._changed()

    async def remove(self, operator: Operator, actor: str) -> bool:
        """Ends another operator's, with all their sessions; gives whether there was one."""
        if operator.second_factor is None:
            return False
        audit = self._audit(operator, "second_factor.remove", actor)
        await self._factors.end(operator.second_factor, operator.name, b"", audit)
        self._changed()
        return True

    async def _guess(self, operator: Operator, factor_id: str, code: str, browser: str) -> None:
        now = self._now()
        step = matching_step(await self._secret(factor_id), code, now)
        limits = {"now": now, "limit": WRONG_CODES, "window": WRONG_CODES_WITHIN}
        match await self._factors.guess(factor_id, step, browser, **limits):
            case Guess.RIGHT:
                return
            case Guess.SPENT:
                begun_at = await self._factors.guesses_begun_at(factor_id, browser) or now
                raise GuessesSpent(max(1, (begun_at + WRONG_CODES_WITHIN - now) // SECOND))
            case Guess.LAST:
                data = {"known_browser": browser != _ANY_BROWSER}
                await self._audit_log.add_audit(self._audit(operator, "second_factor.block", operator.name, data))
        raise CodeRefused

    async def _recover(self, operator: Operator, factor_id: str, code: str) -> None:
        hashed = _digest(factor_id, code)
        if not await self._factors.has_recovery_code(factor_id, hashed):
            raise CodeRefused
        audit = self._audit(operator, "second_factor.recover", operator.name)
        try:
            await self._factors.use_recovery_code(factor_id, hashed, audit)
        except Conflict:
            raise CodeRefused from None

    async def _secret(self, factor_id: str) -> str:
        try:
            return self._vault.open_named(await self._merchants.secrets(INSTALLATION, factor_id), _SECRET)
        except NotFound:  # it has ended just now
            raise CodeRefused from None
        except VaultError as error:
            log.error("second_factor_unusable", error=str(error))  # noqa: TRY400  the ring, and no fault of the code
            raise SecretUnusable from None

    def _new_recovery_codes(self) -> list[str]:
        return [new_recovery_code(self._random_bytes) for _ in range(RECOVERY_CODES)]

    def _audit(
        self, operator: Operator, action: str, actor: str, data: Mapping[str, object] | None = None
    ) -> AuditEntry:
        now = self._now()
        entry_id = self._ids.record(AUDIT, NO_MERCHANT, now)
        shown = {"name": operator.name, **(data or {})}
        return AuditEntry(entry_id, INSTALLATION, now, actor, action, operator.id, shown)


def _factor_of(operator: Operator) -> str:
    if operator.second_factor is None:
        raise Conflict("there is no second factor", "رمز دومی نیست")
    return operator.second_factor


def _digest(factor_id: str, code: str) -> bytes:
    """The stored form of a recovery code, by its letters and digits alone."""
    return digest(f"{factor_id} {code.replace('-', '')}")
