"""/healthz, /readyz, /metrics and the log: what they look at, what they must not cost, and what they never tell.

And the page that says what each metric means.
"""

import ast
import asyncio
import re
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families
from support.clock import SteadyClock
from support.command import Cli
from support.dargah import server
from support.eventually import eventually
from support.shop import RETURN_ORIGIN, Shop, playground

from proxy.app import Dargah, Outside
from proxy.gateways.circuit_breaker import FAILURES_TO_OPEN
from proxy.kernel.background import Repeater
from proxy.kernel.clock import DAY, HOUR
from proxy.kernel.errors import Overloaded, StoreUnavailable, VaultError
from proxy.merchants.vault import KeyRing, SealedSecret, Vault, generate_line
from proxy.observability import logs
from proxy.observability.logs import ConsoleRenderer
from proxy.observability.metrics import Metrics, observed
from proxy.observability.metrics.distribution import Distribution
from proxy.observability.metrics.metrics import LOOPS, PERIOD_SECONDS, LagProbe
from proxy.observability.metrics.observed import AUDIT_PAUSE, Auditor, StoreStatistics
from proxy.observability.readiness import KEEP_SECONDS, WAIT_SECONDS, Readiness
from proxy.observability.statistics import COUNTED, AuditResult, DueStatistics, OpenStatistics, StatisticsRepository
from proxy.payments.change import INVARIANTS, PAID_AMOUNT


class Store:
    """A store that is pinged: it waits for `gate`, and raises `error`."""

    def __init__(self) -> None:
        self.pings = 0
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def ping(self) -> None:
        self.pings += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error


class LostKeys(Vault):
    def open(self, sealed: SealedSecret, origin: str | None = None) -> str:  # noqa: ARG002  it opens nothing
        raise VaultError(sealed.name)


@pytest.fixture
def disk() -> Store:
    return Store()


@pytest.fixture
def ticks() -> SteadyClock:
    return SteadyClock()


@pytest.fixture
def ring() -> KeyRing:
    return KeyRing.parse(generate_line("k1"))


@pytest.fixture
def readiness(disk: Store, ring: KeyRing, ticks: SteadyClock) -> Readiness:
    return ready_of(disk, Vault(ring), ticks)


def ready_of(disk: Store, vault: Vault, ticks: SteadyClock) -> Readiness:
    return Readiness(disk, vault, ticks)  # type: ignore[arg-type]  # it pings, and nothing else


async def test_each_readiness_check_has_its_name(readiness: Readiness) -> None:
    assert await readiness() == {"store": True, "keys": True, "accepting": True}
    readiness.draining = True
    assert await readiness() == {"store": True, "keys": True, "accepting": False}


@pytest.mark.parametrize("error", [StoreUnavailable(), Overloaded()])
async def test_a_store_that_takes_no_write_is_not_ready(readiness: Readiness, disk: Store, error: Exception) -> None:
    disk.error = error
    assert (await readiness())["store"] is False


async def test_keys_that_do_not_open_what_they_sealed_are_not_ready(
    disk: Store, ring: KeyRing, ticks: SteadyClock
) -> None:
    assert await ready_of(disk, LostKeys(ring), ticks)() == {"store": True, "keys": False, "accepting": True}


async def test_many_probes_are_one_write_a_second(readiness: Readiness, disk: Store, ticks: SteadyClock) -> None:
    answers = await asyncio.gather(*(readiness() for _ in range(50)))
    assert all(answer["store"] for answer in answers)
    assert disk.pings == 1
    ticks.seconds = KEEP_SECONDS - 0.01
    await readiness()
    assert disk.pings == 1
    ticks.seconds = KEEP_SECONDS
    disk.error = StoreUnavailable()
    assert (await readiness())["store"] is False
    assert disk.pings == 2
    disk.error = None
    assert (await readiness())["store"] is True, "what failed is looked at again at once"


async def test_a_store_that_hangs_holds_no_probe_up(
    readiness: Readiness, disk: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert WAIT_SECONDS <= 2
    monkeypatch.setattr("proxy.observability.readiness.WAIT_SECONDS", 0.01)
    disk.gate.clear()
    assert (await readiness())["store"] is False
    assert (await readiness())["store"] is False
    assert disk.pings == 1, "it is not asked again while it hangs"
    disk.gate.set()
    monkeypatch.undo()
    assert (await readiness())["store"] is True


async def get(shop: Shop, path: str) -> tuple[int, Any]:
    async with shop.session.get(shop.url + path) as answer:
        return answer.status, await answer.json()


async def test_a_gateway_that_is_down_turns_nobody_away(played: tuple[Shop, Dargah]) -> None:
    shop, _ = played
    await shop.fault("request", "http_500")
    for number in range(6):
        await shop.create(key=f"k{number}")
    assert await get(shop, "/readyz") == (
        200,
        {"status": "ready", "checks": {"store": True, "keys": True, "accepting": True}},
    )


async def test_a_full_disk_is_not_ready_but_alive(tmp_path: Path) -> None:
    full = False

    def fault(statement: str) -> None:
        if full and statement == "COMMIT":
            raise OSError("no space left on device")

    async with playground(tmp_path, outside=Outside(fault=fault)) as (shop, _):
        full = True
        assert await get(shop, "/healthz") == (200, {"status": "ok"})
        status, body = await get(shop, "/readyz")
        assert (status, body["status"], body["checks"]["store"]) == (503, "unready", False)
        full = False


async def test_a_store_that_is_stuck_leaves_the_process_alive(
    played: tuple[Shop, Dargah], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, dargah = played
    stuck = asyncio.Event()

    async def ping() -> None:
        await stuck.wait()

    monkeypatch.setattr(dargah.services.store.heartbeat, "ping", ping)
    monkeypatch.setattr("proxy.observability.readiness.WAIT_SECONDS", 0.05)
    unready, alive = await asyncio.gather(get(shop, "/readyz"), get(shop, "/healthz"))
    assert (unready[0], alive[0]) == (503, 200)
    stuck.set()


async def asked(url: str, folder: Path, *arguments: str) -> tuple[int, str]:
    ran = await Cli({"DARGAH_LISTEN": url.removeprefix("http://")}, folder).run("health", *arguments)
    return ran.code, ran.out + ran.error


def answering(**statuses: int) -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        status = statuses[request.path.strip("/")]
        return web.json_response({"says": status}, status=status)

    app = web.Application()
    for name in statuses:
        app.router.add_get(f"/{name}", answer)
    return app


async def test_the_command_asks_whether_the_process_lives_or_may_be_sent_work(tmp_path: Path) -> None:
    async with server(answering(healthz=200, readyz=503)) as url:
        assert await asked(url, tmp_path) == (0, '{"says": 200}\n')
        code, said = await asked(url, tmp_path, "--ready")
        assert (code, "/readyz says 503" in said) == (1, True)


async def test_the_command_waits_for_a_process_that_is_not_ready_yet(tmp_path: Path) -> None:
    statuses = iter([503, 503, 200])

    async def readyz(_: web.Request) -> web.Response:
        return web.json_response({}, status=next(statuses))

    app = web.Application()
    app.router.add_get("/readyz", readyz)
    async with server(app) as url:
        assert await asked(url, tmp_path, "--ready", "--wait", "60") == (0, "{}\n")
    code, said = await asked(url, tmp_path, "--ready", "--wait", "0.1")
    assert (code, "nothing answers" in said) == (1, True)


async def test_a_process_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    gone = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = gone.sockets[0].getsockname()[1]
    gone.close()
    code, said = await asked(f"http://127.0.0.1:{port}", tmp_path)
    assert (code, said.count("\n"), "nothing answers" in said) == (1, 1, True)


async def test_the_command_asks_a_wildcard_on_loopback(tmp_path: Path) -> None:
    async with server(answering(healthz=200)) as url:
        assert (await asked(url.replace("127.0.0.1", "0.0.0.0"), tmp_path))[0] == 0  # noqa: S104  listened on, not called


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
    assert value(found, "dargah_figures_age_seconds") < observed.KEEP_SECONDS


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
    ticks.seconds = observed.KEEP_SECONDS - 0.1
    await metrics.text()
    assert store.readings == 1
    ticks.seconds = observed.KEEP_SECONDS
    await metrics.text()
    assert store.readings == 2


async def test_a_store_that_does_not_answer_holds_up_no_scrape_and_the_age_tells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert observed.WAIT_SECONDS <= 2
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
    lag = Distribution("lag", "x", registry=None, buckets=[PERIOD_SECONDS])
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
