"""`python -m bench.create` works; what it measures is not for tests."""

from pathlib import Path

from benchmarks.trying import column, tried


async def test_it_measures_all_proxies_and_the_direct_call(tmp_path: Path) -> None:
    found = await tried("create", tmp_path)
    proxies = ["pass-through", "Dargah", "naive proxy", "naive, tuned"]
    rates = column(found, 0, "per s")
    assert list(rates) == proxies
    assert all(rate > 0 for rate in rates.values())
    assert all(us > 0 for us in column(found, 0, "CPU µs").values())
    waits = column(found, 1, "p99")
    assert list(waits) == ["the gateway, directly", *proxies]
    assert all(column(found, 1, "p50")[name] <= wait for name, wait in waits.items())
    assert len(found["targets"]) == 4
