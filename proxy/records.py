"""What crosses a port: the rows, claims and answers that the use-cases and the adapters hand to each other."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from proxy.facts import CheckFact, RequestFact
from proxy.frozen import dataclass
from proxy.merchant import AuditEntry, Endpoint, Mode
from proxy.payment import Payment, Status
from proxy.verdict import Verdict
from proxy.watch import Watch
from proxy.webhook import DeliveryStatus, Event


@dataclass(frozen=True, slots=True)
class Sealed:
    """A secret as the store keeps it. (merchant_id, owner_id, name) is its key, and bound into the ciphertext."""

    merchant_id: str
    owner_id: str
    name: str
    kek_id: str
    blob: bytes


@dataclass(frozen=True, slots=True)
class Account:
    """A terminal as the gateway client needs it. `api_key` is kept out of every repr."""

    terminal_id: str
    gateway_url: str
    api_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Requested:
    """What `request` came to, and how long it took."""

    fact: RequestFact
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Checked:
    """What `check` came to, and how long it took."""

    fact: CheckFact
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One webhook as it leaves: the headers are complete, the body is the frozen bytes."""

    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a send: an HTTP status, or the named error of one that never got that far.

    `error` is one of timeout, connect_timeout, refused, reset, dns, tls, blocked_address, bad_url, bad_response.
    `excerpt` is the first 4 kB of the answer; `retry_after_seconds` is the parsed Retry-After header.
    """

    status: int | None
    error: str | None
    duration_ms: int
    excerpt: bytes = b""
    retry_after_seconds: int | None = None

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004  the HTTP class


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at a URL showed: its status or the named error of none, and what its headers and certificate tell.

    `request_id` is the X-Request-Id that came back; `date` and `certificate_ends_at` are milliseconds since the epoch.
    """

    status: int | None
    error: str | None
    request_id: str | None
    date: int | None
    certificate_ends_at: int | None


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a create as it was first given: replayed byte for byte for the same Idempotency-Key."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Intent:
    """A create as stored before the gateway is asked.

    `digest` is the SHA-256 of the request; `lease_until` tells until when somebody is presumed to be asking.
    `traceparent` is the trace in which it was asked for; it is written, and not read with the intent.
    """

    key: str
    digest: bytes
    lease_until: int
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """A payment with its intent, and the reply once there is one. `fresh` when this very call created it."""

    payment: Payment
    intent: Intent
    reply: Reply | None
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a payment's timeline: a gateway call (redacted) or a return. `data` is small and JSON."""

    at: int
    kind: str
    duration_ms: int | None
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One step of a payment's life, to be written as a whole.

    `before` and `after` are the same object when only the timeline or the watch moves. `watch` None ends the watch.
    `watch_read` is the watch as it was read: when it has moved on since, the stored one is left as it is, unless the
    payment itself changed so that the watch is over. With `watch_read` None a watch is begun unless there is one.
    `release` ends the lease of the create; `reply` is its answer. `audit` stands for a step that an operator took.
    """

    before: Payment
    after: Payment
    events: Sequence[Event] = ()
    entries: Sequence[Entry] = ()
    watch: Watch | None = None
    watch_read: Watch | None = None
    release: bool = False
    reply: Reply | None = None
    audit: AuditEntry | None = None


@dataclass(frozen=True, slots=True)
class PaymentFilter:
    """Which payments to list, newest first; `after` is the id of the last one of the page before."""

    storefront: str | None = None
    order_id: str | None = None
    status: Status | None = None
    after: str | None = None
    limit: int = 20
    mode: Mode | None = None


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A stretch of the walk over all payments that may still turn out paid.

    `reached` is where it goes on, the id of a payment or of a merchant; None when the walk is over. `payments` may be
    empty and the walk not over.
    """

    payments: Sequence[Payment]
    reached: str | None


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event with the per-merchant sequence and the frozen body. Its `traceparent` is read for sending it only."""

    id: str
    merchant_id: str
    sequence: int
    storefront: str | None
    type: str
    payment_id: str | None
    occurred_at: int
    body: bytes
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events to list, in sequence order, after the given sequence. What is in no mode is listed in both."""

    storefront: str | None = None
    type: str | None = None
    payment_id: str | None = None
    after: int = 0
    limit: int = 20
    mode: Mode | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """The terms of a claim: until when it holds, and the token that fences what is written of it."""

    until: int
    token: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that is ours until the lease ends. `attempt` counts this one, from 1; to the schedule it is `turn`."""

    merchant_id: str
    delivery_id: str
    endpoint: Endpoint
    event: StoredEvent
    attempt: int
    turn: int
    claimed_at: int
    token: str


@dataclass(frozen=True, slots=True)
class Begun:
    """Which deliveries of a change's events are claimed with it, and whether others wait for their turn."""

    claims: Sequence[Claim]
    waiting: bool


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a delivery. `outcome` is delivered, failed or unknown (its lease was lost)."""

    number: int
    started_at: int
    duration_ms: int | None
    outcome: str
    status: int | None
    error: str | None
    excerpt: bytes


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to one endpoint. `due_at` is None when nothing more is planned."""

    id: str
    merchant_id: str
    endpoint_id: str
    event_id: str
    payment_id: str | None
    status: DeliveryStatus
    attempts: int
    due_at: int | None
    created_at: int
    delivered_at: int | None


@dataclass(frozen=True, slots=True)
class Finished:
    """An attempt that has ended, at `at`; `jitter` is for what follows from it, and is uniform in [-1, 1]."""

    claim: Claim
    attempt: Attempt
    retry_after_seconds: int | None
    at: int
    jitter: float


@dataclass(frozen=True, slots=True)
class Judged:
    """What an attempt meant, as stored, and the endpoint's next delivery where that was claimed with it."""

    verdict: Verdict
    following: Claim | None
