"""Troubles for tests, and a source of them that a test holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from proxy.operations.troubles import Trouble, TroubleKind

SINCE = 1_795_514_400_000  # 2026-11-24T10:00:00Z


def trouble(
    kind: TroubleKind = TroubleKind.ENDPOINT_FAILING,
    subject: str = "ep_1",
    *,
    urgent: bool = True,
    merchant_id: str | None = None,
    facts: Mapping[str, int | str] | None = None,
    count: int = 3,
) -> Trouble:
    return Trouble(kind, subject, merchant_id, SINCE, count, urgent, facts or {})


@dataclass
class HeldTroubles:
    """What is wrong is what the test says."""

    found: Sequence[Trouble] = field(default_factory=list)

    async def now(self) -> Sequence[Trouble]:
        return self.found
