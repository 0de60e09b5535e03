"""Resends over the operator's API and by the command, at a running Dargah with a real receiver, on both stores."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.eventually import eventually, until

from operators.conftest import Desk, desk
from proxy.kernel.clock import HOUR, rfc3339
from proxy.webhooks.retry_policy import RetrySchedule

SINCE = {"since": "2026-11-24T00:00:00Z"}


@pytest.fixture
async def office(folder: Path) -> AsyncIterator[Desk]:
    """Where nothing comes again by itself."""
    async with desk(folder, webhook_retry_schedule=RetrySchedule((72 * HOUR,))) as made:
        yield made


async def ended(office: Desk, resend_id: str) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        _, shown = await office.call("GET", f"/resends/{resend_id}")
        return shown if shown["ended_at"] else None

    return await eventually(look)


async def refused(office: Desk, count: int) -> None:
    """So many payments' events that the shop has refused so far."""
    office.shop.receiver.status = 404
    for _ in range(count):
        await office.shop.paid()
    await office.shop.receiver.told(count)


@pytest.fixture
def since(office: Desk) -> dict[str, str]:
    return {"since": rfc3339(office.clock() - HOUR)}


async def test_what_the_shop_refused_is_counted_and_then_sent_again(office: Desk, since: dict[str, str]) -> None:
    await refused(office, 3)
    status, counted = await office.call("POST", "/resends", since | {"dry_run": True})
    assert (status, counted["wanted"], counted["complete"], counted["held"]) == (200, 3, True, [])
    [endpoint] = counted["endpoints"]
    assert (endpoint["wanted"], endpoint["state"]) == (3, "enabled")
    office.shop.receiver.status = 204
    status, begun = await office.call("POST", "/resends", since)
    assert (status, begun["state"], begun["wanted"], begun["created_by"]) == (201, "running", 3, "admin")
    shown = await ended(office, begun["id"])
    figures = [shown[name] for name in ("state", "requeued", "delivered", "failed_again")]
    assert figures == ["done", 3, 3, 0]
    assert [each["delivered"] for each in shown["endpoints"]] == [3]
    ids = office.shop.receiver.ids
    assert sorted(ids.count(each) for each in set(ids)) == [2, 2, 2]
    listed = (await office.call("GET", "/resends", limit="1"))[1]
    assert listed["data"] == [{name: value for name, value in shown.items() if name != "endpoints"}]


async def test_the_filter_says_what_goes(office: Desk, since: dict[str, str]) -> None:
    await refused(office, 2)

    async def wanted(**more: Any) -> int:
        status, counted = await office.call("POST", "/resends", since | {"dry_run": True} | more)
        assert status == 200, counted
        found: int = counted["wanted"]
        return found

    assert await wanted(types=["payment.paid"]) == 2
    assert await wanted(types=["payment.failed"]) == 0
    assert await wanted(statuses=["delivered"]) == 0
    assert await wanted(mode="test") == 0
    assert await wanted(merchant_ids=[office.shop.merchant_id]) == 2
    assert await wanted(until=rfc3339(office.clock() - HOUR // 2)) == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        (SINCE | {"since": "yesterday"}, 422),
        (SINCE | {"since": "2026-11-24T00:00:00"}, 422),
        (SINCE | {"until": "2026-11-23T00:00:00Z"}, 422),
        ({"since": "2126-11-24T00:00:00Z"}, 422),
        (SINCE | {"statuses": []}, 422),
        (SINCE | {"statuses": ["sent"]}, 422),
        (SINCE | {"types": ["payment.lost"]}, 422),
        (SINCE | {"merchant_ids": ["x"]}, 422),
        (SINCE | {"merchant_ids": ["mer_11111111"]}, 404),
        (SINCE | {"endpoint_ids": ["ep_'; --"]}, 404),
        (SINCE | {"endpoint_ids": [""]}, 422),
        (SINCE | {"endpoint_ids": ["ep_1"] * 101}, 422),
        (SINCE | {"more": 1}, 422),
    ],
)
async def test_a_bad_filter_is_refused_with_what_to_do(office: Desk, body: dict[str, Any], status: int) -> None:
    assert (await office.call("POST", "/resends", body))[0] == status


async def test_a_key_gives_the_same_resend_again_and_no_other(office: Desk, since: dict[str, str]) -> None:
    await refused(office, 1)
    office.shop.receiver.status = 204

    async def post(body: dict[str, Any], *keys: str) -> tuple[int, Any]:
        headers = [("Authorization", "Bearer " + office.cli.settings["DARGAH_ADMIN_TOKEN"])]
        headers += [("Idempotency-Key", key) for key in keys]
        url = f"{office.dargah.admin_url}/admin/v1/resends"
        async with office.shop.session.post(url, json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    answers = await asyncio.gather(*(post(since, "outage") for _ in range(5)))
    assert {status for status, _ in answers} == {201}
    assert len({answer["id"] for _, answer in answers}) == 1
    await ended(office, answers[0][1]["id"])
    assert (await post(since, "outage"))[1]["state"] == "done"
    status, problem = await post(since | {"mode": "live"}, "outage")
    assert (status, problem["code"]) == (422, "idempotency_key_reused")
    for keys in (("a", "b"), ("with space",), ("",), ("x" * 256,)):
        status, problem = await post(since, *keys)
        assert (status, problem["code"]) == (400, "idempotency_key_required")
    assert len(office.shop.receiver.requests) == 2


async def test_what_was_delivered_goes_again_only_where_it_is_named(office: Desk, since: dict[str, str]) -> None:
    await office.shop.paid()
    await office.shop.receiver.told(1)
    await eventually(lambda: _delivered(office))
    assert (await office.call("POST", "/resends", since | {"dry_run": True}))[1]["wanted"] == 0
    _, begun = await office.call("POST", "/resends", since | {"statuses": ["delivered"]})
    assert (await ended(office, begun["id"]))["delivered"] == 1
    assert len(set(office.shop.receiver.ids)) == 1
    assert len(office.shop.receiver.ids) == 2


async def _delivered(office: Desk) -> bool | None:
    _, shown = await office.shop.call("GET", "/v1/events?delivered=true")
    return bool(shown["data"]) or None


async def test_one_that_is_stopped_says_so(office: Desk, since: dict[str, str]) -> None:
    let_go = asyncio.Event()
    office.shop.receiver.hold = (asyncio.Event(), let_go)
    await office.shop.paid()
    await until(lambda: len(office.shop.receiver.requests) == 1)
    _, begun = await office.call("POST", "/resends", since)
    status, stopped = await office.call("POST", f"/resends/{begun['id']}/stop")
    assert (status, stopped["state"]) == (200, "stopped")
    let_go.set()
    assert (await ended(office, begun["id"]))["state"] == "stopped"
    assert (await office.call("GET", "/resends/rsd_1"))[0] == 404
    assert (await office.call("POST", "/resends/rsd_1/stop"))[0] == 404


async def test_the_command_counts_asks_and_shows_progress_until_it_is_done(office: Desk) -> None:
    await refused(office, 2)
    counted = await office.cli.run("webhook", "resend", "--since", "1h", "--dry-run")
    assert counted.code == 0
    assert "2 webhooks to 1 endpoints" in counted.out
    unasked = await office.cli.run("webhook", "resend", "--since", "1h")
    assert unasked.code == 2
    assert "add --yes" in unasked.error
    assert len(office.shop.receiver.requests) == 2
    office.shop.receiver.status = 204
    done = await office.cli.run("webhook", "resend", "--since", "1h", "--type", "payment.paid", "--yes", "--json")
    assert (done.json["state"], done.json["delivered"], done.json["failed_again"]) == ("done", 2, 0)
    assert "of 2 queued" in done.error
    nothing = await office.cli.run("webhook", "resend", "--since", "1h", "--yes")
    assert nothing.code == 0
    assert "0 webhooks to 0 endpoints" in nothing.out
    [listed] = await office.cli.json("webhook", "resends", "--limit", "5")
    assert listed["id"] == done.json["id"]


async def test_the_command_tells_by_its_code_that_some_failed_again_and_need_not_wait(office: Desk) -> None:
    await refused(office, 1)
    again = await office.cli.run("webhook", "resend", "--since", "1h", "--status", "pending", "--yes")
    assert again.code == 3, again
    assert "failed_again" in again.out
    begun = await office.cli.json("webhook", "resend", "--since", "1h", "--yes", "--no-wait")
    await ended(office, begun["id"])
    over = await office.cli.json("webhook", "stop-resend", begun["id"])
    assert over["state"] == "done"
    wrong = await office.cli.run("webhook", "stop-resend", "dlv_1")
    assert (wrong.code, "rsd_" in wrong.error) == (2, True)
