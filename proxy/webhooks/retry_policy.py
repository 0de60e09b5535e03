"""The retry policy: the effect of an attempt's result on its delivery and on the endpoint's health.

A delivery follows its schedule. An endpoint that does not respond is probed instead of pressed: one attempt at a
time, further and further apart, until it answers; so a dead merchant costs one slot, and its backlog no attempts.
"""

from enum import StrEnum
from typing import Final

from proxy.kernel.clock import DAY, HOUR, MINUTE, SECOND
from proxy.kernel.frozen import dataclass

FAILURES_TO_PROBE: Final = 3
FIRST_PROBE_PAUSE: Final = 1 * SECOND
LONGEST_PROBE_PAUSE: Final = 60 * SECOND
LONGEST_RETRY_AFTER: Final = 24 * 3600
DISABLE_AFTER: Final = 5 * DAY
GONE: Final = 410
_SERVER_ERROR: Final = 500
_PUT_OFF: Final = frozenset({429, 503})

JITTER: Final = 0.2


class DeliveryStatus(StrEnum):
    """`failed` means that the schedule is used up; nothing else ends an undelivered one but the endpoint's deletion."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """`delays` are the milliseconds between one attempt and the next; a delivery fails after the last of them."""

    delays: tuple[int, ...]

    def __str__(self) -> str:
        """As the setting is written: `5s,5m,2h`."""
        return ",".join(map(_duration, self.delays))

    @property
    def max_attempts(self) -> int:
        return len(self.delays) + 1

    def retry_at(self, attempts: int, now: int, jitter: float) -> int | None:
        """The time of the next attempt after `attempts` failed ones, or None when the schedule is used up.

        `jitter` is uniform in [-1, 1]; it moves the delay by up to a fifth, so that a recovered receiver does not get
        all waiting webhooks at the same moment.
        """
        if attempts >= self.max_attempts:
            return None
        return now + round(self.delays[attempts - 1] * (1 + JITTER * jitter))

    def longest_delay(self, attempts: int) -> int:
        """How long a delivery waits at most after `attempts` failed ones."""
        return 0 if attempts <= 0 else round(self.delays[min(attempts, len(self.delays)) - 1] * (1 + JITTER))


_UNITS: Final = (("h", HOUR), ("m", MINUTE), ("s", SECOND))
# 75.6 hours in all.
DEFAULT_SCHEDULE: Final = RetrySchedule(
    (5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR)
)


def _duration(milliseconds: int) -> str:
    unit, size = next((unit, size) for unit, size in _UNITS if milliseconds % size == 0)
    return f"{milliseconds // size}{unit}"


class DisabledReason(StrEnum):
    GONE = "gone"
    NO_SUCCESS = "no_success_for_5_days"


@dataclass(frozen=True, slots=True)
class Health:
    """An endpoint's health. `failures` counts failures in a row that suggest an outage: no response, or 5xx.

    `failing_since` is the first failure of any kind after the last success; until `paused_until` nothing is sent.
    """

    failures: int = 0
    failing_since: int | None = None
    paused_until: int = 0

    @property
    def is_probed(self) -> bool:
        """Whether the endpoint gets one attempt at a time."""
        return self.failures >= FAILURES_TO_PROBE

    def holds_back(self, now: int) -> bool:
        """Whether the endpoint is paused, or gets one attempt at a time."""
        return self.paused_until > now or self.is_probed


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """The delivery's next state, the endpoint's health, and the reason to disable the endpoint, if there is one."""

    status: DeliveryStatus
    due_at: int | None
    health: Health
    disable: DisabledReason | None = None


def decide_retry(
    schedule: RetrySchedule,
    health: Health,
    attempt: int,
    status: int | None,
    retry_after_seconds: int | None,
    now: int,
    jitter: float,
    *,
    asked: bool = False,
) -> RetryDecision:
    """The decision after the attempt of this number in the schedule, from 1.

    `status` is None when there was no answer; `retry_after_seconds` counts on 429 and 503 only; `jitter` in [-1, 1].
    `asked` is for an attempt that a person asked for at an endpoint that was held back: its success opens the endpoint,
    whatever pause there was, and its failure counts for nothing, so that no click lengthens a pause.
    """
    if status is not None and 200 <= status < 300:  # noqa: PLR2004  the HTTP class
        pause = 0 if asked else _requested_pause(health)
        return RetryDecision(DeliveryStatus.DELIVERED, None, Health(paused_until=pause))
    counts = not asked and (status is None or status >= _SERVER_ERROR)
    failures = health.failures + counts
    failing_since = health.failing_since or now
    paused_until = health.paused_until if asked else max(health.paused_until, _probe_at(failures, now))
    due_at = schedule.retry_at(attempt, now, jitter)
    if status in _PUT_OFF and retry_after_seconds is not None:
        put_off_until = now + min(retry_after_seconds, LONGEST_RETRY_AFTER) * SECOND
        paused_until = max(paused_until, put_off_until)
        due_at = None if due_at is None else max(due_at, put_off_until)
    disable = _disable(status, failing_since, now)
    if disable is not None:
        # Nothing is sent between this and the disabling; if that is never done, the next attempt finds the same.
        paused_until = max(paused_until, now + LONGEST_PROBE_PAUSE)
    after = Health(failures, failing_since, paused_until)
    if disable is DisabledReason.GONE:
        # Held, not failed: whoever enables the endpoint again gets what it missed.
        return RetryDecision(DeliveryStatus.PENDING, now, after, disable)
    if due_at is None:
        return RetryDecision(DeliveryStatus.FAILED, None, after, disable)
    return RetryDecision(DeliveryStatus.PENDING, due_at, after, disable)


def _disable(status: int | None, failing_since: int, now: int) -> DisabledReason | None:
    if status == GONE:
        return DisabledReason.GONE
    return DisabledReason.NO_SUCCESS if now - failing_since >= DISABLE_AFTER else None


def _requested_pause(health: Health) -> int:
    """The rest of a pause after a success: the endpoint's own Retry-After holds, a pause between probes ends."""
    return 0 if health.is_probed else health.paused_until


def _probe_at(failures: int, now: int) -> int:
    beyond = failures - FAILURES_TO_PROBE
    return 0 if beyond < 0 else now + min(FIRST_PROBE_PAUSE << min(beyond, 10), LONGEST_PROBE_PAUSE)
