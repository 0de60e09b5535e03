"""What the answer to an attempt means: for its delivery, and for the endpoint that gave it or did not.

A delivery follows its schedule. An endpoint that does not respond is probed instead of pressed: one attempt at a
time, further and further apart, until it answers; so a dead merchant costs one slot, and its backlog no attempts.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from proxy.clock import DAY, SECOND
from proxy.webhook import DeliveryStatus, retry_at

FAILURES_TO_PROBE: Final = 3
IN_FLIGHT_PER_ENDPOINT: Final = 8
FIRST_PROBE_PAUSE: Final = 1 * SECOND
LONGEST_PROBE_PAUSE: Final = 60 * SECOND
LONGEST_RETRY_AFTER: Final = 24 * 3600
DISABLE_AFTER: Final = 5 * DAY
GONE: Final = 410
_SERVER_ERROR: Final = 500
_PUT_OFF: Final = frozenset({429, 503})


class DisabledReason(StrEnum):
    GONE = "gone"
    NO_SUCCESS = "no_success_for_5_days"


@dataclass(frozen=True, slots=True)
class Health:
    """How an endpoint has been answering. `failures` counts in a row what says that it is not there: no answer, or 5xx.

    `failing_since` is the first failure of any kind after the last success; until `paused_until` nothing is sent.
    """

    failures: int = 0
    failing_since: int | None = None
    paused_until: int = 0

    @property
    def limit(self) -> int:
        """How many attempts may be in flight at once."""
        return 1 if self.failures >= FAILURES_TO_PROBE else IN_FLIGHT_PER_ENDPOINT


@dataclass(frozen=True, slots=True)
class Verdict:
    """The delivery's next state, the endpoint's health, and why the endpoint is to be disabled, if it is."""

    status: DeliveryStatus
    due_at: int | None
    health: Health
    disable: DisabledReason | None = None


def judge(
    health: Health, attempt: int, status: int | None, retry_after_seconds: int | None, now: int, jitter: float
) -> Verdict:
    """What follows from the answer to the attempt of this number in the schedule, from 1.

    `status` is None when there was no answer; `retry_after_seconds` counts on 429 and 503 only; `jitter` in [-1, 1].
    """
    if status is not None and 200 <= status < 300:  # noqa: PLR2004  the HTTP class
        return Verdict(DeliveryStatus.DELIVERED, None, Health(paused_until=_asked_pause(health)))
    failures = health.failures + (status is None or status >= _SERVER_ERROR)
    failing_since = health.failing_since or now
    paused_until = max(health.paused_until, _probe_at(failures, now))
    due_at = retry_at(attempt, now, jitter)
    if status in _PUT_OFF and retry_after_seconds is not None:
        asked = now + min(retry_after_seconds, LONGEST_RETRY_AFTER) * SECOND
        paused_until = max(paused_until, asked)
        due_at = None if due_at is None else max(due_at, asked)
    disable = _disable(status, failing_since, now)
    if disable is not None:
        # Nothing is sent between this and the disabling; if that is never done, the next attempt finds the same.
        paused_until = max(paused_until, now + LONGEST_PROBE_PAUSE)
    after = Health(failures, failing_since, paused_until)
    if disable is DisabledReason.GONE:
        # Held, not failed: whoever enables the endpoint again gets what it missed.
        return Verdict(DeliveryStatus.PENDING, now, after, disable)
    if due_at is None:
        return Verdict(DeliveryStatus.FAILED, None, after, disable)
    return Verdict(DeliveryStatus.PENDING, due_at, after, disable)


def _disable(status: int | None, failing_since: int, now: int) -> DisabledReason | None:
    if status == GONE:
        return DisabledReason.GONE
    return DisabledReason.NO_SUCCESS if now - failing_since >= DISABLE_AFTER else None


def _asked_pause(health: Health) -> int:
    """What remains of a pause after a success: one that the endpoint asked for holds, between probes it is over."""
    return 0 if health.failures >= FAILURES_TO_PROBE else health.paused_until


def _probe_at(failures: int, now: int) -> int:
    beyond = failures - FAILURES_TO_PROBE
    return 0 if beyond < 0 else now + min(FIRST_PROBE_PAUSE << min(beyond, 10), LONGEST_PROBE_PAUSE)
