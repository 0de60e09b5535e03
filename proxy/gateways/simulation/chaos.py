"""A random mix of faults by seed, the same for the same seed, invoice, operation and nth call."""

from random import Random

from proxy.gateways.simulation.faults import Fault, FaultKind, GatewayCall, GatewayOperation, dice
from proxy.kernel.frozen import dataclass

_ANSWERS = (
    FaultKind.LOST,
    FaultKind.LOST,
    FaultKind.RESET,
    FaultKind.DELAY,
    FaultKind.HTTP_500,
    FaultKind.HTTP_502,
    FaultKind.HTML,
    FaultKind.ERROR,
    FaultKind.ERROR,
    FaultKind.ERROR,
    FaultKind.TRUNCATED,
    FaultKind.WRONG_TYPE,
    FaultKind.FOREIGN,
    FaultKind.STRINGS,
    FaultKind.HUGE,
    FaultKind.DRIP,
)
_MIX = {
    GatewayOperation.REQUEST: _ANSWERS,
    GatewayOperation.CHECK: _ANSWERS,
    GatewayOperation.CONFIRM: _ANSWERS,
    GatewayOperation.SETTLE: _ANSWERS,
    GatewayOperation.REVERSE: _ANSWERS,
    GatewayOperation.PAY: (FaultKind.LOST, FaultKind.RESET, FaultKind.LATE_CAPTURE, FaultKind.LATE_CAPTURE),
    GatewayOperation.RETURN: (
        FaultKind.MISSING_RETURN,
        FaultKind.DUPLICATE_RETURN,
        FaultKind.FORGED_RETURN,
        FaultKind.SWAPPED_RETURN,
    ),
}
# A wrong bank_code cannot be told from a right one, so an oracle could not either: only a script asks for it.
_ODD_MONEY = {
    GatewayOperation.CHECK: (FaultKind.WRONG_AMOUNT, FaultKind.REUSED_BANK_CODE),
    GatewayOperation.CONFIRM: (FaultKind.WRONG_AMOUNT, FaultKind.REUSED_BANK_CODE),
    GatewayOperation.PAY: (FaultKind.PAID_AMOUNT,),
}


@dataclass(frozen=True, slots=True)
class Chaos:
    """Faults on a share `rate` of all calls.

    `delay_seconds` should outlast the caller's time-out; `late_seconds` is the longest that money lands after the
    customer acted. `odd_money` also lets `check` and `confirm` lie about amounts and bank codes, and customers pay
    other amounts.
    """

    seed: int
    rate: float = 0.2
    delay_seconds: float = 15.0
    late_seconds: float = 60.0
    odd_money: bool = False

    def fault(self, call: GatewayCall, nth: int) -> Fault | None:
        """The fault of the nth such call, if it has one."""
        random = dice(self.seed, call, nth)
        if random.random() >= self.rate:
            return None
        kinds = _MIX[call.operation]
        if self.odd_money:
            kinds += _ODD_MONEY.get(call.operation, ())
        return self._fault(random.choice(kinds), call.codes, random)

    def _fault(self, kind: FaultKind, codes: tuple[int, ...], random: Random) -> Fault:
        if kind is FaultKind.ERROR:
            return Fault(kind, code=random.choice(codes) if codes else None)
        if kind is FaultKind.DELAY:
            return Fault(kind, seconds=self.delay_seconds)
        if kind is FaultKind.DRIP:
            return Fault(kind, seconds=1.0)
        if kind is FaultKind.LATE_CAPTURE:
            return Fault(kind, seconds=random.uniform(0.0, self.late_seconds))
        if kind in (FaultKind.HTTP_500, FaultKind.HTTP_502, FaultKind.HTML):
            # The script may have died before its work or after.
            return Fault(kind, processed=random.random() < 0.5)  # noqa: PLR2004  # either, as likely
        return Fault(kind)
