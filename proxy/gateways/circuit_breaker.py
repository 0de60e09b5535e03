"""The circuit breaker: a gateway that gives no clear answers is not asked for a while, terminal by terminal.

Creates are refused at once while it is open. Checks are never given up: a customer's return is checked in any case, and
the check schedule only waits until the breaker lets a probe through.
"""

from dataclasses import dataclass
from typing import Final

import structlog

from proxy.gateways.port import CheckResult, CheckUnknown, RequestResult, RequestUnknown, is_answer, reason_of
from proxy.kernel.clock import MINUTE, SECOND, Now
from proxy.kernel.errors import CircuitOpen

log = structlog.get_logger()

FAILURES_TO_OPEN: Final = 5
FIRST_PAUSE: Final = 5 * SECOND
LONGEST_PAUSE: Final = 60 * SECOND
# How long a gateway's Retry-After is taken at its word: beyond it some give unchecked money back.
LONGEST_RETRY_AFTER: Final = 10 * MINUTE


@dataclass(slots=True)
class _Circuit:
    failures: int = 0
    open_until: int = 0
    pauses: int = 0
    probing: bool = False


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
            raise CircuitOpen(max(1, -(-wait // SECOND)))

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

    def record(self, merchant_id: str, terminal_id: str, result: RequestResult | CheckResult) -> None:
        """Counts a call, and logs one without a clear answer."""
        outcome = result.outcome
        self.record_answer(terminal_id, clear=is_answer(outcome), retry_after_seconds=result.retry_after_seconds)
        if isinstance(outcome, RequestUnknown | CheckUnknown):
            log.warning(
                "gateway_unclear",
                merchant_id=merchant_id,
                terminal_id=terminal_id,
                reason=reason_of(outcome),
                error_code=outcome.error_code,
                excerpt=result.excerpt,
            )

    def record_answer(self, terminal_id: str, *, clear: bool, retry_after_seconds: int | None = None) -> None:
        """Counts an answer: five unclear ones in a row, or one with a Retry-After, open it; a clear one closes it."""
        if clear:
            self._circuits.pop(terminal_id, None)
            return
        circuit = self._circuits.setdefault(terminal_id, _Circuit())
        circuit.failures += 1
        now = self._now()
        # Calls that were under way when it opened say nothing new: only a probe makes the next pause longer.
        if circuit.failures >= FAILURES_TO_OPEN and (circuit.probing or circuit.open_until <= now):
            circuit.open_until = now + min(FIRST_PAUSE << min(circuit.pauses, 8), LONGEST_PAUSE)
            circuit.pauses += 1
            circuit.probing = False
        if retry_after_seconds:
            circuit.failures = max(circuit.failures, FAILURES_TO_OPEN)
            asked_for = min(retry_after_seconds * SECOND, LONGEST_RETRY_AFTER)
            circuit.open_until = max(circuit.open_until, now + asked_for)
