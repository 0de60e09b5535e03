"""The control API: terminals and the ledger's pages."""

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
from support.eventually import eventually

from proxy.simulator.command import simulator
from proxy.simulator.ledger import Invoice, Journal, LedgerInUseError, SimulatedTerminal
from simulator.shop_side import RETURN_URL, Shop


async def test_a_terminal_is_made_and_then_changed_field_by_field(shop: Shop) -> None:
    body = {"api_key": "new", "return_method": "post", "return_extras": ["status"], "registered_ip": "127.0.0.1"}
    made = await shop.control("POST", "terminals", body)
    assert made == {**body, "enabled": True, "registered_domain": None, "referrer_origin": None, "key_chars": 32}
    changed = await shop.control("POST", "terminals", {"api_key": "new", "enabled": False})
    assert changed == {**made, "enabled": False}
    listed = (await shop.control("GET", "terminals"))["terminals"]
    assert [terminal["api_key"] for terminal in listed] == ["key-one", "key-two", "new"]
    assert (await shop.request(api_key="new"))["errorCode"] == 302


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "api_key"),
        ({"api_key": ""}, "api_key"),
        ({"api_key": "a", "return_method": "put"}, "return_method"),
        ({"api_key": "a", "colour": 1}, "colour"),
        ("text", "an object"),
    ],
)
async def test_a_wrong_terminal_is_refused_by_name(shop: Shop, body: Any, named: str) -> None:
    assert named in (await shop.control("POST", "terminals", body, status=400))["error"]


async def test_the_ledger_is_filtered_and_paged_oldest_first(shop: Shop) -> None:
    keys = [await shop.invoice() for _ in range(5)]
    theirs = await shop.invoice(api_key="key-two")
    for key in (keys[1], keys[3], theirs):
        await shop.control("POST", f"invoices/{key}/pay")
    paid = await shop.control("GET", "invoices?state=captured&api_key=key-one")
    assert [row["invoice_key"] for row in paid["invoices"]] == [keys[1], keys[3]]
    seen: list[str] = []
    after: int | None = 0
    while after is not None:
        page = await shop.control("GET", f"invoices?limit=2&after={after}")
        seen += [row["invoice_key"] for row in page["invoices"]]
        assert len(page["invoices"]) == 2
        after = page["next"]
    assert seen == [*keys, theirs]


@pytest.mark.parametrize("query", ["limit=0", "limit=10001", "after=-1", "state=lost", "color=1"])
async def test_a_wrong_query_is_refused(shop: Shop, query: str) -> None:
    assert query.partition("=")[0] in (await shop.control("GET", f"invoices?{query}", status=400))["error"]


async def test_what_is_not_there_is_404_and_what_is_captured_stays(shop: Shop) -> None:
    assert (await shop.control("GET", "invoices/none", status=404))["error"]
    assert (await shop.control("POST", "invoices/none/pay", status=404))["error"]
    key = await shop.invoice()
    await shop.control("POST", f"invoices/{key}/pay")
    for act in ("cancel", "fail"):
        assert (await shop.control("POST", f"invoices/{key}/{act}", status=409))["error"]
    assert (await shop.stored(key))["state"] == "captured"


async def test_going_back_without_acting_is_an_early_return(shop: Shop) -> None:
    key = await shop.invoice()
    way = await shop.control("POST", f"invoices/{key}/back")
    assert way["params"] == {"invoice_key": key}
    assert way["invoice"]["state"] == "open"


DEADLINE_SECONDS = 20


@asynccontextmanager
async def _running(ledger: Path, *options: str) -> AsyncIterator[tuple[Process, str]]:
    arguments = ("-m", "proxy", "simulator", "--port", "0", "--ledger", str(ledger), *options)
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
    async def look() -> bool | None:
        return (await _ledger(http, base))[0]["checks"] > 0 or None

    await eventually(look)
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
    journal.note(SimulatedTerminal("k"))
    journal.note(first)
    journal.note(Invoice("b", "k", 1000, RETURN_URL, 0, bank_code="1"))
    results = await asyncio.gather(*(journal.settled() for _ in range(3)), return_exceptions=True)
    assert all(isinstance(result, Exception) for result in results)
    assert journal.load() == ([], [])
    second = Invoice("b", "k", 1000, RETURN_URL, 0, bank_code="2")
    journal.note(second)
    await journal.close()
    again = Journal(path)
    assert again.load() == ([SimulatedTerminal("k")], [first, second])
    await again.close()


@pytest.mark.parametrize("options", [["--terminal", "k:put"], ["--port", "70000"], ["--chaos-rate", "2"]])
def test_wrong_options_are_refused(options: list[str]) -> None:
    assert CliRunner().invoke(simulator, options).exit_code == 2
