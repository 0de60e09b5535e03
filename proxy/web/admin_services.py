"""What the operator's API works with."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.doctor import Doctor
from proxy.ids import RandomBytes
from proxy.loops import Tasks
from proxy.metrics import Metrics
from proxy.ports import Store
from proxy.recovery import Recovery
from proxy.reviews import Reviews
from proxy.setup import Setup
from proxy.web.callers import Callers, unlimited


@dataclass(frozen=True, slots=True)
class AdminServices:
    """`operators` are the tokens by the name that the audit log shows; `tasks` holds what goes on by itself."""

    setup: Setup
    reviews: Reviews
    recovery: Recovery
    doctor: Doctor
    store: Store
    tasks: Tasks
    metrics: Metrics
    random_bytes: RandomBytes
    operators: Mapping[str, str] = field(repr=False)
    callers: Callers = field(default_factory=unlimited)
