"""Which fault, if any, strikes a call: scripted rules first, then chaos by seed. No I/O."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from random import Random
from typing import Protocol

import orjson

from proxy.gateways.invoice_script.codes import Code
from proxy.simulator.ledger import Answer

MAX_RULES = 1000


class GatewayOperation(StrEnum):
    REQUEST = "request"
    PAY = "pay"
    RETURN = "return"
    CHECK = "check"


class FaultKind(StrEnum):
    LOST = "lost"
    """The work is done, then the connection is reset: the answer never arrives."""
    RESET = "reset"
    """The connection is reset before anything is done."""
    DELAY = "delay"
    """The work is done, the answer comes `seconds` later."""
    HTTP_500 = "http_500"
    HTTP_502 = "http_502"
    HTML = "html"
    """An HTML page with status 200."""
    ERROR = "error"
    """The script's own error answer, with any `code`."""
    TRUNCATED = "truncated"
    WRONG_TYPE = "wrong_type"
    """The right JSON as text/html."""
    FOREIGN = "foreign"
    """JSON of something else."""
    STRINGS = "strings"
    """Every number as a string: a legal answer."""
    HUGE = "huge"
    """The right JSON behind 10 MB of white space."""
    DRIP = "drip"
    """One byte each `seconds`."""
    WRONG_AMOUNT = "wrong_amount"
    WRONG_BANK_CODE = "wrong_bank_code"
    REUSED_BANK_CODE = "reused_bank_code"
    """The tracking number of another captured invoice."""
    LATE_CAPTURE = "late_capture"
    """The customer is sent back at once; the money is taken `seconds` later (an early return, or paid after expiry)."""
    MISSING_RETURN = "missing_return"
    DUPLICATE_RETURN = "duplicate_return"
    FORGED_RETURN = "forged_return"
    """`params` instead of the true ones; by default another invoice's key, status 0 and a made-up bank_code."""


_WIRE = frozenset({FaultKind.LOST, FaultKind.RESET, FaultKind.DELAY, FaultKind.HTTP_500, FaultKind.HTTP_502})
_BODY = frozenset(
    {
        FaultKind.HTML,
        FaultKind.ERROR,
        FaultKind.TRUNCATED,
        FaultKind.WRONG_TYPE,
        FaultKind.FOREIGN,
        FaultKind.STRINGS,
        FaultKind.HUGE,
        FaultKind.DRIP,
    }
)
_MONEY = frozenset({FaultKind.WRONG_AMOUNT, FaultKind.WRONG_BANK_CODE, FaultKind.REUSED_BANK_CODE})
KINDS: Mapping[GatewayOperation, frozenset[FaultKind]] = {
    GatewayOperation.REQUEST: _WIRE | _BODY,
    GatewayOperation.CHECK: _WIRE | _BODY | _MONEY,
    GatewayOperation.PAY: _WIRE | {FaultKind.LATE_CAPTURE},
    GatewayOperation.RETURN: frozenset(
        {FaultKind.MISSING_RETURN, FaultKind.DUPLICATE_RETURN, FaultKind.FORGED_RETURN, FaultKind.DELAY}
    ),
}
_WORK_SKIPPED = frozenset({FaultKind.RESET, FaultKind.HTTP_500, FaultKind.HTTP_502, FaultKind.HTML, FaultKind.ERROR})


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong. `processed` says whether the work is done all the same; None is the kind's habit."""

    kind: FaultKind
    seconds: float = 0.0
    code: int = Code.BANK_UNREACHABLE
    processed: bool | None = None
    amount_rials: int | None = None
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def skips_work(self) -> bool:
        return self.kind in _WORK_SKIPPED if self.processed is None else not self.processed


@dataclass(frozen=True, slots=True)
class GatewayCall:
    """One call that a fault may strike. `subject` distinguishes calls before an invoice exists."""

    operation: GatewayOperation
    subject: str
    api_key: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A scripted fault: on one operation, for one invoice or terminal or all, the next `times` or until deleted."""

    operation: GatewayOperation
    fault: Fault
    invoice_key: str | None = None
    api_key: str | None = None
    times: int | None = None
    probability: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.fault.kind not in KINDS[self.operation]:
            raise ValueError(f"{self.fault.kind} does not happen on {self.operation}")

    def matches(self, call: GatewayCall) -> bool:
        return (
            self.operation is call.operation
            and self.invoice_key in (None, call.subject)
            and self.api_key in (None, call.api_key)
        )


class FaultSource(Protocol):
    """Faults by seed."""

    def fault(self, call: GatewayCall, nth: int) -> Fault | None:
        """The fault of the nth such call; the same answer each time it is asked."""
        ...


class Faults:
    """The rules in force, and the chaos behind them. The first rule that matches strikes; one fault per call."""

    def __init__(self, chaos: FaultSource | None = None) -> None:
        self.chaos = chaos
        self.struck: Counter[str] = Counter()
        self._rules: dict[int, Rule] = {}
        self._left: dict[int, int] = {}
        self._calls: Counter[tuple[GatewayOperation, str]] = Counter()
        self._next_id = 1

    @property
    def rules(self) -> Mapping[int, Rule]:
        return self._rules

    def add(self, rule: Rule) -> int:
        """The rule's id. Raises ValueError when there are too many."""
        if len(self._rules) >= MAX_RULES:
            raise ValueError(f"more than {MAX_RULES} fault rules")
        rule_id, self._next_id = self._next_id, self._next_id + 1
        self._rules[rule_id] = rule
        if rule.times is not None:
            self._left[rule_id] = rule.times
        return rule_id

    def clear(self) -> None:
        """No faults from here on, scripted or not."""
        self._rules.clear()
        self._left.clear()
        self._calls.clear()
        self.chaos = None

    def decide(self, call: GatewayCall) -> Fault | None:
        """The fault that strikes this call, counted as having struck."""
        if not self._rules and self.chaos is None:
            return None
        self._calls[call.operation, call.subject] += 1
        nth = self._calls[call.operation, call.subject]
        fault = self._scripted(call, nth)
        if fault is None and self.chaos is not None:
            fault = self.chaos.fault(call, nth)
        if fault is not None:
            self.struck[f"{call.operation}:{fault.kind}"] += 1
        return fault

    def _scripted(self, call: GatewayCall, nth: int) -> Fault | None:
        for rule_id, rule in self._rules.items():
            if rule.matches(call) and _falls(rule, call, nth):
                self._count_down(rule_id)
                return rule.fault
        return None

    def _count_down(self, rule_id: int) -> None:
        if rule_id in self._left:
            self._left[rule_id] -= 1
            if self._left[rule_id] <= 0:
                del self._rules[rule_id], self._left[rule_id]


def dice(seed: int, call: GatewayCall, nth: int) -> Random:
    """Randomness that depends on the seed, the call and its number alone, in any process."""
    return Random(f"{seed}|{call.operation}|{call.subject}|{nth}")  # noqa: S311  # replayed from a seed, no secret


def _falls(rule: Rule, call: GatewayCall, nth: int) -> bool:
    return rule.probability >= 1 or dice(rule.seed, call, nth).random() < rule.probability


JSON = "application/json"
HTML = "text/html"
HUGE_BYTES = 10_000_000
_ERROR_PAGE = "<!DOCTYPE html><html><head><title>خطا</title></head><body><h1>{title}</h1></body></html>"


@dataclass(frozen=True, slots=True)
class WireReply:
    """One answer on the wire.

    `reset` closes the connection with no answer; `delay_seconds` passes before the first byte, `drip_seconds`
    before each further one.
    """

    body: bytes = b""
    status: int = 200
    content_type: str = JSON
    delay_seconds: float = 0.0
    drip_seconds: float = 0.0
    reset: bool = False


def plain(answer: Answer) -> WireReply:
    """The answer as the protocol says."""
    return WireReply(orjson.dumps(answer))


def spoiled(answer: Answer, fault: Fault) -> WireReply:
    """The answer as the fault leaves it. Faults about money change the answer itself and are not known here."""
    if fault.kind in _FIXED:
        return _FIXED[fault.kind]
    reply = plain(answer)
    match fault.kind:
        case FaultKind.DELAY:
            return replace(reply, delay_seconds=fault.seconds)
        case FaultKind.DRIP:
            return replace(reply, drip_seconds=fault.seconds)
        case FaultKind.WRONG_TYPE:
            return replace(reply, content_type=HTML)
        case FaultKind.STRINGS:
            return plain({name: str(value) for name, value in answer.items()})
        case _:
            return replace(reply, body=_mangle(reply.body, fault.kind))


def _mangle(body: bytes, kind: FaultKind) -> bytes:
    if kind is FaultKind.TRUNCATED:
        return body[: len(body) // 2]
    return b" " * HUGE_BYTES + body if kind is FaultKind.HUGE else body


def _page(title: str, status: int) -> WireReply:
    return WireReply(_ERROR_PAGE.format(title=title).encode(), status, HTML)


_FIXED = {
    FaultKind.LOST: WireReply(reset=True),
    FaultKind.RESET: WireReply(reset=True),
    FaultKind.HTTP_500: _page("Internal Server Error", 500),
    FaultKind.HTTP_502: _page("Bad Gateway", 502),
    FaultKind.HTML: _page("در حال به‌روزرسانی هستیم", 200),
    FaultKind.FOREIGN: WireReply(b'{"ok":true,"result":{"message":"pong"}}'),
}
