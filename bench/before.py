"""A change, before and after: creates by another commit's Dargah and by this tree's, in turns in one run.

`python -m bench.before COMMIT`. Two runs at two times tell of the machine as well; turns tell of the change.
"""

import argparse
import io
import statistics
import subprocess
import tarfile
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Final

import uvloop

from bench import load
from bench.create import CONNECTIONS, Closed, Counts, as_fast_as_it_goes
from bench.processes import Cores, child, share_cores
from bench.results import FOLDER, Result, Run, Table, publish, share
from bench.shops import Server, creates, dargah

BEFORE, AFTER = "before", "after"
COUNTS: Final = Counts(rounds=8, requests=4000)


def unpack(commit: str, folder: Path) -> None:
    """The commit's files."""
    asked = ["git", "archive", "--format=tar", commit]
    done = subprocess.run(asked, stdout=subprocess.PIPE, check=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as files:
        files.extractall(folder, filter="data")


def from_tree(folder: Path) -> dict[str, str]:
    """What makes Python take the code from there: else the folder that it is started in comes first."""
    return {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(folder)}


async def measure(cores: Cores, before: Path, counts: Counts) -> dict[str, Closed]:
    taken = {BEFORE: Closed(), AFTER: Closed()}
    with tempfile.TemporaryDirectory() as old, tempfile.TemporaryDirectory() as new:
        async with (
            child(cores.rest, "bench/upstream.py") as gateway,
            dargah(Path(old), gateway.url, cores.server, settings=from_tree(before)) as (_, theirs),
            dargah(Path(new), gateway.url, cores.server) as (_, ours),
        ):
            servers: dict[str, Server] = {BEFORE: theirs, AFTER: ours}
            for server in servers.values():
                await load.closed(server.url, creates(server.token), counts.warm_up, CONNECTIONS, 201)
            for _ in range(counts.rounds):
                for name, server in servers.items():
                    await as_fast_as_it_goes(server, counts, taken[name])
    return taken


def result(commit: str, counts: Counts, taken: dict[str, Closed]) -> Result:
    rows = []
    for name, each in taken.items():
        first = taken[BEFORE]
        rate, cpu, loop = map(statistics.median, (each.rates, each.cpu_us, each.loop_us))
        rows.append((name, rate, share(each.rates, first.rates), cpu, share(each.cpu_us, first.cpu_us), loop))
    title = f"Creates by {commit} and by this tree, medians of {counts.rounds} turns of {counts.requests}"
    table = Table(title, ("", "per s", "of before", "CPU µs", "of before", "of it in the loop"), rows)
    raw = {name: asdict(each) for name, each in taken.items()}
    return Result("before", asdict(counts) | {"commit": commit}, [table], raw=raw)


async def main(commit: str, run: Run) -> None:
    counts = Counts(rounds=1, requests=200, warm_up=50) if run.short else COUNTS
    with tempfile.TemporaryDirectory() as folder:
        unpack(commit, Path(folder))
        publish(result(commit, counts, await measure(share_cores(), Path(folder), counts)), run)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commit", help="what to measure beside: a commit, a tag, HEAD for what is not committed yet")
    parser.add_argument("--short", action="store_true", help="tiny counts, to see that it works")
    parser.add_argument("--results", type=Path, default=FOLDER)
    given = parser.parse_args()
    uvloop.run(main(given.commit, Run(given.short, given.results)))
