"""Which fault, if any, strikes a call: scripted rules first, then chaos by seed. No I/O."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from random import Random
from typing import Protocol

from proxy.kernel.frozen import dataclass

MAX_RULES = 1000


class GatewayOperation(StrEnum):
    REQUEST = "request"
    PAY = "pay"
    RETURN = "return"
    CHECK = "check"
    """A look, which captures nothing."""
    CONFIRM = "confirm"
    SETTLE = "settle"
    REVERSE = "reverse"


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
    """The family's own error answer, with any `code`."""
    TRUNCATED = "truncated"
    WRONG_TYPE = "wrong_type"
    """The right answer as text/html."""
    FOREIGN = "foreign"
    """JSON of something else."""
    STRINGS = "strings"
    """Every number of a JSON answer as a string."""
    HUGE = "huge"
    """The right answer behind 10 MB of white space."""
    DRIP = "drip"
    """One byte each `seconds`."""
    WRONG_AMOUNT = "wrong_amount"
    WRONG_BANK_CODE = "wrong_bank_code"
    REUSED_BANK_CODE = "reused_bank_code"
    """The tracking number of another captured invoice."""
    LATE_CAPTURE = "late_capture"
    """The customer is sent back at once; the money is taken `seconds` later (an early return, or paid after expiry)."""
    PAID_AMOUNT = "paid_amount"
    """The customer pays `amount_rials`, by default a tenth of what was asked."""
    MISSING_RETURN = "missing_return"
    DUPLICATE_RETURN = "duplicate_return"
    FORGED_RETURN = "forged_return"
    """`params` instead of the true ones; by default another invoice's key, a success, and a made-up bank_code."""
    SWAPPED_RETURN = "swapped_return"
    """The true return of another invoice, at this one's return_url."""


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
    GatewayOperation.CONFIRM: _WIRE | _BODY | _MONEY,
    GatewayOperation.SETTLE: _WIRE | _BODY,
    GatewayOperation.REVERSE: _WIRE | _BODY,
    GatewayOperation.PAY: _WIRE | {FaultKind.LATE_CAPTURE, FaultKind.PAID_AMOUNT},
    GatewayOperation.RETURN: frozenset(
        {
            FaultKind.MISSING_RETURN,
            FaultKind.DUPLICATE_RETURN,
            FaultKind.FORGED_RETURN,
            FaultKind.SWAPPED_RETURN,
            FaultKind.DELAY,
        }
    ),
}
_WORK_SKIPPED = frozenset({FaultKind.RESET, FaultKind.HTTP_500, FaultKind.HTTP_502, FaultKind.HTML, FaultKind.ERROR})


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong. `processed` says whether the work is done all the same; None is the kind's habit.

    Without a `code` an error has the one by which its family says that it is out of order.
    """

    kind: FaultKind
    seconds: float = 0.0
    code: int | None = None
    processed: bool | None = None
    amount_rials: int | None = None
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def skips_work(self) -> bool:
        return self.kind in _WORK_SKIPPED if self.processed is None else not self.processed


@dataclass(frozen=True, slots=True)
class GatewayCall:
    """One call that a fault may strike.

    `subject` distinguishes calls before an invoice exists, and `codes` are those of errors that may strike at random.
    """

    operation: GatewayOperation
    subject: str
    api_key: str = ""
    codes: tuple[int, ...] = ()


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
