"""A history of what storefronts, customers, receivers and the gateway saw: its lines, written and read.

Nothing of the product is imported here, and nothing of its database is looked at: what counts is what was told to
somebody. It is JSON lines, each with `what` it is, in the order in which they ended.

- `terminal`: merchant, mode, api_key, and the token of its storefront. It may tell its family's name (`gateway`), and
  whether that takes money by a call of ours (`confirms`), can be asked before (`checks`), keeps money that nobody took
  (`keeps`), and cannot be asked without what the customer's return brought (`needs_return`).
- `endpoint`: its name, id, merchant, mode, secret.
- `call`: of a storefront: merchant, mode, method, path, key, sent, status (0: no answer), answer, began, ended.
  An endpoint or a call may name its `storefront`, where a merchant has several.
- `page`: that a customer opened: payment, page (`pay` or `return`), status, location.
- `webhook`: that came: endpoint, headers, body, the status of its answer (0: it was cut off), and `kept` where its
  connection had carried another one before.
- `said`: what a check was answered of an invoice, where the campaign sees it: invoice_key, outcome (captured, open or
  canceled), when it was asked (`at`, by the true time), and of a captured one amount_rials and bank_code.
- `refused`: that a request for an invoice was refused, where the campaign sees it: api_key, amount_rials, code.
- `clock`: that a machine's time of day is wrong from here on, where the campaign makes it so: since when (`at`, by the
  true time, as in `said`), and by how many milliseconds (`wrong`, 0 when it is right again). A process tells all its
  times by it, and follows it within a second or two. Where no line says so, all times are true.
- `invoice`: as the gateway has it at the end. `rest`: from here on nothing is under way; calls are the last readings.

A `Story` has the same lines by what the promises ask for. Its times are milliseconds since the epoch.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson


class Notes:
    """Lines into a file that is open, or into memory for a campaign of thousands of short histories."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def note(self, what: str, **fields: Any) -> None:
        self._file.write(orjson.dumps({"what": what, **fields}) + b"\n")

    def close(self) -> None:
        self._file.close()


class Recorder(Notes):
    """Into a file at `path`, behind what is there."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.open("ab"))
        self.path = path

    @staticmethod
    def now() -> float:
        """Seconds by the steady clock: two calls are ordered by it, whatever the wall clock does."""
        return time.monotonic()


SECOND: Final = 1_000
# A process may go by the clock as it was for so long, because it looks at it once a second.
LAG: Final = 2 * SECOND


def milliseconds(at: str) -> int:
    """Of a time as the wire has it."""
    return round(datetime.fromisoformat(at).timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Period:
    """From `since` until `until`, by the true time, one may have gone by a time of day that was so much `wrong`."""

    since: float
    until: float
    wrong: int


class Clocks:
    def __init__(self, jumps: Iterable[dict[str, Any]]) -> None:
        """Of the lines that tell of a clock, in their order."""
        changes = [(-inf, 0), *((milliseconds(jump["at"]), jump["wrong"]) for jump in jumps)]
        self._periods = [
            Period(since, until + LAG, wrong) for (since, wrong), (until, _) in pairwise([*changes, (inf, 0)])
        ]

    def latest(self, since: int, until: int) -> int:
        """The latest time that one may have said of the moment `since`, seen from any moment until `until`."""
        return since + max(each.wrong for each in self._periods if each.since <= until and since <= each.until)

    def moments(self, said: int) -> set[int]:
        """The true times at which one may have said so, in whole seconds or not."""
        moments = ((said - each.wrong, each) for each in self._periods)
        return {at for at, each in moments if each.since - SECOND < at <= each.until}


Line = dict[str, Any]
Owner = tuple[str, str, str]
"""A merchant, the mode of what is its (live or test), and the storefront, empty where a merchant has one."""

PAYMENTS: Final = "/v1/payments"
EVENTS: Final = "/v1/events"
DELIVERIES: Final = "/v1/deliveries/"


@dataclass(frozen=True, slots=True)
class Telling:
    """What a storefront was told of a payment. `began` and `ended` are the call's; `replay` an answer as of before.

    `place` is the line's in the history.
    """

    owner: Owner
    payment: Line
    began: float
    ended: float
    replay: bool
    at_rest: bool
    place: int


@dataclass(frozen=True, slots=True)
class Hook:
    """A webhook that came to an endpoint; `event` is its body, `taken` whether the endpoint said 2xx.

    `resendable`: it was cut off on a connection that was kept, where a client sends the same request once more.
    """

    endpoint: Line
    id: str
    headers: dict[str, str]
    body: str
    event: Line
    taken: bool
    resendable: bool
    place: int


@dataclass(slots=True)
class Story:
    terminals: list[Line] = field(default_factory=list)
    endpoints: dict[str, Line] = field(default_factory=dict)
    calls: list[Line] = field(default_factory=list)
    pages: list[Line] = field(default_factory=list)
    hooks: list[Hook] = field(default_factory=list)
    invoices: list[Line] = field(default_factory=list)
    said: dict[str, list[Line]] = field(default_factory=dict)
    refused: list[Line] = field(default_factory=list)
    clocks: Clocks = field(default_factory=lambda: Clocks(()))

    @classmethod
    def read(cls, lines: Iterable[bytes]) -> "Story":
        story, at_rest, jumps = cls(), False, list[Line]()
        for place, text in enumerate(lines):
            line = orjson.loads(text) | {"place": place}
            match line["what"]:
                case "terminal":
                    story.terminals.append(line)
                case "endpoint":
                    story.endpoints[line["name"]] = line
                case "call":
                    story.calls.append(line | {"at_rest": at_rest})
                case "page":
                    story.pages.append(line)
                case "webhook":
                    story.hooks.append(story._hook(line))
                case "said":
                    story.said.setdefault(line["invoice_key"], []).append(line)
                case "refused":
                    story.refused.append(line)
                case "invoice":
                    story.invoices.append(line)
                case "clock":
                    jumps.append(line)
                case "rest":
                    at_rest = True
        story.clocks = Clocks(jumps)
        return story

    def _hook(self, line: Line) -> Hook:
        headers = line["headers"]
        event = orjson.loads(line["body"])
        taken, resendable = 200 <= line["status"] < 300, line["status"] == 0 and line.get("kept", False)
        endpoint, event_id = self.endpoints[line["endpoint"]], headers["webhook-id"]
        return Hook(endpoint, event_id, headers, line["body"], event, taken, resendable, line["place"])

    def tellings(self) -> Iterator[Telling]:
        """Every payment in every good answer."""
        for call in self.calls:
            if call["status"] not in {200, 201} or not call["path"].startswith(PAYMENTS):
                continue
            if call["path"].endswith("/timeline"):
                continue
            answer = call["answer"]
            replay = call["key"] is not None
            for payment in answer.get("data", [answer]):
                times = call["began"], call["ended"]
                yield Telling(owner_of(call), payment, *times, replay, call["at_rest"], call["place"])

    def created(self) -> Iterator[Line]:
        """The calls that were answered with a payment of their own."""
        return (call for call in self.calls if call["method"] == "POST" and call["status"] == 201)

    def payments_at_rest(self) -> dict[str, tuple[Owner, Line]]:
        """By id, as they were read last."""
        return {each.payment["id"]: (each.owner, each.payment) for each in self.tellings() if each.at_rest}

    def events_at_rest(self) -> dict[str, tuple[Owner, Line]]:
        found: dict[str, tuple[Owner, Line]] = {}
        for call in self.calls:
            if call["at_rest"] and call["status"] == 200 and call["path"].startswith(EVENTS):
                found |= {event["id"]: (owner_of(call), event) for event in call["answer"]["data"]}
        return found

    def deliveries_at_rest(self) -> Iterator[tuple[Line, Line]]:
        """Each delivery that was read with its attempts, and its endpoint."""
        endpoints = {endpoint["id"]: endpoint for endpoint in self.endpoints.values()}
        for call in self.calls:
            if call["at_rest"] and call["status"] == 200 and call["path"].startswith(DELIVERIES):
                yield call["answer"], endpoints[call["answer"]["endpoint_id"]]

    def events_due(self) -> Iterator[tuple[Line, Line]]:
        """Each payment's event at each endpoint that is to be told of it."""
        for owner, event in self.events_at_rest().values():
            for endpoint in self.endpoints.values():
                if event["payment_id"] is not None and is_told(endpoint, owner):
                    yield event, endpoint

    def hooks_by(self, *keys: str) -> dict[tuple[str, ...], list[Hook]]:
        found: dict[tuple[str, ...], list[Hook]] = defaultdict(list)
        for hook in self.hooks:
            found[tuple(getattr(hook, key) for key in keys)].append(hook)
        return found


def owner_of(line: Line) -> Owner:
    return line["merchant"], line["mode"], line.get("storefront") or ""


def is_told(endpoint: Line, owner: Owner) -> bool:
    """Whether it is told of what is that owner's: an endpoint is one storefront's, or all's of its merchant's mode."""
    mine = (endpoint["merchant"], endpoint["mode"]) == owner[:2]
    return mine and endpoint.get("storefront") in (None, owner[2])


def credited_invoices(payment: Line) -> Iterator[str]:
    """The invoices whose money a payment tells of."""
    if payment["status"] == "paid":
        yield bank_key(payment["invoice_key"])
    if payment["review"] is not None:
        yield bank_key(payment["review"]["invoice_key"])


def bank_key(invoice_key: str) -> str:
    """An invoice's key as the bank has it: some families pack our own number before that."""
    return invoice_key.rpartition(":")[2]
