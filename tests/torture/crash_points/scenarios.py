"""The scenarios in which the process dies at every point: short stories with a known end."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from proxy.kernel.clock import HOUR, MINUTE, SECOND
from proxy.simulator.faults import Fault, FaultKind, GatewayOperation, Rule

from ..simulation.story import MODES, Action, Kind
from ..world.network import Mode


@dataclass(frozen=True, slots=True)
class Scenario:
    """`ends` is how many payments are in which state when nobody died and all has come to rest; `webhooks` tells how
    many webhooks about them had then arrived, each id once.
    """

    name: str
    actions: tuple[Action, ...]
    ends: Mapping[str, int]
    rules: tuple[Rule, ...] = ()
    webhooks: int = 0
    other_ring: bool = False


Step = tuple[Kind, int, int]


def _story(*steps: Kind | Step) -> tuple[Action, ...]:
    """Actions numbered from 1; a bare kind is about #1 (or the first storefront, receiver and endpoint)."""
    about_first = {Kind.PAY, Kind.CANCEL, Kind.RETURN, Kind.CHECK, Kind.RETRY, Kind.OPEN, Kind.RESOLVE}
    actions = []
    for number, step in enumerate(steps, start=1):
        kind, subject, value = step if isinstance(step, tuple) else (step, 1 if step in about_first else 0, 0)
        actions.append(Action(number, kind, subject, value))
    return tuple(actions)


def _wait(milliseconds: int) -> Step:
    return (Kind.WAIT, 0, milliseconds)


def _receiver(mode: Mode) -> Step:
    return (Kind.RECEIVER, 0, MODES.index(mode))


def _once(operation: GatewayOperation, kind: FaultKind, seconds: float = 0.0) -> tuple[Rule, ...]:
    return (Rule(operation, Fault(kind, seconds=seconds), times=1),)


_PAID: Final = {"paid": 1}
_BUY: Final = (Kind.CREATE, Kind.PAY, Kind.RETURN)

SCENARIOS: Final = (
    Scenario("create", _story(Kind.CREATE), {"expired": 1}, webhooks=1),
    Scenario("create, refused", _story(Kind.DISABLE, Kind.CREATE, Kind.DELIVER), {"failed": 1}, webhooks=1),
    Scenario(
        "create, answer lost, retried and paid",
        _story(Kind.CREATE, Kind.RETRY, Kind.PAY, Kind.RETURN, Kind.DELIVER),
        _PAID,
        _once(GatewayOperation.REQUEST, FaultKind.LOST),
        webhooks=1,
    ),
    Scenario(
        "create, timed out, retried beside it and paid",
        _story(Kind.CREATE, _wait(31 * SECOND), Kind.RETRY, Kind.SETTLE, Kind.PAY, Kind.RETURN, Kind.DELIVER),
        _PAID,
        _once(GatewayOperation.REQUEST, FaultKind.DELAY, 9.0),
        webhooks=1,
    ),
    Scenario("pay and return", _story(*_BUY, Kind.DELIVER), _PAID, webhooks=1),
    Scenario(
        "pay and return, the check unclear at first",
        _story(*_BUY, _wait(5 * SECOND), Kind.WATCH, Kind.DELIVER),
        _PAID,
        _once(GatewayOperation.CHECK, FaultKind.HTML),
        webhooks=1,
    ),
    Scenario(
        "watch, no return",
        _story(Kind.CREATE, Kind.PAY, _wait(3 * MINUTE), Kind.WATCH, Kind.DELIVER),
        _PAID,
        webhooks=1,
    ),
    Scenario(
        "canceled, then paid late",
        _story(Kind.CREATE, Kind.CANCEL, Kind.RETURN, Kind.DELIVER, Kind.PAY, _wait(HOUR), Kind.WATCH, Kind.DELIVER),
        _PAID,
        webhooks=2,
    ),
    Scenario(
        "expired, then captured late",
        _story(
            Kind.CREATE,
            _wait(25 * HOUR),
            Kind.WATCH,
            Kind.DELIVER,
            Kind.PAY,
            _wait(48 * HOUR),
            Kind.WATCH,
            Kind.DELIVER,
        ),
        _PAID,
        webhooks=2,
    ),
    Scenario("check by API", _story(Kind.CREATE, Kind.PAY, Kind.CHECK, Kind.CHECK, Kind.DELIVER), _PAID, webhooks=1),
    Scenario(
        "an order paid twice, reviewed and resolved",
        _story(
            Kind.CREATE,
            (Kind.CREATE, 0, 1),
            Kind.PAY,
            (Kind.PAY, 2, 0),
            Kind.CHECK,
            (Kind.CHECK, 2, 0),
            (Kind.RESOLVE, 2, 0),
            Kind.DELIVER,
        ),
        {"paid": 1, "needs_review": 1},
        webhooks=3,
    ),
    Scenario(
        "deliver, failing and then well",
        _story(*_BUY, _receiver(Mode.FAILING), Kind.DELIVER, _wait(10 * SECOND), _receiver(Mode.GOOD), Kind.DELIVER),
        _PAID,
        webhooks=1,
    ),
    Scenario(
        "deliver, the answer lost",
        _story(*_BUY, _receiver(Mode.LOSING), Kind.DELIVER, _wait(10 * SECOND), _receiver(Mode.GOOD), Kind.DELIVER),
        _PAID,
        webhooks=1,
    ),
    Scenario(
        "deliver, gone, switched on again",
        _story(*_BUY, _receiver(Mode.GONE), Kind.DELIVER, _receiver(Mode.GOOD), (Kind.RESUME, 0, 0), Kind.DELIVER),
        _PAID,
        webhooks=1,
    ),
    Scenario(
        "keys rotated while a payment is under way",
        _story(Kind.CREATE, (Kind.ROTATE, 0, 2), Kind.PAY, Kind.RETURN, Kind.DELIVER),
        _PAID,
        webhooks=1,
        other_ring=True,
    ),
)
