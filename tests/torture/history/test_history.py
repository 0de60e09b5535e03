"""The judge: a true history breaks no promise, and each lie in it breaks the one that it is about."""

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from .. import ROOT
from .judge import PROMISES, judge
from .lines import call, delivery, payment, signed, true_history, webhook
from .story import Line


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
