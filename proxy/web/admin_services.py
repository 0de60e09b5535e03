"""What the operator's API works with."""

from dataclasses import dataclass, field

from proxy.doctor.doctor import Doctor
from proxy.ids import RandomBytes
from proxy.loops import Tasks
from proxy.metrics import Metrics
from proxy.operators.operators import Operators
from proxy.ports import Store
from proxy.recovery.backups import Backups
from proxy.recovery.recovery import Recovery
from proxy.reviews import Reviews
from proxy.setup import Setup
from proxy.web.callers import Callers, unlimited
from proxy.web.traced import RequestSpans


@dataclass(frozen=True, slots=True)
class AdminServices:
    """`tasks` holds what goes on by itself."""

    setup: Setup
    reviews: Reviews
    recovery: Recovery
    doctor: Doctor
    store: Store
    tasks: Tasks
    metrics: Metrics
    random_bytes: RandomBytes
    operators: Operators
    callers: Callers = field(default_factory=unlimited)
    spans: RequestSpans | None = None
    backups: Backups | None = None
