"""Limits: how much passes in a minute, the settings of each, and the places of the console's jobs."""

import asyncio
import itertools
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from proxy.config.http import WireSettings
from proxy.config.settings import Settings
from proxy.console import jobs as jobs_module
from proxy.console.jobs import MAX_JOBS, Ended, Job, JobRedirect, Jobs
from proxy.http import connections, parsing, server
from proxy.http.headers import SECURITY_HEADERS
from proxy.kernel.background import Tasks
from proxy.kernel.clock import MINUTE
from proxy.kernel.errors import NotFound, Overloaded, RateLimited
from proxy.kernel.rate_limits import LimitState, RateLimit

NOW = 1_800_000_000_000


def passes(limit: RateLimit, key: str, now: int = NOW) -> bool:
    try:
        limit.spend(key, now)
    except RateLimited:
        return False
    return True


def test_a_minutes_worth_passes_at_once_and_the_next_is_told_when_to_come_back() -> None:
    limit = RateLimit("creates", 30)
    assert all(passes(limit, "a") for _ in range(30))
    with pytest.raises(RateLimited) as refused:
        limit.spend("a", NOW)
    assert (refused.value.limit, refused.value.per_minute, refused.value.retry_after_seconds) == ("creates", 30, 2)
    assert not passes(limit, "a", NOW + 1999)
    assert passes(limit, "a", NOW + 2000)
    assert not passes(limit, "a", NOW + 2000)


def test_a_refusal_costs_nothing() -> None:
    limit = RateLimit("creates", 1)
    assert passes(limit, "a")
    assert not any(passes(limit, "a", NOW + second * 1000) for second in range(60))
    assert passes(limit, "a", NOW + MINUTE)


def test_keys_do_not_share() -> None:
    limit = RateLimit("creates", 1)
    assert passes(limit, "a")
    assert passes(limit, "b")
    assert not passes(limit, "a")


def test_zero_turns_it_off() -> None:
    limit = RateLimit("creates", 0)
    assert all(passes(limit, "a") for _ in range(10_000))
    limit.check("a", NOW)
    assert len(limit) == 0


def test_a_look_counts_nothing_and_refuses_what_a_call_would_be_refused() -> None:
    limit = RateLimit("failures", 2)
    limit.check("a", NOW)
    assert "a" not in limit
    limit.spend("a", NOW)
    limit.check("a", NOW)
    limit.spend("a", NOW)
    for later in (0, MINUTE // 2 - 1):
        with pytest.raises(RateLimited):
            limit.check("a", NOW + later)
    limit.check("a", NOW + MINUTE // 2)


def test_who_nears_the_limit_is_told_where_he_stands() -> None:
    limit = RateLimit("creates", 4)
    assert [limit.spend("a", NOW) for _ in range(2)] == [None, None]
    assert limit.spend("a", NOW) == LimitState("creates", 4, remaining=1, reset_seconds=45)
    assert limit.spend("a", NOW) == LimitState("creates", 4, remaining=0, reset_seconds=60)


def test_memory_is_bounded_and_who_was_longest_away_is_forgotten_first() -> None:
    limit = RateLimit("creates", 2, max_keys=100)
    for number in range(1000):
        limit.spend(str(number), NOW)
        limit.spend("busy", NOW + number * MINUTE)
        assert len(limit) <= 100
    assert "900" not in limit
    assert all(str(number) in limit for number in range(960, 1000))
    assert not all(passes(limit, "busy", NOW + 999 * MINUTE) for _ in range(2))


def test_a_clock_that_is_set_back_locks_nobody_out() -> None:
    limit = RateLimit("creates", 5)
    while passes(limit, "a"):
        pass
    assert passes(limit, "a", NOW - 10 * MINUTE)
    limit.check("a", NOW - 10 * MINUTE)


@given(st.integers(1, 20), st.lists(st.integers(0, 20_000), max_size=80))
def test_never_more_than_the_quota_and_what_a_span_earns(per_minute: int, pauses: list[int]) -> None:
    """In any span, at most the quota at once and one more for each share of a minute in it; and no less is given."""
    limit = RateLimit("creates", per_minute)
    passed, now = list[int](), NOW
    for pause in pauses:
        now += pause
        owed = all(
            (len(passed) - i + 1) * MINUTE <= (now - since) * per_minute + per_minute * MINUTE
            for i, since in enumerate(passed)
        )
        assert passes(limit, "a", now) == owed
        if owed:
            passed.append(now)


PAGE = (Path(__file__).parents[2] / "docs/limits.md").read_text("utf-8")
QUOTAS = {
    "token_creates_per_minute": "token_creates",
    "address_creates_per_minute": "address_creates",
    "token_calls_per_minute": "token_calls",
    "address_calls_per_minute": "address_calls",
    "address_auth_failures_per_minute": "auth_failures",
    "link_visits_per_minute": "link_visits",
    "address_unknown_links_per_minute": "unknown_links",
}


def settings(**given: Any) -> Settings:
    return Settings(**given)


@pytest.mark.parametrize(("setting", "quota"), QUOTAS.items())
def test_each_limit_has_its_setting_and_0_turns_it_off(setting: str, quota: str) -> None:
    assert asdict(settings(**{setting: 7}).quotas)[quota] == 7
    assert asdict(settings(**{setting: 0}).quotas)[quota] == 0
    assert sum(value == 7 for value in asdict(settings(**{setting: 7}).quotas).values()) == 1


def test_every_limit_is_on_unless_it_is_turned_off() -> None:
    assert all(asdict(settings().quotas).values())
    assert len(asdict(settings().quotas)) == len(QUOTAS)


def test_the_page_has_every_setting_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `DARGAH_([A-Z_]+)`[^|]*\| (\d+) \|", PAGE, re.MULTILINE))
    shown = {name.lower(): int(default) for name, default in rows.items()}
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    assert shown == {name: defaults[name] for name in shown}
    numbers = {name for name, field in WireSettings.model_fields.items() if isinstance(field.default, int)}
    assert numbers - {"hsts_seconds"} <= set(shown)
    for name in WireSettings.model_fields:
        assert f"DARGAH_{name.upper()}" in PAGE, name


def test_the_page_has_the_bounds_that_are_no_settings() -> None:
    for row in (
        f"| a body's time | {parsing.BODY_TIMEOUT_SECONDS} s |",
        f"| an unread body | {server.LINGER_SECONDS} s |",
        f"| less than {connections.WRITE_BYTES >> 10} KiB of an answer read in | {connections.WRITE_SECONDS} s |",
        f"| a body | {parsing.MAX_BODY_BYTES // 1024} KiB |",
        f"| request line, or one header | {server.MAX_LINE_BYTES // 1024} KiB |",
        f"| the whole head | {connections.MAX_HEAD_BYTES // 1024} KiB |",
        f"| headers | {server.MAX_HEADERS} |",
    ):
        assert row in PAGE, row


def test_the_settings_that_everybody_sets_are_listed_before_those() -> None:
    names = list(Settings.by_weight())
    assert sorted(names) == sorted(Settings.model_fields)
    assert set(names[-len(WireSettings.model_fields) :]) == set(WireSettings.model_fields)


def test_hsts_is_for_https() -> None:
    assert settings(public_url="https://pay.example.ir", hsts_seconds=60).hsts == "max-age=60"
    assert settings(public_url="https://pay.example.ir").hsts is None
    for url in (None, "http://127.0.0.1:8080"):
        with pytest.raises(ValidationError, match="DARGAH_HSTS_SECONDS needs"):
            settings(public_url=url, hsts_seconds=60)
    assert "Strict-Transport-Security" not in SECURITY_HEADERS


def test_what_is_no_proxys_address_is_refused() -> None:
    with pytest.raises(ValidationError, match="write addresses or networks"):
        settings(trusted_proxies="caddy")
    with pytest.raises(ValidationError):
        settings(forwarded_header="x-real-ip")


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
