"""Writes a story as it is played: which action comes next, by the seed and by what there is to act upon."""

from random import Random
from typing import Final

from proxy.clock import HOUR, MINUTE, SECOND

from .simulation_actions import MODES, Action, Kind
from .world import ALL, World
from .world_audit import Audit

_WEIGHTS: Final = {
    Kind.CREATE: 14,
    Kind.RETRY: 7,
    Kind.OPEN: 4,
    Kind.PAY: 18,
    Kind.CANCEL: 3,
    Kind.FAIL: 2,
    Kind.RETURN: 12,
    Kind.FORGED: 2,
    Kind.CHECK: 4,
    Kind.RESOLVE: 2,
    Kind.RECOVER: 1,
    Kind.WATCH: 10,
    Kind.DELIVER: 8,
    Kind.GO: 22,
    Kind.RACE: 4,
    Kind.SETTLE: 5,
    Kind.WAIT: 16,
    Kind.CRASH: 3,
    Kind.DOWN: 1,
    Kind.UP: 2,
    Kind.DISABLE: 1,
    Kind.ENABLE: 2,
    Kind.RECEIVER: 5,
    Kind.ROTATE: 1,
    Kind.PAUSE: 1,
    Kind.RESUME: 3,
}
_WAITS: Final[tuple[int, ...]] = (SECOND, 5 * SECOND, 30 * SECOND, 3 * MINUTE, 40 * MINUTE, 6 * HOUR, 30 * HOUR)
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
    }
)
_STARTS: Final = _OF_A_PURCHASE | {
    Kind.CREATE,
    Kind.RECOVER,
    Kind.WATCH,
    Kind.DELIVER,
    Kind.PAUSE,
    Kind.RESUME,
    Kind.ROTATE,
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
        subject, value = self._subject(kind), self._value(kind)
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
            case Kind.RESOLVE:
                return [cart.number for cart in carts if cart.payment_id and rows[cart.payment_id].review]
            case _:
                return [cart.number for cart in carts if cart.link]

    def _value(self, kind: Kind) -> int:
        random = self._random
        match kind:
            case Kind.WAIT:
                return random.randrange(random.choice(_WAITS))
            case Kind.CREATE | Kind.FORGED:
                orders = list(self._world.carts)
                again = bool(orders) and random.random() < (0.2 if kind is Kind.CREATE else 0.8)
                return random.choice(orders) if again else 0
            case Kind.RETRY | Kind.CRASH:
                return int(random.random() < 0.1)
            case Kind.RESOLVE | Kind.ROTATE:
                return random.randrange(3)
            case Kind.RECEIVER:
                modes: list[int] = [0, 0, *range(len(MODES))]
                return random.choice(modes)
            case _:
                return 0
