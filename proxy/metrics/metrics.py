"""The instruments of a process, and what the use-cases tell them."""

from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from proxy.clock import SECOND
from proxy.facts import CheckFact, RequestFact
from proxy.invariants import EVENT_UNNUMBERED, INVARIANTS, violations
from proxy.merchant import EndpointState
from proxy.metrics.instruments import SECONDS, Counted, Gauged, Instrument, Read, Spread
from proxy.payment import Payment, Status
from proxy.records import Answer, Change, Claim
from proxy.timeline import OUTCOMES

Made = TypeVar("Made", bound=Instrument)

OPERATIONS: Final = {
    "request": ("issued", "refused", "unknown"),
    "check": ("captured", "not_paid", "canceled", "unknown"),
}
ATTEMPTS: Final = (
    *("delivered", "status_1xx", "status_3xx", "status_4xx", "status_5xx"),
    *("timeout", "connect_timeout", "refused", "reset", "dns", "tls", "blocked_address", "bad_url", "bad_response"),
)
LISTENERS: Final = ("public", "admin")
ANSWERS: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")
STATES: Final = tuple(state.value for state in EndpointState)
LOOPS: Final = ("watch", "deliver", "forget", "audit", "recheck", "last_used")
BATCHES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
# From at once to the retries' end: what was held for a paused endpoint comes late and is none of ours.
DELAYS: Final = (*SECONDS, 60.0, 300.0, 3600.0, 86_400.0)
# Made once: a create passes here.
_PAID: Final = Status.PAID
_CREATED: Final = ("created",)
_STATUSES: Final = {status: (status.value,) for status in Status}
_CALLS: Final = {
    operation: {kind: (operation, OUTCOMES[kind]) for kind in OUTCOMES if OUTCOMES[kind] in outcomes}
    for operation, outcomes in OPERATIONS.items()
}
LAGS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Batch(Protocol):
    """One transaction of the store."""

    @property
    def steps(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def failed(self) -> bool: ...


class Stock(Protocol):
    """What is read from the store for a scrape."""

    async def refresh(self) -> None:
        """Returns within its time, with newer figures or the old ones. Raises nothing."""


class Metrics:
    """Made once per process. Its methods are called on the event loop."""

    def __init__(self) -> None:
        self._instruments: list[Instrument] = []
        self.stock: Stock | None = None
        self._payments = self._add(
            Counted(
                "dargah_payments_total",
                "Payments that came into a status.",
                ["status"],
                [(status.value,) for status in Status],
            )
        )
        self._reviews = self._add(
            Counted(
                "dargah_reviews_total",
                "Reviews opened because money moved otherwise than asked, and resolved by an operator.",
                ["act"],
                [("opened",), ("resolved",)],
            )
        )
        self._calls = self._add(
            Spread(
                "dargah_gateway_call_seconds",
                "Calls of gateways, by what they came to.",
                SECONDS,
                ["operation", "outcome"],
                [(operation, outcome) for operation, outcomes in OPERATIONS.items() for outcome in outcomes],
            )
        )
        self._attempts = self._add(
            Spread(
                "dargah_webhook_attempt_seconds",
                "Attempts of webhooks, by what they came to.",
                SECONDS,
                ["outcome"],
                [(outcome,) for outcome in ATTEMPTS],
            )
        )
        self._first_attempts = self._add(
            Spread(
                "dargah_webhook_first_attempt_delay_seconds", "From an event to the start of its first attempt.", DELAYS
            )
        )
        self._batch_steps = self._add(
            Spread("dargah_store_batch_steps", "Steps that shared one transaction and one sync of the disk.", BATCHES)
        )
        self._batch_seconds = self._add(
            Spread("dargah_store_batch_seconds", "Time of such a transaction, commit and all.", SECONDS)
        )
        self._batches_failed = self._add(
            Counted(
                "dargah_store_batches_failed_total", "Transactions that failed as a whole: nothing of them is stored."
            )
        )
        self._invariants = self._add(
            Counted(
                "dargah_invariant_violations_total",
                "Impossible states that were met. Must stay 0.",
                ["invariant"],
                [(name,) for name in INVARIANTS],
            )
        )
        self._requests = self._add(
            Spread(
                "dargah_http_request_seconds",
                "Requests answered, by listener and class of the status.",
                SECONDS,
                ["listener", "status"],
                [(listener, answer) for listener in LISTENERS for answer in ANSWERS],
            )
        )
        self.loop_lag = self._add(Spread("dargah_loop_lag_seconds", "How late the event loop runs what is due.", LAGS))
        self._loop_failures = self._add(
            Counted(
                "dargah_loop_failures_total",
                "Steps of background loops that failed; each is tried again.",
                ["loop"],
                [(name,) for name in LOOPS],
            )
        )
        self._amount_jumps = self._add(
            Counted(
                "dargah_amount_jumps_total",
                "Storefronts whose drop-in amounts jumped by about ten times: rial and toman may be mixed up.",
            )
        )

    def amounts_jumped(self) -> None:
        self._amount_jumps.add()

    def loop_failed(self, name: str) -> None:
        """A step of a loop failed."""
        self._loop_failures.add((name,))

    def created(self, _payment: Payment) -> None:
        """A payment was stored."""
        self._payments.add(_CREATED)

    def changed(self, change: Change) -> None:
        """A change was stored."""
        before, after = change.before, change.after
        if after is before:
            return
        if after.status is not before.status:
            self._payments.add(_STATUSES[after.status])
        if after.review is not before.review and after.review is not None:
            self._reviews.add(("opened" if after.review.resolution is None else "resolved",))
        if before.status is _PAID or after.status is _PAID:
            for name in violations(change):
                self._invariants.add((name,))

    def violated(self, name: str, count: int = 1) -> None:
        """An impossible state was met."""
        self._invariants.add((name,), count)

    def called(self, operation: str, fact: RequestFact | CheckFact, duration_ms: int) -> None:
        """A gateway was asked."""
        self._calls.observe(duration_ms / SECOND, _CALLS[operation][type(fact)])

    def attempted(self, claim: Claim, started: int, answer: Answer) -> None:
        """A delivery was attempted, from `started` (milliseconds since the epoch)."""
        self._attempts.observe(answer.duration_ms / SECOND, (_outcome(answer),))
        if claim.attempt == 1:
            self._first_attempts.observe(max(0, started - claim.event.occurred_at) / SECOND)
        if claim.event.sequence < 1:
            self._invariants.add((EVENT_UNNUMBERED,))

    def committed(self, batch: Batch) -> None:
        """The store wrote a batch of steps, or could not."""
        if batch.failed:
            self._batches_failed.add()
            return
        self._batch_steps.observe(batch.steps)
        self._batch_seconds.observe(batch.seconds)

    def answers(self, listener: str) -> Callable[[int, float], None]:
        """What hears of each answer there: its status, and how many seconds it took."""
        keys = [(listener, answer) for answer in ANSWERS]
        observe = self._requests.observe

        def answered(status: int, seconds: float) -> None:
            observe(seconds, keys[status // 100 - 1])

        return answered

    def gauge(self, name: str, about: str, labels: list[str], read: Read) -> None:
        """Adds what is read when it is scraped."""
        self._add(Gauged(name, about, labels, read))

    async def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        if self.stock is not None:
            await self.stock.refresh()
        from proxy.metrics.scrape import text_of  # noqa: PLC0415  its library is 1 MB, and 20 ms of each start

        return text_of(self._instruments)

    def _add(self, made: Made) -> Made:
        self._instruments.append(made)
        return made


def _outcome(answer: Answer) -> str:
    if answer.status is None:
        return answer.error or "bad_response"
    return "delivered" if answer.delivered else f"status_{answer.status // 100}xx"
