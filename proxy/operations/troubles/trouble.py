"""A trouble: one thing that is wrong now, of a kind, about a subject. The thresholds of all kinds stand here."""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Final

from proxy.kernel.clock import DAY, HOUR, MINUTE
from proxy.kernel.frozen import dataclass

# An endpoint whose first retries do not arrive either. The second one comes after five minutes.
FAILING_AFTER: Final = MINUTE
# How late due work is before that is told, as DargahWatchLate and DargahWebhooksLate have it.
LATE_AFTER: Final = 2 * MINUTE
# Of the time after which unconfirmed money goes back by itself, the part that has passed without an answer.
DANGER_PARTS: Final = 3
# How long a sale that was lost at its gateway stays in the list.
MISSED_FOR: Final = DAY
# How long a jump of the clock does: what it planned wrongly is put right within minutes.
JUMPED_FOR: Final = HOUR
# A gateway that nobody has asked for so long may be well again.
UNCLEAR_FOR: Final = 15 * MINUTE
# How long before its end a token is told of, and for how long after it.
ENDS_WITHIN: Final = 7 * DAY
ENDED_FOR: Final = DAY
# A token that nobody has used for so long is not missed.
IN_USE_FOR: Final = 30 * DAY
# Where backups are taken, one is expected every day.
BACKUP_EVERY: Final = DAY + 12 * HOUR
# How long one commit takes, as DargahStoreSlow has it.
SLOW_COMMIT_SECONDS: Final = 0.5
# Steps of one background loop that fail, as DargahLoopFailing has it.
LOOP_FAILURES: Final = 2
LOOP_FAILURES_WITHIN: Final = 10 * MINUTE
# Calls that wait for gateways, as DargahGatewayCallsWaiting has it.
CALLS_WAITING: Final = 200
# The part of the files that may be open, as DargahFilesRunningOut has it.
FILES_PART: Final = 0.8
# How long a shop whose amounts jumped stays in the list, as DargahAmountsJumped has it.
AMOUNTS_FOR: Final = HOUR
# How many subjects of one kind are named; the others are counted.
NAMED: Final = 50
# Up to how much is counted.
COUNTED: Final = 10_000


class TroubleKind(StrEnum):
    """In the order in which they are shown: what stops money and news first."""

    DATABASE_UNAVAILABLE = "database_unavailable"
    INVARIANT_BROKEN = "invariant_broken"
    DISK_LOW = "disk_low"
    LOOP_FAILING = "loop_failing"
    FILES_LOW = "files_low"
    CONFIRM_IN_DANGER = "confirm_in_danger"
    GATEWAY_UNCLEAR = "gateway_unclear"
    CALLS_WAITING = "calls_waiting"
    SECRET_UNUSABLE = "secret_unusable"  # noqa: S105  a kind, no secret
    SECOND_FACTOR_GUESSED = "second_factor_guessed"
    ENDPOINT_FAILING = "endpoint_failing"
    ENDPOINT_DISABLED = "endpoint_disabled"
    ENDPOINT_PAUSED = "endpoint_paused"
    CHECKS_LATE = "checks_late"
    DELIVERIES_LATE = "deliveries_late"
    REVIEWS_WAITING = "reviews_waiting"
    CONFIRM_MISSED = "confirm_missed"
    AMOUNTS_JUMPED = "amounts_jumped"
    CLOCK_DIFFERS = "clock_differs"
    CLOCK_JUMPED = "clock_jumped"
    DATABASE_SLOW = "database_slow"
    BACKUP_FAILED = "backup_failed"
    BACKUP_OLD = "backup_old"
    KEYS_OLD = "keys_old"
    TOKEN_ENDING = "token_ending"  # noqa: S105  a kind, no secret
    OPERATOR_ENDING = "operator_ending"
    ALERT_CHANNEL_FAILING = "alert_channel_failing"


RANKS: Final = {kind: rank for rank, kind in enumerate(TroubleKind)}


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong since `since` (milliseconds since the epoch).

    `count` is how much it concerns: events that wait, payments, milliseconds of a commit.
    `subject` is the record's id; empty where it is the whole installation, or all beyond those that are named.
    `merchant_id` is None where it is no one merchant's. `facts` hold numbers and names of ours: no secret, nothing of a
    customer. The fact `here` means that only this process sees it so.
    """

    kind: TroubleKind
    subject: str
    merchant_id: str | None
    since: int
    count: int
    urgent: bool
    facts: Mapping[str, int | str] = field(default_factory=dict)

    @property
    def key(self) -> tuple[TroubleKind, str]:
        """What stays the same from one look to the next."""
        return self.kind, self.subject
