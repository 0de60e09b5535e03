"""The circuit breaker: a gateway that gives no clear answers is not asked for a while, terminal by terminal.

Creates are refused at once while it is open. Checks are never given up: a customer's return is checked in any case, and
the check schedule only waits until the breaker lets a probe through.
"""

from typing import Final

import structlog

from proxy.gateways.port import CheckResult, CheckUnknown, RequestResult, RequestUnknown, is_answer, reason_of
from proxy.kernel.clock import MINUTE, SECOND, Now
from proxy.kernel.errors import CircuitOpen
from proxy.kernel.frozen import dataclass

log = structlog.get_logger()

FAILURES_TO_OPEN: Final = 5
FIRST_PAUSE: Final = 5 * SECOND
LONGEST_PAUSE: Final = 60 * SECOND
# How long a gateway's Retry-After is taken at its word: beyond it some give unchecked money back.
LONGEST_RETRY_AFTER: Final = 10 * MINUTE


@dataclass(slots=True)
class _Circuit:
    since: int
    failures: int = 0
    failed_at: int = 0
    open_until: int = 0
    pauses: int = 0
    probing: bool = False
    reason: str = "no clear answer"
    """Of the newest unclear answer."""


@dataclass(frozen=True, slots=True)
class UnclearGateway:
    """How many unclear answers a gateway gave in a row, in how many milliseconds, and whether it is spared."""

    failures: int
    lasts: int
    is_open: bool


class CircuitBreaker:
    def __init__(self, now: Now) -> None:
        self._now = now
        self._circuits: dict[str, _Circuit] = {}

    @property
    def open_circuits(self) -> int:
        """The number of terminals whose circuit is open now."""
        now = self._now()
        return sum(each.failures >= FAILURES_TO_OPEN and each.open_until > now for each in self._circuits.values())

    def failures(self) -> dict[str, int]:
        """How many unclear answers in a row each terminal's gateway gave, where there was one."""
        return {terminal_id: circuit.failures for terminal_id, circuit in self._circuits.items()}

    def unclear(self, within: int) -> dict[str, UnclearGateway]:
        """The terminals whose gateway gave so many unclear answers that it is spared, the last one within that time."""
        now = self._now()
        return {
            terminal_id: UnclearGateway(circuit.failures, now - circuit.since, circuit.open_until > now)
            for terminal_id, circuit in self._circuits.items()
            if circuit.failures >= FAILURES_TO_OPEN and now - circuit.failed_at < within
        }

    def is_open(self, terminal_id: str) -> bool:
        """Whether this terminal's gateway is being spared now. It claims no probe."""
        circuit = self._circuits.get(terminal_id)
        return circuit is not None and circuit.failures >= FAILURES_TO_OPEN and circuit.open_until > self._now()

    def is_closed(self, terminal_id: str) -> bool:
        """Whether this terminal's gateway has been answering: neither spared nor waiting for its probe."""
        circuit = self._circuits.get(terminal_id)
        return circuit is None or circuit.failures < FAILURES_TO_OPEN

    def refuse_when_open(self, terminal_id: str) -> None:
        """Raises CircuitOpen while this terminal's gateway is being spared."""
        wait = self.wait_of_call(terminal_id)
        if wait > 0:
            raise CircuitOpen(max(1, -(-wait // SECOND)), terminal_id, self._circuits[terminal_id].reason)

    def wait_of_call(self, terminal_id: str) -> int:
        """Milliseconds until a call may be made; 0 when one may now.

        After a pause the first caller gets 0 and is the probe; the others wait for its answer.
        """
        circuit = self._circuits.get(terminal_id)
        if circuit is None or circuit.failures < FAILURES_TO_OPEN:
            return 0
        now = self._now()
        if circuit.open_until > now:
            return circuit.open_until - now
        circuit.probing = True
        circuit.open_until = now + FIRST_PAUSE
        return 0

    def record(self, terminal_id: str, result: RequestResult | CheckResult) -> None:
        """Counts a call, and logs one without a clear answer; whose it is, structlog's context says."""
        outcome, put_off = result.outcome, result.retry_after_seconds
        self.record_answer(terminal_id, clear=is_answer(outcome), retry_after_seconds=put_off)
        if isinstance(outcome, RequestUnknown | CheckUnknown):
            reason = reason_of(outcome)
            if terminal_id in self._circuits:
                self._circuits[terminal_id].reason = reason
            log.warning(
                "gateway_unclear",
                terminal_id=terminal_id,
                reason=reason,
                error_code=outcome.error_code,
                excerpt=result.excerpt,
            )

    def record_answer(self, terminal_id: str, *, clear: bool, retry_after_seconds: int | None = None) -> None:
        """Counts an answer: five unclear ones in a row, or one with a Retry-After, open it; a clear one closes it."""
        if clear:
            self._circuits.pop(terminal_id, None)
            return
        now = self._now()
        circuit = self._circuits.setdefault(terminal_id, _Circuit(now))
        circuit.failures += 1
        circuit.failed_at = now
        # Calls that were under way when it opened say nothing new: only a probe makes the next pause longer.
        if circuit.failures >= FAILURES_TO_OPEN and (circuit.probing or circuit.open_until <= now):
            circuit.open_until = now + min(FIRST_PAUSE << min(circuit.pauses, 8), LONGEST_PAUSE)
            circuit.pauses += 1
            circuit.probing = False
        if retry_after_seconds:
            circuit.failures = max(circuit.failures, FAILURES_TO_OPEN)
            asked_for = min(retry_after_seconds * SECOND, LONGEST_RETRY_AFTER)
            circuit.open_until = max(circuit.open_until, now + asked_for)
