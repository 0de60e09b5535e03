"""The short form of the replicas' campaign; `python -m tests.torture.replicas` is the long one."""

import os
import sys
from pathlib import Path

import pytest

from .replicas import Plan, campaign


# Three processes and a server start and stop here, which takes its time on a machine that is busy with other tests.
@pytest.mark.timeout(300)
async def test_replicas_that_are_killed_paused_and_cut_off_lose_nothing(tmp_path: Path) -> None:
    seed = int(os.environ.get("DARGAH_TORTURE_SEED") or 20261124)
    findings = await campaign(tmp_path, Plan(seed, payments=300, rate=25.0, short_leases=True))
    report = "\n".join([f"seed {seed}", *findings.lines()])
    sys.stdout.write(report)
    assert not findings.violations, report
    assert findings.counts["acknowledged creates"] >= 300, report
    assert findings.counts["lost"] == findings.counts["wrongly paid"] == findings.counts["webhooks missing"] == 0
    for happened in ("kills of one", "pauses past the leases", "connections cut", "restarts of the database"):
        assert findings.counts[happened] > 0, report
    assert 1 <= findings.counts["most at once at an endpoint"] <= 8, report
