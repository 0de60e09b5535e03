"""docs/operations.md, the alerts and the dashboard say what is: settings, commands, files, series and runbook entries.

promtool takes the alerts and shows of each that it fires and that it does not.
"""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from support.shop import playground

from deploy import tools
from deploy.settings_table import PAGE, page_with_the_table
from deploy.tools import REPOSITORY
from proxy.cli import dargah

# Of Prometheus' own making: a process does not show it. `job` and `instance` are put on by whoever scrapes.
SCRAPER_S = frozenset({"up"})
SCRAPED = frozenset({"job", "instance"})
_SELECTOR = re.compile(r"\b((?:dargah|process)_[a-z_]+|up)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')


@dataclass(frozen=True)
class Asked:
    name: str
    matchers: tuple[tuple[str, str, str], ...]

    def among(self, series: list[tuple[str, dict[str, str]]]) -> bool:
        return any(name == self.name and all(_fits(labels, each) for each in self.matchers) for name, labels in series)


def _fits(labels: dict[str, str], matcher: tuple[str, str, str]) -> bool:
    name, operator, value = matcher
    if name in SCRAPED:
        return True
    if name not in labels:
        return False
    same = re.fullmatch(value, labels[name]) is not None if "~" in operator else labels[name] == value
    return same is not operator.startswith("!")


def named(expression: str) -> Iterator[Asked]:
    for name, matchers in _SELECTOR.findall(expression):
        if name not in SCRAPER_S:
            yield Asked(name, tuple(_MATCHER.findall(matchers)))


def shown(text: str) -> list[tuple[str, dict[str, str]]]:
    return [
        (sample.name, sample.labels) for family in text_string_to_metric_families(text) for sample in family.samples
    ]


PAGE_TEXT = PAGE.read_text("utf-8")


def test_the_pages_settings_are_the_codes() -> None:
    assert page_with_the_table(PAGE_TEXT) == PAGE_TEXT, "`make docs` writes the table again"


def _commands() -> set[str]:
    return set(re.findall(r"\bdargah ((?:[a-z][a-z-]+ ?)+)", PAGE_TEXT))


@pytest.mark.parametrize("line", sorted(_commands()))
def test_a_command_that_is_named_exists(line: str) -> None:
    here: click.Command = dargah
    for word in line.split():
        if not isinstance(here, click.Group):
            return
        found = here.get_command(click.Context(here), word)
        if found is None and here is dargah:
            assert f"`dargah {line}" not in PAGE_TEXT, "prose, such as 'dargah runs', stands in no code"
            return
        assert found is not None, f"dargah {line}: there is no {word}"
        here = found


def test_the_files_that_are_named_are_there() -> None:
    named = set(re.findall(r"\bdeploy/[\w./-]+\w", PAGE_TEXT))
    assert named
    assert not [name for name in named if not (REPOSITORY / name).exists()]
    for target in re.findall(r"\]\((\.\./[\w.]+|[\w-]+\.md)\)", PAGE_TEXT):
        assert (PAGE.parent / target).exists(), target


def test_the_pages_links_lead_to_its_headings() -> None:
    anchors = {
        re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-")
        for line in re.findall(r"^#+ (.*)$", PAGE_TEXT, re.MULTILINE)
    }
    links = set(re.findall(r"\]\(#([\w-]+)\)", PAGE_TEXT))
    assert links
    assert links <= anchors


def test_no_make_target_is_named_that_does_not_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", PAGE_TEXT)) <= targets


FOLDER = REPOSITORY / "deploy" / "prometheus"
ALERTS = FOLDER / "alerts.yaml"
RUNBOOK = REPOSITORY / "docs" / "operations.md"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(ALERTS.read_text("utf-8"))["groups"] for rule in group["rules"]
]
NAMES = [rule["alert"] for rule in RULES]
# An hour of minutes, then what the case tells of, long enough for every `for`.
QUIET_MINUTES, TOTAL_MINUTES = 70, 160
ONE = {"instance": "a:8081", "job": "dargah"}


@dataclass(frozen=True)
class Case:
    """Series by name, each with its value or its growth per minute, first when all is well and then when it is not."""

    series: dict[str, tuple[float, float]]
    grows: bool = False
    labels: dict[str, str] = field(default_factory=dict)

    def written(self, *, well: bool) -> list[dict[str, str]]:
        rows = []
        for name, (good, bad) in self.series.items():
            step = good if well else bad
            start = good * QUIET_MINUTES
            values = f"0+{good:g}x{QUIET_MINUTES} {start + step:g}+{step:g}x{TOTAL_MINUTES - QUIET_MINUTES}"
            if not self.grows:
                values = f"{good:g}x{QUIET_MINUTES} {step:g}x{TOTAL_MINUTES - QUIET_MINUTES}"
            rows.append({"series": name, "values": values})
        return rows


def buckets(name: str, fast: str, slow: str, labels: str = "") -> dict[str, tuple[float, float]]:
    """A histogram whose observations are fast, and then a tenth of them slow."""
    return {
        f'{name}_bucket{{{labels}le="{fast}"}}': (100, 90),
        f'{name}_bucket{{{labels}le="{slow}"}}': (100, 100),
        f'{name}_bucket{{{labels}le="+Inf"}}': (100, 100),
    }


UNTIL = 'dargah_gateway_call_seconds_count{operation="check",outcome='
ANSWERS = 'dargah_http_request_seconds_count{listener="public",status='
ATTEMPTS = "dargah_webhook_attempt_seconds_count{outcome="
INSIDE = '{instance="a:8081",job="dargah"}'
CASES = {
    "DargahDown": Case({f"up{INSIDE}": (1, 0)}, labels=ONE),
    "DargahInvariantViolated": Case(
        {'dargah_invariant_violations_total{invariant="paid_amount"}': (0, 1)}, True, {"invariant": "paid_amount"}
    ),
    "DargahStoreFailing": Case({"dargah_store_batches_failed_total": (0, 1)}, grows=True),
    "DargahServerErrors": Case({f'{ANSWERS}"2xx"}}': (1000, 1000), f'{ANSWERS}"5xx"}}': (10, 50)}, grows=True),
    "DargahWatchLate": Case({"dargah_watch_lag_seconds": (100, 130)}),
    "DargahPaymentUnresolved": Case({'dargah_payment_oldest_open_seconds{status="pending"}': (7000, 7300)}),
    "DargahReviewWaiting": Case({'dargah_payment_oldest_open_seconds{status="needs_review"}': (0, 60)}),
    "DargahGatewayUnclear": Case({f'{UNTIL}"captured"}}': (90, 70), f'{UNTIL}"unknown"}}': (10, 30)}, grows=True),
    "DargahGatewayCircuitOpen": Case({"dargah_gateway_circuits_open": (0, 1)}),
    "DargahGatewayCallsWaiting": Case({"dargah_gateway_calls_waiting": (150, 300)}),
    "DargahWebhooksLate": Case({"dargah_webhook_lag_seconds": (100, 130)}),
    "DargahWebhooksFailing": Case(
        {f'{ATTEMPTS}"delivered"}}': (60, 40), f'{ATTEMPTS}"timeout"}}': (40, 60)}, grows=True
    ),
    "DargahEndpointDisabled": Case({'dargah_webhook_endpoints{state="disabled"}': (3, 4)}),
    "DargahStoreSlow": Case(buckets("dargah_store_batch_seconds", "0.1", "1.0"), grows=True),
    "DargahLoopLate": Case(
        buckets("dargah_loop_lag_seconds", "0.1", "1.0", 'instance="a:8081",'), True, {"instance": "a:8081"}
    ),
    "DargahLoopFailing": Case({'dargah_loop_failures_total{loop="watch"}': (0, 1)}, True, {"loop": "watch"}),
    "DargahFiguresOld": Case({'dargah_figures_age_seconds{instance="a:8081"}': (5, 90)}, labels={"instance": "a:8081"}),
    "DargahRestarting": Case({f"process_start_time_seconds{INSIDE}": (0, 1)}, True, ONE),
    "DargahFilesRunningOut": Case(
        {f"process_open_fds{INSIDE}": (700, 900), f"process_max_fds{INSIDE}": (1000, 1000)}, labels=ONE
    ),
    "DargahMemoryHigh": Case({f"process_resident_memory_bytes{INSIDE}": (2e8, 5e8)}, labels=ONE),
    "DargahClockJumped": Case({"dargah_clock_jumps_total": (0, 1)}, grows=True),
    "DargahClockSkew": Case({"dargah_clock_skew_seconds": (1, -6)}),
    "DargahAmountsJumped": Case({"dargah_amount_jumps_total": (0, 1)}, grows=True),
    "DargahConfirmWindowMissed": Case(
        {'dargah_payments_given_back_total{reason="too_late"}': (0, 1)}, True, {"reason": "too_late"}
    ),
}


def test_promtool_takes_the_rules_and_the_scraping(tmp_path: Path) -> None:
    tools.run("promtool", "check", "rules", "--lint=all", "--lint-fatal", ALERTS)
    tools.run("promtool", "check", "config", FOLDER / "prometheus.yaml")


def test_every_alert_has_a_case() -> None:
    assert set(CASES) == set(NAMES)


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_an_alert_fires_when_it_must_and_only_then(rule: dict[str, Any], tmp_path: Path) -> None:
    name, case = rule["alert"], CASES[rule["alert"]]
    labels = {"severity": rule["labels"]["severity"], **case.labels}
    fired = [{"exp_labels": labels, "exp_annotations": rule["annotations"]}]
    # When it starts is not when it is looked at: the longest `for` is an hour, the shortest look back ten minutes.
    bad = QUIET_MINUTES + (75 if rule.get("for") == "1h" else 30)
    tests = [
        _promtool_test(case.written(well=True), [(name, QUIET_MINUTES, []), (name, bad, [])]),
        _promtool_test(case.written(well=False), [(name, QUIET_MINUTES, []), (name, bad, fired)]),
    ]
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests}))
    tools.run("promtool", "test", "rules", file)


def _promtool_test(series: list[dict[str, str]], looks: list[tuple[str, int, list[Any]]]) -> dict[str, Any]:
    return {
        "interval": "1m",
        "input_series": series,
        "alert_rule_test": [
            {"alertname": name, "eval_time": f"{minute}m", "exp_alerts": expected} for name, minute, expected in looks
        ],
    }


def test_each_alert_has_a_runbook_entry_and_each_entry_an_alert() -> None:
    runbook = RUNBOOK.read_text("utf-8").partition("\n## Runbook\n")[2].partition("\n## ")[0]
    entries = dict(re.findall(r"^### (\w+)\n\n(.*?)(?=^### |\Z)", runbook, re.MULTILINE | re.DOTALL))
    assert list(entries) == NAMES
    for name, entry in entries.items():
        for part in ("**Symptom.**", "**Meaning.**", "**Look at.**", "**Do.**"):
            assert part in entry, (name, part)
    for rule in RULES:
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in {"critical", "warning"}


async def test_a_running_dargah_shows_all_that_the_alerts_ask_for(tmp_path: Path) -> None:
    async with playground(tmp_path) as (shop, dargah), shop.session.get(f"{dargah.admin_url}/metrics") as answer:
        series = shown(await answer.text())
    asked = {name for rule in RULES for name in named(rule["expr"])}
    assert asked
    assert not {str(each) for each in asked if not each.among(series)}


GRAFANA = REPOSITORY / "deploy" / "grafana"
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "dargah.json").read_text("utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]


def test_promtool_parses_every_query(tmp_path: Path) -> None:
    rules = [
        {"record": f"dashboard:{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(QUERIES)
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    said = tools.run("promtool", "check", "rules", file)
    assert f"{len(QUERIES)} rules found" in said


async def test_a_running_dargah_shows_all_that_the_dashboard_asks_for(tmp_path: Path) -> None:
    async with playground(tmp_path) as (shop, dargah), shop.session.get(f"{dargah.admin_url}/metrics") as answer:
        series = shown(await answer.text())
    asked = {each for query in QUERIES for each in named(query)}
    assert asked
    assert not {str(each) for each in asked if not each.among(series)}
    # And the other way round: what has its own name in docs/metrics.md is on the dashboard.
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name, _ in series if name.startswith("dargah_")}
    assert families == {
        re.sub(r"_(bucket|sum|count)$", "", each.name) for each in asked if each.name.startswith("dargah_")
    }


def test_the_panels_hints_name_alerts_that_exist() -> None:
    alerts = set(re.findall(r"alert: (\w+)", (REPOSITORY / "deploy" / "prometheus" / "alerts.yaml").read_text("utf-8")))
    hints = {name for panel in PANELS for name in re.findall(r"\bDargah[A-Z]\w+", panel.get("description", ""))}
    assert hints
    assert hints <= alerts


def test_the_dashboards_panels_do_not_overlap_and_its_source_is_provisioned() -> None:
    [source] = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yaml").read_text("utf-8"))[
        "datasources"
    ]
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert {panel["datasource"]["uid"] for panel in PANELS} == {source["uid"]}


LEVELS = {"info": 0, "warning": 1, "error": 2, "critical": 3}
# Where the page's prose points at a line of the log.
_POINTERS = (
    r"the log(?:'s)?(?: has| lines?)? ((?:`[a-z_]+`(?:,? and |, )?)+)",
    r"log lines? ((?:`[a-z_]+`(?:,? and |, )?)+)",
    r"`([a-z]+(?:_[a-z]+)+)`[^`|]{0,40}? in the log\b",
)


def logged_events() -> dict[str, str]:
    """The events of the source, each with its gravest level."""
    found: dict[str, str] = {}
    for file in (REPOSITORY / "proxy").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr=method), args=[event, *_]):
                    level = "error" if method == "exception" else method
                    if level not in LEVELS:
                        continue
                    assert isinstance(event, ast.Constant), f"{file}: an event's name is written where it is logged"
                    name = str(event.value)
                    found[name] = max(level, found.get(name, "info"), key=LEVELS.__getitem__)
    return found


def told_events() -> dict[str, str]:
    """The events of the page's two tables, each with its level."""
    section = PAGE_TEXT.partition("\n## The log\n")[2].partition("\n## ")[0]
    told = dict(re.findall(r"^\| `([a-z_]+)` \| (warning|error|critical) \| .+ \| .+ \|$", section, re.MULTILINE))
    for names in re.findall(r"^\| ((?:`[a-z_]+`(?:, )?)+) \| .+ \|$", section, re.MULTILINE):
        told |= {name: told.get(name, "info") for name in re.findall(r"`([a-z_]+)`", names)}
    return told


def test_the_page_has_every_event_of_the_log_with_its_level_and_no_other() -> None:
    assert told_events() == logged_events()


def test_what_the_page_says_is_in_the_log_is_logged() -> None:
    named = {
        name
        for pattern in _POINTERS
        for found in re.findall(pattern, PAGE_TEXT, re.IGNORECASE)
        for name in re.findall(r"[a-z]+(?:_[a-z]+)*", found)
        if "_" in name
    }
    assert {"clock_jumped", "gateway_unclear", "store_server_changed"} <= named
    assert named <= set(logged_events())


def test_every_series_that_the_runbook_names_is_in_the_metrics_page() -> None:
    metrics = (REPOSITORY / "docs" / "metrics.md").read_text("utf-8")
    runbook = PAGE_TEXT.partition("\n## Runbook\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"\bdargah_[a-z_]+[a-z]", runbook))
    assert named
    assert not {name for name in named if name not in metrics}
