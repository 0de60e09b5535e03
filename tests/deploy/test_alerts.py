"""The alert rules: taken by promtool, each shown to fire and not to, each with its entry in the runbook, and the other
way round. What a running Dargah does not show is not asked for.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from e2e.playground import playground

from deploy import tools
from deploy.dockerfile import REPOSITORY
from deploy.exposition import named, shown

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
    "DargahAmountsJumped": Case({"dargah_amount_jumps_total": (0, 1)}, grows=True),
}


def test_promtool_takes_the_rules_and_the_scraping(tmp_path: Path) -> None:
    tools.run("promtool", "check", "rules", "--lint=all", "--lint-fatal", ALERTS)
    tools.run("promtool", "check", "config", FOLDER / "prometheus.yaml")


def test_every_alert_has_a_case() -> None:
    assert set(CASES) == set(NAMES)


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_it_fires_when_it_must_and_only_then(rule: dict[str, Any], tmp_path: Path) -> None:
    name, case = rule["alert"], CASES[rule["alert"]]
    labels = {"severity": rule["labels"]["severity"], **case.labels}
    fired = [{"exp_labels": labels, "exp_annotations": rule["annotations"]}]
    # When it starts is not when it is looked at: the longest `for` is an hour, the shortest look back ten minutes.
    bad = QUIET_MINUTES + (75 if rule.get("for") == "1h" else 30)
    tests = [
        _test(case.written(well=True), [(name, QUIET_MINUTES, []), (name, bad, [])]),
        _test(case.written(well=False), [(name, QUIET_MINUTES, []), (name, bad, fired)]),
    ]
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests}))
    tools.run("promtool", "test", "rules", file)


def _test(series: list[dict[str, str]], looks: list[tuple[str, int, list[Any]]]) -> dict[str, Any]:
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
