"""The short form of the seeded simulation. `DARGAH_TORTURE_SEED` sets the first seed; a failure prints its story."""

import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import pytest
import structlog

from proxy.gateways.port import Captured
from proxy.payments import check_schedule as watch
from proxy.payments import transitions
from proxy.payments.checkout import Checkout, Checkup
from proxy.payments.payment import Fact, Payment
from proxy.webhooks.delivery import Claim
from proxy.webhooks.storage.queue import InFlightClaims

from . import ROOT, first_seed
from .history import PROMISES
from .simulation import report_failure, shrink, summary, tell, tell_many

SEEDS: Final = 25
STEPS: Final = 150


def test_no_seed_breaks_a_promise(capsys: pytest.CaptureFixture[str]) -> None:
    first, counts = first_seed(), Counter[str]()
    with capsys.disabled():
        sys.stdout.write(f"\nDARGAH_TORTURE_SEED={first}\n")
    for told in tell_many(range(first, first + SEEDS), STEPS, workers=1):
        if told.violation is not None:
            report_failure(told, STEPS)
            pytest.fail(f"DARGAH_TORTURE_SEED={told.seed} breaks a promise: {told.violation}")
        counts += told.counts
    # A world in which nothing happens would keep every promise.
    assert counts["paid"] > SEEDS, summary(counts, SEEDS, STEPS, 0)
    assert counts["crashes"] > SEEDS
    assert counts["webhooks arrived"] > counts["paid"]


def test_the_same_seed_gives_the_same_trace() -> None:
    seed = first_seed()
    told, again, other = tell(seed, STEPS), tell(seed, STEPS), tell(seed + 1, STEPS)
    assert told.digest == again.digest
    assert told.actions == again.actions
    assert told.digest != other.digest


def test_a_seed_replays_in_another_process_whatever_its_hash_seed() -> None:
    seed = first_seed()
    script = f"from tests.torture.simulation import tell; print(tell({seed}, 60).digest)"
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert digests == {f"{tell(seed, 60).digest}\n"}


def test_a_recorded_story_replays_as_it_was_told() -> None:
    told = tell(7, STEPS)
    assert tell(7, STEPS, told.actions).digest == told.digest


def trusting(real: Callable[..., Awaitable[Checkup]]) -> Callable[..., Awaitable[Checkup]]:
    """A checkout that believes a return which says that all is well (status 0)."""

    async def returned(checkout: Checkout, merchant_id: str, link: str, params: Mapping[str, str]) -> Checkup:
        payment = await checkout._payments.payment_by_link(merchant_id, link)
        if params.get("status") != "0" or not payment.open_invoice_keys():
            return await real(checkout, merchant_id, link, params)
        fact = Captured(payment.open_invoice_keys()[0], payment.amount_rials, params.get("bank_code", ""))
        return Checkup((await checkout._settlement.settle(payment, fact)).after, fact)

    return returned


def without_amounts(real: Callable[..., Any]) -> Callable[..., Any]:
    """A core that does not compare the amount."""
    return lambda payment, fact: real(payment, replace(fact, amount_rials=payment.amount_rials))


def giving_up(real: Callable[..., Any]) -> Callable[..., Any]:
    """A watch that ends at the first clear answer after the expiry."""

    def after(plan: Any, payment: Payment, fact: Fact, now: int, jitter: float) -> Any:
        return None if now > payment.expires_at else real(plan, payment, fact, now, jitter)

    return after


_NOT_PAID: Final = {"paid is captured", "paid has its check", "review has its reason"}
BROKEN: Final[dict[str, tuple[Any, str, Callable[..., Any], set[str]]]] = {
    "a return is trusted": (Checkout, "returned", trusting, _NOT_PAID),
    "amounts are not compared": (transitions, "_review_reason", without_amounts, {"paid is captured"}),
    "the checks end at the expiry": (watch, "after", giving_up, {"no payment is lost"}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_core_is_caught_and_its_story_is_short(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, attribute, planted, promises = BROKEN[name]
    monkeypatch.setattr(module, attribute, planted(getattr(module, attribute)))
    caught = next((told for told in tell_many(range(1, 200), STEPS, workers=1) if told.violation), None)
    assert caught is not None
    assert caught.violation is not None
    promise = caught.violation.promise
    assert promise in promises
    lines: list[str] = []
    report_failure(caught, STEPS, say=lines.append)
    assert f"seed {caught.seed} breaks a promise: {promise}" in lines[0]
    story = [line for line in lines if line.startswith("  #")]
    assert 0 < len(story) <= 20
    assert any("creates a payment" in line for line in story)
    assert promise in lines[-2]


@pytest.mark.parametrize("name", BROKEN)
def test_the_judge_of_its_history_alone_catches_a_broken_core(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, attribute, planted, _ = BROKEN[name]
    monkeypatch.setattr(module, attribute, planted(getattr(module, attribute)))
    told = (tell(seed, STEPS, judged_alone=True) for seed in range(1, 200))
    broken = next(each.violation.promise for each in told if each.violation is not None)
    assert broken in PROMISES


def test_an_error_that_a_loop_swallows_is_heard_in_a_campaign_that_logs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(_claims: InFlightClaims, _claim: Claim) -> bool:
        raise RuntimeError("planted")

    monkeypatch.setattr(InFlightClaims, "remove", fails)
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        broken = [told.violation for told in tell_many(range(1, 4), STEPS, workers=1) if told.violation is not None]
    finally:
        structlog.configure(**before)
    assert "no unexpected error" in {violation.promise for violation in broken}


def test_shrinking_leaves_what_is_needed() -> None:
    assert shrink(list(range(100)), lambda kept: {17, 42} <= set(kept)) == [17, 42]
    tries: list[int] = []

    def fails(kept: list[int]) -> bool:
        tries.append(len(kept))
        return False

    shrink(list(range(100)), fails, max_tries=5)
    assert len(tries) == 5
