"""The dashboard: every query parses, and asks for what a running Dargah shows; every alert has its panel's hint."""

import json
import re
from pathlib import Path
from typing import Any

import yaml
from e2e.playground import playground

from deploy import tools
from deploy.dockerfile import REPOSITORY
from deploy.exposition import named, shown

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


def test_its_panels_do_not_overlap_and_its_source_is_the_provisioned_one() -> None:
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
