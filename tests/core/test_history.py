"""How calls, events and webhooks become one list."""

from proxy.merchants.merchant import Mode
from proxy.payments.history import MAX_ENTRIES, DeliveryAttempts, EventDeliveries, merged
from proxy.payments.records import Entry
from proxy.webhooks.delivery import Attempt, Delivery, DeliveryStatus
from proxy.webhooks.event import StoredEvent

MERCHANT = "mer_00000000"


def call(at: int, number: int = 0) -> Entry:
    return Entry(at, "gateway.check", 5, {"outcome": "unknown", "n": number})


def told(at: int, attempts_at: tuple[int, ...] = ()) -> EventDeliveries:
    event = StoredEvent(f"evt_{at}", MERCHANT, at, "main", "live", "payment.paid", "pay_1", at, b"{}")
    delivery = Delivery(
        f"dlv_{at}",
        MERCHANT,
        "ep_1",
        event.id,
        "pay_1",
        DeliveryStatus.PENDING,
        len(attempts_at),
        at,
        at,
        None,
        "main",
        Mode.LIVE,
    )
    attempts = [
        Attempt(number, started, 7, "failed", None, "timeout", b"") for number, started in enumerate(attempts_at, 1)
    ]
    return EventDeliveries(event, [DeliveryAttempts(delivery, attempts)])


def test_what_happened_in_one_millisecond_stands_in_the_order_of_cause_and_effect() -> None:
    history = merged([call(9), call(10, 1), call(10, 2), call(11)], [told(10, (10, 12))])
    assert [(entry.at, entry.kind, entry.data.get("n")) for entry in history.entries] == [
        (9, "gateway.check", 0),
        (10, "gateway.check", 1),
        (10, "gateway.check", 2),
        (10, "event", None),
        (10, "delivery", None),
        (10, "attempt", None),
        (11, "gateway.check", 0),
        (12, "attempt", None),
    ]
    assert not history.truncated


def test_events_of_several_times_are_woven_in() -> None:
    history = merged([call(5), call(15)], [told(10, (11, 20)), told(16)])
    assert [entry.at for entry in history.entries] == [5, 10, 10, 11, 15, 16, 16, 20]


def test_more_than_the_most_keeps_the_newest_and_says_so() -> None:
    calls = [call(at, at) for at in range(MAX_ENTRIES - 2)]
    whole = merged(calls, [told(MAX_ENTRIES)])
    assert (len(whole.entries), whole.truncated) == (MAX_ENTRIES, False)
    cut = merged([*calls, call(MAX_ENTRIES - 1, -1)], [told(MAX_ENTRIES)])
    assert (len(cut.entries), cut.truncated) == (MAX_ENTRIES, True)
    assert cut.entries[0].data["n"] == 1
    assert cut.entries[-1].kind == "delivery"
