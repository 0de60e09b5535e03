"""The judge: a true history breaks no promise, and each lie in it breaks the one that it is about.

Where a time of day was wrong, what a process told by it is no lie, and what a right one tells still is.
"""

import copy
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

import orjson
import pytest
from standardwebhooks import Webhook

from . import ROOT
from .history import PROMISES, _untold, judge
from .history_lines import Line

SECRET: Final = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
AT: Final = 1_790_000_000


def payment(number: int, status: str, version: float, **more: Any) -> Line:
    made = {
        "id": f"pay_{number}",
        "status": status,
        "mode": "live",
        "amount_rials": 150_000,
        "invoice_key": f"inv_{number}",
        "bank_code": f"bank_{number}" if status == "paid" else None,
        "order_id": f"order-{number}",
        "review": None,
        "failure": None,
        "version": version,
        "expires_at": "2026-09-21T15:00:00.000Z",
    }
    return made | more


def call(merchant: str, method: str, path: str, answer: Line, at: float, **more: Any) -> Line:
    made = {"what": "call", "merchant": merchant, "mode": "live", "method": method, "path": path, "key": None}
    return made | {"sent": None, "status": 200, "answer": answer, "began": at, "ended": at + 0.5} | more


def created(merchant: str, number: int, at: float) -> Line:
    answer = payment(number, "pending", 2)
    sent = {"amount": 150_000}
    return call(merchant, "POST", "/v1/payments", answer, at, status=201, sent=sent, key=f"key-{number}")


def webhook(endpoint: str, number: int, sequence: int, **more: Any) -> Line:
    data = payment(number, "paid", 3) | {"sequence": sequence}
    return signed({"endpoint": endpoint, "status": 204} | more, f"evt_{number}", {"type": "payment.paid", "data": data})


def signed(line: Line, event_id: str, event: Line) -> Line:
    body = orjson.dumps(event).decode()
    signature = Webhook(SECRET).sign(event_id, datetime.fromtimestamp(AT, UTC), body)
    headers = {"webhook-id": event_id, "webhook-timestamp": str(AT), "webhook-signature": signature}
    return line | {"what": "webhook", "headers": headers, "body": body}


def event(number: int, sequence: int) -> Line:
    told = {"id": f"evt_{number}", "sequence": sequence, "payment_id": f"pay_{number}", "type": "payment.paid"}
    return told | {"data": payment(number, "paid", 3)}


def delivery(number: int, outcomes: tuple[str, ...]) -> Line:
    """The last of the attempts is the one that came."""
    times = [AT - 60 * (len(outcomes) - place) for place in range(1, len(outcomes) + 1)]
    log = [
        {"number": number, "outcome": outcome, "started_at": datetime.fromtimestamp(at, UTC).isoformat()}
        for number, (outcome, at) in enumerate(zip(outcomes, times, strict=True), 1)
    ]
    told = {"id": f"dlv_{number}", "endpoint_id": "ep_a.live", "event_id": f"evt_{number}", "log": log}
    return told | {"status": outcomes[-1], "attempts": len(outcomes)}


def true_history() -> dict[str, Line]:
    """Two payments of merchant a, one of merchant b, all paid, told and read at the end. Lines by a name."""
    owners = {1: "a", 2: "a", 3: "b"}
    lines: dict[str, Line] = {}
    for merchant in ("a", "b"):
        terminal = {
            "merchant": merchant,
            "mode": "live",
            "api_key": f"api-key-{merchant}",
            "token": f"token-{merchant}",
        }
        lines[f"terminal {merchant}"] = {"what": "terminal"} | terminal
        for mode in ("live", "test"):
            name = f"{merchant}.{mode}"
            endpoint = {"name": name, "id": f"ep_{name}", "merchant": merchant, "mode": mode, "secret": SECRET}
            lines[f"endpoint {merchant}.{mode}"] = {"what": "endpoint"} | endpoint
    for number, merchant in owners.items():
        lines[f"create {number}"] = created(merchant, number, number)
        back = f"https://shop.example/back?payment_id=pay_{number}&status=paid"
        page = {"what": "page", "payment": f"pay_{number}", "page": "return", "status": 303, "location": back}
        lines[f"return {number}"] = page
        path = f"/v1/payments/pay_{number}"
        lines[f"read {number}"] = call(merchant, "GET", path, payment(number, "paid", 3), 10.0 + number)
        lines[f"webhook {number}"] = webhook(f"{merchant}.live", number, 1 if number == 3 else number)
    stranger = {"code": "not_found"}
    lines["pry"] = call("b", "GET", "/v1/payments/pay_1", stranger, 20.0, status=404)
    lines["rest"] = {"what": "rest"}
    for number, merchant in owners.items():
        ledger = {"invoice_key": f"inv_{number}", "api_key": f"api-key-{merchant}", "amount_rials": 150_000}
        lines[f"invoice {number}"] = {"what": "invoice", "state": "captured", "bank_code": f"bank_{number}"} | ledger
    for merchant in ("a", "b"):
        mine = [number for number, owner in owners.items() if owner == merchant]
        page_of = {"data": [payment(number, "paid", 3) for number in mine], "next_cursor": None}
        lines[f"payments {merchant}"] = call(merchant, "GET", "/v1/payments?limit=100", page_of, 30.0)
        events = {"data": [event(number, place) for place, number in enumerate(mine, 1)], "next_cursor": None}
        lines[f"events {merchant}"] = call(merchant, "GET", "/v1/events?limit=100", events, 31.0)
    for number, outcomes in ((1, ("delivered",)), (2, ("unknown", "failed", "delivered"))):
        answer = delivery(number, outcomes)
        lines[f"delivery {number}"] = call("a", "GET", f"/v1/deliveries/dlv_{number}", answer, 32.0)
    return lines


def promises_broken(lines: dict[str, Line]) -> set[str]:
    return {broken.promise for broken in judge(map(orjson.dumps, lines.values())).broken}


Lie = Callable[[dict[str, Line]], object]


def without_the_second(lines: dict[str, Line]) -> None:
    """As if it had never been there, but for the storefront that was told of it."""
    for name in ("return 2", "read 2", "webhook 2", "invoice 2", "delivery 2"):
        del lines[name]
    for name in ("payments a", "events a"):
        del lines[name]["answer"]["data"][1]


def another_status(lines: dict[str, Line]) -> None:
    """Told as paid, read as expired at the end; the money is nobody's."""
    lines["payments a"]["answer"]["data"][1] |= {"status": "expired", "bank_code": None, "version": 4}


def told_by_the_way_back_alone(lines: dict[str, Line]) -> None:
    another_status(lines)
    del lines["read 2"], lines["webhook 2"], lines["delivery 2"]


def one_order(lines: dict[str, Line]) -> None:
    """Both payments of merchant a are told as of one order, wherever they are told."""
    told = [lines[name]["answer"] for name in ("create 1", "create 2", "read 1", "read 2")]
    for each in told + lines["payments a"]["answer"]["data"]:
        each["order_id"] = "order-2"
    event = orjson.loads(lines["webhook 1"]["body"])
    event["data"]["order_id"] = "order-2"
    lines["webhook 1"] = signed(lines["webhook 1"], "evt_1", event)


def canceled_unasked(lines: dict[str, Line]) -> None:
    """Told as canceled for a while, before it was paid."""
    also(lines, said(2, 150_000))
    also(lines, call("a", "GET", "/v1/payments/pay_1", payment(1, "canceled", 2.5), 5.0))


def said(number: int, amount_rials: int) -> Line:
    told = {"amount_rials": amount_rials, "bank_code": f"bank_{number}", "outcome": "captured"}
    return {"what": "said", "invoice_key": f"inv_{number}"} | told


def told_as_refused(lines: dict[str, Line], code: int) -> None:
    """The gateway refuses a request with 102; its payment is told as refused with `code`."""
    also(lines, {"what": "refused", "api_key": "api-key-a", "amount_rials": 150_000, "code": 102})
    failure = {"reason": "gateway_refused", "gateway_error_code": code}
    also(lines, call("a", "GET", "/v1/payments/pay_1", payment(1, "failed", 1, failure=failure), 0.1))


def also(lines: dict[str, Line], line: Line) -> None:
    """One more line, before all came to rest."""
    rest = list(lines).index("rest")
    items = list(lines.items())
    lines.clear()
    lines.update([*items[:rest], (f"more {len(items)}", line), *items[rest:]])


def another_invoice(lines: dict[str, Line], state: str) -> None:
    lines["invoice 4"] = lines["invoice 2"] | {"invoice_key": "inv_4", "state": state, "bank_code": None}


def at_a_confirming_family(lines: dict[str, Line], **more: Any) -> None:
    """Merchant a's second payment has another invoice, at a terminal whose money is taken by a call."""
    rules = {"gateway": "zibal", "confirms": True, "checks": True, "keeps": False, "needs_return": False}
    lines["terminal c"] = lines["terminal a"] | rules | {"api_key": "api-key-c"} | more


def taken_and_reviewed(lines: dict[str, Line], reason: str, state: str = "captured", **more: Any) -> None:
    """A payment of merchant a at such a terminal needs review for that reason, and its invoice is in that state."""
    at_a_confirming_family(lines)
    another_invoice(lines, state)
    lines["invoice 4"] |= {"api_key": "api-key-c"} | more
    bank_code = "bank_1" if reason == "bank_code_reused" else None
    review = {"reason": reason, "invoice_key": "17:inv_4", "captured_rials": None, "bank_code": bank_code}
    shown = payment(4, "needs_review", 3, gateway="zibal", review=review)
    lines["payments a"]["answer"]["data"].append(shown)
    happened = event(4, 3) | {"type": "payment.needs_review", "data": shown}
    lines["events a"]["answer"]["data"].append(happened)
    arrived = shown | {"sequence": 3}
    lines["webhook 4"] = signed(lines["webhook 2"], "evt_4", {"type": "payment.needs_review", "data": arrived})


def told_again(lines: dict[str, Line], event_id: str, **more: Any) -> None:
    told = orjson.loads(lines["webhook 2"]["body"])
    told["data"] |= more
    lines["webhook 2 again"] = signed(lines["webhook 2"], event_id, told)


def in_test_mode(lines: dict[str, Line]) -> None:
    told = orjson.loads(lines["webhook 2"]["body"])
    told["data"]["mode"] = "test"
    lines["webhook 2"] = signed(lines["webhook 2"], "evt_2", told)


# Of each promise: a lie that breaks it, and what else that lie cannot but break.
LIES: Final[dict[str, tuple[Lie, set[str]]]] = {
    "what was acknowledged is there": (without_the_second, set()),
    "paid is captured": (lambda lines: lines["invoice 2"].update(amount_rials=149_999), set()),
    "an order is paid once": (one_order, set()),
    "what ends unpaid was answered": (canceled_unasked, set()),
    "captured is paid or in review": (
        lambda lines: lines.update(more=lines["invoice 2"] | {"invoice_key": "inv_4"}),
        set(),
    ),
    "what was paid is kept or gone back": (lambda lines: another_invoice(lines, "confirmed"), set()),
    "nothing is wrongly kept": (lambda lines: taken_and_reviewed(lines, "order_withdrawn"), set()),
    "paid is final": (
        another_status,
        {"captured is paid or in review", "every outcome is an event", "states follow"},
    ),
    "states follow": (
        lambda lines: also(lines, call("a", "GET", "/v1/payments/pay_1", payment(1, "failed", 1), 0.1)),
        set(),
    ),
    "every outcome is an event": (
        lambda lines: lines["events a"]["answer"]["data"].pop(1) and lines.pop("webhook 2") and lines.pop("delivery 2"),
        set(),
    ),
    "every event is taken by every endpoint": (
        lambda lines: (lines["webhook 2"].update(status=500), lines["delivery 2"]["answer"].update(status="pending")),
        set(),
    ),
    "every attempt is told once": (lambda lines: lines["delivery 2"]["answer"]["log"].pop(1), set()),
    "one event for one thing": (
        lambda lines: told_again(lines, "evt_9", sequence=3),
        set(),
    ),
    "one id has one body": (lambda lines: told_again(lines, "evt_2", late=True), {"every attempt is told once"}),
    "sequences have no gap": (
        lambda lines: (
            lines["events a"]["answer"]["data"][1].update(sequence=3),
            lines.update({"webhook 2": webhook("a.live", 2, 3)}),
        ),
        set(),
    ),
    "one key is one payment and one answer": (
        lambda lines: also(lines, lines["create 2"] | {"answer": lines["create 2"]["answer"] | {"late": True}}),
        set(),
    ),
    "nobody sees another's": (
        lambda lines: lines["pry"].update(status=403, answer={"code": "forbidden"}),
        set(),
    ),
    "modes do not mix": (in_test_mode, set()),
    "versions never go back": (
        lambda lines: also(lines, lines["read 2"] | {"answer": payment(2, "pending", 2), "began": 15, "ended": 16}),
        set(),
    ),
    "webhooks are signed": (
        lambda lines: lines["webhook 2"]["headers"].update({"webhook-signature": "v1,AAAA"}),
        set(),
    ),
    "secrets are kept": (lambda lines: lines["pry"].update(answer={"detail": "api-key-a is wrong"}), set()),
}


def test_a_true_history_breaks_no_promise() -> None:
    assert promises_broken(true_history()) == set()


def test_each_promise_has_its_lie() -> None:
    assert set(LIES) == set(PROMISES)


@pytest.mark.parametrize("promise", LIES)
def test_a_lie_breaks_its_promise_and_no_other(promise: str) -> None:
    lie, besides = LIES[promise]
    lines = copy.deepcopy(true_history())
    lie(lines)
    assert promises_broken(lines) == {promise} | besides


MORE_LIES: Final[dict[str, tuple[str, Lie]]] = {
    "paid at the gateway, and nobody took it": (
        "what was paid is kept or gone back",
        lambda lines: another_invoice(lines, "paid"),
    ),
    "taken though the order was paid": (
        "nothing is wrongly kept",
        lambda lines: taken_and_reviewed(lines, "order_paid_twice"),
    ),
    "taken though another amount was told before": (
        "nothing is wrongly kept",
        lambda lines: taken_and_reviewed(lines, "amount_differs", paid_rials=15_000),
    ),
    "in review, and nobody paid": (
        "paid is captured",
        lambda lines: taken_and_reviewed(lines, "order_withdrawn", "open"),
    ),
    "paid with an amount that no check has told": ("paid is captured", lambda lines: also(lines, said(2, 15_000))),
    "refused as the gateway never did": (
        "what ends unpaid was answered",
        lambda lines: told_as_refused(lines, 301),
    ),
    "pending, and then failed": (
        "states follow",
        lambda lines: lines["payments a"]["answer"]["data"][1].update(status="failed", version=4),
    ),
    "a webhook that nobody counted": (
        "every attempt is told once",
        lambda lines: lines.update(more=copy.deepcopy(lines["webhook 1"])),
    ),
    "delivered to nobody": (
        "every attempt is told once",
        lambda lines: lines["webhook 2"].update(status=500),
    ),
    "given up before its schedule was": (
        "every event is taken by every endpoint",
        lambda lines: (lines["webhook 2"].update(status=500), lines["delivery 2"]["answer"].update(status="failed")),
    ),
    "a storefront's webhook at another's endpoint": (
        "nobody sees another's",
        lambda lines: lines["endpoint a.live"].update(storefront="books"),
    ),
    "paid of what was only canceled": ("paid is captured", lambda lines: lines["invoice 2"].update(state="canceled")),
    "the money of another's terminal": (
        "paid is captured",
        lambda lines: lines["invoice 2"].update(api_key="api-key-b"),
    ),
    "one capture for two payments": (
        "paid is captured",
        lambda lines: lines["payments a"]["answer"]["data"][0].update(invoice_key="inv_2", bank_code="bank_2"),
    ),
    "another amount than was asked for": (
        "what was acknowledged is there",
        lambda lines: lines["create 2"]["sent"].update(amount=15_000),
    ),
    "a customer who came back as paid": (
        "paid is final",
        told_by_the_way_back_alone,
    ),
    "another's payment in a list": (
        "nobody sees another's",
        lambda lines: lines["payments b"]["answer"]["data"].append(payment(1, "paid", 3)),
    ),
    "another's webhook": (
        "nobody sees another's",
        lambda lines: lines.update(more=lines["webhook 2"] | {"endpoint": "b.live"}),
    ),
    "one key, two payments": (
        "one key is one payment and one answer",
        lambda lines: lines["create 2"].update(key="key-1"),
    ),
    "one version that says two things": (
        "versions never go back",
        lambda lines: lines["read 2"]["answer"].update(bank_code="bank_7"),
    ),
}


@pytest.mark.parametrize("name", MORE_LIES)
def test_it_is_seen_in_other_forms_too(name: str) -> None:
    promise, lie = MORE_LIES[name]
    lines = copy.deepcopy(true_history())
    lie(lines)
    assert promise in promises_broken(lines)


def test_a_replay_of_a_create_may_tell_the_first_version() -> None:
    lines = true_history()
    also(lines, lines["create 2"] | {"began": 40.0, "ended": 41.0})
    assert promises_broken(lines) == set()


def test_a_lie_that_the_gateway_told_is_no_lie_of_ours() -> None:
    lines = true_history()
    also(lines, said(2, 150_000) | {"bank_code": "another"})
    lines["payments a"]["answer"]["data"][1]["bank_code"] = "another"
    for name in ("read 2", "webhook 2"):
        del lines[name]
    lines["webhook 2"] = signed(
        {"endpoint": "a.live", "status": 204},
        "evt_2",
        {"type": "payment.paid", "data": payment(2, "paid", 3, bank_code="another") | {"sequence": 2}},
    )
    assert promises_broken(lines) == set()


@pytest.mark.parametrize(("kept", "broken"), [(True, set()), (False, {"every attempt is told once"})])
def test_a_request_that_is_sent_again_is_one_attempt_if_its_connection_was_kept(
    *, kept: bool, broken: set[str]
) -> None:
    lines = true_history()
    also(lines, dict(lines["webhook 1"]))
    lines["webhook 1"] |= {"status": 0, "kept": kept}
    assert promises_broken(lines) == broken


@pytest.mark.parametrize(
    ("reason", "state", "more"),
    [
        ("order_withdrawn", "paid", {}),
        ("amount_differs", "captured", {}),
        ("bank_code_reused", "open", {}),
        ("bank_code_missing", "captured", {}),
    ],
)
def test_money_in_review_that_nobody_could_leave_alone_is_no_lie(reason: str, state: str, more: Line) -> None:
    lines = true_history()
    taken_and_reviewed(lines, reason, state, **more)
    assert promises_broken(lines) == set()


@pytest.mark.parametrize(("needs_return", "broken"), [(True, set()), (False, {"what was paid is kept or gone back"})])
def test_money_waits_for_a_return_only_where_nobody_can_be_asked_without(
    *, needs_return: bool, broken: set[str]
) -> None:
    lines = true_history()
    at_a_confirming_family(lines, needs_return=needs_return)
    another_invoice(lines, "paid")
    lines["invoice 4"]["api_key"] = "api-key-c"
    assert promises_broken(lines) == broken


def test_a_refusal_is_told_with_the_code_that_the_gateway_gave() -> None:
    lines = true_history()
    told_as_refused(lines, 102)
    assert "what ends unpaid was answered" not in promises_broken(lines)


def test_what_was_given_up_after_its_schedule_is_told() -> None:
    lines = true_history()
    del lines["webhook 2"]
    lines["delivery 2"]["answer"] = delivery(2, ("failed",) * 10)
    assert promises_broken(lines) == set()


def test_it_is_a_command_that_imports_nothing_of_the_product(tmp_path: Path) -> None:
    lines = true_history()
    lines["invoice 2"]["amount_rials"] = 1
    file = tmp_path / "history.jsonl"
    file.write_bytes(b"\n".join(map(orjson.dumps, lines.values())))
    told = (
        "import runpy, sys; from pathlib import Path; sys.argv[1:] = [sys.argv[1]]\n"
        "try: runpy.run_module('tests.torture.history', run_name='__main__')\n"
        "finally: print(*[name for name in sys.modules if name.split('.')[0] == 'proxy'])"
    )
    ran = subprocess.run([sys.executable, "-c", told, str(file)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 1, ran.stderr
    assert "BROKEN paid is captured" in ran.stdout
    assert ran.stdout.splitlines()[-1] == ""


FOUR_DAYS: Final = 4 * 86_400_000
# The payment expires at 15:00:00, the webhooks were signed at 14:13:20.
EARLY, LATER, EXPIRY = "2026-09-21T14:00:00.000Z", "2026-09-21T14:00:20.000Z", "2026-09-21T15:00:00.000Z"
BEFORE_SIGNED, SIGNED = "2026-09-21T14:13:19.000Z", "2026-09-21T14:13:20.400Z"


def clock(wrong: int, at: str) -> Line:
    return {"what": "clock", "wrong": wrong, "at": at}


def asked(at: str, number: int = 1) -> Line:
    return {"what": "said", "invoice_key": f"inv_{number}", "outcome": "open", "at": at}


@pytest.mark.parametrize(
    ("told", "right"),
    [
        ((asked(EARLY),), False),
        ((clock(FOUR_DAYS, EARLY),), False),
        ((clock(FOUR_DAYS, EARLY), asked(LATER)), True),
        ((asked(EARLY), clock(FOUR_DAYS, EARLY)), True),
        ((asked(EARLY), clock(FOUR_DAYS, LATER)), False),
        ((clock(FOUR_DAYS, EARLY), clock(0, EARLY), asked(LATER)), False),
        ((asked(EXPIRY),), True),
        ((clock(-FOUR_DAYS, EARLY), asked(EXPIRY)), False),
    ],
)
def test_a_payment_expires_by_the_clock_of_the_process_that_asked(told: tuple[Line, ...], *, right: bool) -> None:
    lines = true_history()
    expired = call("a", "GET", "/v1/payments/pay_1", payment(1, "expired", 2.5), 5.0)
    for line in (*told, asked(EARLY, 9), expired):
        also(lines, line)
    assert ("what ends unpaid was answered" not in promises_broken(lines)) == right


@pytest.mark.parametrize(
    ("clocks", "right"),
    [
        ((), False),
        ((clock(FOUR_DAYS, SIGNED),), True),
        ((clock(FOUR_DAYS, EARLY), clock(0, BEFORE_SIGNED)), True),
        ((clock(FOUR_DAYS, EARLY), clock(0, LATER)), False),
    ],
)
def test_an_attempt_is_told_by_a_clock_that_is_looked_at_a_moment_after_it_jumped(
    clocks: tuple[Line, ...], *, right: bool
) -> None:
    """Its signature is by the right time, the attempt by a clock that is four days ahead."""
    lines = true_history()
    for line in clocks:
        also(lines, line)
    lines["delivery 1"]["answer"]["log"][0]["started_at"] = "2026-09-25T14:13:20.500Z"
    assert promises_broken(lines) == (set() if right else {"every attempt is told once"})


@pytest.mark.parametrize(("seconds", "right"), [("21.900", True), ("22.001", False)])
def test_a_signature_may_be_a_second_and_its_fraction_before_its_attempt(seconds: str, *, right: bool) -> None:
    """The signature has whole seconds, and the database's clock, which tells of the attempt, may be a second ahead."""
    lines = true_history()
    lines["delivery 1"]["answer"]["log"][0]["started_at"] = f"2026-09-21T14:13:{seconds}Z"
    assert promises_broken(lines) == (set() if right else {"every attempt is told once"})


def test_a_webhook_that_could_be_two_attempts_leaves_the_other_its_own() -> None:
    """Signed once the clock was right again, it may be either of two attempts by the clock that was ahead."""
    clocks = cast("Any", SimpleNamespace(moments=lambda at: {at, at + 15_000} if at == 0 else {at}))
    log = [{"started_at": f"1970-01-01T00:00:{second}Z"} for second in ("10.400", "15.900")]
    assert _untold([0, 10], log, clocks) == []
    assert _untold([0, 10, 10], log, clocks) == [10]
