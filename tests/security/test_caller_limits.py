"""Who is refused for what comes from an address: the wrong, and only they."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs
from web.clients import answers_to, posted, statuses
from web.lab import Lab, link_of

from proxy.api.rate_limiting import LOOK_UPS_PER_FAILURE
from proxy.kernel.ids import Ids
from proxy.merchants.merchant import Mode, Scope
from proxy.operators.records import Role

FORM = "application/x-www-form-urlencoded"
QUOTA = 3
MINUTE = 60_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With SQLite's file: what is looked at here comes before any store."""
    return tmp_path


@pytest.fixture
def more_settings() -> dict[str, Any]:
    return {"address_auth_failures_per_minute": QUOTA, "address_unknown_links_per_minute": QUOTA}


class Looked:
    """How often the store was asked about a token."""

    def __init__(self, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        store = lab.dargah.services.store
        asked = store.merchants.token_by_digest

        async def counted(merchant_id: str, digest: bytes) -> Any:
            self.count += 1
            return await asked(merchant_id, digest)

        monkeypatch.setattr(store.merchants, "token_by_digest", counted)


def guess(lab: Lab) -> str:
    """A token that is well-formed and was never issued."""
    return Ids(lab.dargah.services.random_bytes).api_token(lab.merchant_id, "live")


async def show(lab: Lab, token: str, headers: Mapping[str, str] | None = None) -> int:
    return (await lab.call("GET", "/v1/payments", token=token, headers=headers)).status


async def operate(lab: Lab, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    async with lab.session.get(f"{lab.dargah.admin_url}/admin/v1/me", headers=headers) as answer:
        return answer.status


@pytest.mark.parametrize("body", [b"", b"amount=150000", b'{"api_key": null}', b'{"api_key": ""}', b"\xff" * 9])
async def test_a_call_without_a_key_counts_as_one_with_a_wrong_key(lab: Lab, body: bytes) -> None:
    answers = [await answers_to(lab.dargah.url, posted("/invoice/request", body, FORM)) for _ in range(QUOTA + 1)]
    codes = [json.loads(answer.partition(b"\r\n\r\n")[2])["errorCode"] for answer in answers]
    assert codes == [101, 101, 101, 301]


async def test_a_body_that_is_no_form_counts_as_a_call_without_a_key(lab: Lab) -> None:
    broken = posted("/invoice/request", b"--b\n\n" * 60, "multipart/form-data; boundary=b" + ";a=b" * 3800)
    for _ in range(QUOTA):
        await answers_to(lab.dargah.url, broken)
    over = await answers_to(lab.dargah.url, posted("/invoice/request", b"api_key=wrong", FORM))
    assert json.loads(over.partition(b"\r\n\r\n")[2])["errorCode"] == 301


@pytest.mark.parametrize("formed", [True, False])
async def test_wrong_tokens_keep_no_right_one_of_their_address_out(lab: Lab, formed: bool) -> None:
    unused = await lab.issue("unused")
    drop_in = await lab.issue("drop-in", scopes=frozenset({Scope.FACADE}))
    assert await show(lab, lab.token) == 200
    told = [await show(lab, guess(lab) if formed else "wrong") for _ in range(QUOTA * 5)]
    assert told == [401] * QUOTA + [429] * QUOTA * 4
    assert await show(lab, lab.token) == 200
    assert await show(lab, unused) == 200
    checked = await lab.call("POST", "/invoice/check/x", data={"api_key": drop_in}, token="")
    assert checked.json["errorCode"] == 200


async def test_a_token_that_was_right_passes_whatever_its_neighbours_do(lab: Lab) -> None:
    assert await show(lab, lab.token) == 200
    for _ in range(QUOTA * (LOOK_UPS_PER_FAILURE + 2)):
        await show(lab, guess(lab))
    lab.clock.forward(3_000)  # what the cache kept is read anew
    assert await show(lab, lab.token) == 200


async def test_guesses_are_looked_up_so_often_and_no_more(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = Looked(lab, monkeypatch)
    for _ in range(QUOTA * 2):
        await show(lab, "dg_live_" + "x" * 36)
    assert looked.count == 0, "its checksum is wrong, which needs no store"
    for _ in range(QUOTA * LOOK_UPS_PER_FAILURE * 3):
        await show(lab, guess(lab))
    assert looked.count == QUOTA * LOOK_UPS_PER_FAILURE
    lab.clock.forward(MINUTE)
    assert await show(lab, guess(lab)) == 401
    assert looked.count == QUOTA * LOOK_UPS_PER_FAILURE + 1


async def test_a_revoked_token_is_a_wrong_one_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    token, text = await lab.dargah.services.setup.issue_token(
        lab.merchant_id, "main", Mode.LIVE, frozenset({Scope.PAYMENTS_READ}), actor="test"
    )
    assert await show(lab, text) == 200
    await lab.dargah.services.setup.revoke_token(lab.merchant_id, token.id, actor="test")
    looked = Looked(lab, monkeypatch)
    assert await show(lab, text) == 401
    for _ in range(QUOTA * LOOK_UPS_PER_FAILURE * 2):
        await show(lab, guess(lab))
    count = looked.count
    lab.clock.forward(2_000)  # the cache asks anew, and an address has one more look-up each two seconds
    assert [await show(lab, text) for _ in range(3)] == [429] * 3
    assert looked.count - count <= 1


async def test_each_listener_counts_its_own(lab: Lab) -> None:
    for _ in range(QUOTA + 1):
        assert await show(lab, "wrong") in {401, 429}
    assert await operate(lab, "wrong") == 401
    for _ in range(QUOTA):
        await operate(lab, "wrong")
    assert await operate(lab, "wrong") == 429
    assert await operate(lab, "operator-token-of-the-tests") == 200


async def test_an_operators_token_passes_beside_wrong_ones(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    async with aiohttp.ClientSession() as session:
        headers = {"Authorization": "Bearer operator-token-of-the-tests"}
        url = f"{lab.dargah.admin_url}/admin/v1/operators"
        async with session.post(url, json={"name": "sara", "role": Role.READ.value}, headers=headers) as answer:
            text = (await answer.json())["token"]
    assert await operate(lab, text) == 200
    ids = Ids(lab.dargah.services.random_bytes)
    for _ in range(QUOTA * (LOOK_UPS_PER_FAILURE + 1)):
        assert await operate(lab, ids.operator_token()) in {401, 429}
    lab.clock.forward(3_000)
    assert await operate(lab, text) == 200


async def test_an_unknown_link_keeps_no_customer_out(lab: Lab) -> None:
    links = [link_of(await lab.created(order_id=str(number))) for number in range(2)]
    assert (await lab.call("GET", f"/pay/{links[0]}", token="")).status == 303
    told = [(await lab.call("GET", f"/pay/{links[0][:-4]}{n:04}", token="")).status for n in range(QUOTA * 3)]
    assert told == [404] * QUOTA + [429] * QUOTA * 2
    assert [(await lab.call("GET", f"/pay/{link}", token="")).status for link in links] == [303, 303]
    for number in range(QUOTA * LOOK_UPS_PER_FAILURE):
        await lab.call("GET", f"/pay/{links[0][:-4]}{number:04}", token="")
    assert (await lab.call("GET", f"/pay/{links[0]}", token="")).status == 303


async def test_wrong_sessions_of_the_portal_are_counted(lab: Lab) -> None:
    async def visit(cookie: str) -> int:
        asked = f"GET /portal/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: {cookie}\r\n\r\n".encode()
        return statuses(await answers_to(lab.dargah.url, asked))[0]

    assert [await visit("dargah-session=" + "0" * 51) for _ in range(QUOTA + 1)] == [401] * QUOTA + [429]
    assert await visit("other=1") == 401


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded"])
async def test_a_header_of_anybody_does_not_switch_the_limit_off(lab: Lab, header: str) -> None:
    with capture_logs() as lines:
        told = [await show(lab, "wrong", {header: f"for=203.0.113.{n}"}) for n in range(QUOTA + 2)]
    assert told == [401] * QUOTA + [429] * 2
    assert {line["client"] for line in lines if line["event"] == "request"} == {"127.0.0.1"}


class TestBehindAProxy:
    @pytest.fixture
    def more_settings(self) -> dict[str, Any]:
        return {"trusted_proxies": "127.0.0.1,10.0.0.0/8", "address_auth_failures_per_minute": QUOTA}

    @pytest.mark.parametrize("lie", ["x" * 2000, "6.6.6.6, " * 400, "10.0.0.9, " * 400, ",".join("1" * 900)])
    async def test_a_header_that_is_too_long_does_not_hide_the_client(self, lab: Lab, lie: str) -> None:
        with capture_logs() as lines:
            for number in range(QUOTA + 1):
                forwarded = {"X-Forwarded-For": f"{lie}{number}, 203.0.113.7, 10.0.0.2"}
                assert await show(lab, "wrong", forwarded) == (401 if number < QUOTA else 429)
            assert await show(lab, "wrong", {"X-Forwarded-For": f"{lie}, 203.0.113.8"}) == 401
        clients = [line["client"] for line in lines if line["event"] == "request"]
        assert clients == ["203.0.113.7"] * (QUOTA + 1) + ["203.0.113.8"]
