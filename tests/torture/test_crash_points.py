"""Every crash point of every scenario. None is sampled, so a failure is the same one next time."""

from typing import Any, Final

import pytest

from proxy.adapters.sqlite.transaction import SqliteTransaction
from proxy.adapters.store import payments

from .crash_points import enumerate_points
from .crash_points_migration import migrations
from .crash_points_scenarios import SCENARIOS, Scenario

WATCH: Final = next(scenario for scenario in SCENARIOS if scenario.name == "watch, no return")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_death_at_any_point_breaks_no_promise(scenario: Scenario) -> None:
    done = enumerate_points(scenario)
    assert done.failures == ()
    assert done.commits > 0
    assert done.calls > 0
    assert done.runs == 2 * (done.commits + done.calls)


def test_death_at_any_statement_of_a_migration_leaves_what_the_next_start_can_finish() -> None:
    done = list(migrations())
    assert [migrated.failures for migrated in done] == [()] * len(done)
    assert len(done) >= 2
    # From nothing there are more statements than from the newest version, which only looks.
    assert done[0].statements > done[-1].statements > 0


def test_a_claim_that_forgets_is_caught_at_the_points_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = payments._claim_watches

    async def forgetful(transaction: SqliteTransaction, now: int, lease_until: int, limit: int) -> Any:
        claimed = await real(transaction, now, lease_until, limit)
        for payment, _ in claimed:
            transaction._execute("DELETE FROM watches WHERE payment_id = ?", (payment.id,))
        return claimed

    monkeypatch.setattr(payments, "_claim_watches", forgetful)
    failures = enumerate_points(WATCH).failures
    assert failures
    assert all("no payment is lost" in failure for failure in failures)
    assert any("(claim_watches: after)" in failure for failure in failures)
    assert not any("nobody died" in failure for failure in failures)
