"""What is on its way to an endpoint, as its row of `turns` keeps it: a claim writes that row and nothing else."""

from collections.abc import Sequence
from typing import Any, Final

import orjson

from proxy.records import Claim
from proxy.verdict import IN_FLIGHT_PER_ENDPOINT

NONE: Final = "{}"
_NOBODY: Final = [""] * IN_FLIGHT_PER_ENDPOINT


class Flights:
    """The attempts that are claimed, at most IN_FLIGHT_PER_ENDPOINT: by delivery, [attempt, token, until, claimed at].

    They stay the lists that JSON has, because every group commit reads and writes those of each endpoint it serves.
    """

    __slots__ = ("_flights",)

    def __init__(self, text: str = NONE) -> None:
        self._flights: dict[str, list[Any]] = {} if text == NONE else orjson.loads(text)

    @property
    def text(self) -> str:
        return orjson.dumps(self._flights).decode() if self._flights else NONE

    @property
    def ids(self) -> Sequence[str]:
        """The deliveries, filled up to as many as there may be: a query has a fixed number of parameters."""
        return [*self._flights, *_NOBODY[len(self._flights) :]]

    @property
    def ends(self) -> int | None:
        """When the first claim runs out."""
        return min([until for _, _, until, _ in self._flights.values()], default=None)

    def __contains__(self, delivery_id: str) -> bool:
        return delivery_id in self._flights

    def live(self, now: int) -> int:
        """How many have not run out."""
        return len([until for _, _, until, _ in self._flights.values() if until > now])

    def lives(self, delivery_id: str, now: int) -> bool:
        return delivery_id in self._flights and self._flights[delivery_id][2] > now

    def attempt(self, delivery_id: str) -> tuple[int, int, int] | None:
        """The number of the attempt that is claimed, until when, and since when."""
        flight = self._flights.get(delivery_id)
        return None if flight is None else (flight[0], flight[2], flight[3])

    def take_off(self, claims: Sequence[Claim], until: int) -> None:
        for each in claims:
            self._flights[each.delivery_id] = [each.attempt, each.token, until, each.claimed_at]

    def land(self, claim: Claim) -> bool:
        """Removes what the claim took; False when it is gone, or a later claim's: that has another token or count."""
        flight = self._flights.get(claim.delivery_id)
        if flight is None or flight[1] != claim.token or flight[0] != claim.attempt:
            return False
        del self._flights[claim.delivery_id]
        return True

    def lose(self, now: int) -> list[tuple[str, int, int]]:
        """Removes those that have run out: the delivery, the attempt's number, and since when it was claimed."""
        lost = [(each, flight[0], flight[3]) for each, flight in self._flights.items() if flight[2] <= now]
        for delivery_id, _, _ in lost:
            del self._flights[delivery_id]
        return lost
