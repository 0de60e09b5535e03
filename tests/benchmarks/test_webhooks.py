"""`python -m bench.webhooks` works; what it measures is not for tests."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.trying import column, tried

OURS = ["bare aiohttp client loop", "engine, SQLite", "engine, PostgreSQL"]
PEER = ["pgqueuer, as it comes", "pgqueuer, batches of 200"]


async def test_it_measures_the_engine_on_both_databases_beside_the_bare_loop(tmp_path: Path) -> None:
    found = await tried("webhooks", tmp_path)
    rates = column(found, 0, "per s")
    assert list(rates)[:3] == OURS
    assert all(rate > 0 for rate in rates.values())
    assert all(us > 0 for us in column(found, 0, "CPU µs").values())
    assert column(found, 0, "connections to one")["engine, SQLite"] <= 8
    if find_spec("pgqueuer") is None:
        pytest.skip("NOT RUN: the queue library beside it is not installed (`make bench-webhooks` installs it)")
    assert list(rates)[3:] == PEER
    assert len(found["targets"]) == 3
