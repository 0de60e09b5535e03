"""The simulator as a process of its own: ready line, clean stop, and a ledger that survives SIGKILL."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner

from proxy.simulator.command import simulator
from proxy.simulator.journal import Journal, LedgerInUseError
from proxy.simulator.ledger import Invoice, Terminal
from simulator.shop_side import RETURN_URL

DEADLINE_SECONDS = 20


@asynccontextmanager
async def _running(ledger: Path, *options: str) -> AsyncIterator[tuple[Process, str]]:
    arguments = ("-m", "proxy.simulator", "--port", "0", "--ledger", str(ledger), *options)
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=PIPE, stderr=PIPE)
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), DEADLINE_SECONDS)
        assert line.startswith(b"simulator ready on http://127.0.0.1:"), await process.communicate()
        yield process, line.split()[-1].decode()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def _post(http: aiohttp.ClientSession, url: str, **form: str) -> Any:
    async with http.post(url, data=form) as response:
        return await response.json()


async def _invoice(http: aiohttp.ClientSession, base: str) -> str:
    answer = await _post(http, f"{base}/invoice/request", api_key="k", amount="150000", return_url=RETURN_URL)
    return str(answer["invoice_key"])


async def _ledger(http: aiohttp.ClientSession, base: str) -> Any:
    async with http.get(f"{base}/control/invoices?limit=10000") as response:
        return (await response.json())["invoices"]


async def test_the_ledger_survives_sigkill(tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as http:
        async with _running(tmp_path / "l.db", "--terminal", "k") as (process, base):
            keys = [await _invoice(http, base) for _ in range(3)]
            for key, act in zip(keys, ("pay", "cancel", "fail"), strict=True):
                await _post(http, f"{base}/control/invoices/{key}/{act}")
            answer = await _post(http, f"{base}/invoice/check/{keys[0]}", api_key="k")
            before = await _ledger(http, base)
            process.kill()
            await process.wait()
        async with _running(tmp_path / "l.db") as (_, base):
            assert await _ledger(http, base) == before
            assert await _post(http, f"{base}/invoice/check/{keys[0]}", api_key="k") == answer
            assert [row["state"] for row in before] == ["captured", "canceled", "failed"]


async def test_every_answer_given_before_sigkill_is_in_the_ledger(tmp_path: Path) -> None:
    answered: list[str] = []
    enough = asyncio.Event()

    async def order(http: aiohttp.ClientSession, base: str) -> None:
        with suppress(aiohttp.ClientError):
            while True:
                key = await _invoice(http, base)
                await _post(http, f"{base}/control/invoices/{key}/pay")
                answered.append(key)
                if len(answered) >= 200:
                    enough.set()

    async with aiohttp.ClientSession() as http:
        async with _running(tmp_path / "l.db", "--terminal", "k", "--quiet") as (process, base):
            orders = [asyncio.create_task(order(http, base)) for _ in range(16)]
            await asyncio.wait_for(enough.wait(), DEADLINE_SECONDS)
            process.kill()
            await asyncio.gather(*orders)
        async with _running(tmp_path / "l.db", "--quiet") as (_, base):
            captured = {row["invoice_key"] for row in await _ledger(http, base) if row["state"] == "captured"}
    assert set(answered) <= captured


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_cleanly_even_with_a_delayed_answer_open(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with aiohttp.ClientSession() as http, _running(tmp_path / "l.db", "--terminal", "k") as (process, base):
        key = await _invoice(http, base)
        rule = {"operation": "check", "kind": "delay", "seconds": 600}
        async with http.post(f"{base}/control/faults", json=rule) as response:
            assert response.status == 200
        hanging = asyncio.create_task(_post(http, f"{base}/invoice/check/{key}", api_key="k"))
        await _checked(http, base, key)
        process.send_signal(number)
        output, errors = await asyncio.wait_for(process.communicate(), DEADLINE_SECONDS)
        with pytest.raises(aiohttp.ClientError):
            await hanging
    assert (process.returncode, errors) == (0, b"")
    assert b"request -> " in output
    assert _names(tmp_path) == ["l.db"]


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def _checked(http: aiohttp.ClientSession, base: str, key: str) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while (await _ledger(http, base))[0]["checks"] == 0:  # noqa: ASYNC110  # another process has no event for us
            await asyncio.sleep(0.01)
    assert (await _ledger(http, base))[0]["invoice_key"] == key


async def test_a_ledger_has_one_owner(tmp_path: Path) -> None:
    async with _running(tmp_path / "l.db", "--terminal", "k"):
        with pytest.raises(LedgerInUseError, match="open in another process"):
            Journal(str(tmp_path / "l.db"))


async def test_a_terminal_of_the_command_line_never_overwrites_the_ledger(tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as http:
        for options in (["--terminal", "k:post", "--terminal", "x:y:get"], ["--terminal", "k", "--chaos", "1"]):
            async with (
                _running(tmp_path / "l.db", *options) as (_, base),
                http.get(f"{base}/control/terminals") as response,
            ):
                terminals = (await response.json())["terminals"]
            assert [(t["api_key"], t["return_method"]) for t in terminals] == [("k", "post"), ("x:y", "get")]


async def test_a_commit_survives_power_loss(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "l.db"))
    pragmas = [journal._connection.execute(f"PRAGMA {name}").fetchone() for name in ("journal_mode", "synchronous")]
    assert pragmas == [("wal",), (2,)]
    await journal.close()


async def test_a_commit_that_fails_is_told_to_every_waiter_and_made_good(tmp_path: Path) -> None:
    path = str(tmp_path / "l.db")
    journal = Journal(path)
    # A row that breaks the ledger's own uniqueness stands for a disk that refuses.
    first = Invoice("a", "k", 1000, RETURN_URL, 0, bank_code="1")
    journal.note(Terminal("k"))
    journal.note(first)
    journal.note(Invoice("b", "k", 1000, RETURN_URL, 0, bank_code="1"))
    results = await asyncio.gather(*(journal.settled() for _ in range(3)), return_exceptions=True)
    assert all(isinstance(result, Exception) for result in results)
    assert journal.load() == ([], [])
    second = Invoice("b", "k", 1000, RETURN_URL, 0, bank_code="2")
    journal.note(second)
    await journal.close()
    again = Journal(path)
    assert again.load() == ([Terminal("k")], [first, second])
    await again.close()


@pytest.mark.parametrize("options", [["--terminal", "k:put"], ["--port", "70000"], ["--chaos-rate", "2"]])
def test_wrong_options_are_refused(options: list[str]) -> None:
    assert CliRunner().invoke(simulator, options).exit_code == 2
