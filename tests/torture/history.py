"""Judges a history: `python -m tests.torture.history FILE`, which a campaign left. Exit code 1 for a broken promise.

A promise is a question to a history: what of it breaks this one. What happened is counted too: a history in which
nothing happened proves nothing. Like the history's lines, the judge imports nothing of the product.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import click
import orjson
from standardwebhooks import Webhook

from .history_lines import (
    SECOND,
    Clocks,
    Hook,
    Line,
    Story,
    bank_key,
    credited_invoices,
    is_told,
    milliseconds,
    owner_of,
)

# What cannot differ between two tellings of one version of a payment.
TOLD: Final = ("status", "amount_rials", "invoice_key", "bank_code", "order_id")
SCRIPT: Final = "invoice_script"
MONEY_CAME: Final = frozenset({"paid", "confirmed", "captured", "reversed"})
# Reviews of money that was not wanted, whoever's it is.
UNWANTED: Final = frozenset({"order_paid_twice", "order_withdrawn", "paid_twice"})
# From the question to its answer.
LONGEST_CHECK: Final = 10 * SECOND
# Of a state, those in which it may have been told before.
BEFORE: Final[dict[str, set[str]]] = {
    "created": set(),
    "pending": {"created"},
    "failed": {"created"},
    "canceled": {"created", "pending"},
    "expired": {"created", "pending"},
    "given_back": {"created", "pending", "canceled", "expired", "failed"},
    "needs_review": {"created", "pending", "canceled", "expired", "failed", "given_back"},
    "paid": {"created", "pending", "canceled", "expired", "failed", "given_back"},
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
    invoices, credited, rules = _invoices(story), set(), _rules(story)
    receipts = {each["bank_code"] for each in story.invoices} - {None}
    for owner, payment in story.payments_at_rest().values():
        for key in credited_invoices(payment):
            invoice = invoices.get(key)
            came = (
                invoice is not None
                and invoice["owner"] == owner[:2]
                and _money_came(payment, key, invoice, rules, receipts)
            )
            if not came or key in credited:
                yield f"{payment['id']} tells of {key}, the ledger of {invoice}, credited: {key in credited}"
            credited.add(key)
        if payment["status"] == "paid":
            key = bank_key(payment["invoice_key"])
            said = [each for each in story.said.get(key, ()) if each["outcome"] == "captured"]
            said = said or [invoices.get(key, {})]
            told = payment["amount_rials"], payment["bank_code"]
            if told not in [(_money(each), each.get("bank_code")) for each in said]:
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
    refusals, rules = _refusals(story), _rules(story)
    for place, owner, payment in told:
        said = [each for each in story.said.get(payment["invoice_key"], ()) if each["place"] < place]
        if payment["status"] == "failed" and payment["failure"]["reason"] == "gateway_refused":
            refusal = *owner[:2], payment["amount_rials"], payment["failure"]["gateway_error_code"]
            if refusals.get(refusal, place) >= place:
                yield f"{payment['id']} was refused, and the gateway said so to none such: {refusal}"
        if rules[_gateway(payment)].get("confirms") or payment.get("withdrawn_at") is not None:
            continue  # of other families only the bank's ledger is seen; and the shop's own cancel is no answer
        if payment["status"] == "canceled" and not any(each["outcome"] == "canceled" for each in said):
            yield f"{payment['id']} is canceled, and of its invoice was said {said}"
        if payment["status"] == "expired" and not any(
            _says_unpaid(each, payment["expires_at"], story.clocks) for each in said
        ):
            yield f"{payment['id']} expired at {payment['expires_at']}, and of its invoice was said {said}"


def captured_is_paid_or_in_review(story: Story) -> Iterator[str]:
    credited = {key for _, payment in story.payments_at_rest().values() for key in credited_invoices(payment)}
    for key, invoice in _invoices(story).items():
        if invoice["state"] == "captured" and key not in credited:
            yield f"invoice {invoice}"


def what_was_paid_is_kept_or_gone_back(story: Story) -> Iterator[str]:
    """Where money is taken by a call of ours: none waits for a second call, nor for the first one."""
    rules, known = {line["api_key"]: line for line in story.terminals}, _known_unpaid(story)
    for key, invoice in _invoices(story).items():
        rule = rules[invoice["api_key"]]
        # A customer who paid and never came back is known to nobody where the return brings what the calls need.
        waits = invoice["state"] == "paid" and key not in known and not (rule.get("needs_return") and not rule["keeps"])
        if waits or invoice["state"] == "confirmed":
            yield f"invoice {invoice}"


def _known_unpaid(story: Story) -> set[str]:
    """The invoices whose money is told as not taken, and of unwanted payments those where only taking it would tell."""
    found, rules, at_rest = set[str](), _rules(story), story.payments_at_rest().values()
    paid = {(owner, payment["order_id"]) for owner, payment in at_rest if payment["status"] == "paid"}
    for owner, payment in at_rest:
        found |= {bank_key(payment[kind]["invoice_key"]) for kind in ("review", "given_back") if payment.get(kind)}
        unwanted = payment.get("withdrawn_at") is not None or (owner, payment["order_id"]) in paid
        if unwanted and not rules[_gateway(payment)].get("checks", True) and payment["invoice_key"] is not None:
            found.add(bank_key(payment["invoice_key"]))
    return found


def nothing_is_wrongly_kept(story: Story) -> Iterator[str]:
    """Money that must go back was not taken, where that is a call of ours; an amount may be told by that call alone."""
    invoices, rules = _invoices(story), _rules(story)
    for payment in _reviewed(story):
        invoice, rule = invoices.get(bank_key(payment["review"]["invoice_key"]), {}), rules[_gateway(payment)]
        if payment["status"] == "paid" and bank_key(payment["invoice_key"]) == invoice.get("invoice_key"):
            continue
        unwanted = payment["review"]["reason"] in UNWANTED or (
            rule.get("checks", True) and _money(invoice) != payment["amount_rials"]
        )
        if rule.get("confirms") and invoice.get("state") == "captured" and unwanted:
            yield f"{payment} is in review, and {invoice} was taken"


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


def _reviewed(story: Story) -> Iterator[Line]:
    return (payment for _, payment in story.payments_at_rest().values() if payment["review"] is not None)


def _gateway(payment: Line) -> str:
    return payment.get("gateway") or SCRIPT


def _rules(story: Story) -> dict[str, Line]:
    """Of each family, a line that tells what it is like; of the invoice script there may be none."""
    return {SCRIPT: {}} | {line["gateway"]: line for line in story.terminals if "gateway" in line}


def _money(invoice: Line) -> int | None:
    """What the customer paid, or an answer told."""
    paid = invoice.get("paid_rials")
    return invoice.get("amount_rials") if paid is None else paid


def _money_came(payment: Line, key: str, invoice: Line, rules: dict[str, Line], receipts: set[str]) -> bool:
    """Whether an invoice of which a payment tells was captured; where a review tells of it, the customer paid at least,
    or it was a receipt of another's that somebody brought.
    """
    paid = payment["status"] == "paid" and bank_key(payment["invoice_key"]) == key
    if paid or not rules[_gateway(payment)].get("confirms"):
        return bool(invoice["state"] == "captured")
    rule, review = rules[_gateway(payment)], payment["review"]
    # Where only taking money tells of it, an operator is told of what a return claims.
    claimed = rule["keeps"] and not rule["checks"] and review["captured_rials"] is None
    return invoice["state"] in MONEY_CAME or claimed or review["bank_code"] in receipts


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


# Of what may happen to one payment more than once: to each of its invoices.
OF_AN_INVOICE: Final = {
    "payment.needs_review": "review",
    "payment.review_resolved": "review",
    "payment.given_back": "given_back",
}
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
    about = OF_AN_INVOICE.get(event["type"])
    of_invoice = () if about is None else (data[about]["invoice_key"],)
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

    A signature is by the time of day, in whole seconds; an attempt by the process's clock, which follows that, or the
    database's, when it is more than a second away.
    """
    begun = [clocks.moments(milliseconds(attempt["started_at"])) for attempt in log]
    signed = [clocks.moments(at * SECOND) for at in came]
    told: dict[int, int] = {}

    def tells(webhook: int, tried: set[int]) -> bool:
        """Whether an attempt is left for it, where those that are taken may go to others."""
        for attempt in range(len(begun)):
            if attempt in tried or not _follows(signed[webhook], begun[attempt]):
                continue
            tried.add(attempt)
            if attempt not in told or tells(told[attempt], tried):
                told[attempt] = webhook
                return True
        return False

    return [at for webhook, at in enumerate(came) if not tells(webhook, set())]


def _follows(signed: set[int], begun: set[int]) -> bool:
    return any(-2 * SECOND < at - time <= LATEST_START + SECOND for at in signed for time in begun)


def _signed(hook: Hook) -> bool:
    sent_at = datetime.fromtimestamp(int(hook.headers["webhook-timestamp"]), UTC)
    right: str = Webhook(hook.endpoint["secret"]).sign(hook.id, sent_at, hook.body)
    return right in hook.headers["webhook-signature"].split()


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
    "what was paid is kept or gone back": what_was_paid_is_kept_or_gone_back,
    "nothing is wrongly kept": nothing_is_wrongly_kept,
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


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(file: Path) -> None:
    """Judge what storefronts, customers, receivers and the gateway saw."""
    verdict = judge_file(file)
    for name, count in sorted(verdict.counts.items()):
        click.echo(f"{name}: {count:,}")
    for broken in verdict.broken:
        click.echo(f"BROKEN {broken}")
    raise SystemExit(1 if verdict.broken else 0)


if __name__ == "__main__":
    main()
