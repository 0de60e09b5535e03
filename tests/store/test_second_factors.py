"""Second factors in the stores: steps, guesses and recovery codes; and a change of the key ring."""

import asyncio
import base64
import os
from dataclasses import dataclass, field, replace

import pytest
from support.authenticator import Authenticator
from support.clock import ManualClock

from proxy.audit.log import INSTALLATION, AuditLog
from proxy.kernel.clock import HOUR, MINUTE
from proxy.kernel.errors import Conflict
from proxy.kernel.ids import NO_MERCHANT, OPERATOR, digest
from proxy.merchants.setup import MerchantSetup
from proxy.merchants.vault import KeyRing, Vault
from proxy.operations.troubles import Trouble, TroubleKind
from proxy.operators.records import Operator, Role, Session, SessionKind
from proxy.operators.second_factor import (
    WRONG_CODES,
    WRONG_CODES_WITHIN,
    CodeRefused,
    Proof,
    SecondFactors,
    SecretUnusable,
)
from proxy.operators.second_factor_storage import Guess
from proxy.operators.sessions import Sessions
from proxy.stores.store import Store
from store.records import IDS, NOW, new_audit

OLD, NEW = (f"k{number}:{base64.b64encode(bytes([number]) * 32).decode()}" for number in (1, 2))
STEP = 30_000


@dataclass
class Desk:
    """An operator with a second factor, and what a Dargah of one store and key ring does with it."""

    store: Store
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW))
    ring: tuple[str, ...] = (OLD,)

    @property
    def vault(self) -> Vault:
        return Vault(KeyRing.parse("\n".join(self.ring)))

    @property
    def factors(self) -> SecondFactors:
        at = self.store
        return SecondFactors(at.second_factors, at.merchants, at.audit, self.vault, os.urandom, self.clock)

    async def hire(self, name: str = "sara") -> Operator:
        text, ends = IDS.operator_token(), (None, None)
        operator_id = IDS.record(OPERATOR, NO_MERCHANT, self.clock.now)
        made = Operator(operator_id, name, Role.READ, text[:10], digest(text), self.clock.now, *ends)
        audit = replace(new_audit(NO_MERCHANT), merchant_id=INSTALLATION)
        await self.store.operators.add_operator(made, audit, 10)
        return made

    async def session(self, operator: Operator) -> Session:
        opening = Sessions(self.store.operators, IDS, self.clock)
        _, session = await opening.open(SessionKind.OPERATOR, INSTALLATION, operator.digest.hex())
        return session

    async def enrol(self, name: str = "sara") -> tuple[Operator, Authenticator, list[str]]:
        operator = await self.hire(name)
        session = await self.session(operator)
        offered = self.factors.offer(session)
        app = Authenticator(offered.secret)
        codes = await self.factors.enrol(operator, session, offered, app.code(self.clock.now))
        return await self.store.operators.operator(operator.id), app, codes

    async def guess(self, operator: Operator, step: int | None, browser: str = "", limit: int = 3) -> Guess:
        factor_id = operator.second_factor or ""
        return await self.store.second_factors.guess(factor_id, step, browser, self.clock.now, limit, 1000)


@pytest.fixture
def desk(store: Store) -> Desk:
    return Desk(store)


async def test_an_operator_is_read_with_the_second_factor_of_the_name(desk: Desk) -> None:
    operator, _, _ = await desk.enrol()
    desk.clock.forward(1)
    other = await desk.hire("ali")
    assert operator.second_factor_at == NOW
    assert await desk.store.operators.operator_by_digest(operator.digest) == operator
    assert await desk.store.operators.list_operators() == [operator, other]
    assert other.second_factor is None


async def test_a_step_is_taken_once_and_none_before_it_after_that(desk: Desk) -> None:
    operator, _, _ = await desk.enrol()
    present = NOW // STEP
    taken = [await desk.guess(operator, present + step, limit=100) for step in (0, 1, 1, 0, 3, 2)]
    wrong, right = Guess.WRONG, Guess.RIGHT
    assert taken == [wrong, right, wrong, wrong, right, wrong]


async def test_of_one_step_at_once_one_is_right(desk: Desk) -> None:
    operator, _, _ = await desk.enrol()
    guesses = await asyncio.gather(*(desk.guess(operator, NOW // STEP + 1, limit=100) for _ in range(8)))
    assert sorted(guess.name for guess in guesses) == ["RIGHT"] + ["WRONG"] * 7


async def test_guesses_are_counted_by_browser_and_forgotten_in_time(desk: Desk) -> None:
    operator, _, _ = await desk.enrol()
    wrong = [await desk.guess(operator, None) for _ in range(4)]
    assert wrong == [Guess.WRONG, Guess.WRONG, Guess.LAST, Guess.SPENT]
    assert await desk.guess(operator, NOW // STEP + 1) is Guess.SPENT
    assert await desk.guess(operator, NOW // STEP + 1, "known") is Guess.RIGHT
    assert await desk.store.second_factors.guesses_begun_at(operator.second_factor or "", "") == NOW
    desk.clock.forward(1000)
    assert await desk.guess(operator, NOW // STEP + 2) is Guess.RIGHT


async def test_of_guesses_at_once_no_more_are_looked_at_than_are_left(desk: Desk) -> None:
    operator, _, _ = await desk.enrol()
    guesses = await asyncio.gather(*(desk.guess(operator, None) for _ in range(9)))
    assert [guess.name for guess in guesses].count("SPENT") == 6


async def test_a_second_factor_goes_with_all_that_it_has_and_the_chain_is_whole(desk: Desk) -> None:
    operator, _, codes = await desk.enrol()
    other, app, _ = await desk.enrol("ali")
    assert await desk.factors.prove(operator, codes[0], None) is Proof.RECOVERY_CODE
    await desk.factors.renew_recovery_codes(operator)
    assert await desk.factors.recovery_codes_left(operator) == 10
    assert await desk.factors.remove(operator, "owner")
    with pytest.raises(Conflict):
        await desk.factors.remove(operator, "owner")  # as it was read before
    with pytest.raises(Conflict):
        await desk.factors.renew_recovery_codes(operator)
    assert await desk.store.merchants.secrets(INSTALLATION, operator.second_factor or "") == []
    assert await desk.factors.recovery_codes_left(operator) == 0
    with pytest.raises(CodeRefused):
        await desk.factors.prove(operator, codes[1], None)
    desk.clock.forward(STEP)
    assert await desk.factors.prove(other, app.code(desk.clock.now), None) is Proof.CODE
    assert (await AuditLog(desk.store.audit).verify(INSTALLATION)).broken is None


async def test_a_token_that_is_over_enrols_nothing(desk: Desk) -> None:
    operator = await desk.hire()
    session = await desk.session(operator)
    offered = desk.factors.offer(session)
    audit = replace(new_audit(NO_MERCHANT), merchant_id=INSTALLATION)
    await desk.store.operators.end_operator(replace(operator, revoked_at=NOW), audit)
    with pytest.raises(Conflict):
        await desk.factors.enrol(operator, session, offered, Authenticator(offered.secret).code(NOW))
    assert await desk.store.merchants.secrets(INSTALLATION, operator.second_factor or "") == []


async def test_a_change_of_keys_takes_the_secrets_along(desk: Desk) -> None:
    """As `dargah keys rotate` has it; with the older key gone the codes are right as before."""
    operator, app, _ = await desk.enrol()
    desk.ring = (NEW, OLD)
    desk.clock.forward(STEP)
    rotated = await MerchantSetup(desk.store.merchants, desk.vault, desk.clock, os.urandom).rotate(actor="sara")
    assert (rotated.rewrapped, rotated.failed) == (1, ())
    [entry, *_] = await desk.store.audit.list_audit(INSTALLATION, None, 1)
    assert (entry.action, entry.id[:12]) == ("keys.rotate", "aud_00000000")
    desk.ring = (NEW,)
    desk.clock.forward(STEP)
    assert await desk.factors.prove(operator, app.code(desk.clock.now), None) is Proof.CODE


async def test_without_the_key_a_recovery_code_is_the_way_in(desk: Desk) -> None:
    operator, app, codes = await desk.enrol()
    desk.ring = (NEW,)
    desk.clock.forward(STEP)
    with pytest.raises(SecretUnusable):
        await desk.factors.prove(operator, app.code(desk.clock.now), None)
    assert await desk.factors.prove(operator, codes[0], None) is Proof.RECOVERY_CODE


async def test_spent_guesses_are_a_trouble_while_a_token_from_before_them_lives(desk: Desk) -> None:
    operator, _, _ = await desk.enrol()
    factor_id = operator.second_factor or ""

    async def told() -> list[Trouble]:
        return await desk.store.troubles.troubles(desk.clock.now)

    desk.clock.forward(MINUTE)
    since = desk.clock.now
    for _ in range(WRONG_CODES):
        assert await told() == []
        await desk.store.second_factors.guess(
            factor_id, None, "", desk.clock.now, limit=WRONG_CODES, window=WRONG_CODES_WITHIN
        )
        desk.clock.forward(MINUTE)
    [found] = await told()
    assert (found.key, found.since, found.urgent) == ((TroubleKind.SECOND_FACTOR_GUESSED, factor_id), since, True)
    assert found.facts == {"name": "sara"}

    overlap = replace(operator, revoked_at=desk.clock.now + HOUR)
    rotated = replace(operator, id=IDS.record(OPERATOR, NO_MERCHANT, desk.clock.now), digest=digest("new"))
    rotated = replace(rotated, created_at=desk.clock.now)
    audit = replace(new_audit(NO_MERCHANT), merchant_id=INSTALLATION)
    await desk.store.operators.replace_operator(overlap, rotated, audit)
    assert await told() == [found], "the old token may still be used"
    desk.clock.forward(HOUR)
    assert await told() == [], "nobody has a token any more with which they were made"


async def test_spent_guesses_are_no_trouble_once_they_are_over(desk: Desk) -> None:
    operator, _, _ = await desk.enrol()
    for _ in range(WRONG_CODES):
        await desk.guess(operator, None, limit=WRONG_CODES)
    for after, kinds in ((WRONG_CODES_WITHIN - 1, [TroubleKind.SECOND_FACTOR_GUESSED]), (WRONG_CODES_WITHIN, [])):
        assert [each.kind for each in await desk.store.troubles.troubles(NOW + after)] == kinds
