"""A random mix of faults by seed, the same for the same seed, invoice, operation and nth call."""

from dataclasses import dataclass
from random import Random

from proxy.simulator.faults import Call, Fault, Kind, Operation, dice

_ERRORS = {
    Operation.REQUEST: (101, 203, 204, 301, 301, 302, 999),
    Operation.CHECK: (101, 200, 201, 202, 203, 204, 301, 301, 302, 999),
}
_ANSWERS = (
    Kind.LOST,
    Kind.LOST,
    Kind.RESET,
    Kind.DELAY,
    Kind.HTTP_500,
    Kind.HTTP_502,
    Kind.HTML,
    Kind.ERROR,
    Kind.ERROR,
    Kind.ERROR,
    Kind.TRUNCATED,
    Kind.WRONG_TYPE,
    Kind.FOREIGN,
    Kind.STRINGS,
    Kind.HUGE,
    Kind.DRIP,
)
_MIX = {
    Operation.REQUEST: _ANSWERS,
    Operation.CHECK: _ANSWERS,
    Operation.PAY: (Kind.LOST, Kind.RESET, Kind.LATE_CAPTURE, Kind.LATE_CAPTURE),
    Operation.RETURN: (Kind.MISSING_RETURN, Kind.DUPLICATE_RETURN, Kind.FORGED_RETURN),
}
# A wrong bank_code cannot be told from a right one, so an oracle could not either: only a script asks for it.
_ODD_MONEY = (Kind.WRONG_AMOUNT, Kind.REUSED_BANK_CODE)


@dataclass(frozen=True, slots=True)
class Chaos:
    """Faults on a share `rate` of all calls.

    `delay_seconds` should outlast the caller's time-out; `late_seconds` is the longest that money lands after the
    customer acted. `odd_money` also lets `check` lie about amounts and bank codes.
    """

    seed: int
    rate: float = 0.2
    delay_seconds: float = 15.0
    late_seconds: float = 60.0
    odd_money: bool = False

    def fault(self, call: Call, nth: int) -> Fault | None:
        """The fault of the nth such call, if it has one."""
        random = dice(self.seed, call, nth)
        if random.random() >= self.rate:
            return None
        kinds = _MIX[call.operation]
        if self.odd_money and call.operation is Operation.CHECK:
            kinds += _ODD_MONEY
        return self._fault(random.choice(kinds), call.operation, random)

    def _fault(self, kind: Kind, operation: Operation, random: Random) -> Fault:
        if kind is Kind.ERROR:
            return Fault(kind, code=random.choice(_ERRORS[operation]))
        if kind is Kind.DELAY:
            return Fault(kind, seconds=self.delay_seconds)
        if kind is Kind.DRIP:
            return Fault(kind, seconds=1.0)
        if kind is Kind.LATE_CAPTURE:
            return Fault(kind, seconds=random.uniform(0.0, self.late_seconds))
        if kind in (Kind.HTTP_500, Kind.HTTP_502, Kind.HTML):
            # The script may have died before its work or after.
            return Fault(kind, processed=random.random() < 0.5)  # noqa: PLR2004  # either, as likely
        return Fault(kind)
