"""CPU instructions of one create, one whole payment and one webhook, counted by Valgrind in a real `dargah serve`.

A whole payment is the create, the customer's return, the gateway's check and the delivered webhook; a webhook is the
difference of a payment with an endpoint and one without. Each comes alone. Two processes count each figure and must
agree to 1 %. `--against TREE` (another checkout, or a commit) counts there too, in turns. The start is not counted, and
the clocks of the process run slower (bench/slow_clock), so that its timers weigh nothing. The gateway, the shop and the
load run outside Valgrind.
"""

import argparse
import asyncio
import io
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvloop

from bench.load import Connection
from bench.processes import child
from bench.results import Cell, Table, markdown
from bench.shops import ABOVE_ALL, RETURN_URL, Shop, creates, gateway, listening, pay, set_up
from proxy.demo.stage import Stage

CREATE, PAYMENT, WEBHOOK = "create", "whole payment", "delivered webhook"
SPREAD: Final = 0.01
SLOW_CLOCK: Final = Path(__file__).parent / "slow_clock"
WARM_UP, BATCH, BATCHES = 40, 25, 6
READY_SECONDS: Final = 120.0
CALLGRIND: Final = ("--tool=callgrind", "--instr-atstart=no", "--quiet", "--vgdb=yes")


class CountedDargah(Stage):
    """`dargah serve` of a tree under Valgrind, and its commands; `tree` is its folder."""

    def __init__(self, tree: Path, folder: Path, hook_port: int) -> None:
        python = {"PYTHONHASHSEED": "0", "PYTHONSAFEPATH": "1", "PYTHONPATH": str(tree)}
        super().__init__(folder, shop_port=hook_port, settings=ABOVE_ALL | python)
        python_of_tree = tree / ".venv/bin/python"
        self._python = str(python_of_tree) if python_of_tree.exists() else sys.executable

    def _dargah(self, *arguments: str) -> tuple[str, ...]:  # type: ignore[override] # it is the tree's, not this one's
        return self._python, "-m", "proxy", *arguments

    @asynccontextmanager
    async def served(self) -> AsyncIterator["Meter"]:
        self._env["DARGAH_KEYS"] = (await self.command("keys", "generate")).strip()
        env = self._env | {"PYTHONPATH": f"{SLOW_CLOCK}{os.pathsep}{self._env['PYTHONPATH']}"}
        out = f"--callgrind-out-file={self._folder}/counted"
        counted = (*CALLGRIND, out, *self._dargah("serve"))
        async with child(None, *counted, program="valgrind", env=env, seconds=READY_SECONDS) as process:
            try:
                yield Meter(process.pid, self._folder)
            finally:
                os.kill(process.pid, signal.SIGKILL)  # Valgrind would write what it counted once more


@dataclass(frozen=True, slots=True)
class Meter:
    """Counts the instructions of the process under Valgrind."""

    pid: int
    folder: Path

    async def start(self) -> None:
        await vgdb(f"--pid={self.pid}", "instrumentation", "on")

    async def count(self, work: Awaitable[object]) -> int:
        """The instructions while `work` runs."""
        await vgdb(f"--pid={self.pid}", "zero")
        await work
        await vgdb(f"--pid={self.pid}", "dump")
        (dump,) = self.folder.glob("counted.*")
        found = re.search(r"^totals: (\d+)", dump.read_text(), re.MULTILINE)
        dump.unlink()
        assert found is not None
        return int(found[1])


async def vgdb(*command: str) -> None:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec("vgdb", *command, stdout=pipe, stderr=pipe)
    _, error = await process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"vgdb {' '.join(command)}: {error.decode()}")


async def customers(url: str, token: str, count: int, *, returns: bool, shop: Shop | None = None) -> None:
    """One payment after the other: created, returned from, and with a shop until its webhook was answered."""
    connection, make = await Connection.open(url), creates(token, return_url=RETURN_URL)
    for number in range(count):
        await pay(connection, make(number), returns=returns)
        if shop is not None:
            await shop.wait_for(1)
            shop.forget()
    connection.close()


async def measure(tree: Path) -> dict[str, float]:
    """Instructions of one of each, in a new process: medians of batches."""
    heard = Shop()
    with tempfile.TemporaryDirectory() as folder:
        async with listening(heard) as port, gateway() as asked:
            dargah = CountedDargah(tree, Path(folder), port)
            async with dargah.served() as meter:
                told, untold = [await set_up(dargah, asked.url, hook) for hook in (port, None)]
                await meter.start()
                await customers(dargah.url, told, WARM_UP, returns=True, shop=heard)
                await customers(dargah.url, untold, WARM_UP, returns=True)

                async def of_one(token: str, *, returns: bool, shop: Shop | None = None) -> float:
                    batches = []
                    for _ in range(BATCHES):
                        work = customers(dargah.url, token, BATCH, returns=returns, shop=shop)
                        batches.append(await meter.count(work) / BATCH)
                    return statistics.median(batches)

                payment = await of_one(told, returns=True, shop=heard)
                without = await of_one(untold, returns=True)
                create = await of_one(untold, returns=False)
    return {CREATE: create, PAYMENT: payment, WEBHOOK: payment - without}


def report(trees: dict[str, Path], runs: dict[str, list[dict[str, float]]]) -> bool:
    """Prints the figures, and with two trees their ratio; whether the runs agree."""
    rows: list[Sequence[Cell]] = []
    agreed = True
    for what in (CREATE, PAYMENT, WEBHOOK):
        first = statistics.mean(run[what] for run in runs[next(iter(trees))])
        for name in trees:
            one, other = (run[what] for run in runs[name])
            spread = abs(one - other) / min(one, other)
            # A difference has the noise of both of its terms, so a webhook's spread is shown and not judged.
            agreed = agreed and (what == WEBHOOK or spread <= SPREAD)
            rows.append((f"{what}, {name}", one, other, f"{spread:.2%}", f"{(one + other) / 2 / first:.3f}"))
    print(markdown(Table("CPU instructions of one", ("", "one run", "another", "apart", "of the first"), rows)))
    return agreed


def found(against: str, folder: Path) -> Path:
    """That checkout, or the commit's files in the folder."""
    if Path(against).is_dir():
        return Path(against).resolve()
    asked = ["git", "archive", "--format=tar", against]
    files = subprocess.run(asked, stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(files)) as archive:
        archive.extractall(folder, filter="data")
    return folder


async def main(against: str | None) -> None:
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is not installed: `apt-get install valgrind` does it")
    with tempfile.TemporaryDirectory() as folder:
        trees = {} if against is None else {against: found(against, Path(folder))}
        trees["this tree"] = Path.cwd()
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in trees}
        for _ in range(2):
            for name, tree in trees.items():
                runs[name].append(await measure(tree))
    if not report(trees, runs):
        raise SystemExit(f"two runs are more than {SPREAD:.0%} apart: not a measurement")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", metavar="TREE", help="a checkout's folder, or a commit")
    uvloop.run(main(parser.parse_args().against))
