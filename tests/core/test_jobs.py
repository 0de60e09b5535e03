"""The console's jobs: whose places they take, and which of them are forgotten."""

import asyncio
import itertools
from typing import Any

import pytest

from proxy.console import jobs as jobs_module
from proxy.console.jobs import MAX_JOBS, Ended, Job, JobRedirect, Jobs
from proxy.kernel.background import Tasks
from proxy.kernel.errors import NotFound, Overloaded

NUMBERS = itertools.count(1)
TITLE = ("", "")
OWNER = b"a session"


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Jobs:
    monkeypatch.setattr(jobs_module, "PATIENCE_SECONDS", 0)
    return Jobs(Tasks(1000), lambda size: next(NUMBERS).to_bytes(size, "big"))


async def ended(_job: Job) -> Ended:
    return JobRedirect("/")


async def hangs(_job: Job) -> Any:
    await asyncio.Event().wait()


async def fill(jobs: Jobs, work: Any, merchant_id: str) -> list[Job]:
    made = []
    for _ in range(MAX_JOBS):
        try:
            made.append(await jobs.start(OWNER, TITLE, work, merchant_id))
        except Overloaded:
            break
        await asyncio.sleep(0)
    return made


async def test_a_merchants_hanging_jobs_leave_places_for_others(jobs: Jobs) -> None:
    assert len(await fill(jobs, hangs, "a")) < MAX_JOBS
    job = await jobs.start(OWNER, TITLE, hangs, "b")
    assert jobs.job(OWNER, job.id) is job


async def test_a_merchants_many_jobs_push_out_its_own_and_nobody_elses(jobs: Jobs) -> None:
    theirs = await jobs.start(OWNER, TITLE, ended, "b")
    first, *_ = await fill(jobs, ended, "a")
    assert jobs.job(OWNER, theirs.id) is theirs
    with pytest.raises(NotFound):
        jobs.job(OWNER, first.id)


async def test_a_newcomer_takes_the_place_of_what_ended_when_all_are_taken(jobs: Jobs) -> None:
    for number in range(MAX_JOBS):
        await jobs.start(OWNER, TITLE, ended, f"m{number}")
    await asyncio.sleep(0)
    newest = await jobs.start(OWNER, TITLE, ended, "another")
    assert jobs.job(OWNER, newest.id) is newest
    assert len(jobs._jobs) == MAX_JOBS
