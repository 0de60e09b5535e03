"""The gateway client over real HTTP: against the simulator, and against servers that do it wrong."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest

from adapters.servers import Names, RawServer, Script, SilentNames, answer, drip, hang, hang_up, raw, reset, then
from proxy.gateways.invoice_script.client import InvoiceScript
from proxy.gateways.port import (
    Account,
    Canceled,
    Captured,
    CheckUnknown,
    InvoiceIssued,
    NotPaid,
    RequestRefused,
    RequestUnknown,
)
from proxy.gateways.simulation.faults import KINDS, Fault, FaultKind, GatewayOperation, Rule
from proxy.gateways.simulation.gateway import Act
from proxy.gateways.simulation.ledger import SimulatedTerminal
from proxy.http.outbound.connector import BoundedResolver, ClientOptions
from proxy.simulator.command import GATEWAY, create_app

RETURN_URL = "https://shop.example.ir/بازگشت?order=17&_token=a%20b+c"
API_KEY = "key-that-nobody-may-see"
ISSUED = answer(b'{"status":1,"invoice_key":"inv_1"}')
UNPAID = answer(b'{"status":0,"errorCode":201}')


@pytest.fixture
async def gateway() -> AsyncIterator[InvoiceScript]:
    client = InvoiceScript(request_seconds=5, check_seconds=5)
    yield client
    await client.close()


@pytest.fixture
async def impatient() -> AsyncIterator[InvoiceScript]:
    client = InvoiceScript(request_seconds=0.2, check_seconds=0.2)
    yield client
    await client.close()


class Simulated:
    """The simulator behind a path prefix, as an account of it."""

    def __init__(self, server: Any) -> None:
        self.gateway = server.app[GATEWAY]
        self.account = Account("trm_1", f"{server.make_url('/pay/')}", {"api_key": API_KEY})

    def fault(self, operation: GatewayOperation, fault: Fault) -> None:
        self.gateway.faults.add(Rule(operation, fault))


@pytest.fixture
async def simulated(aiohttp_server: Any) -> Simulated:
    return Simulated(await aiohttp_server(create_app(prefix="/pay", terminals=[SimulatedTerminal(API_KEY)])))


async def issued(gateway: InvoiceScript, account: Account) -> str:
    asked = await gateway.request(account, 150_000, RETURN_URL)
    assert isinstance(asked.outcome, InvoiceIssued)
    return asked.outcome.invoice_key


async def test_a_payment_from_request_to_capture(gateway: InvoiceScript, simulated: Simulated) -> None:
    key = await issued(gateway, simulated.account)
    assert simulated.gateway.bank.invoice(key).return_url == RETURN_URL
    assert (await gateway.check(simulated.account, key)).outcome == NotPaid(key)
    simulated.gateway.act(key, Act.PAY)
    bank_code = simulated.gateway.bank.invoice(key).bank_code
    assert (await gateway.check(simulated.account, key)).outcome == Captured(key, 150_000, bank_code)


async def test_a_cancel_a_foreign_key_and_a_wrong_api_key(gateway: InvoiceScript, simulated: Simulated) -> None:
    key = await issued(gateway, simulated.account)
    simulated.gateway.act(key, Act.CANCEL)
    assert (await gateway.check(simulated.account, key)).outcome == Canceled(key)
    stranger = Account("trm_2", simulated.account.gateway_url, {"api_key": "another key"})
    assert (await gateway.request(stranger, 150_000, RETURN_URL)).outcome == RequestRefused(101)
    unknown = await gateway.check(simulated.account, "no such/key?")
    assert unknown.outcome == CheckUnknown("no such/key?", "terminal", error_code=200, alert=True)


@pytest.mark.parametrize("code", [100, 101, 102, 103, 200, 201, 202, 203, 204, 301, 302, 777])
async def test_every_code_over_the_wire(gateway: InvoiceScript, simulated: Simulated, code: int) -> None:
    key = await issued(gateway, simulated.account)
    for operation in (GatewayOperation.REQUEST, GatewayOperation.CHECK):
        simulated.fault(operation, Fault(FaultKind.ERROR, code=code))
    asked = (await gateway.request(simulated.account, 150_000, RETURN_URL)).outcome
    checked = (await gateway.check(simulated.account, key)).outcome
    assert isinstance(asked, RequestRefused) == (code in {100, 101, 102, 103, 203, 204, 302})
    assert isinstance(checked, {201: NotPaid, 202: Canceled}.get(code, CheckUnknown))


HTTP_STATUS = {FaultKind.HTTP_500: 500, FaultKind.HTTP_502: 502, "500": 500, "redirect": 302}
BROKEN = {
    FaultKind.LOST: "reset",
    FaultKind.RESET: "reset",
    FaultKind.DELAY: "timeout",
    FaultKind.HTTP_500: "http_status",
    FaultKind.HTTP_502: "http_status",
    FaultKind.HTML: "not_json",
    FaultKind.TRUNCATED: "not_json",
    FaultKind.FOREIGN: "bad_answer",
    FaultKind.HUGE: "too_large",
    FaultKind.DRIP: "timeout",
}
LEGAL = {FaultKind.WRONG_TYPE, FaultKind.STRINGS}


@pytest.mark.parametrize("kind", sorted(BROKEN))
async def test_every_fault_of_the_simulator_leaves_the_outcome_unknown(
    gateway: InvoiceScript, impatient: InvoiceScript, simulated: Simulated, kind: FaultKind
) -> None:
    key = await issued(gateway, simulated.account)
    client = impatient if BROKEN[kind] == "timeout" else gateway
    for operation in (GatewayOperation.REQUEST, GatewayOperation.CHECK):
        simulated.fault(operation, Fault(kind, seconds=1))
    asked = await client.request(simulated.account, 150_000, RETURN_URL)
    status = HTTP_STATUS.get(kind)
    assert asked.outcome == RequestUnknown(BROKEN[kind], timed_out=BROKEN[kind] == "timeout", http_status=status)
    checked = await client.check(simulated.account, key)
    assert checked.outcome == CheckUnknown(key, BROKEN[kind], http_status=status)


@pytest.mark.parametrize("kind", sorted(LEGAL))
async def test_loose_types_are_a_clear_answer(gateway: InvoiceScript, simulated: Simulated, kind: FaultKind) -> None:
    for operation in (GatewayOperation.REQUEST, GatewayOperation.CHECK):
        simulated.fault(operation, Fault(kind))
    key = await issued(gateway, simulated.account)
    assert (await gateway.check(simulated.account, key)).outcome == NotPaid(key)


def test_the_faults_of_the_simulator_are_all_looked_at() -> None:
    assert KINDS[GatewayOperation.REQUEST] == set(BROKEN) | LEGAL | {FaultKind.ERROR}


WRONG: dict[str, tuple[Script, str]] = {
    "reset": (reset, "reset"),
    "hang up": (hang_up, "reset"),
    "half a head": (raw(b"HTTP/1.1 200 OK\r\nContent-Le"), "reset"),
    "not HTTP": (raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), "bad_answer"),
    "endless head": (raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000), "bad_answer"),
    "truncated body": (answer(b'{"status":1,', length=500, close=True), "bad_answer"),
    "body then reset": (then(answer(b'{"status":1,', length=500), reset), "bad_answer"),
    "bad chunk": (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "bad_answer"),
    "truncated JSON": (answer(b'{"status":1,"invoice_key":"in'), "not_json"),
    "HTML": (answer(b"<html>", headers="Content-Type: text/html\r\n"), "not_json"),
    "500": (answer(b'{"status":0,"errorCode":101}', status="500 Oops"), "http_status"),
    "redirect": (answer(b"", status="302 Found", headers="Location: http://127.0.0.1:1/\r\n"), "http_status"),
    "gzip": (answer(b"\x1f\x8b" + b"0" * 50, headers="Content-Encoding: gzip\r\n"), "not_json"),
    "huge": (answer(b" " * 2_000_000), "too_large"),
    "huge and endless": (then(answer(b" " * 100_000, length=10**9), hang), "too_large"),
    "drip": (drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), "timeout"),
    "hang": (hang, "timeout"),
    "hang in the body": (then(answer(b"{", length=100), hang), "timeout"),
    "endless 1xx": (drip(b"HTTP/1.1 103 Early ReplicaNotifications\r\n\r\n" * 1000, 0), "bad_answer"),
    "wrong types": (answer(b'{"status":[1],"invoice_key":{}}'), "bad_answer"),
}


@pytest.mark.parametrize("case", sorted(WRONG))
async def test_a_server_that_does_it_wrong(gateway: InvoiceScript, impatient: InvoiceScript, case: str) -> None:
    script, reason = WRONG[case]
    client = impatient if reason == "timeout" else gateway
    async with RawServer((script,)) as server:
        account = Account("trm_1", server.url, {"api_key": API_KEY})
        asked = await client.request(account, 150_000, RETURN_URL)
        status = HTTP_STATUS.get(case)
        assert asked.outcome == RequestUnknown(reason, timed_out=reason == "timeout", http_status=status)
        assert (await client.check(account, "inv_1")).outcome == CheckUnknown("inv_1", reason, http_status=status)
        assert len(server.requests) == 2  # neither went out on an idle connection


async def test_the_request_as_it_leaves(gateway: InvoiceScript) -> None:
    async with RawServer((ISSUED, UNPAID)) as server:
        account = Account("trm_1", server.url + "/a/b//", {"api_key": API_KEY})
        await gateway.request(account, 150_000, RETURN_URL)
        await gateway.check(account, "inv 1/../x")
    head, _, body = server.requests[0].decode().partition("\r\n\r\n")
    assert head.startswith("POST /a/b/invoice/request HTTP/1.1\r\n")
    lines = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in head.split("\r\n")[1:]}
    assert lines["content-type"] == "application/x-www-form-urlencoded"
    assert lines["accept-encoding"] == "identity"
    assert "cookie" not in lines
    assert parse_qs(body) == {"api_key": [API_KEY], "amount": ["150000"], "return_url": [RETURN_URL]}
    path = server.requests[1].decode().split(" ")[1]
    assert path == "/a/b/invoice/check/inv%201%2F..%2Fx"
    assert unquote(path.rsplit("/", 1)[1]) == "inv 1/../x"


@pytest.mark.parametrize("field", ["return_url", "callback_url"])
async def test_a_host_that_wants_json_or_another_name_of_the_return_address(
    gateway: InvoiceScript, simulated: Simulated, field: str
) -> None:
    options = {"return_field": field, "body": "json"}
    async with RawServer((ISSUED, UNPAID)) as server:
        account = Account("trm_1", server.url, {"api_key": API_KEY}, options=options)
        await gateway.request(account, 150_000, RETURN_URL)
        await gateway.check(account, "inv_1")
    (head, request), (_, check) = (each.decode().split("\r\n\r\n") for each in server.requests)
    assert head.lower().count("content-type: ") == head.count("Content-Type: application/json") == 1
    assert json.loads(request) == {"api_key": API_KEY, "amount": 150_000, field: RETURN_URL}
    assert json.loads(check) == {"api_key": API_KEY}
    key = await issued(gateway, replace(simulated.account, options=options))
    assert simulated.gateway.bank.invoice(key).return_url == RETURN_URL


async def test_a_form_may_have_another_name_of_the_return_address(gateway: InvoiceScript) -> None:
    async with RawServer((ISSUED,)) as server:
        account = Account("trm_1", server.url, {"api_key": API_KEY}, options={"return_field": "callback_url"})
        await gateway.request(account, 150_000, RETURN_URL)
    _, _, body = server.requests[0].decode().partition("\r\n\r\n")
    assert parse_qs(body) == {"api_key": [API_KEY], "amount": ["150000"], "callback_url": [RETURN_URL]}


async def test_the_registered_bytes_of_its_url_are_requested(gateway: InvoiceScript) -> None:
    async with RawServer((ISSUED,)) as server:
        await gateway.request(
            Account("trm_1", server.url + "/a%2Fb/%2e%2e/%zz/", {"api_key": API_KEY}), 150_000, RETURN_URL
        )
    assert server.requests[0].startswith(b"POST /a%2Fb/%2e%2e/%zz/invoice/request HTTP/1.1\r\n")


async def test_connections_are_used_again_and_cookies_are_not_kept(gateway: InvoiceScript) -> None:
    cookie = answer(b'{"status":0,"errorCode":201}', headers="Set-Cookie: PHPSESSID=1; Path=/\r\n")
    async with RawServer((cookie,)) as server:
        for _ in range(5):
            await gateway.check(Account("trm_1", server.url, {"api_key": API_KEY}), "inv_1")
    assert server.connections == 1
    assert all(b"cookie" not in request.lower() for request in server.requests)


@pytest.mark.parametrize("death", [reset, hang_up])
async def test_a_check_on_an_idle_connection_that_died_is_sent_once_more(gateway: InvoiceScript, death: Script) -> None:
    async with RawServer((UNPAID, death, UNPAID)) as server:
        account = Account("trm_1", server.url, {"api_key": API_KEY})
        facts = [(await gateway.check(account, "inv_1")).outcome for _ in range(2)]
    assert facts == [NotPaid("inv_1")] * 2
    assert (len(server.requests), server.connections) == (3, 2)


@pytest.mark.parametrize("death", [reset, hang_up])
async def test_a_request_is_never_sent_again(gateway: InvoiceScript, death: Script) -> None:
    async with RawServer((ISSUED, death, ISSUED)) as server:
        account = Account("trm_1", server.url, {"api_key": API_KEY})
        facts = [(await gateway.request(account, 150_000, RETURN_URL)).outcome for _ in range(2)]
    assert facts == [InvoiceIssued("inv_1"), RequestUnknown("reset")]
    assert len(server.requests) == 2


async def test_a_resent_check_has_no_more_time_than_another() -> None:
    client = InvoiceScript(check_seconds=2)
    async with RawServer((UNPAID, reset, hang)) as server:
        account = Account("trm_1", server.url, {"api_key": API_KEY})
        await client.check(account, "inv_1")
        async with asyncio.timeout(3.9):
            assert (await client.check(account, "inv_1")).outcome == CheckUnknown("inv_1", "timeout")
        assert len(server.requests) == 3
    await client.close()


async def test_nobody_listens(gateway: InvoiceScript) -> None:
    async with RawServer((UNPAID,)) as server:
        url = server.url
    account = Account("trm_1", url, {"api_key": API_KEY})
    assert (await gateway.request(account, 150_000, RETURN_URL)).outcome == RequestUnknown("refused_connection")


@pytest.mark.parametrize(
    ("resolver", "reason"), [(Names([]), "dns"), (BoundedResolver(0.05, SilentNames, SilentNames), "dns")]
)
async def test_names_that_are_not_answered(resolver: Any, reason: str) -> None:
    client = InvoiceScript(ClientOptions(resolver=resolver))
    account = Account("trm_1", "https://pay.example.ir/", {"api_key": API_KEY})
    assert (await client.request(account, 150_000, RETURN_URL)).outcome == RequestUnknown(reason)
    await client.close()


@pytest.mark.parametrize("url", ["", "pay.example.ir", "ftp://pay.example.ir/", "https://[::1/", "https://"])
async def test_a_gateway_url_that_is_none(gateway: InvoiceScript, url: str) -> None:
    account = Account("trm_1", url, {"api_key": API_KEY})
    assert (await gateway.request(account, 150_000, RETURN_URL)).outcome == RequestUnknown("bad_url")


async def test_a_certificate_that_nobody_vouches_for(gateway: InvoiceScript, own_tls: Any) -> None:
    async with RawServer((ISSUED,), tls=own_tls.server) as server:
        account = Account("trm_1", server.url, {"api_key": API_KEY})
        assert (await gateway.request(account, 150_000, RETURN_URL)).outcome == RequestUnknown("tls_unknown_authority")
        assert server.requests == []
        trusting = InvoiceScript(ClientOptions(tls=own_tls.client))
        assert (await trusting.request(account, 150_000, RETURN_URL)).outcome == InvoiceIssued("inv_1")
        await trusting.close()


async def test_a_cancelled_call_ends_and_leaves_the_client_usable(gateway: InvoiceScript) -> None:
    async with RawServer((hang, UNPAID)) as server:
        account = Account("trm_1", server.url, {"api_key": API_KEY})
        task = asyncio.create_task(gateway.check(account, "inv_1"))
        await asyncio.wait_for(server.asked.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await gateway.check(account, "inv_1")).outcome == NotPaid("inv_1")


async def test_durations_are_by_the_injected_clock() -> None:
    ticks = iter([10.0, 10.25])
    client = InvoiceScript(ClientOptions(tick=lambda: next(ticks)))
    async with RawServer((UNPAID,)) as server:
        assert (await client.check(Account("trm_1", server.url, {"api_key": API_KEY}), "inv_1")).duration_ms == 250
    await client.close()


async def test_the_api_key_is_in_no_log_and_no_fact(impatient: InvoiceScript, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    seen = []
    for script in (reset, hang, raw(b"nonsense\r\n\r\n"), answer(f'{{"api_key":"{API_KEY}"}}'.encode())):
        async with RawServer((script,)) as server:
            account = Account("trm_1", server.url, {"api_key": API_KEY})
            seen += [repr(account), repr(await impatient.request(account, 150_000, RETURN_URL))]
            seen.append(repr(await impatient.check(account, "inv_1")))
    assert all(API_KEY not in text for text in (*seen, caplog.text))
