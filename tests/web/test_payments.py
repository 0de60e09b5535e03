"""`/v1/payments` over real HTTP: create, show, list, check; whose they are; what bad input and a gateway's words do."""

import asyncio
import base64
import hashlib
from typing import Any

import pytest
from adapters.servers import RawServer, answer
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from support.eventually import eventually

from proxy.api.responses import CHECK_BYTES, read_cursor, read_number, write_cursor
from proxy.gateways.circuit_breaker import LONGEST_RETRY_AFTER
from proxy.kernel.errors import InvalidInput
from proxy.merchants.merchant import Mode, Scope
from proxy.payments.return_url import verify
from web.lab import API_KEY, ORIGIN, RETURN_URL, SHARED, Answer, Lab, link_of

MAX = 2**53 - 1


async def test_a_created_payment_can_be_paid_and_shows_both_units(lab: Lab) -> None:
    metadata = {"basket": 42, "gift": False, "note": "سلام", "none": None}
    payment = await lab.created(return_url=RETURN_URL, description="دو خط\nسفارش", metadata=metadata, expires_in=600)
    assert payment["status"] == "pending"
    assert (payment["amount_rials"], payment["amount_toman"], payment["currency"]) == (150_000, 15_000, "IRT")
    assert (payment["storefront"], payment["mode"], payment["terminal_id"]) == ("main", "live", lab.terminal_id)
    assert (payment["metadata"], payment["description"]) == (metadata, "دو خط\nسفارش")
    assert payment["pay_url"] == f"{lab.dargah.url}/pay/{link_of(payment)}"
    assert payment["return_url"] == RETURN_URL
    assert payment["expires_at"] == "2027-01-15T08:10:00.000Z"
    assert await lab.payment(payment["id"]) == payment


async def test_rials_that_are_no_whole_toman_are_shown_with_their_decimal(lab: Lab) -> None:
    payment = await lab.created(amount=12_345, currency="IRR")
    assert (payment["amount_rials"], payment["amount_toman"]) == (12_345, 1234.5)


async def test_the_same_key_and_body_give_the_first_answer_however_it_is_spelt(lab: Lab) -> None:
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json; charset=utf-8"}
    first = await lab.call(
        "POST", "/v1/payments", data=b'{"amount":15000,"currency":"IRT","order_id":"A"}', headers=headers
    )
    again = await lab.call(
        "POST", "/v1/payments", data=b'{ "order_id": "\\u0041", "currency": "IRT", "amount": 15000 }', headers=headers
    )
    assert (first.status, again.status) == (201, 201)
    assert again.body == first.body


async def test_the_same_key_with_another_body_is_refused(lab: Lab) -> None:
    await lab.created(key="k", order_id="A", amount=15_000)
    before = lab.rows()
    answer = await lab.create(key="k", order_id="A", amount=15_001)
    assert (answer.status, answer.json["code"]) == (422, "idempotency_key_reused")
    assert lab.rows() == before


async def test_two_at_once_with_one_key_make_one_payment(lab: Lab) -> None:
    await lab.fault("request", "delay", seconds=0.3)
    answers = await asyncio.gather(*(lab.create(key="k", order_id="A") for _ in range(5)))
    by_status = sorted(answer.status for answer in answers)
    assert by_status[0] == 201
    for refused in answers:
        if refused.status == 409:
            assert refused.json["code"] == "request_in_progress"
            assert int(refused.headers["Retry-After"]) >= 1
    assert len((await lab.call("GET", "/v1/payments")).json["data"]) == 1


@pytest.mark.parametrize("code", [100, 101, 102, 103, 203, 204, 302])
async def test_what_the_gateway_refuses_is_a_problem_with_its_code_and_stays_so(lab: Lab, code: int) -> None:
    await lab.fault("request", "error", code=code, times=1)
    answer = await lab.create(key="k", order_id="A")
    assert (answer.status, answer.headers["Content-Type"]) == (502, "application/problem+json")
    problem = answer.json
    assert (problem["code"], problem["gateway_error_code"]) == ("gateway_refused", code)
    assert f"({code})" in problem["detail"]
    shown = await lab.payment(problem["payment_id"])
    assert (shown["status"], shown["failure"]) == (
        "failed",
        {"reason": "gateway_refused", "gateway_error_code": code},
    )
    again = await lab.create(key="k", order_id="A")
    assert (again.status, again.body) == (502, answer.body)


async def test_an_unclear_gateway_leaves_nothing_payable_and_the_same_request_may_come_again(lab: Lab) -> None:
    await lab.fault("request", "html", times=1)
    unclear = await lab.create(key="k", order_id="A")
    assert (unclear.status, unclear.json["code"]) == (502, "gateway_unclear")
    assert (await lab.payment(unclear.json["payment_id"]))["status"] == "created"
    again = await lab.create(key="k", order_id="A")
    assert again.status == 201
    assert again.json["id"] == unclear.json["payment_id"]


async def test_an_order_that_is_paid_is_not_sold_again(lab: Lab) -> None:
    payment = await lab.created(order_id="A")
    await lab.call("GET", await lab.act(payment, "pay"))
    answer = await lab.create(order_id="A")
    assert (answer.status, answer.json["code"]) == (409, "order_already_paid")
    assert answer.json["payment_id"] == payment["id"]


async def test_a_check_tells_the_payment_and_what_the_gateway_said(lab: Lab) -> None:
    payment = await lab.created()
    path = f"/v1/payments/{payment['id']}/check"
    early = (await lab.call("POST", path)).json
    assert early["check"] == {"outcome": "not_paid", "reason": None, "gateway_error_code": None, "http_status": None}
    assert early["status"] == "pending"

    await lab.fault("check", "error", code=301, times=1)
    unclear = (await lab.call("POST", path)).json
    assert (unclear["check"]["outcome"], unclear["check"]["gateway_error_code"]) == ("unknown", 301)
    assert unclear["status"] == "pending"

    await lab.act(payment, "pay")
    paid = (await lab.call("POST", path, json={})).json
    assert (paid["status"], paid["check"]["outcome"]) == ("paid", "captured")
    assert paid["bank_code"]

    asked = await lab.checks()
    later = (await lab.call("POST", path)).json
    assert (later["status"], later["check"]["outcome"]) == ("paid", "not_asked")
    assert await lab.checks() == asked


async def test_the_timeline_tells_calls_and_returns_and_no_key(lab: Lab) -> None:
    payment = await lab.created()
    back = await lab.act(payment, "pay")
    await lab.call("GET", f"{back}&status=0&bank_code={'9' * 500}&card_number=6037991234567890")
    answer = await lab.call("GET", f"/v1/payments/{payment['id']}/timeline")
    kinds = [entry["kind"] for entry in answer.json["data"]]
    assert kinds == ["gateway.request", "return", "gateway.check", "event"]
    assert answer.json["data"][1]["data"]["claimed"] == {"status": "0", "bank_code": "9" * 100}
    assert API_KEY not in answer.text
    assert "603799" not in answer.text


async def test_lists_go_page_by_page_newest_first_and_filter(lab: Lab) -> None:
    made = []
    for number in range(5):
        lab.clock.forward(1)
        made.append((await lab.created(order_id=f"B-{number % 2}"))["id"])
    seen, path = [], "/v1/payments?limit=2"
    while path:
        answer = await lab.call("GET", path)
        seen.append([payment["id"] for payment in answer.json["data"]])
        cursor = answer.json["next_cursor"]
        assert ("Link" in answer.headers) == (cursor is not None)
        path = answer.headers["Link"].removeprefix("<").removesuffix('>; rel="next"') if cursor else ""
    assert seen == [[made[4], made[3]], [made[2], made[1]], [made[0]]]
    filtered = (await lab.call("GET", "/v1/payments?order_id=B-1&status=pending&storefront=main")).json
    assert [payment["id"] for payment in filtered["data"]] == [made[3], made[1]]
    assert (await lab.call("GET", "/v1/payments?status=paid")).json == {"data": [], "next_cursor": None}


async def test_a_cursor_of_other_filters_or_a_damaged_one_is_refused(lab: Lab) -> None:
    await lab.created()
    lab.clock.forward(1)
    await lab.created()
    cursor = (await lab.call("GET", "/v1/payments?limit=1")).json["next_cursor"]
    for query in (f"status=pending&cursor={cursor}", f"cursor={cursor[:-2]}", f"cursor=x{cursor}", "cursor=%00"):
        answer = await lab.call("GET", f"/v1/payments?{query}")
        assert answer.status == 422
        assert answer.field_codes() == {"cursor": "cursor_invalid"}


@SHARED
@pytest.mark.parametrize(
    ("query", "field", "code"),
    [
        ("limit=0", "limit", "too_small"),
        ("limit=101", "limit", "too_large"),
        ("limit=x", "limit", "not_integer"),
        ("limit=%D9%A5", "limit", "not_integer"),
        ("limit=1_0", "limit", "not_integer"),
        ("limit=", "limit", "not_integer"),
        ("limit=99999999999999999999", "limit", "not_integer"),
        ("limit=1&limit=2", "limit", "repeated"),
        ("status=sold", "status", "not_one_of"),
        ("storefront=UP", "storefront", "storefront_invalid"),
        ("order_id=", "order_id", "too_short"),
        ("order_id=%00", "order_id", "not_printable"),
        ("cursor=", "cursor", "too_short"),
        ("colour=red", "colour", "unknown_field"),
    ],
)
async def test_a_bad_query_is_refused_by_name(shared_lab: Lab, query: str, field: str, code: str) -> None:
    answer = await shared_lab.call("GET", f"/v1/payments?{query}")
    assert answer.status == 422
    assert answer.field_codes() == {field: code}


async def test_nobody_sees_or_touches_what_is_anothers(lab: Lab) -> None:
    payment = await lab.created()
    await lab.call("POST", f"/v1/payments/{payment['id']}/check")
    strangers = {
        "merchant": await lab.another_merchant(),
        "storefront": await lab.issue(storefront="other"),
        "mode": await lab.issue(mode=Mode.TEST),
    }
    before = lab.rows()
    for who, token in strangers.items():
        for method, suffix in (("GET", ""), ("POST", "/check"), ("GET", "/timeline")):
            answer = await lab.call(method, f"/v1/payments/{payment['id']}{suffix}", token=token)
            assert (answer.status, answer.json["code"]) == (404, "not_found"), who
        for query in ("", "?storefront=main"):
            assert (await lab.call("GET", f"/v1/payments{query}", token=token)).json["data"] == [], who
    assert lab.rows() == before


@SHARED
@pytest.mark.parametrize("payment_id", ["x", "pay_1", "pay_" + "0" * 26, "evt_" + "0" * 26, "%00", "..%2F..", "%D9%BE"])
async def test_an_id_that_is_none_is_not_found(shared_lab: Lab, payment_id: str) -> None:
    assert (await shared_lab.call("GET", f"/v1/payments/{payment_id}")).status == 404


@SHARED
@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer dg_live_x", "Bearer dg_live_" + "0" * 36, "Bearer ي"],
)
async def test_no_token_no_answer(shared_lab: Lab, header: str) -> None:
    for method, path in (("GET", "/v1/payments"), ("POST", "/v1/payments"), ("GET", "/v1/events")):
        answer = await shared_lab.call(method, path, token="", headers={"Authorization": header})
        assert (answer.status, answer.json["code"]) == (401, "unauthenticated")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@SHARED
@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/v1/payments", Scope.PAYMENTS_WRITE),
        ("POST", "/v1/payments/{payment}/check", Scope.PAYMENTS_WRITE),
        ("GET", "/v1/payments", Scope.PAYMENTS_READ),
        ("GET", "/v1/payments/{payment}", Scope.PAYMENTS_READ),
        ("GET", "/v1/payments/{payment}/timeline", Scope.PAYMENTS_READ),
        ("GET", "/v1/events", Scope.PAYMENTS_READ),
        ("GET", "/v1/events/x", Scope.PAYMENTS_READ),
        ("GET", "/v1/webhook-endpoints", Scope.WEBHOOKS),
        ("POST", "/v1/webhook-endpoints", Scope.WEBHOOKS),
        ("GET", "/v1/webhook-endpoints/x", Scope.WEBHOOKS),
        ("PATCH", "/v1/webhook-endpoints/x", Scope.WEBHOOKS),
        ("DELETE", "/v1/webhook-endpoints/x", Scope.WEBHOOKS),
    ],
)
async def test_each_call_needs_its_scope(shared_lab: Lab, method: str, path: str, scope: Scope) -> None:
    payment = await shared_lab.created()
    token = await shared_lab.issue(scopes=frozenset(Scope) - {scope})
    answer = await shared_lab.call(method, path.format(payment=payment["id"]), token=token)
    assert (answer.status, answer.json["code"]) == (403, "forbidden")
    assert scope in answer.json["detail"]


async def test_a_create_goes_on_when_the_storefront_hangs_up(lab: Lab) -> None:
    await lab.fault("request", "delay", seconds=0.4, times=1)
    await lab.hang_up(lab.create(key="k", order_id="A"))

    async def answered() -> Answer | None:
        answer = await lab.create(key="k", order_id="A")
        return None if answer.status == 409 else answer

    assert (await eventually(answered)).status == 201
    invoices = (await lab.control("GET", "invoices"))["invoices"]
    assert len(invoices) == 1


async def test_the_way_back_is_signed_under_the_merchants_secret(lab: Lab) -> None:
    payment = await lab.created(return_url=RETURN_URL)
    answer = await lab.call("GET", await lab.act(payment, "pay"))
    assert answer.status == 303
    base, _, query = answer.location.partition("?")
    given: dict[str, Any] = dict(pair.split("=") for pair in query.split("&"))
    assert base == f"{ORIGIN}/thanks"
    assert (given.pop("lang"), given["payment_id"], given["status"]) == ("fa", payment["id"], "paid")
    assert verify(lab.return_secret, Mode.LIVE, given)


async def test_phps_empty_array_is_an_empty_object(lab: Lab) -> None:
    assert (await lab.created(metadata=[]))["metadata"] == {}
    made = await lab.call("POST", "/v1/webhook-endpoints", json={"url": "https://hooks.example.ir/", "headers": []})
    assert made.status == 201


@SHARED
@pytest.mark.parametrize("query", ["order_id=%D3%DD%C7%D1%D4", "order_id=%CF%E6%D1%C8%E4", "status=%ff", "%ff=1"])
async def test_a_query_that_is_not_utf8_is_refused(shared_lab: Lab, query: str) -> None:
    await shared_lab.created(order_id="\ufffd" * 5)
    answer = await shared_lab.call("GET", f"/v1/payments?{query}")
    assert (answer.status, answer.field_codes()) == (422, {"query": "not_utf8"})


ROW = "pay_8Hk2Lm0Q0UfJx3aZ7cVbN1mKpT"
SCOPE = ("payments", "mer_8Hk2Lm0Q", "main", None)


def test_it_gives_back_the_row() -> None:
    assert read_cursor(write_cursor(ROW, SCOPE), SCOPE) == ROW
    assert read_number(write_cursor("17", SCOPE), SCOPE) == 17


@pytest.mark.parametrize(
    "other",
    [
        ("events", *SCOPE[1:]),
        ("payments", "mer_00000000", "main", None),
        (*SCOPE[:3], "paid"),
        (*SCOPE[:3], ""),
    ],
)
def test_it_is_refused_by_another_list_merchant_or_filter(other: tuple[str | None, ...]) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_cursor(write_cursor(ROW, SCOPE), other)
    assert caught.value.errors[0].field == "cursor"


@given(st.text(max_size=80) | st.from_regex(r"[A-Za-z0-9_-]{0,80}", fullmatch=True))
def test_any_text_is_refused_cleanly(text: str) -> None:
    with pytest.raises(InvalidInput):
        read_cursor(text, SCOPE)


@given(st.integers(min_value=0), st.integers(1, 255))
def test_any_changed_byte_is_refused(index: int, change: int) -> None:
    raw = bytearray(base64.urlsafe_b64decode(write_cursor(ROW, SCOPE) + "=="))
    raw[index % len(raw)] ^= change
    with pytest.raises(InvalidInput):
        read_cursor(base64.urlsafe_b64encode(raw).decode().rstrip("="), SCOPE)


@pytest.mark.parametrize("row", ["", "x", "-1", "9" * 19, "pay_short", "a' OR 1=1", ROW + "\x00"])
def test_one_made_by_hand_holds_a_row_or_is_refused(row: str) -> None:
    bound = "\n".join((row, *("" if part is None else f"={part}" for part in SCOPE)))
    made = hashlib.sha256(bound.encode()).digest()[:CHECK_BYTES] + row.encode()
    with pytest.raises(InvalidInput):
        read_cursor(base64.urlsafe_b64encode(made).decode(), SCOPE)


def test_a_number_is_asked_of_a_list_by_numbers() -> None:
    with pytest.raises(InvalidInput):
        read_number(write_cursor(ROW, SCOPE), SCOPE)


GATEWAY_KEY = "canary-of-the-raw-gateway-4711"
ISSUED = answer(b'{"status":1,"invoice_key":"inv_1"}')
NUMBERLESS = answer(b'{"status":1,"amount":150000,"bank_code":null}')
PAID = answer(b'{"status":1,"amount":150000,"bank_code":"777"}')
SLOW_DOWN = answer(f"slow down, {GATEWAY_KEY}".encode(), status="429 Too Many Requests", headers="Retry-After: 120\r\n")


async def asked(lab: Lab, server: RawServer, order_id: str = "A-1") -> dict[str, Any]:
    """A payment at a gateway that speaks by hand."""
    terminal = await lab.dargah.services.setup.add_terminal(
        lab.merchant_id, f"raw {order_id}", server.url, GATEWAY_KEY, mode=Mode.LIVE, actor="test"
    )
    return await lab.created(order_id=order_id, terminal_id=terminal.id)


async def checked(lab: Lab, payment: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await lab.call("POST", f"/v1/payments/{payment['id']}/check")).json
    return found


async def test_money_without_a_bank_code_waits_for_it_until_the_expiry(lab: Lab) -> None:
    async with RawServer((ISSUED, NUMBERLESS, NUMBERLESS, PAID)) as server:
        payment = await asked(lab, server)
        await lab.session.get(payment["pay_url"].replace("/pay/", "/return/"), allow_redirects=False)
        found = await checked(lab, payment)
        assert (found["status"], found["check"]["outcome"], found["check"]["reason"]) == (
            "pending",
            "unknown",
            "no_bank_code",
        )
        found = await checked(lab, payment)
        assert (found["status"], found["bank_code"]) == ("paid", "777")


async def test_money_whose_bank_code_never_comes_is_reviewed_and_takes_no_number_from_others(lab: Lab) -> None:
    for number in (1, 2):
        async with RawServer((answer(b'{"status":1,"invoice_key":"inv_%d"}' % number), NUMBERLESS)) as server:
            payment = await asked(lab, server, f"A-{number}")
            lab.clock.forward(31 * 60_000)
            await checked(lab, payment)
            shown = await lab.payment(payment["id"])
        assert (shown["status"], shown["bank_code"]) == ("needs_review", None)
        assert (shown["review"]["reason"], shown["review"]["bank_code"]) == ("bank_code_missing", None)
        assert (shown["review"]["captured_rials"], shown["review"]["other_payment_id"]) == (150_000, None)
    events = (await lab.call("GET", "/v1/events?type=payment.needs_review")).json["data"]
    assert len(events) == 2


UNBELIEVED: dict[str, bytes] = {
    "said twice": b'{"status":0,"errorCode":201,"status":1,"amount":150000,"bank_code":"x","errorCode":null}',
    "of another invoice": b'{"status":1,"amount":150000,"bank_code":"777","invoice_key":"inv_2"}',
    "cancels another invoice": b'{"status":0,"errorCode":202,"invoice_key":"inv_2"}',
    "of two objects": b'{"status":0,"errorCode":201}{"status":1,"amount":150000,"bank_code":"777"}',
}


@pytest.mark.parametrize("folder", ["sqlite"], indirect=True)
@pytest.mark.parametrize("case", sorted(UNBELIEVED))
async def test_what_does_not_say_one_thing_of_this_invoice_changes_nothing(lab: Lab, case: str) -> None:
    async with RawServer((ISSUED, answer(UNBELIEVED[case]), PAID)) as server:
        payment = await asked(lab, server)
        assert (await checked(lab, payment))["status"] == "pending"
        assert (await checked(lab, payment))["status"] == "paid"


async def test_retry_after_spares_the_gateway_and_stands_in_timeline_and_log(lab: Lab) -> None:
    async with RawServer((ISSUED, SLOW_DOWN, ISSUED)) as server:
        payment = await asked(lab, server)
        with capture_logs() as lines:
            found = await checked(lab, payment)
        assert (found["status"], found["check"]["http_status"]) == ("pending", 429)
        refused = await lab.create(terminal_id=payment["terminal_id"])
        assert (refused.status, refused.json["code"], refused.headers["Retry-After"]) == (
            503,
            "gateway_circuit_open",
            "120",
        )
        assert len(server.requests) == 2
    timeline = (await lab.call("GET", f"/v1/payments/{payment['id']}/timeline")).json["data"]
    [entry] = [each["data"] for each in timeline if each["kind"] == "gateway.check"]
    assert entry == {
        "outcome": "unknown",
        "invoice_key": "inv_1",
        "reason": "http_status",
        "http_status": 429,
        "excerpt": "slow down, …",
        "retry_after_seconds": 120,
    }
    [line] = [line for line in lines if line["event"] == "gateway_unclear"]
    assert (line["reason"], line["excerpt"], line["log_level"]) == ("HTTP 429", "slow down, …", "warning")


@pytest.mark.parametrize("folder", ["sqlite"], indirect=True)
async def test_the_poller_asks_again_when_the_pause_is_over_and_not_before(lab: Lab) -> None:
    async with RawServer((ISSUED, SLOW_DOWN, PAID)) as server:
        payment = await asked(lab, server)
        await checked(lab, payment)
        watch = await lab.dargah.services.store.payments.check_schedule(lab.merchant_id, payment["id"])
        assert watch is not None
        lab.clock.forward(watch.due_at - lab.clock.now)
        await lab.dargah.poller.step()
        await lab.dargah.poller.tasks.drain()
        later = await lab.dargah.services.store.payments.check_schedule(lab.merchant_id, payment["id"])
        assert later is not None
        assert len(server.requests) == 2
        lab.clock.forward(later.due_at - lab.clock.now)
        await lab.dargah.poller.step()
        await lab.dargah.poller.tasks.drain()
        assert (await lab.payment(payment["id"]))["status"] == "paid"


@pytest.mark.parametrize("folder", ["sqlite"], indirect=True)
async def test_a_gateway_that_asks_for_a_day_is_asked_again_within_minutes(lab: Lab) -> None:
    day = answer(b"", status="503 Busy", headers="Retry-After: 86400\r\n")
    async with RawServer((ISSUED, day, ISSUED)) as server:
        payment = await asked(lab, server)
        await checked(lab, payment)
        refused = await lab.create(terminal_id=payment["terminal_id"])
        assert refused.headers["Retry-After"] == str(LONGEST_RETRY_AFTER // 1000)
