"""A history that breaks no promise, in lines by a name, for the judge's own test to lie in."""

from datetime import UTC, datetime
from typing import Any, Final

import orjson
from standardwebhooks import Webhook

from .story import Line

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
