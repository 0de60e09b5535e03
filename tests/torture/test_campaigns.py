"""The short forms of the campaigns; `python -m tests.torture.NAME` is the long one. `DARGAH_TORTURE_SEED` is the seed.

In many of them processes start and stop, which takes its time on a machine that is busy with the other tests. Last,
what the long form must meet: each pair of operation, fault and state, or there is a reason; the document shows all.
"""

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import pytest
from structlog.testing import capture_logs
from web.openapi_check import document, operations

from proxy.database.sqlite.connection import SqliteTransaction
from proxy.kernel.ids import ALPHABET
from proxy.payments.storage.writes import claim_due_checks
from proxy.webhooks.endpoint import MOST_IN_FLIGHT

from . import DOCUMENT, conformance, first_seed, machines, met, replicas, scratch, sigkill
from .__main__ import MET_BEGIN, MET_END
from .crash_points import SCENARIOS, Scenario, enumerate_points, migrations
from .disk_faults import flow_faults, group_faults, store_faults
from .disk_faults_real import file_that_may_not_grow, full_disk, held_lock
from .processes.audit import Findings
from .properties import PROPERTIES, hold
from .state_machine import in_a_folder, play
from .state_machine_ground import Ground
from .state_machine_market import STOREFRONTS

# By how much a part must have happened, beside payments that were acknowledged.
HAPPENED: Final = {
    "disk full": {"looks at readiness": 1},
    "disk read-only": {"looks at readiness": 1},
    "two processes on one file": {"refused by its own name": 1, "refused by a hard link": 1},
    "power cut": {"power cuts": 3, "changes recorded": 1},
    "slow name server": {"queries of names": 10},
    "clock jumps": {"clock ahead": 1, "clock back": 1},
}
MACHINE_EXAMPLES: Final = 18
POINTS_ONE_OF: Final = 3
LOSSES: Final = ("lost", "wrongly paid", "wrongly kept", "webhooks missing", "gaps in sequences")


def assert_nothing_lost(findings: Findings, creates: int, table: Sequence[str] = ()) -> tuple[Counter[str], str]:
    """No violation, and so many creates acknowledged; gives the counts, and the report for other assertions."""
    report = "\n".join([f"DARGAH_TORTURE_SEED={first_seed()}", *table, *findings.lines()])
    sys.stdout.write(report)
    assert not findings.violations, report
    assert not any(findings.counts[loss] for loss in LOSSES), report
    assert findings.counts["acknowledged creates"] >= creates, report
    return findings.counts, report


async def test_killed_five_times_under_load_nothing_is_lost(tmp_path: Path) -> None:
    plan = sigkill.Plan(first_seed(), kills=5, longest_life_seconds=1.0, rate=20.0, forked=True)
    counts, report = assert_nothing_lost(await sigkill.campaign(tmp_path, plan), creates=50)
    assert counts["kills"] == 5, report
    assert counts["paid by the poller alone"] > 0, report


async def test_replicas_that_are_killed_paused_and_cut_off_lose_nothing(tmp_path: Path) -> None:
    plan = replicas.Plan(first_seed(), payments=200, rate=12.0, short_leases=True)
    counts, report = assert_nothing_lost(await replicas.campaign(tmp_path, plan), creates=200)
    for happened in ("kills of one", "pauses past the leases", "connections cut", "restarts of the database"):
        assert counts[happened] > 0, report
    assert 1 <= counts["most at once at an endpoint"] <= MOST_IN_FLIGHT, report


@pytest.mark.parametrize("name", machines.PARTS)
async def test_a_machine_that_fails_under_load_loses_nothing(name: str, tmp_path: Path) -> None:
    part = machines.PARTS[name]
    if reason := part.missing():
        pytest.skip(f"NOT RUN: {reason}")
    told = await part.campaign(tmp_path, first_seed(), short=True)
    table = machines.Table(first_seed(), [machines.Ran(name, told, 0.0)]).lines()
    counts, report = assert_nothing_lost(told.findings, creates=30, table=table)
    assert told.recoveries, report
    for count, least in HAPPENED.get(name, {}).items():
        assert counts[count] >= least, report


def test_no_answer_of_a_live_port_is_outside_the_document() -> None:
    before = deepcopy(document())
    told = conformance.campaign(first_seed(), examples=3)
    report = "\n".join([f"DARGAH_TORTURE_SEED={first_seed()}", *told.lines()])
    assert not told.violations, report
    assert len(told.statuses) == len(operations()), report
    # Three tries of an operation may all be unlucky; most of them may not.
    assert len(conformance.unanswered(told)) < len(told.statuses) / 4, report
    assert document() == before, "the tests after this one read the same document"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_death_at_any_point_breaks_no_promise(scenario: Scenario) -> None:
    done = enumerate_points(scenario, one_of=POINTS_ONE_OF)
    assert done.failures == ()
    assert done.commits > 0
    assert done.calls > 0
    assert done.runs >= 2 * ((done.commits + done.calls) // POINTS_ONE_OF)


def test_death_at_any_statement_of_a_migration_leaves_what_the_next_start_can_finish() -> None:
    done = list(migrations(one_of=POINTS_ONE_OF))
    assert [migrated.failures for migrated in done] == [()] * len(done)
    assert len(done) >= 2
    # From nothing there are more statements than from the newest version, which only looks.
    assert done[0].statements > done[-1].statements > 0


def test_a_claim_that_forgets_is_caught_at_the_points_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:

    async def forgetful(transaction: SqliteTransaction, *given: Any) -> Any:
        claimed = await claim_due_checks(transaction, *given)
        for payment, _ in claimed.checks:
            transaction._execute("DELETE FROM watches WHERE payment_id = ?", (payment.id,))
        return claimed

    monkeypatch.setattr("proxy.payments.storage.repository.claim_due_checks", forgetful)
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == "watch, no return")
    failures = enumerate_points(scenario).failures
    assert failures
    assert all("no payment is lost" in failure for failure in failures)
    assert any("(claim_due_checks: after)" in failure for failure in failures)
    assert not any("nobody died" in failure for failure in failures)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Each fault is logged with its stack, as it should be; hundreds of them take longer to print than to happen."""
    with scratch() as made, capture_logs():
        yield made


async def test_no_statement_of_the_store_can_fail_so_that_an_answer_is_untrue(folder: Path) -> None:
    counts = await store_faults(folder, short=True)
    assert counts.total() > 200


async def test_no_statement_of_a_payment_can_fail_so_that_it_is_lost(folder: Path) -> None:
    counts = await flow_faults(folder, short=True)
    assert counts["outages that readyz told of"] > 10
    # A payment has some twenty of its own. The loops' statements come between them, never in the same places, so that
    # one or the other is passed over here: the long form has each.
    assert counts["different statements that failed"] > 15


async def test_what_many_callers_are_told_of_a_failing_commit_stays_true(folder: Path) -> None:
    counts = await group_faults(folder, short=True)
    assert counts["in a group, answered 503"] > 0
    assert counts["in a group, answered 201"] > 0


async def test_a_full_disk_loses_nothing_and_is_got_over(folder: Path) -> None:
    assert await full_disk(folder) in {"a full tmpfs", "max_page_count"}


async def test_a_file_that_may_not_grow_loses_nothing_and_is_got_over(folder: Path) -> None:
    assert "SQLITE_IOERR_WRITE" in await file_that_may_not_grow(folder)


async def test_a_lock_that_another_holds_is_told_and_got_over(folder: Path) -> None:
    await held_lock(folder)


def test_the_model_the_api_and_the_ledger_agree(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = first_seed()
    with capsys.disabled():
        sys.stdout.write(f"\nDARGAH_TORTURE_SEED={chosen}\n")
    made = in_a_folder(lambda on: play(on, chosen, MACHINE_EXAMPLES, steps=30))
    # A shop that sells nothing would agree with any model.
    assert made.counts["examples"] >= MACHINE_EXAMPLES
    assert made.counts["paid"] > 0
    assert made.counts["webhooks due"] > 0


@pytest.mark.parametrize("prop", PROPERTIES, ids=lambda prop: str(prop.__name__))
def test_property(prop: Callable[[], None]) -> None:
    hold(prop, first_seed(), examples=200)


def test_a_token_of_which_any_one_character_is_changed_is_told_401() -> None:
    def look(made: Ground) -> None:
        _, _, _, tokens = made.merchant(*STOREFRONTS)
        token = tokens["main"][1]
        assert made.call("GET", "/v1/payments", token=token).status == 200
        for changed in _changed(token):
            assert made.call("GET", "/v1/payments", token=changed).status == 401

    in_a_folder(look)


def _changed(token: str) -> Iterator[str]:
    for place, character in enumerate(token):
        other = ALPHABET[(ALPHABET.find(character) + 1) % len(ALPHABET)]
        yield token[:place] + other + token[place + 1 :]


EVERY: Final = [
    (operation, fault, state) for operation, states in met.ROWS.items() for state in states for fault in met.FAULTS
]


def test_a_pair_that_was_never_met_is_named() -> None:
    counts = Counter({met.key(*pair): 1 for pair in EVERY if met.why_left_out(pair) is None})
    assert met.never_met(counts) == []
    del counts[met.key("return", met.CRASH, "canceled")]
    assert met.never_met(counts) == ["return × crash × canceled"]


def test_most_pairs_must_be_met() -> None:
    asked = [pair for pair in EVERY if met.why_left_out(pair) is None]
    assert len(asked) > len(EVERY) / 2


@pytest.mark.parametrize("number", range(1, len(met.LEFT_OUT) + 1))
def test_each_reason_leaves_something_out(number: int) -> None:
    assert any(met.why_left_out(pair) == number for pair in EVERY)


def test_the_document_shows_every_pair_met_or_with_its_reason() -> None:
    shown = DOCUMENT.read_text("utf-8").partition(MET_BEGIN)[2].partition(MET_END)[0]
    made = met.table(Counter({met.key(*pair): 7 for pair in EVERY if met.why_left_out(pair) is None}))
    without_counts = re.sub(r"[0-9,]+(?= \|)", "7", shown.strip()).splitlines()[2:]  # after whose counts they are
    # A count may stand where a reason would: what is left out is not forbidden.
    for line, expected in zip(without_counts, made, strict=True):
        assert [cell for cell in line.split("|") if cell.strip() != "7"] == [
            cell for cell, mine in zip(expected.split("|"), line.split("|"), strict=True) if mine.strip() != "7"
        ]
        assert " 0 " not in line
