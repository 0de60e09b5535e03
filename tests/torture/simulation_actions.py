"""The actions that a story is made of: data that replays, shrinks and reads."""

from dataclasses import dataclass, replace
from enum import StrEnum

from .world import ALL
from .world_network import Mode


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
    RECOVER = "recover"
    WATCH = "watch"
    DELIVER = "deliver"
    GO = "go on"
    RACE = "race"
    SETTLE = "settle"
    WAIT = "wait"
    CRASH = "crash"
    DOWN = "gateway down"
    UP = "gateway up"
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
    Kind.RESOLVE: "the operator resolves the review of #{subject}",
    Kind.RECOVER: "the operator asks about everything of the last two days",
    Kind.WATCH: "the watcher steps",
    Kind.DELIVER: "the delivery steps",
    Kind.GO: "what #{subject} started goes on",
    Kind.RACE: "everything that waits goes on by a turn, at the same time",
    Kind.SETTLE: "everything goes on as far as it can",
    Kind.WAIT: "{seconds} s pass",
    Kind.CRASH: "the process dies and another one starts{other_ring}",
    Kind.ROTATE: "the operator rotates the keys, {value} secrets at a time",
    Kind.DOWN: "the gateway of storefront {subject} cannot be reached any more",
    Kind.UP: "the gateway of storefront {subject} can be reached again",
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
