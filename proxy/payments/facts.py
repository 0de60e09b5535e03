"""Facts about a payment: the gateway's outcomes, the end of its time, the operator's decision."""

from enum import StrEnum

from proxy.gateways.port import CheckOutcome, RequestOutcome
from proxy.kernel.frozen import dataclass


class Decision(StrEnum):
    """The operator's decision about money that did not move as asked."""

    ACCEPTED = "accepted"
    REFUNDED = "refunded"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class TimeUp:
    """The clock passed `expires_at`. Only a payment without an invoice may end by the clock alone."""


@dataclass(frozen=True, slots=True)
class OperatorDecision:
    """The operator's decision about a payment that needs review."""

    decision: Decision
    note: str
    by: str


Fact = RequestOutcome | CheckOutcome | TimeUp | OperatorDecision
