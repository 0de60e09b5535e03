"""Judges a history by every promise, and counts what it saw: one in which nothing happened proves nothing.

A promise is a question to a history: what of it breaks this one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from .promises_events import (
    every_attempt_is_told_once,
    every_event_is_taken_by_every_endpoint,
    every_outcome_is_an_event,
    one_event_for_one_thing,
    one_id_has_one_body,
    sequences_have_no_gap,
    webhooks_are_signed,
)
from .promises_payments import (
    an_order_is_paid_once,
    captured_is_paid_or_in_review,
    one_key_is_one_payment_and_one_answer,
    paid_is_captured,
    paid_is_final,
    states_follow,
    versions_never_go_back,
    what_ends_unpaid_was_answered,
    what_was_acknowledged_is_there,
)
from .story import Story, is_told, owner_of

Promise = Callable[[Story], Iterator[str]]
# No answer, not found, not now.
NOTHING_TOLD: Final = (0, 404, 429, 503)


def nobody_sees_anothers(story: Story) -> Iterator[str]:
    """Of another merchant, or of the other mode: in a call's answer, in a webhook, or by naming it."""
    owners = {call["answer"]["id"]: owner_of(call) for call in story.created()}
    for call in story.calls:
        owner = owners.get(_named(call["path"]), owner_of(call))
        if owner != owner_of(call) and call["status"] not in NOTHING_TOLD:
            yield f"{call['method']} {call['path']} of {owner_of(call)} was answered {call['status']}"
    for telling in story.tellings():
        if owners.setdefault(telling.payment["id"], telling.owner) != telling.owner:
            yield f"{telling.payment['id']} was told to {telling.owner}"
    for hook in story.hooks:
        whose = owners.get(hook.event["data"].get("id", ""))
        if whose is not None and not is_told(hook.endpoint, whose):
            yield f"{hook.id} of {whose} came to {hook.endpoint['name']}"


def modes_do_not_mix(story: Story) -> Iterator[str]:
    for hook in story.hooks:
        if hook.event["data"].get("mode", hook.endpoint["mode"]) != hook.endpoint["mode"]:
            yield f"{hook.id} came to the {hook.endpoint['mode']} endpoint {hook.endpoint['name']}: {hook.body}"


def secrets_are_kept(story: Story) -> Iterator[str]:
    secrets = {terminal["api_key"] for terminal in story.terminals} | {
        terminal["token"] for terminal in story.terminals
    }
    secrets |= {endpoint["secret"] for endpoint in story.endpoints.values()}
    said = [orjson.dumps(call["answer"]).decode() for call in story.calls] + [hook.body for hook in story.hooks]
    said += [page["location"] for page in story.pages]
    for text in said:
        yield from (f"a secret stands in {text}" for secret in secrets if secret in text)


PROMISES: Final[dict[str, Promise]] = {
    "what was acknowledged is there": what_was_acknowledged_is_there,
    "paid is captured": paid_is_captured,
    "an order is paid once": an_order_is_paid_once,
    "what ends unpaid was answered": what_ends_unpaid_was_answered,
    "captured is paid or in review": captured_is_paid_or_in_review,
    "paid is final": paid_is_final,
    "states follow": states_follow,
    "every outcome is an event": every_outcome_is_an_event,
    "every event is taken by every endpoint": every_event_is_taken_by_every_endpoint,
    "every attempt is told once": every_attempt_is_told_once,
    "one event for one thing": one_event_for_one_thing,
    "one id has one body": one_id_has_one_body,
    "sequences have no gap": sequences_have_no_gap,
    "one key is one payment and one answer": one_key_is_one_payment_and_one_answer,
    "nobody sees another's": nobody_sees_anothers,
    "modes do not mix": modes_do_not_mix,
    "versions never go back": versions_never_go_back,
    "webhooks are signed": webhooks_are_signed,
    "secrets are kept": secrets_are_kept,
}


def _named(path: str) -> str:
    """The id in a path such as `/v1/payments/{id}/check`."""
    return "".join(path.partition("?")[0].split("/")[3:4])


@dataclass(frozen=True, slots=True)
class Broken:
    promise: str
    what: str

    def __str__(self) -> str:
        return f"{self.promise}: {self.what}"


@dataclass(frozen=True, slots=True)
class Verdict:
    broken: list[Broken]
    counts: Counter[str]


def judge(lines: Iterable[bytes]) -> Verdict:
    story = Story.read(lines)
    broken = [Broken(name, what) for name, promise in PROMISES.items() for what in promise(story)]
    return Verdict(broken, _counted(story))


def judge_file(path: Path) -> Verdict:
    with path.open("rb") as lines:
        return judge(lines)


def _counted(story: Story) -> Counter[str]:
    payments = [payment for _, payment in story.payments_at_rest().values()]
    captured = [invoice for invoice in story.invoices if invoice["state"] == "captured"]
    counts = Counter(f"ended {payment['status']}" for payment in payments)
    counts["payments"] = len(payments)
    counts["acknowledged creates"] = len({call["answer"]["id"] for call in story.created()})
    counts["captured"] = len(captured)
    counts["rials captured"] = sum(invoice["amount_rials"] for invoice in captured)
    counts["rials paid"] = sum(payment["amount_rials"] for payment in payments if payment["status"] == "paid")
    counts["pages"] = len(story.pages)
    counts["webhooks due"] = len(list(story.events_due()))
    counts["webhooks arrived"] = len(story.hooks)
    counts["duplicates by id"] = len(story.hooks) - len({(hook.endpoint["name"], hook.id) for hook in story.hooks})
    counts["asked for another's payment"] = sum(call["status"] == 404 for call in story.calls)
    counts["asked again with the same key"] = len(list(story.created())) - counts["acknowledged creates"]
    return counts
