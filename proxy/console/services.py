"""What the pages work with."""

from collections.abc import Sequence
from dataclasses import dataclass

from proxy.checkout import Checkout
from proxy.config.shown import SettingLine
from proxy.console.day import Day
from proxy.console.jobs import Jobs
from proxy.directory import Directory
from proxy.doctor.doctor import Doctor
from proxy.gate import Gate
from proxy.ids import Ids
from proxy.loops import Tasks
from proxy.operators.operators import Operators
from proxy.operators.sessions import Sessions
from proxy.ports import Now, Store
from proxy.redelivery import Redelivery
from proxy.reviews import Reviews
from proxy.setup import HttpPolicy, Setup
from proxy.trial import Trial


@dataclass(frozen=True, slots=True)
class ConsoleServices:
    """`public_url` is the base of pay links and of the portal; `default_expires_in` is milliseconds."""

    store: Store
    setup: Setup
    directory: Directory
    checkout: Checkout
    reviews: Reviews
    redelivery: Redelivery
    trial: Trial
    doctor: Doctor
    operators: Operators
    sessions: Sessions
    gate: Gate
    day: Day
    jobs: Jobs
    tasks: Tasks
    ids: Ids
    now: Now
    public_url: str
    default_expires_in: int
    http: HttpPolicy
    settings: Sequence[SettingLine]
