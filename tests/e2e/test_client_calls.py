"""How the clients that Dargah serves call, at servers that answer slowly, wrongly, without end or not at all."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from adapters.servers import Authority, RawServer, Script, answer, drip, hang, hang_up, raw, reset, then
from support.shop_clients import FILES, ROOT, RUNNERS, environment, probe

from e2e.test_clients import require_language, run_program

LANGUAGES = ["php", "mjs", "py"]
TOKEN = "dg_live_canary0000000000000000000000000000"
ORDER = {"amount": 15_000, "currency": "IRT", "order_id": "17"}
PAYMENT = {"id": "pay_1", "status": "pending", "pay_url": "https://pay.example.ir/pay/x"}
MADE = answer(json.dumps(PAYMENT).encode(), "201 Created")


def problem(status: str, code: str, headers: str = "", **more: Any) -> Script:
    body = {"type": f"/problems/{code}", "title": "?", "status": int(status[:3]), "code": code, "detail": "why", **more}
    return answer(json.dumps(body).encode(), status, f"Content-Type: application/problem+json\r\n{headers}")


async def each(test: Callable[[str], Awaitable[None]]) -> None:
    """The test in every language that is here, at once: they wait rather than compute."""
    for language in LANGUAGES:
        require_language(language)
    await asyncio.gather(*map(test, LANGUAGES))


def headers_of(request: bytes) -> dict[str, str]:
    head = request.partition(b"\r\n\r\n")[0].decode()
    pairs = (line.partition(": ") for line in head.split("\r\n")[1:])
    return {name.lower(): value for name, _, value in pairs}


async def test_a_create_that_may_pass_goes_out_again_with_the_same_key_and_body() -> None:
    scripts = (reset, problem("502 Bad Gateway", "gateway_unclear"), problem("429 Too Many", "rate_limited"), MADE)

    async def test(language: str) -> None:
        async with RawServer(scripts) as server, probe(language, url=server.url, token=TOKEN) as client:
            assert await client.gave("create", ORDER) == PAYMENT
        assert [request.partition(b" HTTP")[0] for request in server.requests] == [b"POST /v1/payments"] * 4
        sent = [headers_of(request) for request in server.requests]
        assert {each["idempotency-key"] for each in sent} == {"order-17-try-1"}
        assert {each["authorization"] for each in sent} == {f"Bearer {TOKEN}"}
        assert {each["content-type"] for each in sent} == {"application/json"}
        assert [json.loads(request.partition(b"\r\n\r\n")[2]) for request in server.requests] == [ORDER] * 4

    await each(test)


@pytest.mark.parametrize(
    "script",
    [problem("503 Unavailable", "overloaded"), problem("409 Conflict", "request_in_progress", "Retry-After: 1\r\n")],
)
async def test_it_gives_up_after_four_tries(script: Script) -> None:
    async def test(language: str) -> None:
        async with RawServer((script,)) as server, probe(language, url=server.url, token=TOKEN) as client:
            failed = await client.failed("create", ORDER)
        assert (failed["code"], len(server.requests)) in {("overloaded", 4), ("request_in_progress", 4)}

    await each(test)


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (problem("502 Bad Gateway", "gateway_refused", gateway_error_code=102), "gateway_refused"),
        (problem("422 Unprocessable", "invalid_request"), "invalid_request"),
        (problem("401 Unauthorized", "unauthenticated"), "unauthenticated"),
        (problem("500 Error", "internal"), "internal"),
        (problem("409 Conflict", "order_already_paid", payment_id="pay_2"), "order_already_paid"),
        (problem("429 Too Many", "rate_limited", "Retry-After: 3600\r\n"), "rate_limited"),
        (answer(b"<html>", "404 Not Found"), "http_404"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_does_not_pass_is_told_at_once(script: Script, code: str) -> None:
    async def test(language: str) -> None:
        async with RawServer((script,)) as server, probe(language, url=server.url, token=TOKEN) as client:
            failed = await client.failed("create", ORDER)
        assert (failed["code"], len(server.requests)) == (code, 1)
        assert failed["problem"].get("gateway_error_code") == (102 if code == "gateway_refused" else None)
        assert failed["problem"].get("payment_id") == ("pay_2" if code == "order_already_paid" else None)
        assert TOKEN not in json.dumps(failed)

    await each(test)


async def test_a_redirect_is_refused_and_gets_no_token() -> None:
    async def test(language: str) -> None:
        async with RawServer((MADE,)) as other:
            away = answer(b"", "307 Temporary Redirect", f"Location: {other.url}/v1/payments\r\n")
            async with RawServer((away,)) as server, probe(language, url=server.url, token=TOKEN) as client:
                failed = await client.failed("create", ORDER)
        assert (failed["status"], failed["code"], other.connections) == (307, "http_307", 0)

    await each(test)


async def flood(writer: asyncio.StreamWriter) -> None:
    """A body that never ends."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{")
    while not writer.is_closing():
        writer.write(b" " * 65_536)
        await writer.drain()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


@pytest.mark.parametrize(
    "script",
    [
        hang,
        hang_up,
        flood,
        drip(OK),
        then(raw(OK, close=False), drip(b"{")),
        raw(OK + b'{"status": "paid"}'),
        raw(b"?"),
        answer(b'{"status": "paid", "long": "%s"}' % (b"x" * 2**21)),
    ],
    ids=["hang", "hang up", "endless", "slow head", "slow body", "cut off", "no HTTP", "too long"],
)
async def test_a_peer_without_a_whole_answer_is_left_in_time(script: Script) -> None:
    """Each try has a second here, and never gives what it has not got whole."""

    async def test(language: str) -> None:
        async with RawServer((script,)) as server, probe(language, url=server.url, token=TOKEN) as client:
            failed = await client.failed("check", "pay_1", 1)
            assert (failed["status"], failed["code"] in {"network", "http_200"}) == (0, True), failed
            assert TOKEN not in json.dumps(failed)

    await each(test)


async def test_nobody_at_the_port_and_an_authority_of_nobody_are_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "nobody")

    async def test(language: str) -> None:
        async with RawServer((MADE,), tls=authority.server()) as server:
            async with probe(language, url=server.url, token=TOKEN) as client:
                failed = await client.failed("check", "pay_1", 1)
            assert (failed["code"], server.requests) == ("network", [])
        async with probe(language, url=server.url, token=TOKEN) as client:
            assert (await client.failed("check", "pay_1", 1))["code"] == "network"

    await each(test)


async def test_a_payment_is_asked_for_again_until_it_is_over() -> None:
    pending, paid = (answer(json.dumps(PAYMENT | {"status": status}).encode()) for status in ("pending", "paid"))

    async def test(language: str) -> None:
        async with RawServer((pending, paid)) as server, probe(language, url=server.url, token=TOKEN) as client:
            assert (await client.gave("wait", "pay_1"))["status"] == "paid"
        assert [request.partition(b" HTTP")[0] for request in server.requests] == [b"POST /v1/payments/pay_1/check"] * 2

    await each(test)


SHOWN = {
    "php": "<?php require $argv[1]; $shop = new Dargah(); var_dump($shop); print_r($shop); echo 'shown';",
    "mjs": "const { Dargah } = await import(process.argv[2]); const shop = new Dargah();"
    "console.log(shop, JSON.stringify(shop), 'shown');",
    "py": "import sys, importlib.util as u; spec = u.spec_from_file_location('client', sys.argv[1]);"
    "client = u.module_from_spec(spec); spec.loader.exec_module(client); print(repr(client.Dargah()), 'shown')",
}


@pytest.mark.parametrize("language", LANGUAGES)
async def test_no_secret_is_shown_where_a_client_is_logged(language: str, tmp_path: Path) -> None:
    require_language(language)
    (tmp_path / f"show.{language}").write_text(SHOWN[language])
    whsec = "whsec_" + "C4n4" * 8
    env = environment(DARGAH_TOKEN=TOKEN, DARGAH_WEBHOOK_SECRET=whsec, DARGAH_RETURN_SECRET="canary-return")
    programs = (tmp_path / f"show.{language}", ROOT / "proxy" / "reference" / "clients" / FILES[language])
    shown = await run_program(language, *map(str, programs), env=env)
    assert "shown" in shown
    assert not [secret for secret in (TOKEN, whsec, "C4n4", "canary-return") if secret in shown]


@pytest.mark.parametrize("language", RUNNERS)
async def test_settings_that_cannot_be_right_are_told_at_once(language: str) -> None:
    require_language(language)
    wrong = [
        {"url": "pay.example.ir"},
        {"url": "ftp://pay.example.ir"},
        {"url": "https://user:word@pay.example.ir"},
        {"token": "dg_test_x"},
        {"token": "dg_live_x\r\nX-Header: 1"},
        {"token": "word"},
        {"mode": "sandbox"},
        {"webhookSecrets": "whsec_"},
        {"webhookSecrets": "whsec_AAAA"},
        {"webhookSecrets": "whsec_" + "A" * 31},
        {"webhookSecrets": "whsk_" + "A" * 43 + "="},
        {"webhookSecrets": "whpk_" + "A" * 44},
    ]
    async with RawServer((MADE,)) as server, probe(language) as client:
        for settings in wrong:
            said = await client.ask("get", "x", **({"url": server.url, "token": TOKEN} | settings))
            assert "misused" in said, settings
            for secret in (TOKEN, settings.get("token"), settings.get("webhookSecrets")):
                assert len(secret or "") < 8 or secret not in said["misused"], said
        key = await client.ask("create", ORDER, 1, "a key\r\nX-Header: 1", url=server.url, token=TOKEN)
        assert "misused" in key
    assert server.requests == []
