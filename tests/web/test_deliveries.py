"""Deliveries over real HTTP and by the developer's commands: looked at, sent again, measured; endpoints paused."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook
from support.command import Cli
from support.eventually import eventually, until
from support.receiver import Receiver, receiver

from proxy.cli.webhooks import ReceivedWebhook, finding
from proxy.kernel.clock import SECOND, rfc3339
from proxy.kernel.ids import EVENT, Ids
from proxy.merchants.merchant import Mode, Scope
from proxy.payments.serializers import ping_data
from proxy.webhooks.event import Event
from proxy.webhooks.request import new_secret, private_key, public_key, signed_headers
from web.lab import Lab, deliveries, endpoint_at, settled, trigger

NOWHERE = "https://hooks.shop.example.ir/dargah"


@pytest.fixture
async def shop() -> AsyncIterator[Receiver]:
    async with receiver() as made:
        yield made


async def test_a_delivery_is_shown_with_every_attempt(lab: Lab, shop: Receiver) -> None:
    endpoint = await endpoint_at(lab, shop)
    shop.status, shop.body = 500, b"oh \xff no"
    event = await trigger(lab)
    shown = await settled(lab, endpoint)
    assert (shown["event_id"], shown["endpoint_id"], shown["payment_id"]) == (event["id"], endpoint["id"], None)
    assert (shown["status"], shown["attempts"]) == ("pending", 1)
    assert shown["next_attempt_at"] == rfc3339(lab.clock.now + 5 * SECOND)
    [attempt] = shown["log"]
    assert attempt["duration_ms"] >= 0
    assert {name: attempt[name] for name in ("number", "outcome", "http_status", "error", "excerpt")} == {
        "number": 1,
        "outcome": "failed",
        "http_status": 500,
        "error": None,
        "excerpt": "oh \ufffd no",
    }
    [listed] = await deliveries(lab, endpoint)
    assert listed == {name: value for name, value in shown.items() if name != "log"}


async def test_a_retry_by_hand_is_done_now_and_again_and_again(lab: Lab, shop: Receiver) -> None:
    endpoint = await endpoint_at(lab, shop)
    shop.status = 500
    await trigger(lab)
    shown = await settled(lab, endpoint)
    shop.status = 204
    for attempts in (2, 3, 4):
        again = await lab.call("POST", f"/v1/deliveries/{shown['id']}/retry")
        assert again.status == 200
        shown = await settled(lab, endpoint, attempts)
        assert shown["status"] == "delivered"
        assert shown["delivered_at"] == rfc3339(lab.clock.now)
    assert len(set(shop.ids)) == 1
    assert len(shop.ids) == 4


async def test_deliveries_are_listed_by_status_and_in_pages(lab: Lab, shop: Receiver) -> None:
    endpoint = await endpoint_at(lab, shop)
    for _ in range(3):
        await trigger(lab)
        lab.clock.forward(1)
    await shop.told(3)
    path = f"/v1/webhook-endpoints/{endpoint['id']}/deliveries"

    async def delivered() -> list[dict[str, Any]] | None:
        rows = await deliveries(lab, endpoint, "?status=delivered")
        return rows if len(rows) == 3 else None

    rows = await eventually(delivered)
    assert await deliveries(lab, endpoint, "?status=failed") == []
    first = (await lab.call("GET", f"{path}?limit=2")).json
    rest = (await lab.call("GET", f"{path}?limit=2&cursor={first['next_cursor']}")).json
    assert first["data"] + rest["data"] == rows
    assert rest["next_cursor"] is None
    for query in ("status=sent", "limit=0", f"status=failed&cursor={first['next_cursor']}"):
        answer = await lab.call("GET", f"{path}?{query}")
        assert answer.status == 422


async def stored_events(lab: Lab, count: int, at: int) -> list[str]:
    ids = Ids(lambda size: bytes((at + size + len(made)) % 256 for _ in range(size)))
    made: list[str] = []
    store = lab.dargah.services.store
    for number in range(count):
        event_id = ids.record(EVENT, lab.merchant_id, at + number)
        event = Event(
            event_id, lab.merchant_id, "main", Mode.LIVE, "ping", None, at + number, ping_data(Mode.LIVE, "main")
        )
        await store.webhooks.add_event(event)
        made.append(event_id)
    return made


async def test_recover_sends_what_did_not_get_through_and_tells_how_far_it_is(lab: Lab, shop: Receiver) -> None:
    endpoint = await endpoint_at(lab, shop)
    path = f"/v1/webhook-endpoints/{endpoint['id']}"
    await lab.call("PATCH", path, json={"paused": True})
    await stored_events(lab, 1, lab.clock.now - 60 * SECOND)
    await stored_events(lab, 502, lab.clock.now)
    since = rfc3339(lab.clock.now)
    first = await lab.call("POST", f"{path}/recover", json={"since": since})
    assert first.json["requeued"] == 500
    rest = await lab.call("POST", f"{path}/recover", json={"since": since, "cursor": first.json["next_cursor"]})
    assert rest.json == {"requeued": 2, "next_cursor": None}
    bad = {"since": rfc3339(lab.clock.now + 1), "cursor": first.json["next_cursor"]}
    assert (await lab.call("POST", f"{path}/recover", json=bad)).field_codes() == {"cursor": "cursor_invalid"}


async def test_replay_sends_again_what_happened_also_before_the_endpoint(lab: Lab, shop: Receiver) -> None:
    paid = await trigger(lab, "payment.paid")
    canceled = await trigger(lab, "payment.canceled")
    endpoint = await endpoint_at(lab, shop)
    path = f"/v1/webhook-endpoints/{endpoint['id']}/replay"
    since = {"since": rfc3339(lab.clock.now)}
    answer = await lab.call("POST", path, json=since | {"types": ["payment.paid"]})
    assert answer.json == {"requeued": 1, "next_cursor": None}
    await shop.told(1)
    await settled(lab, endpoint)
    lab.clock.forward(SECOND)
    assert (await lab.call("POST", path, json=since)).json["requeued"] == 2
    await shop.told(3)
    assert shop.ids[0] == paid["id"]
    assert sorted(shop.ids[1:]) == sorted([paid["id"], canceled["id"]])
    until = since | {"until": rfc3339(lab.clock.now - 2 * SECOND)}
    assert (await lab.call("POST", path, json=until)).json["requeued"] == 0


@pytest.mark.parametrize(
    ("name", "body", "field"),
    [
        ("recover", {}, "since"),
        ("recover", {"since": "yesterday"}, "since"),
        ("recover", {"since": 1}, "since"),
        ("recover", {"since": "2026-11-24T00:00:00Z", "until": None}, "until"),
        ("replay", {"since": "2026-11-24T00:00:00Z", "until": "x"}, "until"),
        ("replay", {"since": "2026-11-24T00:00:00Z", "types": ["payment.sold"]}, "types.0"),
        ("replay", {"since": "2026-11-24T00:00:00Z", "cursor": "AAAA"}, "cursor"),
        ("rotate-secret", {"overlap_seconds": 604_801}, "overlap_seconds"),
        ("rotate-secret", {"overlap_seconds": -1}, "overlap_seconds"),
        ("rotate-secret", {"overlap": 1}, "overlap"),
    ],
)
async def test_a_bad_field_is_refused_by_name(lab: Lab, name: str, body: dict[str, Any], field: str) -> None:
    made = (await lab.call("POST", "/v1/webhook-endpoints", json={"url": NOWHERE})).json
    before = lab.rows()
    answer = await lab.call("POST", f"/v1/webhook-endpoints/{made['id']}/{name}", json=body)
    assert answer.status == 422
    assert set(answer.field_codes()) == {field}
    assert lab.rows() == before


async def test_a_ping_shows_the_answer_at_once_and_leaves_no_row(lab: Lab, shop: Receiver) -> None:
    endpoint = await endpoint_at(lab, shop, event_types=["payment.paid"], headers={"X-Shop": "17"})
    path = f"/v1/webhook-endpoints/{endpoint['id']}"
    await lab.call("PATCH", path, json={"paused": True})
    before = lab.rows()
    shop.status, shop.body = 418, "چای".encode()
    answer = (await lab.call("POST", f"{path}/test")).json
    assert (answer["outcome"], answer["http_status"], answer["error"], answer["excerpt"]) == (
        "failed",
        418,
        None,
        "چای",
    )
    shop.status = 200
    assert (await lab.call("POST", f"{path}/test")).json["outcome"] == "delivered"
    [(headers, _), _] = shop.requests
    assert headers["x-shop"] == "17"
    assert shop.events[0]["type"] == "ping"
    assert shop.events[0]["data"] == {
        "mode": "live",
        "storefront": "main",
        "test": True,
        "endpoint_id": endpoint["id"],
        "sequence": 0,
    }
    assert lab.rows() == before


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("https://10.0.0.1/hook", "blocked_address"),
        ("https://169.254.169.254/latest", "blocked_address"),
        ("http://127.0.0.1:1/hook", "refused"),
        ("https://127.0.0.1:1/hook", "refused"),
    ],
)
async def test_what_cannot_be_reached_is_named(lab: Lab, url: str, error: str) -> None:
    made = (await lab.call("POST", "/v1/webhook-endpoints", json={"url": url})).json
    answer = (await lab.call("POST", f"/v1/webhook-endpoints/{made['id']}/test")).json
    assert (answer["outcome"], answer["http_status"], answer["error"]) == ("failed", None, error)
    await trigger(lab)
    shown = await settled(lab, made)
    assert [each["error"] for each in shown["log"]] == [error]


async def test_an_endpoints_figures(lab: Lab, shop: Receiver) -> None:
    endpoint = await endpoint_at(lab, shop)
    path = f"/v1/webhook-endpoints/{endpoint['id']}"
    nothing = (await lab.call("GET", f"{path}/stats")).json
    assert (nothing["attempts"], nothing["success_rate"], nothing["p50_ms"], nothing["backlog"]) == (0, None, None, 0)
    await trigger(lab)
    await settled(lab, endpoint)
    lab.clock.forward(1)
    shop.status = 503
    await trigger(lab)
    await settled(lab, endpoint)
    stats = (await lab.call("GET", f"{path}/stats")).json
    assert (stats["attempts"], stats["delivered"], stats["success_rate"], stats["backlog"]) == (2, 1, 0.5, 1)
    assert stats["oldest_undelivered_at"] == rfc3339(lab.clock.now)
    assert 0 <= stats["p50_ms"] <= stats["p95_ms"]
    assert stats["health"]["failures_in_a_row"] == 1
    assert not stats["health"]["probing"]
    await lab.call("PATCH", path, json={"paused": True})
    assert (await lab.call("GET", f"{path}/stats")).json["health"] is None


async def test_what_is_paused_says_since_when_and_drains_when_it_resumes(lab: Lab, shop: Receiver) -> None:
    endpoint = await endpoint_at(lab, shop)
    path = f"/v1/webhook-endpoints/{endpoint['id']}"
    lab.clock.forward(5000)
    paused = (await lab.call("PATCH", path, json={"paused": True})).json
    assert (paused["state"], paused["state_since"]) == ("paused", rfc3339(lab.clock.now))
    held = [(await trigger(lab))["id"] for _ in range(3)]
    assert [each["status"] for each in await deliveries(lab, endpoint)] == ["pending"] * 3
    assert shop.requests == []
    await lab.call("PATCH", path, json={"paused": False})
    await shop.told(3)
    assert sorted(shop.ids) == sorted(held)


async def test_an_endpoint_that_is_gone_is_disabled_and_the_others_are_told(lab: Lab, shop: Receiver) -> None:
    endpoint = await endpoint_at(lab, shop, event_types=["payment.paid", "endpoint.disabled"])
    shop.status = 410
    async with receiver() as other:
        await endpoint_at(lab, other, event_types=["endpoint.disabled"])
        await trigger(lab)
        await other.told(1)
    [told] = other.events
    assert told["type"] == "endpoint.disabled"
    assert (told["data"]["id"], told["data"]["state"], told["data"]["state_reason"]) == (
        endpoint["id"],
        "disabled",
        "gone",
    )
    shown = (await lab.call("GET", f"/v1/webhook-endpoints/{endpoint['id']}")).json
    assert (shown["state"], shown["state_reason"]) == ("disabled", "gone")
    events = (await lab.call("GET", "/v1/events?type=endpoint.disabled")).json["data"]
    assert [(each["storefront"], each["payment_id"]) for each in events] == [("main", None)]
    assert (await lab.call("GET", f"/v1/events/{events[0]['id']}")).json == events[0]
    assert events[0] in (await lab.call("GET", "/v1/events")).json["data"]
    assert len(shop.requests) == 1
    shop.status = 204
    await lab.call("PATCH", f"/v1/webhook-endpoints/{endpoint['id']}", json={"paused": False})
    await shop.told(2)
    assert shop.events[1]["type"] == "payment.paid"
    assert [each["status"] for each in await deliveries(lab, endpoint, "?status=pending")] in ([], ["pending"])


ROUTES = [
    ("POST", "/v1/webhook-endpoints/{endpoint}/rotate-secret", {}),
    ("GET", "/v1/webhook-endpoints/{endpoint}/deliveries", None),
    ("POST", "/v1/webhook-endpoints/{endpoint}/recover", {"since": "2026-11-24T00:00:00Z"}),
    ("POST", "/v1/webhook-endpoints/{endpoint}/replay", {"since": "2026-11-24T00:00:00Z"}),
    ("POST", "/v1/webhook-endpoints/{endpoint}/test", None),
    ("GET", "/v1/webhook-endpoints/{endpoint}/stats", None),
    ("GET", "/v1/deliveries/{delivery}", None),
    ("POST", "/v1/deliveries/{delivery}/retry", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_anothers_are_not_found_and_the_scope_is_needed(lab: Lab, method: str, path: str, body: Any) -> None:
    made = (await lab.call("POST", "/v1/webhook-endpoints", json={"url": NOWHERE})).json
    await lab.call("PATCH", f"/v1/webhook-endpoints/{made['id']}", json={"paused": True})
    await trigger(lab)
    [delivery] = await deliveries(lab, made)
    path = path.format(endpoint=made["id"], delivery=delivery["id"])
    stranger = await lab.another_merchant()
    narrow = await lab.issue(scopes=frozenset({Scope.PAYMENTS_READ}))
    before = lab.rows()
    for token, status in ((stranger, 404), (narrow, 403), ("dg_live_nobody", 401)):
        assert (await lab.call(method, path, json=body, token=token)).status == status
    unknown = path.replace(made["id"], made["id"][:-10] + "0" * 10).replace(
        delivery["id"], delivery["id"][:-4] + "0000"
    )
    assert (await lab.call(method, unknown, json=body)).status == 404
    assert lab.rows() == before


async def test_a_test_event_is_marked_listed_and_delivered_like_others(lab: Lab, shop: Receiver) -> None:
    await endpoint_at(lab, shop)
    kinds = ["payment.paid", "payment.failed", "payment.canceled", "payment.expired", "payment.needs_review"]
    kinds += ["payment.review_resolved", "endpoint.disabled", "ping"]
    made = [await trigger(lab, kind) for kind in kinds]
    assert all(event["data"]["test"] is True for event in made)
    assert [event["type"] for event in made] == kinds
    statuses = [event["data"].get("status") for event in made[:6]]
    assert statuses == ["paid", "failed", "canceled", "expired", "needs_review", "needs_review"]
    assert (await lab.call("GET", "/v1/events")).json["data"] == made
    await shop.told(len(kinds))
    assert {event["type"] for event in shop.events} == set(kinds)
    for body in ({}, {"type": "payment.sold"}, {"type": 1}):
        answer = await lab.call("POST", "/v1/events/test", json=body)
        assert set(answer.field_codes()) == {"type"}
    narrow = await lab.issue(scopes=frozenset({Scope.PAYMENTS_READ}))
    assert (await lab.call("POST", "/v1/events/test", json={"type": "ping"}, token=narrow)).status == 403


async def test_events_begin_after_a_sequence_or_at_the_end(lab: Lab) -> None:
    made = [await trigger(lab, "ping") for _ in range(3)]
    after = (await lab.call("GET", "/v1/events?after=1")).json
    assert after["data"] == made[1:]
    latest = (await lab.call("GET", "/v1/events?after=latest")).json
    assert latest["data"] == []
    newer = await trigger(lab, "ping")
    assert (await lab.call("GET", f"/v1/events?cursor={latest['resume_cursor']}")).json["data"] == [newer]
    both = await lab.call("GET", f"/v1/events?cursor={latest['resume_cursor']}&after=1")
    assert both.field_codes() == {"after": "both_given"}


async def test_events_are_listed_by_whether_they_were_delivered(lab: Lab, shop: Receiver) -> None:
    alone = await trigger(lab, "ping")
    endpoint = await endpoint_at(lab, shop)
    got = await trigger(lab, "ping")
    await settled(lab, endpoint)
    lab.clock.forward(1)
    shop.status = 500
    missed = await trigger(lab, "ping")
    await settled(lab, endpoint)
    assert (await lab.call("GET", "/v1/events?delivered=true")).json["data"] == [got]
    first = (await lab.call("GET", "/v1/events?delivered=false&limit=1")).json
    assert first["data"] == [alone]
    rest = (await lab.call("GET", f"/v1/events?delivered=false&limit=1&cursor={first['next_cursor']}")).json
    assert rest["data"] == [missed]
    assert (await lab.call("GET", f"/v1/events?cursor={first['next_cursor']}")).status == 422


async def test_who_waits_is_told_as_soon_as_something_happens(lab: Lab) -> None:
    waiting = asyncio.create_task(lab.call("GET", "/v1/events?after=latest&wait=30"))
    long_polls = lab.dargah.services.long_polls

    await until(lambda: long_polls._waiting)
    payment = await lab.created()
    await lab.call("GET", await lab.act(payment, "pay"))
    async with asyncio.timeout(4):  # sooner than it would look by itself
        answer = await waiting
    [event] = answer.json["data"]
    assert (event["type"], event["payment_id"]) == ("payment.paid", payment["id"])
    again = await lab.call("GET", f"/v1/events?cursor={answer.json['resume_cursor']}&wait=1")
    assert (again.json["data"], again.json["resume_cursor"]) == ([], answer.json["resume_cursor"])
    assert long_polls._waiting == {}


async def test_only_so_many_may_wait(lab: Lab) -> None:
    calls = [asyncio.create_task(lab.call("GET", "/v1/events?after=latest&wait=30")) for _ in range(11)]
    done, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    [refused] = [each.result() for each in done]
    assert (refused.status, refused.json["code"], refused.headers["Retry-After"]) == (503, "overloaded", "5")
    lab.dargah.services.long_polls.close()
    answers = await asyncio.gather(*waiting)
    assert {answer.status for answer in answers} == {200}


SECRET = new_secret(bytes(range(32)))
PRIVATE = private_key(bytes(range(32)))
BODY = '{"type":"payment.paid","data":{"note":"چای"}}'.encode()
NOW = 1_800_000_000


def cli_of(lab: Lab) -> Cli:
    """The command as a shop's developer runs it."""
    return Cli({"DARGAH_URL": lab.dargah.url, "DARGAH_TOKEN": lab.token})


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
        2,
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


async def test_listen_signs_with_the_secret_that_the_local_server_has(lab: Lab, shop: Receiver) -> None:
    wrong = await cli_of(lab).run("listen", "--forward-to", shop.url, "--secret", "whsec_%")
    assert (wrong.code, "this is no webhook secret" in wrong.error) == (2, True)
    dargah = cli_of(lab).given(DARGAH_WEBHOOK_SECRET=SECRET)
    async with dargah.running("listen", "--json", "--forward-to", shop.url) as out:
        assert await line(out) == {"secret": None, "forward_to": shop.url}
        event = await trigger(lab, "ping")
        await line(out)
    [(headers, body)] = shop.requests
    assert Webhook(SECRET).verify(body, headers)["type"] == event["type"]


async def test_ctrl_c_is_how_listen_ends(lab: Lab, shop: Receiver) -> None:
    dargah = cli_of(lab)
    # A shell starts what is in the background with the signal ignored, and so would its child be.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "listen", "--json", "--forward-to", shop.url),
        env=dargah.env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    signal.signal(signal.SIGINT, before)
    assert process.stdout is not None
    await line(process.stdout)
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(20):
        _, error = await process.communicate()
    assert (process.returncode, error) == (0, b"")


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
