"""The customer at the bank: the page, its buttons, the ways back, and what check says after.

And the control API: terminals and the ledger's pages.
"""

import asyncio
import os
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import pytest
from click.testing import CliRunner
from support.eventually import eventually
from support.process import Forked

from proxy.gateways.invoice_script.simulator import ReturnExtra
from proxy.gateways.simulation.ledger import (
    HostReturnMethod,
    Invoice,
    Journal,
    LedgerInUseError,
    SimulatedTerminal,
    State,
)
from proxy.kernel.urls import with_params
from proxy.simulator.command import simulator
from simulator.conftest import RETURN_URL, Shop, StartShop


class Page(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]


async def _page(shop: Shop, key: str, slash: str = "") -> Page:
    response = await shop.client.get(f"{shop.prefix}/invoice/pay/{key}{slash}")
    assert response.status == 200
    assert response.content_type == "text/html"
    return Page(await response.text())


@pytest.mark.parametrize("slash", ["", "/"])
async def test_the_pay_page_is_persian_and_needs_nothing_from_outside(shop: Shop, slash: str) -> None:
    key = await shop.invoice(amount="12345670")
    page = await _page(shop, key, slash)
    assert page.all("html") == [{"lang": "fa", "dir": "rtl"}]
    assert "۱۲٬۳۴۵٬۶۷۰ ریال" in " ".join(page.text.split())
    assert "۱٬۲۳۴٬۵۶۷ تومان" in page.text
    assert "shop.example.ir" in page.text
    assert any(meta.get("name") == "viewport" for meta in page.all("meta"))
    assert page.open == []
    names = {name for _, attrs in page.elements for name in attrs}
    assert not names & {"src", "href", "onclick", "onload"}
    assert page.all("script") == page.all("link") == page.all("img") == []


async def test_the_pay_page_has_three_buttons_in_a_plain_form(shop: Shop) -> None:
    page = await _page(shop, await shop.invoice())
    assert page.all("form") == [{"method": "post"}]
    assert [(button["name"], button["value"]) for button in page.all("button")] == [
        ("action", "pay"),
        ("action", "cancel"),
        ("action", "fail"),
    ]


async def test_odd_rials_are_shown_in_toman_as_a_decimal(shop: Shop) -> None:
    assert "۱۵۰٫۵ تومان" in (await _page(shop, await shop.invoice(amount="1505"))).text


async def test_the_page_is_not_stored_and_tells_no_referrer(shop: Shop) -> None:
    response = await shop.client.get(f"/invoice/pay/{await shop.invoice()}")
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")


async def test_a_host_in_the_return_url_cannot_write_on_the_page(shop: Shop) -> None:
    key = await shop.invoice(return_url="https://<script>alert(1)</script>.ir/cb?a=<b>")
    assert (await _page(shop, key)).all("script") == []


async def test_an_unknown_invoice_has_a_page_that_says_so(shop: Shop) -> None:
    response = await shop.client.get("/invoice/pay/nothing")
    assert response.status == 404
    assert "شناسه پرداخت صحیح نیست" in Page(await response.text()).text
    assert (await shop.press("nothing", "pay")).status == 404


async def test_a_button_that_is_none_changes_nothing(shop: Shop) -> None:
    key = await shop.invoice()
    assert (await shop.press(key, "refund")).status == 400
    assert (await shop.stored(key))["state"] == "open"


@pytest.mark.parametrize(
    ("action", "state", "code"), [("pay", "captured", None), ("cancel", "canceled", 202), ("fail", "failed", 202)]
)
async def test_each_button_ends_in_its_state_and_sends_back(
    shop: Shop, action: str, state: str, code: int | None
) -> None:
    key = await shop.invoice()
    assert (await shop.check(key))["errorCode"] == 201
    shop.clock.now += 5000
    response = await shop.press(key, action)
    assert response.status == 303
    assert response.headers["Location"] == f"{RETURN_URL}&invoice_key={key}"
    stored = await shop.stored(key)
    assert stored["state"] == state
    answer = await shop.check(key)
    if code is None:
        assert answer == {"status": 1, "amount": 150000, "bank_code": stored["bank_code"]}
        assert stored["captured_at"] == shop.clock.now == stored["created_at"] + 5000
    else:
        assert (answer["status"], answer["errorCode"]) == (0, code)
        assert (stored["bank_code"], stored["captured_at"]) == (None, None)


async def test_check_may_be_repeated_and_is_counted(shop: Shop) -> None:
    key = await shop.invoice()
    await shop.press(key, "pay")
    assert await shop.check(key) == await shop.check(key)
    assert (await shop.stored(key))["checks"] == 2


async def test_check_takes_json_and_a_trailing_slash(shop: Shop) -> None:
    key = await shop.invoice()
    await shop.press(key, "pay")
    for path in (f"/invoice/check/{key}", f"/invoice/check/{key}/"):
        response = await shop.post(path, json={"api_key": "key-one"})
        assert (await response.json())["status"] == 1


async def test_check_refuses_other_terminals_and_unknown_keys(shop: Shop) -> None:
    key = await shop.invoice()
    await shop.press(key, "pay")
    assert (await shop.check(key, "key-two"))["errorCode"] == 200
    assert (await shop.check("nothing"))["errorCode"] == 200
    assert (await shop.check(key, "wrong"))["errorCode"] == 101
    assert (await shop.stored(key))["checks"] == 0


async def test_money_is_taken_once_however_often_pay_is_pressed(shop: Shop) -> None:
    key = await shop.invoice()
    await shop.press(key, "pay")
    first = await shop.stored(key)
    shop.clock.now += 60_000
    assert (await shop.press(key, "pay")).status == 303
    assert await shop.stored(key) == first


async def test_a_captured_invoice_offers_only_the_way_back(shop: Shop) -> None:
    key = await shop.invoice()
    await shop.press(key, "pay")
    page = await _page(shop, key)
    assert [button["value"] for button in page.all("button")] == ["back"]
    assert (await shop.press(key, "back")).headers["Location"].endswith(f"&invoice_key={key}")
    for action in ("cancel", "fail"):
        assert (await shop.press(key, action)).status == 409
    assert (await shop.stored(key))["state"] == "captured"


@pytest.mark.parametrize("action", ["cancel", "fail"])
async def test_a_customer_may_still_pay_after_giving_up(shop: Shop, action: str) -> None:
    key = await shop.invoice()
    await shop.press(key, action)
    assert len((await _page(shop, key)).all("button")) == 3
    await shop.press(key, "pay")
    assert (await shop.check(key))["status"] == 1


async def test_tracking_numbers_differ(shop: Shop) -> None:
    keys = [await shop.invoice() for _ in range(20)]
    for key in keys:
        await shop.press(key, "pay")
    assert len({(await shop.check(key))["bank_code"] for key in keys}) == 20


async def test_a_post_return_is_a_form_that_works_without_scripts(start_shop: StartShop) -> None:
    terminal = SimulatedTerminal("key-one", return_method=HostReturnMethod.POST, return_extras=tuple(ReturnExtra))
    shop = await start_shop(terminals=[terminal])
    key = await shop.invoice()
    response = await shop.press(key, "pay")
    assert response.status == 200
    page = Page(await response.text())
    (form,) = page.all("form")
    assert (form["method"], form["action"]) == ("post", RETURN_URL)
    sent = {field["name"]: field["value"] for field in page.all("input")}
    bank_code = (await shop.stored(key))["bank_code"]
    assert sent == {"invoice_key": key, "status": "0", "bank_code": bank_code, "card_number": "603799******1234"}
    assert len(page.all("button")) == len(page.all("script")) == 1


@pytest.mark.parametrize("action", ["cancel", "fail"])
async def test_extras_never_carry_a_bank_code_for_money_not_taken(start_shop: StartShop, action: str) -> None:
    shop = await start_shop(terminals=[SimulatedTerminal("key-one", return_extras=tuple(ReturnExtra))])
    key = await shop.invoice()
    location = (await shop.press(key, action)).headers["Location"]
    assert parse_qsl(urlsplit(location).query)[2:] == [("invoice_key", key), ("status", "1")]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://s.ir", "https://s.ir?invoice_key=k"),
        ("https://s.ir/?", "https://s.ir/?invoice_key=k"),
        ("https://s.ir/?a=1", "https://s.ir/?a=1&invoice_key=k"),
        ("https://s.ir/?a=1&", "https://s.ir/?a=1&invoice_key=k"),
        ("https://s.ir/?a=%2F+b&a=ب#top", "https://s.ir/?a=%2F+b&a=ب&invoice_key=k#top"),
        ("https://s.ir/#top?x", "https://s.ir/?invoice_key=k#top?x"),
    ],
)
def test_the_shops_own_query_survives(url: str, expected: str) -> None:
    assert with_params(url, {"invoice_key": "k"}) == expected


@pytest.mark.parametrize(("act", "state"), [("pay", "captured"), ("cancel", "canceled"), ("fail", "failed")])
@pytest.mark.parametrize("method", ["get", "post"])
async def test_the_control_api_acts_as_the_customer(shop: Shop, act: str, state: str, method: str) -> None:
    await shop.control("POST", "terminals", {"api_key": "key-one", "return_method": method})
    key = await shop.invoice()
    way: dict[str, Any] = await shop.control("POST", f"invoices/{key}/{act}")
    bare = {"get": f"{RETURN_URL}&invoice_key={key}", "post": RETURN_URL}[method]
    assert (way["return_method"], way["return_url"], way["params"]) == (method, bare, {"invoice_key": key})
    assert way["invoice"] == await shop.stored(key)
    assert way["invoice"]["state"] == state


async def test_a_terminal_is_made_and_then_changed_field_by_field(shop: Shop) -> None:
    body = {"api_key": "new", "return_method": "post", "return_extras": ["status"], "registered_ip": "127.0.0.1"}
    made = await shop.control("POST", "terminals", body)
    named = {"family": "invoice_script", "credentials": {}, "key_chars": 32, "forms": {}}
    assert made == {**body, **named, "enabled": True, "registered_domain": None, "referrer_origin": None}
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
        ({"api_key": "a", "family": "nobody"}, "family"),
        ({"api_key": "a", "forms": {"return_method": "PUT"}}, "forms"),
        ({"api_key": "a", "return_extras": ["colour"]}, "return_extras"),
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


DEADLINE_SECONDS = 60


@asynccontextmanager
async def _running(ledger: Path, *options: str) -> AsyncIterator[tuple[Forked, str]]:
    arguments = ("simulator", "--port", "0", "--ledger", str(ledger), *options)
    process = await Forked.launched(arguments, os.environ, _errors(ledger))
    try:
        line = await asyncio.wait_for(process.stdout.readline(), DEADLINE_SECONDS)
        assert line.startswith(b"simulator ready on http://127.0.0.1:"), _errors(ledger).read_text()
        yield process, line.split()[-1].decode()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _errors(ledger: Path) -> Path:
    return ledger.parent.with_name(f"{ledger.parent.name}.errors")


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
        output = await asyncio.wait_for(process.stdout.read(), DEADLINE_SECONDS)
        code = await process.wait()
        with pytest.raises(aiohttp.ClientError):
            await hanging
    assert (code, _errors(tmp_path / "l.db").read_bytes()) == (0, b"")
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


async def test_a_ledger_of_before_the_families_opens(tmp_path: Path) -> None:
    path = str(tmp_path / "l.db")
    with sqlite3.connect(path) as old:
        old.execute(
            "CREATE TABLE terminals (api_key TEXT PRIMARY KEY, enabled INTEGER NOT NULL, registered_domain TEXT, "
            "registered_ip TEXT, return_method TEXT NOT NULL, return_extras TEXT NOT NULL) STRICT"
        )
        old.execute(
            "CREATE TABLE invoices (invoice_key TEXT PRIMARY KEY, api_key TEXT NOT NULL, amount_rials INTEGER NOT NULL,"
            " return_url TEXT NOT NULL, created_at INTEGER NOT NULL, state TEXT NOT NULL, bank_code TEXT UNIQUE,"
            " captured_at INTEGER, capture_due_at INTEGER, checks INTEGER NOT NULL) STRICT"
        )
        old.execute("INSERT INTO terminals VALUES ('k', 1, NULL, NULL, 'post', 'status')")
        old.execute("INSERT INTO invoices VALUES ('a', 'k', 1000, 'https://s.ir', 5, 'captured', '7', 6, NULL, 2)")
    old.close()
    journal = Journal(path)
    terminal = SimulatedTerminal("k", return_method=HostReturnMethod.POST, return_extras=(ReturnExtra.STATUS,))
    invoice = Invoice("a", "k", 1000, "https://s.ir", 5, State.CAPTURED, bank_code="7", captured_at=6, checks=2)
    assert journal.load() == ([terminal], [invoice])
    await journal.close()


async def test_families_and_their_credentials_come_from_the_command_line(tmp_path: Path) -> None:
    options = ("--family", "invoice_script", "--terminal", "k:post,family=invoice_script,key_chars=40")
    async with (
        aiohttp.ClientSession() as http,
        _running(tmp_path / "l.db", *options) as (_, base),
        http.get(f"{base}/control/terminals") as response,
    ):
        [terminal] = (await response.json())["terminals"]
    assert (terminal["family"], terminal["credentials"], terminal["key_chars"]) == ("invoice_script", {}, 40)


@pytest.mark.parametrize("options", ["--family x", "--terminal k,family=x", "--terminal k:put", "--port 70000"])
def test_wrong_options_are_refused(options: str) -> None:
    assert CliRunner().invoke(simulator, options.split()).exit_code == 2
