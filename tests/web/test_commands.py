"""The commands for a shop's developer, each its own process against a live Dargah."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook
from support.command import Cli
from support.receiver import Receiver, receiver

from proxy.cli.webhooks import ReceivedWebhook, finding
from proxy.kernel.clock import rfc3339
from proxy.webhooks.request import new_secret, private_key, public_key, signed_headers
from web.lab import Lab, endpoint_at, settled, trigger

SECRET = new_secret(bytes(range(32)))
PRIVATE = private_key(bytes(range(32)))
BODY = '{"type":"payment.paid","data":{"note":"چای"}}'.encode()
NOW = 1_800_000_000


def cli_of(lab: Lab) -> Cli:
    """The command as a shop's developer runs it."""
    return Cli({"DARGAH_URL": lab.dargah.url, "DARGAH_TOKEN": lab.token})


@pytest.fixture
async def shop() -> AsyncIterator[Receiver]:
    async with receiver() as made:
        yield made


async def test_deliveries_are_looked_at_and_sent_again(lab: Lab, shop: Receiver) -> None:
    dargah = cli_of(lab)
    endpoint = await endpoint_at(lab, shop)
    shop.status, shop.body = 500, b"no\x1b[2J"
    made = await dargah.json("trigger", "payment.paid")
    assert made["data"]["test"] is True
    shown = await settled(lab, endpoint)
    [listed] = await dargah.json("webhook", "deliveries", endpoint["id"], "--status", "pending")
    assert (listed["id"], listed["event_id"]) == (shown["id"], made["id"])
    assert (await dargah.json("webhook", "delivery", shown["id"])) == shown
    for_people = await dargah.run("webhook", "delivery", shown["id"])
    assert "500" in for_people.out
    assert "\x1b" not in for_people.out
    shop.status, shop.body = 204, b""
    assert (await dargah.run("webhook", "retry", shown["id"])).code == 0
    assert (await settled(lab, endpoint, 2))["status"] == "delivered"
    [row] = await dargah.json("webhook", "endpoints")
    assert row["id"] == endpoint["id"]
    assert (await dargah.json("webhook", "stats", endpoint["id"]))["attempts"] == 2
    assert [each["id"] for each in await dargah.json("event", "list", "--delivered")] == [made["id"]]
    assert await dargah.json("event", "list", "--undelivered", "--after", "0") == []
    assert (await dargah.json("event", "show", made["id"])) == made


async def test_recover_and_replay_tell_how_many(lab: Lab, shop: Receiver) -> None:
    dargah = cli_of(lab)
    endpoint = await endpoint_at(lab, shop)
    shop.status = 500
    since = rfc3339(lab.clock.now)
    await trigger(lab)
    await settled(lab, endpoint)
    shop.status = 204
    assert await dargah.json("webhook", "recover", endpoint["id"], "--since", since) == {"requeued": 1}
    await settled(lab, endpoint, 2)
    replay = ("webhook", "replay", endpoint["id"], "--since", since)
    assert await dargah.json(*replay, "--type", "payment.failed") == {"requeued": 0}
    ran = await dargah.run(*replay, "--until", rfc3339(lab.clock.now + 1000))
    assert ran.out == "1 on their way again\n"
    await settled(lab, endpoint, 3)


async def test_a_ping_is_answered_at_once_and_its_failure_is_the_exit_code(lab: Lab, shop: Receiver) -> None:
    dargah = cli_of(lab)
    endpoint = await endpoint_at(lab, shop)
    assert (await dargah.json("webhook", "test", endpoint["id"]))["outcome"] == "delivered"
    shop.status = 500
    failed = await dargah.run("webhook", "test", endpoint["id"])
    assert failed.code == 1
    assert "500" in failed.out


async def test_what_is_wrong_is_one_line(lab: Lab) -> None:
    dargah = cli_of(lab)
    unknown = await dargah.run("webhook", "stats", "pay_1")
    assert (unknown.code, unknown.error) == (
        1,
        "Error: 'pay_1' is no id of the kind endpoint; those look like ep_…\n",
    )
    wrong = await dargah.given(DARGAH_TOKEN="dg_live_wrong").run("webhook", "endpoints")
    assert "DARGAH_TOKEN must be one of the server's" in wrong.error
    missing = await Cli({"DARGAH_URL": lab.dargah.url}).run("trigger", "ping")
    assert "set DARGAH_TOKEN" in missing.error
    nobody = await dargah.given(DARGAH_URL="http://127.0.0.1:1").run("event", "list")
    assert "the merchant's API at http://127.0.0.1:1 cannot be reached" in nobody.error
    refused = await dargah.run("trigger", "payment.sold")
    assert "type: must be one of" in refused.error


async def line(reader: asyncio.StreamReader) -> Any:
    async with asyncio.timeout(20):
        return json.loads(await reader.readline())


async def test_listen_brings_events_here_signed_with_its_own_secret(lab: Lab, shop: Receiver) -> None:
    await trigger(lab, "ping")
    async with cli_of(lab).running("listen", "--json", "--forward-to", shop.url) as out:
        begun = await line(out)
        shop.status = 200
        event = await trigger(lab)
        told = await line(out)
        assert (told["event_id"], told["http_status"], told["error"]) == (event["id"], 200, None)
        assert told["duration_ms"] >= 0
        shop.status = 500
        await trigger(lab, "payment.canceled")
        assert (await line(out))["http_status"] == 500
    [(headers, body), _] = shop.requests
    message = Webhook(begun["secret"]).verify(body, headers)
    assert message == {name: event[name] for name in ("type", "timestamp", "data")}
    assert headers["webhook-id"] == event["id"]


async def test_listen_shows_people_each_event_and_a_server_that_is_not_there(lab: Lab) -> None:
    async with cli_of(lab).running("listen", "--forward-to", "http://127.0.0.1:1/hook") as out:
        async with asyncio.timeout(20):
            begun = [await out.readline() for _ in range(4)]
            assert b"whsec_" in begun[2]
            event = await trigger(lab)
            told = (await out.readline()).decode()
    assert event["id"] in told
    assert "payment.paid" in told
    assert "Connection refused" in told
    assert told.endswith(" ms\n")


def capture(headers: dict[str, str], body: bytes = BODY, start: str = "POST /hook HTTP/1.1\r\n") -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return (start + lines + "\r\n").encode() + body


def sent(keys: list[str] | None = None, body: bytes = BODY, now: int = NOW) -> dict[str, str]:
    return {"Content-Length": str(len(body)), **signed_headers(keys or [SECRET], "evt_1", body, now * 1000)}


def without(headers: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in names}


OTHER = new_secret(b"x" * 32)
FORGED = BODY.replace(b"paid", b"free")
UNKNOWING = without(sent(), "content-digest")
FINDINGS: list[tuple[str, bytes, str, str]] = [
    ("as it was sent", capture(sent()), SECRET, "valid"),
    ("without a request line", capture(sent(), start=""), SECRET, "valid"),
    ("with plain line ends", capture(sent()).replace(b"\r\n", b"\n"), SECRET, "valid"),
    ("in the middle of a rotation, new", capture(sent([SECRET, OTHER])), SECRET, "valid"),
    ("in the middle of a rotation, old", capture(sent([SECRET, OTHER])), OTHER, "valid"),
    ("by the public key", capture(sent([SECRET, PRIVATE])), public_key(PRIVATE), "valid"),
    ("by another public key", capture(sent([SECRET, PRIVATE])), public_key(private_key(b"y" * 32)), "wrong_secret"),
    ("another secret", capture(sent()), OTHER, "wrong_secret"),
    ("another body", capture(sent(), FORGED), SECRET, "altered_body"),
    ("another body and no digest", capture(UNKNOWING, FORGED), SECRET, "wrong_secret_or_altered_body"),
    ("a body of another length", capture(UNKNOWING, BODY + b"x"), SECRET, "altered_body"),
    ("a line end after it", capture(sent(), BODY + b"\n"), SECRET, "altered_body"),
    ("parsed and written anew", capture(sent(), json.dumps(json.loads(BODY)).encode()), SECRET, "altered_body"),
    ("old", capture(sent(now=NOW - 301)), SECRET, "stale_timestamp"),
    ("from the future", capture(sent(now=NOW + 301)), SECRET, "stale_timestamp"),
    ("old and altered", capture(sent(now=NOW - 301), b"{}"), SECRET, "altered_body"),
    ("no id", capture(without(sent(), "webhook-id")), SECRET, "missing_header"),
    ("no timestamp", capture(without(sent(), "webhook-timestamp")), SECRET, "missing_header"),
    ("no signature", capture(without(sent(), "webhook-signature")), SECRET, "missing_header"),
    ("nothing", b"", SECRET, "missing_header"),
    ("a timestamp of words", capture(sent() | {"webhook-timestamp": "noon"}), SECRET, "bad_timestamp"),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "secret", "code"), [row[1:] for row in FINDINGS], ids=[row[0] for row in FINDINGS])
def test_a_captured_request_is_valid_or_the_reason_is_said(raw: bytes, secret: str, code: str) -> None:
    found = finding(ReceivedWebhook.parse(raw), secret, NOW, 300)
    assert found.code == code, found.detail


async def test_verify_reads_a_file_or_standard_input_and_says_by_its_exit_code(tmp_path: Path) -> None:
    file = tmp_path / "request"
    file.write_bytes(capture(sent(now=int(time.time()))))
    nobody = Cli({})
    by_stdin = await nobody.run("webhook", "verify", str(file), "--secret-stdin", stdin=f"{SECRET}\n".encode())
    assert (by_stdin.code, by_stdin.out.partition(":")[0]) == (0, "valid")
    knowing = Cli({"DARGAH_WEBHOOK_SECRET": SECRET})
    assert (await knowing.run("webhook", "verify", stdin=file.read_bytes())).code == 0
    old = capture(sent(now=int(time.time()) - 4000))
    ran = await knowing.run("webhook", "verify", "--json", stdin=old)
    assert (ran.code, json.loads(ran.out)["result"]) == (1, "stale_timestamp")
    assert (await knowing.run("webhook", "verify", "--ignore-age", stdin=old)).code == 0
    assert SECRET not in ran.out + ran.error
    none = await Cli({"DARGAH_WEBHOOK_SECRET": "whsec_???"}).run("webhook", "verify", stdin=old)
    assert (none.code, "no webhook secret" in none.error) == (2, True)
    both = await nobody.run("webhook", "verify", "--secret-stdin", stdin=old)
    assert both.code == 2
    assert os.fspath(file) not in both.error
