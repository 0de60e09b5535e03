"""/metrics and the log: what they count and say of a payment's life, and the page that tells what each metric means."""

import ast
import asyncio
import re
from pathlib import Path
from typing import cast

import aiohttp
import pytest
from prometheus_client import Histogram
from prometheus_client.parser import text_string_to_metric_families
from support.clock import SteadyClock
from support.eventually import eventually
from support.shop import RETURN_ORIGIN, Shop

from proxy.app import Dargah
from proxy.gateways.circuit_breaker import FAILURES_TO_OPEN
from proxy.kernel.background import Repeater
from proxy.kernel.clock import DAY, HOUR
from proxy.observability import logs
from proxy.observability.logs import ConsoleRenderer
from proxy.observability.metrics import Metrics
from proxy.observability.metrics.metrics import LOOPS, PERIOD_SECONDS, LagProbe
from proxy.observability.metrics.observed import (
    AUDIT_PAUSE,
    KEEP_SECONDS,
    WAIT_SECONDS,
    Auditor,
    StoreStatistics,
)
from proxy.observability.statistics import COUNTED, AuditResult, DueStatistics, OpenStatistics, StatisticsRepository
from proxy.payments.change import INVARIANTS, PAID_AMOUNT

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def scrape(dargah: Dargah) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"{dargah.admin_url}/metrics") as answer:
        assert answer.status == 200
        return await answer.text()


def samples(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


async def test_a_payments_life_is_counted(played: tuple[Shop, Dargah]) -> None:
    shop, dargah = played
    await shop.paid(return_url=f"{RETURN_ORIGIN}/thanks")
    await shop.receiver.told(1)

    async def attempted() -> Samples | None:
        found = samples(await scrape(dargah))
        return found if value(found, "dargah_webhook_attempt_seconds_count", outcome="delivered") else None

    found = await eventually(attempted)
    for status in ("created", "pending", "paid"):
        assert value(found, "dargah_payments_total", status=status) == 1
    assert value(found, "dargah_payments_total", status="failed") == 0
    assert value(found, "dargah_gateway_call_seconds_count", operation="request", outcome="issued") == 1
    assert value(found, "dargah_gateway_call_seconds_count", operation="check", outcome="captured") == 1
    assert value(found, "dargah_webhook_first_attempt_delay_seconds_count") == 1
    assert value(found, "dargah_http_request_seconds_count", listener="public", status="2xx") >= 1
    assert value(found, "dargah_http_request_seconds_count", listener="public", status="3xx") == 1
    assert value(found, "dargah_store_batch_steps_count") >= 4
    assert value(found, "dargah_connections", listener="public") >= 1
    assert all(value(found, "dargah_invariant_violations_total", invariant=name) == 0 for name in INVARIANTS)


async def test_open_payments_and_waiting_webhooks_are_read_from_the_store(played: tuple[Shop, Dargah]) -> None:
    shop, dargah = played
    shop.receiver.status = 500
    await shop.created()
    await shop.paid()
    await shop.receiver.told(1)
    found = samples(await scrape(dargah))
    assert value(found, "dargah_payments_open", status="pending") == 1
    assert 0 < value(found, "dargah_payment_oldest_open_seconds", status="pending") < 60
    assert value(found, "dargah_payments_open", status="created") == 0
    assert value(found, "dargah_payment_oldest_open_seconds", status="created") == 0
    assert value(found, "dargah_watches") == 1
    assert value(found, "dargah_watch_lag_seconds") == 0
    assert value(found, "dargah_webhook_backlog") == 1
    assert value(found, "dargah_webhook_endpoints", state="enabled") == 1
    assert value(found, "dargah_webhook_endpoints", state="disabled") == 0
    assert value(found, "dargah_figures_age_seconds") < KEEP_SECONDS


async def test_a_loop_that_fails_is_counted_by_its_name() -> None:
    metrics, failed = Metrics(), asyncio.Event()

    async def step() -> int | None:
        raise ZeroDivisionError

    def told(name: str) -> None:
        metrics.loop_failed(name)
        failed.set()

    repeater = Repeater("watch", lambda: 0, on_failure=told)
    repeater.start(step)
    await failed.wait()
    await repeater.stop()
    found = samples((await metrics.text()).decode())
    assert value(found, "dargah_loop_failures_total", loop="watch") == 1
    assert value(found, "dargah_loop_failures_total", loop="deliver") == 0


async def test_the_loops_that_are_known_are_those_that_run(played: tuple[Shop, Dargah]) -> None:
    names = {task.get_name() for task in asyncio.all_tasks()}
    assert set(LOOPS) <= names


async def test_an_open_review_is_counted_until_it_is_resolved(played: tuple[Shop, Dargah]) -> None:
    shop, dargah = played
    await shop.fault("check", "wrong_amount", times=1)
    payment = await shop.paid()
    assert (await shop.payment(payment["id"]))["status"] == "needs_review"
    found = samples(await scrape(dargah))
    assert value(found, "dargah_payments_open", status="needs_review") == 1
    assert value(found, "dargah_reviews_total", act="opened") == 1


async def test_a_gateway_that_gives_no_clear_answer_is_seen_and_then_spared(played: tuple[Shop, Dargah]) -> None:
    shop, dargah = played
    await shop.fault("request", "http_500")
    for number in range(FAILURES_TO_OPEN):
        await shop.create(key=f"k{number}")
    found = samples(await scrape(dargah))
    assert value(found, "dargah_gateway_call_seconds_count", operation="request", outcome="unknown") == FAILURES_TO_OPEN
    assert value(found, "dargah_gateway_circuits_open") == 1
    assert value(found, "dargah_gateway_calls_in_flight") == 0
    assert value(found, "dargah_http_request_seconds_count", listener="public", status="5xx") == FAILURES_TO_OPEN


async def test_no_label_names_anybody(played: tuple[Shop, Dargah]) -> None:
    shop, dargah = played
    payment = await shop.created()
    text = await scrape(dargah)
    for secret in (shop.merchant_id, payment["id"], shop.terminal_id, shop.token, "127.0.0.1", payment["invoice_key"]):
        assert secret not in text


async def test_the_page_has_every_metric_with_its_kind_and_labels_and_no_other(played: tuple[Shop, Dargah]) -> None:
    _, dargah = played
    live: dict[str, tuple[str, frozenset[str]]] = {}
    for family in text_string_to_metric_families(await scrape(dargah)):
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        name = f"{family.name}_total" if family.type == "counter" else family.name
        live[name] = (family.type, frozenset(labels))
    assert documented() == live


def documented() -> dict[str, tuple[str, frozenset[str]]]:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|([^|]+)\|([^|]+)\|$", DOCS.read_text("utf-8"), re.MULTILINE)
    assert all(unit.strip() and len(meaning.strip()) > 10 for _, _, _, unit, meaning in rows)
    return {name: (kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels, _, _ in rows}


class Figures:
    """A store's figures: of `merchants` stretches, each of which waits for `gate`."""

    def __init__(self, stretches: int = 1) -> None:
        self.stretches = stretches
        self.readings = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.broken = False
        self.violations: dict[str, int] = {}
        self.audited: list[str | None] = []

    async def due_statistics(self) -> DueStatistics:
        self.readings += 1
        return DueStatistics(COUNTED, None, 3, 1_000)

    async def open_statistics(self, after: str | None, limit: int) -> OpenStatistics:
        assert limit > 0
        await self.gate.wait()
        if self.broken:
            raise ZeroDivisionError
        number = int(after or 0) + 1
        reached = str(number) if number < self.stretches else None
        return OpenStatistics(reached, {"pending": 2}, {"pending": 5_000 - number}, {"enabled": 1})

    async def audit(self, after: str | None, since: int, limit: int) -> AuditResult:
        assert (since, limit > 0) == (HOUR - DAY, True)
        self.audited.append(after)
        return AuditResult(None if after else "1", self.violations)


async def test_store_statistics_are_added_up_and_kept_for_a_while() -> None:
    store, metrics, ticks = Figures(stretches=3), Metrics(), SteadyClock()
    StoreStatistics(cast("StatisticsRepository", store), lambda: 10_000, ticks).show(metrics)
    found = samples((await metrics.text()).decode())
    assert value(found, "dargah_payments_open", status="pending") == 6
    assert value(found, "dargah_payment_oldest_open_seconds", status="pending") == pytest.approx(5.003)
    assert value(found, "dargah_webhook_endpoints", state="enabled") == 3
    assert value(found, "dargah_webhook_lag_seconds") == 9
    ticks.seconds = KEEP_SECONDS - 0.1
    await metrics.text()
    assert store.readings == 1
    ticks.seconds = KEEP_SECONDS
    await metrics.text()
    assert store.readings == 2


async def test_a_store_that_does_not_answer_holds_up_no_scrape_and_the_age_tells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert WAIT_SECONDS <= 2
    monkeypatch.setattr("proxy.observability.metrics.observed.WAIT_SECONDS", 0.01)
    store, metrics, ticks = Figures(), Metrics(), SteadyClock()
    stock = StoreStatistics(cast("StatisticsRepository", store), lambda: 10_000, ticks)
    stock.show(metrics)
    await metrics.text()
    ticks.seconds = 60
    store.gate.clear()
    found = samples((await metrics.text()).decode())
    assert value(found, "dargah_figures_age_seconds") == 60
    assert value(found, "dargah_payments_open", status="pending") == 2
    await metrics.text()
    store.gate.set()
    await stock.refresh()
    assert store.readings == 2, "those who scrape meanwhile share the reading that is under way"
    store.gate.clear()
    ticks.seconds = 120
    await metrics.text()
    await stock.stop()


async def test_a_reading_that_fails_is_tried_again() -> None:
    store, metrics, ticks = Figures(), Metrics(), SteadyClock()
    StoreStatistics(cast("StatisticsRepository", store), lambda: 10_000, ticks).show(metrics)
    store.broken = True
    assert b"\ndargah_watches " not in await metrics.text()
    store.broken = False
    assert b"\ndargah_watches 10000.0" in await metrics.text()


async def test_the_audit_goes_round_and_counts_what_it_finds() -> None:
    store, metrics = Figures(), Metrics()
    auditor = Auditor(cast("StatisticsRepository", store), metrics, lambda: HOUR)
    assert await auditor.step() == HOUR + AUDIT_PAUSE
    store.violations = {PAID_AMOUNT: 2}
    await auditor.step()
    await auditor.step()
    assert store.audited == [None, "1", None]
    found = samples((await metrics.text()).decode())
    assert value(found, "dargah_invariant_violations_total", invariant=PAID_AMOUNT) == 4


async def test_a_loop_that_is_held_up_shows_it() -> None:
    lag = Histogram("lag", "x", registry=None, buckets=[PERIOD_SECONDS])
    pulse = LagProbe(lag)
    pulse.start()
    pulse._due -= 10
    pulse._beat()
    [family] = lag.collect()
    assert next(s.value for s in family.samples if s.name == "lag_sum") >= 10 - PERIOD_SECONDS
    pulse.stop()


PROXY = Path(logs.__file__).parents[1]
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
LINE_FIELDS = {"timestamp": "2026-11-24T10:00:00.123456Z", "level": "info", "event": "request"}


def log_line(*, colours: bool = False, **fields: object) -> str:
    return ConsoleRenderer(colours=colours)(None, "info", LINE_FIELDS | fields)


def test_a_log_line_says_when_what_and_its_fields_in_their_order() -> None:
    shown = log_line(method="POST", route="/v1/payments/{payment_id}", status=201, ms=4.5)
    assert shown.split() == [
        *("10:00:00.123", "info", "request"),
        *("method=POST", "route=/v1/payments/{payment_id}", "status=201", "ms=4.5"),
    ]


def test_no_logged_text_begins_a_line_of_its_own_or_moves_the_cursor() -> None:
    shown = log_line(operator="sara\n10:00:00 info paid\x1b[2J")
    assert shown.count("\n") == 0
    assert "\x1b" not in shown
    assert r'operator="sara\n10:00:00 info paid\u001b[2J"' in shown


def test_a_failures_traceback_stands_below_its_log_line() -> None:
    shown = log_line(exception="Traceback\n  ValueError", code="x")
    assert shown.endswith("code=x\nTraceback\n  ValueError")


def test_a_log_line_has_colours_on_a_terminal_only() -> None:
    assert "\x1b[32minfo" in log_line(colours=True)
    assert "\x1b" not in log_line()


def test_every_field_that_the_code_logs_is_allowed() -> None:
    logged = set[str]()
    for path in PROXY.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and _is_log(node.func):
                logged |= {keyword.arg for keyword in node.keywords if keyword.arg is not None}
    assert {"payment_id", "exc_info"} <= logged
    assert logged - {"exc_info"} <= logs.ALLOWED


def _is_log(called: ast.expr) -> bool:
    return (
        isinstance(called, ast.Attribute)
        and called.attr in LEVELS
        and isinstance(called.value, ast.Name)
        and called.value.id == "log"
    )
