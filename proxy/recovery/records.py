"""What a restore leaves to be done, and where it is kept."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Recheck:
    """A walk over the payments that may have been paid between `moment`, which the database went back to, and
    `noted_at`. It goes on after `reached` at `due_at`; `unclear` gateways' answers were none so far.
    """

    noted_at: int
    moment: int
    due_at: int
    reached: str | None = None
    unclear: int = 0


class Rechecks(Protocol):
    async def note_restore(self, moment: int | None, now: int) -> int:
        """Notes that the database is as it was at `moment`; by default when it was last seen to be written, at the
        latest. Gives the moment. The events' numbers go on far behind those that may have been told meanwhile.
        """

    async def claim_recheck(self, now: int, lease_until: int) -> Recheck | None:
        """The oldest one, if it is due and nobody has it in hand; due again at the lease's end."""

    async def save_recheck(self, held: Recheck, after: Recheck | None) -> None:
        """What became of a claimed one; None when it is over. Nothing, if somebody else has it by now."""

    async def next_recheck_at(self) -> int | None:
        """When the oldest one is due."""
