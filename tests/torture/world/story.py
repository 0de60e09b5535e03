"""A story: actions, which replay, shrink and read; and who draws the next one, by the seed and what there is so far."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random
from typing import Final

from proxy.kernel.clock import DAY, HOUR, MINUTE, SECOND

from . import ALL, World
from .audit import Audit
from .network import Mode


class Kind(StrEnum):
    CREATE = "create"
    RETRY = "retry"
    OPEN = "open"
    PAY = "pay"
    CANCEL = "cancel"
    FAIL = "fail"
    RETURN = "return"
    FORGED = "forged return"
    CHECK = "check"
    RESOLVE = "resolve"
    WITHDRAW = "withdraw"
    RECOVER = "recover"
    WATCH = "watch"
    DELIVER = "deliver"
    GO = "go on"
    RACE = "race"
    SETTLE = "settle"
    WAIT = "wait"
    CRASH = "crash"
    JUMP = "clock jump"
    REBOOT = "other clock at start"
    LOOK = "look at the clocks"
    DOWN = "gateway down"
    UP = "gateway up"
    UNREACHABLE = "bank unreachable"
    DISABLE = "terminal disabled"
    ENABLE = "terminal enabled"
    RECEIVER = "receiver"
    ROTATE = "rotate keys"
    PAUSE = "endpoint paused"
    RESUME = "endpoint resumed"


_TEXT = {
    Kind.CREATE: "storefront {subject} creates a payment{of_order}",
    Kind.RETRY: "the storefront sends the create of #{subject} again{other_body}",
    Kind.OPEN: "the customer of #{subject} opens the pay link",
    Kind.PAY: "the customer of #{subject} pays at the bank",
    Kind.CANCEL: "the customer of #{subject} cancels at the bank",
    Kind.FAIL: "the bank refuses the card of #{subject}'s customer",
    Kind.RETURN: "the customer of #{subject} comes back",
    Kind.FORGED: "somebody forges a return of #{subject}, with the invoice of #{value}",
    Kind.CHECK: "the storefront checks #{subject}",
    Kind.WITHDRAW: "the storefront withdraws #{subject}",
    Kind.RESOLVE: "the operator resolves the review of #{subject}",
    Kind.RECOVER: "the operator asks about everything of the last two days",
    Kind.WATCH: "the watcher steps",
    Kind.DELIVER: "the delivery steps",
    Kind.GO: "what #{subject} started goes on",
    Kind.RACE: "everything that waits goes on by a turn, at the same time",
    Kind.SETTLE: "everything goes on as far as it can",
    Kind.WAIT: "{seconds} s pass",
    Kind.CRASH: "the process dies and another one starts{other_ring}",
    Kind.JUMP: "the machine's time of day is now wrong by {seconds} s, and the process looks at it",
    Kind.REBOOT: "the process dies and another one starts with a time of day that is wrong by {seconds} s",
    Kind.LOOK: "the process looks at its clocks",
    Kind.ROTATE: "the operator rotates the keys, {value} secrets at a time",
    Kind.DOWN: "the gateway of storefront {subject} cannot be reached any more",
    Kind.UP: "the gateway of storefront {subject} can be reached again",
    Kind.UNREACHABLE: "the gateway of storefront {subject} cannot reach its bank for the next {value} checks (301)",
    Kind.DISABLE: "the gateway disables the terminal of storefront {subject}",
    Kind.ENABLE: "the gateway enables the terminal of storefront {subject}",
    Kind.RECEIVER: "receiver {subject} is now {mode}",
    Kind.PAUSE: "the merchant pauses endpoint {subject}",
    Kind.RESUME: "the merchant resumes endpoint {subject}",
}
MODES = tuple(Mode)


@dataclass(frozen=True, slots=True)
class Action:
    """One line of a story. `subject` is another action's number, a storefront's or a receiver's; `turns` is how far
    the work that it starts (or that goes on) gets before the next action.
    """

    number: int
    kind: Kind
    subject: int = 0
    value: int = 0
    turns: int = ALL

    def __str__(self) -> str:
        text = _TEXT[self.kind].format(
            subject=self.subject,
            value=self.value,
            seconds=self.value / 1000,
            mode=MODES[self.value % len(MODES)],
            of_order=f" for the order of #{self.value}" if self.value else "",
            other_ring=" with the other key first in its ring" if self.value else "",
            other_body=" with another body" if self.value else "",
        )
        return f"#{self.number}: {text}" + ("" if self.turns == ALL else f" ({self.turns} turns)")

    def simpler(self) -> "list[Action]":
        """The same action told more simply: uninterrupted, of no order or invoice but its own."""
        forms = []
        if self.turns != ALL:
            forms.append(replace(self, turns=ALL))
        if self.value and self.kind in {Kind.CREATE, Kind.RETRY, Kind.FORGED}:
            forms.append(replace(self, value=0))
            forms.append(replace(self, value=0, turns=ALL))
        return list(reversed(forms))


_WEIGHTS: Final = {
    Kind.CREATE: 14,
    Kind.RETRY: 7,
    Kind.OPEN: 4,
    Kind.PAY: 18,
    Kind.CANCEL: 3,
    Kind.FAIL: 2,
    Kind.RETURN: 12,
    Kind.FORGED: 5,
    Kind.CHECK: 4,
    Kind.RESOLVE: 2,
    Kind.WITHDRAW: 2,
    Kind.RECOVER: 1,
    Kind.WATCH: 10,
    Kind.DELIVER: 8,
    Kind.GO: 22,
    Kind.RACE: 4,
    Kind.SETTLE: 5,
    Kind.WAIT: 16,
    Kind.CRASH: 3,
    Kind.JUMP: 3,
    Kind.REBOOT: 1,
    Kind.LOOK: 3,
    Kind.DOWN: 1,
    Kind.UP: 2,
    Kind.UNREACHABLE: 1,
    Kind.DISABLE: 1,
    Kind.ENABLE: 2,
    Kind.RECEIVER: 5,
    Kind.ROTATE: 1,
    Kind.PAUSE: 1,
    Kind.RESUME: 3,
}
_WAITS: Final[tuple[int, ...]] = (SECOND, 5 * SECOND, 30 * SECOND, 3 * MINUTE, 40 * MINUTE, 6 * HOUR, 30 * HOUR)
# By how much a machine's time of day is wrong: no battery, a bad time server, a wrong year. Of two it is one day back.
_WRONG: Final = (4 * DAY, 4 * DAY, 210 * MINUTE, 20 * MINUTE, -DAY, -DAY, -2 * HOUR, 400 * DAY)
_KINDS: Final = list(_WEIGHTS)
_CUMULATED: Final = [sum(list(_WEIGHTS.values())[: index + 1]) for index in range(len(_WEIGHTS))]
_OF_A_PURCHASE: Final = frozenset(
    {
        Kind.RETRY,
        Kind.OPEN,
        Kind.PAY,
        Kind.CANCEL,
        Kind.FAIL,
        Kind.RETURN,
        Kind.FORGED,
        Kind.CHECK,
        Kind.RESOLVE,
        Kind.WITHDRAW,
    }
)
_VALUES: Final[dict[Kind, Sequence[int]]] = {
    Kind.RESOLVE: range(3),
    Kind.ROTATE: range(3),
    Kind.UNREACHABLE: range(1, 21),
    Kind.RECEIVER: (0, 0, *range(len(MODES))),
}
_STARTS: Final = _OF_A_PURCHASE | {
    Kind.CREATE,
    Kind.RECOVER,
    Kind.WATCH,
    Kind.DELIVER,
    Kind.PAUSE,
    Kind.RESUME,
    Kind.ROTATE,
    Kind.JUMP,
    Kind.LOOK,
}


class Storyteller:
    def __init__(self, seed: int, world: World, audit: Audit) -> None:
        self._random = Random(f"{seed}|story")
        self._world = world
        self._audit = audit
        self._number = 0

    def next(self) -> Action:
        """The next action. The first one is a create, since nothing else has anything to act upon."""
        self._number += 1
        random = self._random
        kind = random.choices(_KINDS, cum_weights=_CUMULATED)[0] if self._world.carts else Kind.CREATE
        turns = random.choice((ALL, ALL, 0, 1, 2, 3, 5, 8)) if kind in _STARTS else ALL
        subject = self._subject(kind)
        value = self._value(kind, subject)
        if kind is Kind.GO:
            turns = random.choice((1, 1, 2, 3, ALL))
        return Action(self._number, kind, subject, value, turns)

    def _subject(self, kind: Kind) -> int:
        random, world = self._random, self._world
        if kind in _OF_A_PURCHASE:
            # The newer ones more often: a story is then about what is happening and not about what is long over.
            numbers = self._fitting(kind) or list(world.carts)
            return random.choice(numbers[-6:]) if random.random() < 0.8 else random.choice(numbers)
        if kind is Kind.GO:
            labels = sorted({one.label for one in world.turns.parked})
            return random.choice(labels) if labels else 0
        return random.randrange(3)

    def _fitting(self, kind: Kind) -> list[int]:
        """The purchases with which something can be done."""
        carts, rows = self._world.carts.values(), self._audit.rows
        match kind:
            case Kind.PAY | Kind.CANCEL | Kind.FAIL:
                return [cart.number for cart in carts if cart.handed and rows[cart.payment_id].status != "paid"]
            case Kind.RETRY:
                # The answered ones too: they must be answered the same.
                unanswered = [cart.number for cart in carts if cart.reply is None]
                return unanswered if self._random.random() < 0.6 else []
            case Kind.WITHDRAW:
                return [cart.number for cart in carts if cart.link and rows[cart.payment_id].status == "pending"]
            case Kind.RETURN if self._random.random() < 0.6:
                # Those who come from the bank: some families give the money back that nobody comes back about.
                return [cart.number for cart in carts if cart.trips] or [cart.number for cart in carts if cart.link]
            case Kind.RESOLVE:
                return [cart.number for cart in carts if cart.payment_id and rows[cart.payment_id].review]
            case _:
                return [cart.number for cart in carts if cart.link]

    def _value(self, kind: Kind, subject: int) -> int:
        random = self._random
        if kind in {Kind.JUMP, Kind.REBOOT}:
            return self._wrong()
        match kind:
            case Kind.WAIT:
                return random.randrange(random.choice(_WAITS))
            case Kind.CREATE:
                shop = self._world.shops[subject]
                orders = [cart.number for cart in self._world.carts.values() if cart.shop == shop][-3:]
                return random.choice(orders) if orders and random.random() < 0.25 else 0
            case Kind.FORGED:
                orders = list(self._world.carts)
                return random.choice(orders) if orders and random.random() < 0.8 else 0
            case Kind.RETRY | Kind.CRASH:
                return int(random.random() < 0.1)
            case _:
                return random.choice(_VALUES[kind]) if kind in _VALUES else 0

    def _wrong(self) -> int:
        """By how much the time of day is wrong next: mostly right again after a while, when the story goes on."""
        right = self._world.wrong != 0 and self._random.random() < 0.7
        return 0 if right else self._random.choice(_WRONG)
