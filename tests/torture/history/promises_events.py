"""The promises about events: each thing that happened is told to everybody who is to be told, once in effect."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from standardwebhooks import Webhook

from .story import SECOND, Clocks, Hook, Line, Story, milliseconds

# Of what may happen to one payment more than once: to each of its invoices.
OF_AN_INVOICE: Final = ("payment.needs_review", "payment.review_resolved")
# An attempt of which nothing was heard again is told since its claim, at most so long before it was signed.
LATEST_START: Final = 5 * SECOND
# After so many attempts, over days, a delivery is given up and told as failed.
SCHEDULE: Final = 10


def every_outcome_is_an_event(story: Story) -> Iterator[str]:
    happened = {(event["payment_id"], event["type"]) for _, event in story.events_at_rest().values()}
    for _, payment in story.payments_at_rest().values():
        status = payment["status"]
        if status not in {"created", "pending"} and (payment["id"], f"payment.{status}") not in happened:
            yield f"{payment['id']} is {status}, and no event says so"


def every_event_is_taken_by_every_endpoint(story: Story) -> Iterator[str]:
    taken = {(hook.endpoint["name"], hook.id) for hook in story.hooks if hook.taken}
    for delivery, endpoint in story.deliveries_at_rest():
        if delivery["status"] == "failed" and delivery["attempts"] >= SCHEDULE:
            taken.add((endpoint["name"], delivery["event_id"]))  # the merchant is told that it was given up
    for event, endpoint in story.events_due():
        if (endpoint["name"], event["id"]) not in taken:
            yield f"{event['id']} {event['type']} of {event['payment_id']} at {endpoint['name']}"


def every_attempt_is_told_once(story: Story) -> Iterator[str]:
    """With its number; each webhook that came is one of them, and what counts as delivered was taken."""
    came = _attempts_that_came(story)
    taken = {(hook.endpoint["name"], hook.id) for hook in story.hooks if hook.taken}
    for delivery, endpoint in story.deliveries_at_rest():
        what, count = f"{delivery['id']} at {endpoint['name']}", delivery["attempts"]
        numbers = [attempt["number"] for attempt in delivery["log"]]
        if numbers != list(range(count - len(numbers) + 1, count + 1)) or (count > 0) != bool(numbers):
            yield f"{what} counts {count} attempts, and tells of {numbers}"
        place = endpoint["name"], delivery["event_id"]
        untold = _untold(came[place], delivery["log"], story.clocks)
        if untold:
            yield f"{what} came at {untold}, and tells of no such attempt: {delivery['log']}"
        if delivery["status"] == "delivered" and place not in taken:
            yield f"{what} is delivered, and nobody took it"


def one_event_for_one_thing(story: Story) -> Iterator[str]:
    ids: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for _, event in story.events_at_rest().values():
        if event["payment_id"] is not None:
            ids[_happening(event)].add(event["id"])
    for hook in story.hooks:
        if hook.event["type"].startswith("payment."):
            ids[_happening(hook.event)].add(hook.id)
    yield from (f"{what} came as {found}" for what, found in ids.items() if len(found) > 1)


def one_id_has_one_body(story: Story) -> Iterator[str]:
    for (event_id,), hooks in story.hooks_by("id").items():
        if len({hook.body for hook in hooks}) > 1:
            yield f"event {event_id} came with two bodies"


def sequences_have_no_gap(story: Story) -> Iterator[str]:
    """All of a merchant's events together, live and test, as its receivers and its storefronts saw them."""
    seen: dict[str, dict[str, int]] = defaultdict(dict)
    for (merchant, *_), event in story.events_at_rest().values():
        seen[merchant][event["id"]] = event["sequence"]
    for hook in story.hooks:
        if (number := hook.event["data"]["sequence"]) > 0:  # a ping has none
            seen[hook.endpoint["merchant"]][hook.id] = number
    for merchant, events in seen.items():
        numbers = sorted(events.values())
        if numbers != list(range(1, len(numbers) + 1)):
            missing = sorted(set(range(1, numbers[-1] + 1)) - set(numbers))
            yield f"{merchant}: {len(numbers)} events to number {numbers[-1]}, without {missing[:10]}"


def webhooks_are_signed(story: Story) -> Iterator[str]:
    """By the endpoint's secret, as the specification's library signs: clocks that jump are no reason to refuse."""
    yield from (
        f"{hook.id} is not signed by the key of {hook.endpoint['name']}" for hook in story.hooks if not _signed(hook)
    )


def _happening(event: Line) -> tuple[str, ...]:
    """What an event tells of: there must be one event of it."""
    data = event["data"]
    of_invoice = (data["review"]["invoice_key"],) if event["type"] in OF_AN_INVOICE else ()
    return data["id"], event["type"], *of_invoice


def _attempts_that_came(story: Story) -> dict[tuple[str, str], list[int]]:
    """When each was signed, by endpoint and event. What was cut off on a kept connection may come a second time."""
    came: dict[tuple[str, str], list[int]] = defaultdict(list)
    cut_off: set[tuple[str, str, int]] = set()
    for hook in story.hooks:
        place, at = (hook.endpoint["name"], hook.id), int(hook.headers["webhook-timestamp"])
        if (*place, at) in cut_off:
            cut_off.remove((*place, at))
            continue
        came[place].append(at)
        if hook.resendable:
            cut_off.add((*place, at))
    return came


def _untold(came: list[int], log: list[Line], clocks: Clocks) -> list[int]:
    """The times of the webhooks that are none of these attempts; each is one webhook at most.

    A signature is by the time of day, an attempt by the process's clock, which follows that when it jumped.
    """
    untold, begun = [], sorted(milliseconds(attempt["started_at"]) for attempt in log)
    for at in sorted(came):
        signed = clocks.moments(at * SECOND)
        mine = next((time for time in begun if _follows(signed, clocks.moments(time))), None)
        if mine is None:
            untold.append(at)
        else:
            begun.remove(mine)
    return untold


def _follows(signed: set[int], begun: set[int]) -> bool:
    return any(-SECOND <= at - time <= LATEST_START + SECOND for at in signed for time in begun)


def _signed(hook: Hook) -> bool:
    sent_at = datetime.fromtimestamp(int(hook.headers["webhook-timestamp"]), UTC)
    right: str = Webhook(hook.endpoint["secret"]).sign(hook.id, sent_at, hook.body)
    return right in hook.headers["webhook-signature"].split()
