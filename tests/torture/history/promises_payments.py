"""The promises about payments: what their storefronts are told of them, against what the gateway has."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import orjson

from .story import SECOND, Clocks, Line, Story, credited_invoices, milliseconds, owner_of

# What cannot differ between two tellings of one version of a payment.
TOLD: Final = ("status", "amount_rials", "invoice_key", "bank_code", "order_id")
# From the question to its answer.
LONGEST_CHECK: Final = 10 * SECOND
# Of a state, those in which it may have been told before.
BEFORE: Final[dict[str, set[str]]] = {
    "created": set(),
    "pending": {"created"},
    "failed": {"created"},
    "canceled": {"created", "pending"},
    "expired": {"created", "pending"},
    "needs_review": {"created", "pending", "canceled", "expired", "failed"},
    "paid": {"created", "pending", "canceled", "expired", "failed"},
}


def what_was_acknowledged_is_there(story: Story) -> Iterator[str]:
    """Every 201's payment, with the amount that was asked for."""
    at_rest = story.payments_at_rest()
    for call in story.created():
        asked, answer = call["sent"]["amount"], call["answer"]
        _, payment = at_rest.get(answer["id"], (None, None))
        if payment is None or (payment["amount_rials"], answer["amount_rials"]) != (asked, asked):
            yield f"{answer['id']} of {asked} rials was answered 201, and is {payment}"


def paid_is_captured(story: Story) -> Iterator[str]:
    """By that merchant's terminal of that mode, for one payment alone, with amount and bank_code as a check told them.

    Where the history has no answers they are the ledger's.
    A review tells what the gateway said, which may be a lie; that there is a capture is all that it must hold.
    """
    invoices, credited = _invoices(story), set()
    for owner, payment in story.payments_at_rest().values():
        for key in credited_invoices(payment):
            invoice = invoices.get(key)
            if invoice is None or (invoice["state"], invoice["owner"]) != ("captured", owner[:2]) or key in credited:
                yield f"{payment['id']} tells of {key}, the ledger of {invoice}, credited: {key in credited}"
            credited.add(key)
        if payment["status"] == "paid":
            key = payment["invoice_key"]
            said = [each for each in story.said.get(key, ()) if each["outcome"] == "captured"]
            said = said or [invoices.get(key, {})]
            told = payment["amount_rials"], payment["bank_code"]
            if told not in [(each.get("amount_rials"), each.get("bank_code")) for each in said]:
                yield f"{payment['id']} has {told}, the gateway {said}"


def an_order_is_paid_once(story: Story) -> Iterator[str]:
    """Of a storefront's payments for one order, the second that is paid is a review."""
    paid: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for owner, payment in story.payments_at_rest().values():
        if payment["status"] == "paid":
            paid[*owner, payment["order_id"]].add(payment["id"])
    yield from (f"{order} is paid by {found}" for order, found in paid.items() if len(found) > 1)


def what_ends_unpaid_was_answered(story: Story) -> Iterator[str]:
    """Before it is told: that it was canceled, or, after the expiry, that nothing was paid, or that it was refused."""
    if not story.said and not story.refused:
        return  # a campaign that does not see the gateway's answers
    told = [(each.place, each.owner, each.payment) for each in story.tellings()]
    told += [
        (hook.place, owner_of(hook.endpoint), hook.event["data"])
        for hook in story.hooks
        if hook.event["type"].startswith("payment.")
    ]
    refusals = _refusals(story)
    for place, owner, payment in told:
        said = [each for each in story.said.get(payment["invoice_key"], ()) if each["place"] < place]
        if payment["status"] == "canceled" and not any(each["outcome"] == "canceled" for each in said):
            yield f"{payment['id']} is canceled, and of its invoice was said {said}"
        if payment["status"] == "expired" and not any(
            _says_unpaid(each, payment["expires_at"], story.clocks) for each in said
        ):
            yield f"{payment['id']} expired at {payment['expires_at']}, and of its invoice was said {said}"
        if payment["status"] == "failed" and payment["failure"]["reason"] == "gateway_refused":
            refusal = *owner[:2], payment["amount_rials"], payment["failure"]["gateway_error_code"]
            if refusals.get(refusal, place) >= place:
                yield f"{payment['id']} was refused, and the gateway said so to none such: {refusal}"


def captured_is_paid_or_in_review(story: Story) -> Iterator[str]:
    credited = {key for _, payment in story.payments_at_rest().values() for key in credited_invoices(payment)}
    for key, invoice in _invoices(story).items():
        if invoice["state"] == "captured" and key not in credited:
            yield f"invoice {invoice}"


def paid_is_final(story: Story) -> Iterator[str]:
    at_rest = story.payments_at_rest()
    told = {each.payment["id"] for each in story.tellings() if each.payment["status"] == "paid"}
    told |= {hook.event["data"]["id"] for hook in story.hooks if hook.event["type"] == "payment.paid"}
    told |= set(_paid_by_the_way_back(story))
    for payment_id in told:
        _, payment = at_rest.get(payment_id, (None, None))
        if payment is None or payment["status"] != "paid":
            yield f"{payment_id} was told as paid, and is {payment}"


def states_follow(story: Story) -> Iterator[str]:
    """From one version to a later one, whoever was told of either."""
    told: dict[str, set[tuple[int, str]]] = defaultdict(set)
    for telling in story.tellings():
        told[telling.payment["id"]].add((telling.payment["version"], telling.payment["status"]))
    for hook in story.hooks:
        if hook.event["type"].startswith("payment."):
            data = hook.event["data"]
            told[data["id"]].add((data["version"], data["status"]))
    for payment_id, found in told.items():
        states = [state for _, state in sorted(found)]
        for before, after in pairwise(states):
            if before != after and before not in BEFORE[after]:
                yield f"{payment_id} was told as {before}, and later as {after}"


def versions_never_go_back(story: Story) -> Iterator[str]:
    """What is read after another reading had ended is at least as new; one version says one thing."""
    readings = defaultdict(list)
    said: dict[tuple[str, int], list[Any]] = {}
    for telling in story.tellings():
        payment = telling.payment
        readings[payment["id"]].append(telling)
        yield from _said_otherwise(said, payment)
    for hook in story.hooks:
        if hook.event["type"].startswith("payment."):
            yield from _said_otherwise(said, hook.event["data"])
    for payment_id, tellings in readings.items():
        ended = sorted((each.ended, each.payment["version"]) for each in tellings)
        newest = at = 0
        for telling in sorted(tellings, key=lambda each: each.began):
            while ended[at][0] < telling.began:
                newest, at = max(newest, ended[at][1]), at + 1
            if telling.payment["version"] < newest and not telling.replay:
                yield f"{payment_id} was read at version {newest}, and then at {telling.payment['version']}"


def one_key_is_one_payment_and_one_answer(story: Story) -> Iterator[str]:
    answers: dict[tuple[str, ...], set[bytes]] = defaultdict(set)
    for call in story.created():
        answers[*owner_of(call), call["key"]].add(orjson.dumps(call["answer"], option=orjson.OPT_SORT_KEYS))
    yield from (f"{key} gave {found}" for key, found in answers.items() if len(found) > 1)


def _owners(story: Story) -> dict[str, tuple[str, str]]:
    """Whose each terminal is."""
    return {terminal["api_key"]: owner_of(terminal)[:2] for terminal in story.terminals}


def _invoices(story: Story) -> dict[str, Line]:
    owners = _owners(story)
    return {each["invoice_key"]: each | {"owner": owners[each["api_key"]]} for each in story.invoices}


def _refusals(story: Story) -> dict[tuple[str, str, int, int], int]:
    """When a request was refused first, by whose it was, its amount and the code."""
    owners, first = _owners(story), dict[tuple[str, str, int, int], int]()
    for each in story.refused:
        first.setdefault((*owners[each["api_key"]], each["amount_rials"], each["code"]), each["place"])
    return first


def _paid_by_the_way_back(story: Story) -> Iterator[str]:
    """The payments with which customers came back to their shop as paid."""
    for page in story.pages:
        query = parse_qs(urlsplit(page["location"]).query)
        if page["page"] == "return" and query.get("status") == ["paid"]:
            yield page["payment"]


def _says_unpaid(said: Line, expires_at: str, clocks: Clocks) -> bool:
    """Not before the expiry, by the clock of the process that asked, which may jump until the answer is there."""
    asked = milliseconds(said["at"])
    return said["outcome"] != "captured" and clocks.latest(asked, asked + LONGEST_CHECK) >= milliseconds(expires_at)


def _said_otherwise(said: dict[tuple[str, int], list[Any]], payment: Line) -> Iterator[str]:
    told = [payment[name] for name in TOLD]
    version = payment["id"], payment["version"]
    if said.setdefault(version, told) != told:
        yield f"version {version[1]} of {version[0]} says {said[version]}, and {told}"
