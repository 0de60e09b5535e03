"""The short form of the disk faults; `python -m tests.torture.disk_faults` is the long one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from .disk_faults import flow_faults, group_faults, store_faults
from .disk_faults_disk import scratch
from .disk_faults_real import file_that_may_not_grow, full_disk, held_lock


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Each fault is logged with its stack, as it should be; hundreds of them take longer to print than to happen."""
    with capture_logs():
        yield


@pytest.fixture
def folder() -> Iterator[Path]:
    with scratch() as made:
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
