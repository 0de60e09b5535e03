"""What a process sees to be wrong, and the list of all troubles: order, what cannot be read, and the words."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from store.records import IDS, MERCHANT_ID, NOW, new_terminal, sealed
from support.clock import ManualClock

from proxy.gateways.circuit_breaker import FAILURES_TO_OPEN, CircuitBreaker
from proxy.kernel.clock import DAY, HOUR, MINUTE, NOTABLE_SKEW, SECOND, WallClock
from proxy.kernel.errors import CredentialUnusable, StoreUnavailable
from proxy.kernel.ids import NO_MERCHANT, OPERATOR, TERMINAL
from proxy.merchants.merchant import Mode, Terminal
from proxy.merchants.vault import KeyRing, Vault, credential_secret, generate_line
from proxy.operations.backups import Backups
from proxy.operations.clock_watch import ClockWatch
from proxy.operations.troubles import WORDS, Trouble, TroubleKind, Troubles
from proxy.operations.troubles.noticed import KEPT, Noticed
from proxy.operations.troubles.process import SLOW_LOOKS, ProcessTroubles, Seen, open_files
from proxy.operations.troubles.trouble import (
    AMOUNTS_FOR,
    BACKUP_EVERY,
    CALLS_WAITING,
    ENDS_WITHIN,
    FILES_PART,
    JUMPED_FOR,
    LATE_AFTER,
    LOOP_FAILURES,
    LOOP_FAILURES_WITHIN,
    SLOW_COMMIT_SECONDS,
    UNCLEAR_FOR,
)
from proxy.operators.records import Operator, Role

REPOSITORY = Path(__file__).parents[2]


class Process:
    """A process whose every part a test can break."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.writes, self.seconds = True, 0.01
        self.broken: dict[str, int] = {}
        self.people: list[Operator] = []
        self.backed_up_at: int | None = None
        self.otherwise: list[Any] = []
        self.vault = Vault(KeyRing.parse(generate_line("k1")))
        self.breaker = CircuitBreaker(self.clock)
        self.terminal_record = replace(new_terminal(), mode=Mode.LIVE)
        self.backups = cast("Backups", type("Taken", (), {"failed": False})())
        self.watch: ClockWatch | None = None
        self.file: Path | None = None
        self.waiting, self.files = 0, (10, 1024)
        self.noticed = Noticed(self.clock)

    async def ready(self) -> Mapping[str, bool]:
        return {"store": self.writes}

    async def operators(self) -> Sequence[Operator]:
        return self.people

    async def last_backup(self) -> int | None:
        return self.backed_up_at

    async def sealed_otherwise(self, _kek_id: str, _limit: int) -> list[Any]:
        return self.otherwise

    async def terminal(self, _merchant_id: str, _terminal_id: str) -> Terminal:
        return self.terminal_record

    def troubles(self) -> ProcessTroubles:
        return ProcessTroubles(
            Seen(
                ready=self.ready,
                commit_seconds=lambda: self.seconds,
                broken=lambda: self.broken,
                operators=self.operators,
                heartbeat=cast("Any", self),
                merchants=cast("Any", self),
                merchant_cache=cast("Any", self),
                vault=self.vault,
                breaker=self.breaker,
                waiting_calls=lambda: self.waiting,
                open_files=lambda: self.files,
                noticed=self.noticed,
                clock_watch=self.watch,
                backups=self.backups,
                database=self.file,
            ),
            self.clock,
        )


@pytest.fixture
def process() -> Process:
    return Process()


async def only(troubles: ProcessTroubles) -> Trouble:
    [found] = await troubles.troubles()
    return found


async def test_a_gateway_is_unclear_since_its_first_failure_until_a_clear_answer_or_nobody_asks(
    process: Process,
) -> None:
    seen, terminal_id = process.troubles(), process.terminal_record.id
    for number in range(FAILURES_TO_OPEN):
        assert await seen.troubles() == [], number
        process.breaker.record_answer(terminal_id, clear=False)
        process.clock.forward(SECOND)
    found = await only(seen)
    assert found.key == (TroubleKind.GATEWAY_UNCLEAR, terminal_id)
    assert (found.since, found.count, found.urgent, found.merchant_id) == (NOW, FAILURES_TO_OPEN, True, MERCHANT_ID)
    assert found.facts["here"] == 1
    process.terminal_record = replace(process.terminal_record, mode=Mode.TEST)
    assert not (await only(seen)).urgent
    process.clock.forward(UNCLEAR_FOR)
    assert await seen.troubles() == []
    process.breaker.record_answer(terminal_id, clear=False)
    assert (await only(seen)).count == FAILURES_TO_OPEN + 1
    process.breaker.record_answer(terminal_id, clear=True)
    assert await seen.troubles() == []


async def test_a_database_that_cannot_be_written_is_wrong_since_it_was_seen_first(process: Process) -> None:
    seen = process.troubles()
    process.writes = False
    first = await only(seen)
    process.clock.forward(MINUTE)
    assert (first.kind, first.since) == (TroubleKind.DATABASE_UNAVAILABLE, NOW)
    assert (await only(seen)).since == NOW
    process.writes = True
    assert await seen.troubles() == []
    process.writes = False
    assert (await only(seen)).since == NOW + MINUTE


async def test_one_slow_commit_is_no_trouble_and_several_looks_are(process: Process) -> None:
    seen = process.troubles()
    process.seconds = 0.6
    for _ in range(SLOW_LOOKS - 1):
        assert await seen.troubles() == []
    assert ((await only(seen)).kind, (await only(seen)).count) == (TroubleKind.DATABASE_SLOW, 600)
    process.seconds = 0.1
    assert await seen.troubles() == []


async def test_a_credential_that_does_not_open_is_told_until_it_opens(process: Process) -> None:
    seen, url = process.troubles(), "https://gateway.example/"
    terminal_id, name = IDS.record(TERMINAL, MERCHANT_ID, NOW), credential_secret("api_key")
    good = process.vault.seal(MERCHANT_ID, terminal_id, name, "canary", "https://gateway.example")
    with pytest.raises(CredentialUnusable):
        process.vault.open_destined((MERCHANT_ID, terminal_id), [good], name, "https://other.example/")
    found = await only(seen)
    assert (found.key, found.merchant_id) == ((TroubleKind.SECRET_UNUSABLE, terminal_id), MERCHANT_ID)
    assert "canary" not in repr(found)
    assert process.vault.open_destined((MERCHANT_ID, terminal_id), [good], name, url) == "canary"
    assert await seen.troubles() == []


async def test_keys_backups_operators_disk_and_invariants(process: Process, tmp_path: Path) -> None:
    seen = process.troubles()
    process.backed_up_at = NOW - BACKUP_EVERY - 1
    assert ((await only(seen)).kind, (await only(seen)).since) == (TroubleKind.BACKUP_OLD, NOW - 1)
    process.backed_up_at, cast("Any", process.backups).failed = NOW, True
    assert (await only(seen)).kind is TroubleKind.BACKUP_FAILED
    cast("Any", process.backups).failed = False
    process.otherwise = [sealed("trm_1")]
    assert ((await only(seen)).kind, (await only(seen)).urgent) == (TroubleKind.KEYS_OLD, False)
    process.otherwise = []
    operator = Operator(IDS.record(OPERATOR, NO_MERCHANT, NOW), "mina", Role.OWNER, "dg_op", b"", NOW, NOW + DAY, None)
    process.people = [operator, replace(operator, expires_at=NOW + ENDS_WITHIN + 1), replace(operator, revoked_at=NOW)]
    assert (await only(seen)).facts == {"name": "mina", "ends_at": NOW + DAY}
    process.people, process.broken = [], {"paid_amount": 0, "paid_untold": 2}
    found = await only(seen)
    assert (found.key, found.count, found.urgent) == ((TroubleKind.INVARIANT_BROKEN, "paid_untold"), 2, True)


async def test_a_disk_is_low_when_a_backup_would_not_fit(
    process: Process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process.file = tmp_path / "dargah.db"
    with process.file.open("wb") as file:
        file.truncate(3 * 2**30)
    free = 4 * 2**30
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("Usage", (), {"free": free})())
    seen = process.troubles()
    assert await seen.troubles() == []
    free = 2 * 2**30
    assert ((await only(seen)).kind, (await only(seen)).urgent) == (TroubleKind.DISK_LOW, False)
    free = 2**20
    assert (await only(seen)).urgent


async def test_a_clock_that_jumped_is_told_for_an_hour_and_one_that_differs_while_it_does(process: Process) -> None:
    elapsed, wall = 0, NOW

    def ours() -> int:
        return wall + elapsed

    clock = WallClock(ours, lambda: elapsed)
    process.watch = ClockWatch(cast("Any", None), cast("Any", None), clock, clock.look, lambda: NOW + elapsed)
    seen = process.troubles()
    assert await seen.troubles() == []
    wall += 10 * SECOND
    clock.look()
    found = {each.kind: each for each in await seen.troubles()}
    assert set(found) == {TroubleKind.CLOCK_JUMPED, TroubleKind.CLOCK_DIFFERS}
    assert (found[TroubleKind.CLOCK_JUMPED].count, found[TroubleKind.CLOCK_DIFFERS].facts["seconds"]) == (1, 10)
    elapsed += JUMPED_FOR
    assert (await only(seen)).kind is TroubleKind.CLOCK_DIFFERS


def trouble(kind: TroubleKind, subject: str = "", *, urgent: bool = True, since: int = NOW) -> Trouble:
    return Trouble(kind, subject, None, since, 1, urgent)


async def test_urgent_ones_come_first_and_a_look_is_shared_for_some_seconds() -> None:
    clock, looks = ManualClock(NOW), 0
    calm = trouble(TroubleKind.KEYS_OLD, urgent=False)
    late = trouble(TroubleKind.ENDPOINT_FAILING, "b", since=NOW - HOUR)

    async def source() -> Sequence[Trouble]:
        nonlocal looks
        looks += 1
        return [calm, trouble(TroubleKind.ENDPOINT_FAILING, "a"), late, trouble(TroubleKind.REVIEWS_WAITING)]

    troubles = Troubles([source], clock)
    found = await troubles.now()
    assert [each.subject or each.kind for each in found] == ["b", "a", "reviews_waiting", "keys_old"]
    clock.forward(4 * SECOND)
    assert (await troubles.now(), looks) == (found, 1)
    clock.forward(2 * SECOND)
    assert (await troubles.now(), looks) == (found, 2)


async def test_nothing_looks_mended_because_it_cannot_be_read() -> None:
    clock, fails = ManualClock(NOW), False

    async def source() -> Sequence[Trouble]:
        if fails:
            raise StoreUnavailable
        return [trouble(TroubleKind.ENDPOINT_FAILING, "a")]

    troubles = Troubles([source], clock)
    await troubles.now()
    fails = True
    for _ in range(2):
        clock.forward(MINUTE)
        told = [(each.kind, each.since) for each in await troubles.now()]
        assert told == [(TroubleKind.DATABASE_UNAVAILABLE, NOW + MINUTE), (TroubleKind.ENDPOINT_FAILING, NOW)]
        assert troubles.looked_at == NOW
    fails = False
    clock.forward(MINUTE)
    assert [each.kind for each in await troubles.now()] == [TroubleKind.ENDPOINT_FAILING]
    assert troubles.looked_at == NOW + 3 * MINUTE


def test_every_kind_has_words_in_both_languages_and_an_entry_of_the_documents() -> None:
    document = (REPOSITORY / "docs" / "operations.md").read_text("utf-8")
    headings = {each.lower().replace(" ", "-") for each in re.findall(r"^#+ (.+)$", document, re.MULTILINE)}
    assert set(WORDS) == set(TroubleKind)
    for kind, words in WORDS.items():
        assert all((*words.title, *words.advice)), kind
        assert bool(words.counted[0]) == bool(words.counted[1]), kind
        assert all(re.search("[آ-ی]", text) for text in (words.title[1], words.advice[1])), kind
        assert words.runbook in headings, kind


def test_the_alerts_of_prometheus_have_the_same_thresholds() -> None:
    rules = yaml.safe_load((REPOSITORY / "deploy" / "prometheus" / "alerts.yaml").read_text("utf-8"))
    expressions = {rule["alert"]: rule["expr"] for rule in rules["groups"][0]["rules"]}
    late = LATE_AFTER // SECOND
    assert expressions["DargahWatchLate"].endswith(f"> {late}")
    assert expressions["DargahWebhooksLate"].endswith(f"> {late}")
    assert expressions["DargahStoreSlow"].endswith(f"> {SLOW_COMMIT_SECONDS}")
    assert f"> {NOTABLE_SKEW // SECOND}" in expressions["DargahClockSkew"]
    assert f"[{JUMPED_FOR // HOUR}h]" in expressions["DargahClockJumped"]
    assert f"[{AMOUNTS_FOR // HOUR}h]" in expressions["DargahAmountsJumped"]
    assert expressions["DargahLoopFailing"].endswith(f"[{LOOP_FAILURES_WITHIN // MINUTE}m]) > {LOOP_FAILURES}")
    assert expressions["DargahGatewayCallsWaiting"].endswith(f"> {CALLS_WAITING}")
    assert f"> {FILES_PART} *" in expressions["DargahFilesRunningOut"]


def test_every_alert_of_prometheus_is_a_trouble_or_the_documents_say_why_not() -> None:
    rules = yaml.safe_load((REPOSITORY / "deploy" / "prometheus" / "alerts.yaml").read_text("utf-8"))
    alerts = {rule["alert"].lower() for rule in rules["groups"][0]["rules"]}
    document = (REPOSITORY / "docs" / "operations.md").read_text("utf-8")
    section = document.partition("## What is wrong now")[2].partition("\n## ")[0]
    explained = {name.lower() for name in re.findall(r"^\| (Dargah\w+) \|", section, re.MULTILINE)}
    assert alerts - {words.runbook for words in WORDS.values()} == explained


async def test_a_loop_that_fails_again_and_again_is_told_until_it_works_for_a_while(process: Process) -> None:
    seen = process.troubles()
    for _ in range(LOOP_FAILURES):
        process.noticed.loop_failed("watch")
        process.clock.forward(MINUTE)
    process.noticed.loop_failed("deliver")
    assert await seen.troubles() == []
    process.noticed.loop_failed("watch")
    found = await only(seen)
    assert (found.key, found.since, found.urgent) == ((TroubleKind.LOOP_FAILING, "watch"), NOW, True)
    assert found.facts == {"name": "watch", "here": 1}
    process.clock.forward(LOOP_FAILURES_WITHIN - LOOP_FAILURES * MINUTE)
    assert (await only(seen)).key == found.key
    process.clock.forward(1)
    assert await seen.troubles() == []


async def test_calls_that_queue_and_files_that_run_out_are_told(process: Process) -> None:
    seen = process.troubles()
    process.waiting, process.files = CALLS_WAITING, (int(FILES_PART * 1000), 1000)
    assert await seen.troubles() == []
    process.waiting += 1
    assert ((await only(seen)).kind, (await only(seen)).count) == (TroubleKind.CALLS_WAITING, CALLS_WAITING + 1)
    process.waiting, process.files = 0, (int(FILES_PART * 1000) + 1, 1000)
    assert ((await only(seen)).kind, (await only(seen)).count) == (TroubleKind.FILES_LOW, process.files[0])
    used, limit = open_files()
    assert 0 < used < limit


async def test_a_shop_whose_amounts_jumped_is_told_for_an_hour_and_the_oldest_are_forgotten(process: Process) -> None:
    seen = process.troubles()
    process.noticed.amounts_jumped(MERCHANT_ID, "main")
    found = await only(seen)
    assert (found.kind, found.merchant_id, found.since) == (TroubleKind.AMOUNTS_JUMPED, MERCHANT_ID, NOW)
    assert found.facts["name"] == "main"
    process.clock.forward(AMOUNTS_FOR)
    assert await seen.troubles() == []
    for number in range(KEPT + 1):
        process.noticed.amounts_jumped(MERCHANT_ID, f"shop-{number}")
    assert {shop.storefront for shop in process.noticed.jumped_shops()} == {f"shop-{n}" for n in range(1, KEPT + 1)}
