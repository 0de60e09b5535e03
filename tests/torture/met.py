"""What the campaigns really met: which operation was under way when which fault struck, in which state of its payment.

They count at the moment of the fault. A pair that is possible and was never met fails the long form: a generator that
never makes the failing case proves nothing. What is left out has its reason here. A state is the stored one; where
processes are killed, the last that anybody was told.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from . import markdown

NO_ANSWER, OTHER_ANSWER, WRONG_MONEY = "no answer", "another answer", "wrong money"
DISK, CRASH, SIGKILL, POWER_CUT = "disk error", "crash", "SIGKILL", "power cut"
CLOCK_AHEAD, CLOCK_BACK, CLOCK_AT_START = "clock ahead", "clock back", "other clock at start"
FAULTS: Final = (
    NO_ANSWER,
    OTHER_ANSWER,
    WRONG_MONEY,
    DISK,
    CRASH,
    CLOCK_AHEAD,
    CLOCK_BACK,
    CLOCK_AT_START,
    SIGKILL,
    POWER_CUT,
)
_PREFIX: Final = "met: "
ROWS: Final[Mapping[str, tuple[str, ...]]] = {
    "create": ("none", "created", "pending"),
    "open the pay link": ("pending",),
    "return": ("pending", "canceled", "expired", "paid"),
    "check": ("pending", "canceled", "expired", "paid"),
    "watch": ("pending", "canceled", "expired"),
    "deliver": ("paid", "needs_review", "failed", "canceled", "expired"),
    "resolve": ("needs_review",),
}
Pair = tuple[str, str, str]
"""An operation, a fault and a state; `*` in LEFT_OUT stands for any."""
LEFT_OUT: Final[Mapping[str, tuple[Pair, ...]]] = {
    "nobody is asked before the intent is stored, nor once the answer is": (
        *(("create", fault, state) for fault in (NO_ANSWER, OTHER_ANSWER) for state in ("none", "pending")),
    ),
    "what is answered there tells of no money": (("create", WRONG_MONEY, "*"), ("deliver", WRONG_MONEY, "*")),
    "nobody is asked, unless two are at it at once": (
        *(("resolve", fault, "*") for fault in (NO_ANSWER, OTHER_ANSWER, WRONG_MONEY)),
        *(("*", fault, "paid") for fault in (NO_ANSWER, OTHER_ANSWER, WRONG_MONEY)),
    ),
    "payments of that stage are paid, and the statements are those of the row above": (
        *((operation, DISK, state) for operation in ("return", "check", "watch") for state in ("canceled", "expired")),
        ("check", DISK, "paid"),
        *(("deliver", DISK, state) for state in ("needs_review", "failed", "canceled", "expired")),
        ("resolve", DISK, "*"),
    ),
    "from outside of a process nobody sees that it is under way": (
        *((operation, fault, "*") for operation in ("watch", "deliver", "resolve") for fault in (SIGKILL, POWER_CUT)),
        *(("create", fault, "created") for fault in (SIGKILL, POWER_CUT)),
    ),
    "a link outlasts the campaign": (("*", SIGKILL, "expired"), ("*", POWER_CUT, "expired")),
}
# Where a receiver is asked, it is asked about every state.
_ASKED_ABOUT_PAID: Final = frozenset({("deliver", NO_ANSWER, "paid"), ("deliver", OTHER_ANSWER, "paid")})


def key(operation: str, fault: str, state: str) -> str:
    """The name under which it is counted among a stage's counts."""
    return f"{_PREFIX}{operation} | {fault} | {state}"


def is_pair(name: str) -> bool:
    return name.startswith(_PREFIX)


def pairs(counts: Mapping[str, int]) -> Counter[Pair]:
    """What was counted, of all that a stage counts."""
    found: Counter[Pair] = Counter()
    for name, count in counts.items():
        if is_pair(name):
            operation, fault, state = name.removeprefix(_PREFIX).split(" | ")
            found[operation, fault, state] += count
    return found


def why_left_out(pair: Pair) -> int | None:
    """The number, from 1, of the reason for which it is not asked for; None where it must be met."""
    if pair in _ASKED_ABOUT_PAID:
        return None
    for number, patterns in enumerate(LEFT_OUT.values(), start=1):
        if any(all(part in ("*", mine) for part, mine in zip(each, pair, strict=True)) for each in patterns):
            return number
    return None


def never_met(counts: Mapping[str, int]) -> list[str]:
    """Of the pairs that must be met, those that were not."""
    found = pairs(counts)
    asked = [(operation, fault, state) for operation, states in ROWS.items() for state in states for fault in FAULTS]
    return [" × ".join(pair) for pair in asked if not found[pair] and why_left_out(pair) is None]


def table(counts: Mapping[str, int]) -> list[str]:
    """As Markdown; (n) is the number of the reason for which a pair is left out."""
    found = pairs(counts)
    rows = [
        [operation, state, *(_cell(found, (operation, fault, state)) for fault in FAULTS)]
        for operation, states in ROWS.items()
        for state in states
    ]
    lines = markdown(["operation", "state", *FAULTS], rows, texts=2)
    return [*lines, "", *(f"{number}. {reason}" for number, reason in enumerate(LEFT_OUT, start=1))]


def _cell(found: Counter[Pair], pair: Pair) -> str:
    reason = why_left_out(pair)
    return f"({reason})" if reason is not None and not found[pair] else f"{found[pair]:,}"
