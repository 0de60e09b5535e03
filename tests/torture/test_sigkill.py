"""The short form of the SIGKILL campaign; `python -m tests.torture.sigkill` is the long one."""

import os
import sys
from pathlib import Path

import pytest

from .sigkill import Plan, campaign


# Processes start and stop a dozen times here, which takes its time on a machine that is busy with the other tests.
@pytest.mark.timeout(300)
async def test_killed_five_times_under_load_nothing_is_lost(tmp_path: Path) -> None:
    seed = int(os.environ.get("DARGAH_TORTURE_SEED") or 20261124)
    findings = await campaign(tmp_path, Plan(seed, kills=5, longest_life_seconds=1.0, rate=30.0))
    report = "\n".join([f"seed {seed}", *findings.lines()])
    sys.stdout.write(report)
    assert not findings.violations, report
    assert findings.counts["kills"] == 5, report
    assert findings.counts["paid by the watcher alone"] > 0, report
    assert findings.counts["lost"] == findings.counts["wrongly paid"] == findings.counts["webhooks missing"] == 0
    assert findings.counts["acknowledged creates"] >= 100, report
