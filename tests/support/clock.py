"""The clocks of the tests: none moves but by a test's hand."""

from dataclasses import dataclass
from typing import Final

from proxy.kernel.clock import system_now

NOW: Final = 1_800_000_000_000


@dataclass(slots=True)
class ManualClock:
    """Milliseconds since the epoch. `step` is added at each reading, for tests that need no two acts at one time."""

    now: int = NOW
    step: int = 0

    def __call__(self) -> int:
        self.now += self.step
        return self.now

    def forward(self, milliseconds: int) -> None:
        self.now += milliseconds


@dataclass(slots=True)
class OffsetClock:
    """The system's time and an offset in milliseconds."""

    offset: int = 0

    def __call__(self) -> int:
        return system_now() + self.offset


@dataclass(slots=True)
class SteadyClock:
    """Seconds of a monotonic clock."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds
