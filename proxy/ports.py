"""What the use-cases need of the outside, as Protocols. The adapters implement them; the tests' fakes keep them too.

Every method of the Store is one whole step in one transaction, durable when it returns; none is open across HTTP.
Its methods raise StoreUnavailable when the disk or the database cannot, and a StoreConflict where one is named.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from proxy.delivery_records import DeliveryFilter, EndpointFigures, EventPage, EventSpan, Requeued, Swept
from proxy.figures import Figures
from proxy.lookups import Lookups
from proxy.merchant import AuditEntry, Endpoint, Merchant, Mode, Terminal, Token
from proxy.operators.ports import AuditChains, OperatorRows, TokenUses
from proxy.operators.session_records import SessionRows
from proxy.payment import Payment
from proxy.records import (
    Account,
    Answer,
    Attempt,
    Change,
    Checked,
    Claim,
    Delivery,
    Entry,
    EventFilter,
    Finished,
    Intent,
    Judged,
    Lease,
    Outgoing,
    PaymentFilter,
    Requested,
    Sealed,
    Seen,
    Stored,
    StoredEvent,
    Unsettled,
)
from proxy.recovery.records import Rechecks
from proxy.telemetry.tracing import Traces
from proxy.watch import Watch
from proxy.webhook import Event

Now = Callable[[], int]
Jitter = Callable[[], float]
"""Uniform in [-1, 1]."""


class Vault(Protocol):
    """Seals and opens secrets with keys that the store never sees."""

    @property
    def kek_id(self) -> str:
        """The id of the key that seals now."""

    def seal(self, merchant_id: str, owner_id: str, name: str, secret: str) -> Sealed: ...

    def open(self, sealed: Sealed) -> str:
        """The secret; raises VaultError when the key is not in the ring or the row is not the one that was sealed."""

    def rewrap(self, sealed: Sealed) -> Sealed:
        """The same secret under the key that seals now, without the plaintext leaving the vault."""


class Gateway(Protocol):
    """Speaks the gateway's protocol. Never raises for what a gateway does: that is a fact, if an unclear one."""

    async def request(self, account: Account, amount_rials: int, return_url: str) -> Requested: ...

    async def check(self, account: Account, invoice_key: str) -> Checked: ...


class Sender(Protocol):
    """Posts a webhook. Never raises for what the receiver or the network does."""

    async def send(self, outgoing: Outgoing) -> Answer: ...


class Prober(Protocol):
    """Looks at a URL for the doctor. Never raises for what is or is not there."""

    async def look(self, url: str, request_id: str) -> Seen: ...


class Payments(Protocol):
    async def create_payment(self, payment: Payment, intent: Intent, watch: Watch) -> Stored:
        """Stores the payment with its intent and watch; or gives what the storefront stored under this key before.

        Raises OrderAlreadyPaid when another payment of (merchant, storefront, mode, order_id) is paid. The key is
        looked at first, so a replay of the paid one is still a replay.
        """

    async def stored(self, merchant_id: str, storefront: str, mode: Mode, key: str) -> Stored | None:
        """What the storefront stored in this mode under this Idempotency-Key, if anything."""

    async def lease_request(self, payment: Payment, now: int, lease_until: int) -> Stored:
        """Takes over a create whose lease is over (or was released) and that has no reply; gives it as stored now.

        Raises LeaseLost when somebody else has it.
        """

    async def transition(self, change: Change) -> None:
        """Writes the change with its events, and a delivery per endpoint that wants each event.

        Where `before` and `after` are the same version, the stored version is not compared.

        Raises StaleVersion when `before` is not the stored version any more; InvoiceKeySeen, BankCodeSeen or
        OrderPaidByAnother when `after` claims what another payment of the merchant has. A payment that becomes paid
        claims its bank_code and its order; one that needs review claims nothing that is another's.
        """

    async def payment(self, merchant_id: str, payment_id: str) -> Payment:
        """Raises NotFound."""

    async def payment_by_link(self, merchant_id: str, link: str) -> Payment:
        """Raises NotFound."""

    async def list_payments(self, merchant_id: str, wanted: PaymentFilter) -> list[Payment]: ...

    async def watch(self, merchant_id: str, payment_id: str) -> Watch | None: ...

    async def claim_watches(self, now: int, lease_until: int, limit: int) -> list[tuple[Payment, Watch]]:
        """Up to `limit` watches that are due, oldest first, each moved to `lease_until` with its version raised."""

    async def next_watch_at(self) -> int | None:
        """When the earliest watch is due."""

    async def timeline(self, merchant_id: str, payment_id: str, limit: int = 1000) -> list[Entry]:
        """The newest `limit` entries, oldest first."""

    async def unsettled_since(self, since: int, after: str | None, limit: int) -> Unsettled:
        """Up to `limit` payments of all merchants that were created at or after `since` and are pending, canceled,
        expired or failed: merchants in id order, and each one's payments in the order of their creation.

        `after` is what the stretch before `reached`. One call looks at a bounded number of merchants.
        """


class Deliveries(Protocol):
    async def claim_deliveries(self, now: int, lease: Lease, limit: int) -> list[Claim]:
        """Up to `limit` deliveries that may start now, with the attempt counted already.

        Only of enabled endpoints that are not paused, the longest waiting first, in equal shares, and no more of each
        than its health leaves room for (`Health.limit`).
        """

    async def record_attempt(self, finished: Finished, follow: Lease | None) -> Judged:
        """Writes the attempt and what `verdict.judge` makes of it, and with `follow` claims the endpoint's next one.

        Raises LeaseLost when the claim's token is not current.
        """

    async def disable_endpoint(self, endpoint: Endpoint, reason: str, now: int, event: Event) -> bool:
        """Disables it while it is enabled and as it was read, and tells the merchant's other endpoints; gives
        whether it did.
        """

    async def release_deliveries(self, claims: Sequence[Claim]) -> None:
        """Gives back what was claimed and not started: due at once, the attempt not counted."""

    async def next_delivery_at(self) -> int | None:
        """When the earliest delivery of an enabled endpoint is due."""

    async def list_deliveries(self, merchant_id: str, event_id: str) -> list[Delivery]: ...

    async def list_attempts(self, merchant_id: str, delivery_id: str) -> list[Attempt]: ...

    async def event(self, merchant_id: str, event_id: str) -> StoredEvent:
        """Raises NotFound."""

    async def list_events(self, merchant_id: str, wanted: EventFilter) -> list[StoredEvent]: ...


class Redelivery(Protocol):
    async def delivery(self, merchant_id: str, delivery_id: str) -> Delivery:
        """Raises NotFound."""

    async def delivery_log(self, merchant_id: str, delivery_id: str) -> tuple[Delivery, list[Attempt]]:
        """The delivery and its attempts as they are at one moment. Raises NotFound."""

    async def list_endpoint_deliveries(
        self, merchant_id: str, endpoint_id: str, wanted: DeliveryFilter
    ) -> list[Delivery]: ...

    async def retry_delivery(self, merchant_id: str, delivery_id: str) -> Delivery:
        """Due now, with the schedule from its start, whatever became of it; once more after an attempt under way.

        Raises NotFound, also when its endpoint is no more.
        """

    async def recover_deliveries(
        self, merchant_id: str, endpoint_id: str, since: int, after: str | None, limit: int = 500
    ) -> Requeued:
        """The same for one batch of what failed or waits there, of events since a time. Raises NotFound."""

    async def replay_events(
        self, merchant_id: str, endpoint_id: str, span: EventSpan, after: str | None, limit: int = 500
    ) -> Requeued:
        """The same for one batch of events that the endpoint wants, delivered there before or not. Raises NotFound."""

    async def endpoint_figures(self, merchant_id: str, endpoint_id: str, since: int) -> EndpointFigures:
        """Its newest 1000 finished attempts since a time, and its backlog up to 10,000."""

    async def add_event(self, event: Event) -> StoredEvent:
        """An event that is no payment's, with its deliveries."""

    async def last_sequence(self, merchant_id: str) -> int:
        """The number of the merchant's newest event, from 1; 0 when there is none."""

    async def list_events_by_delivery(self, merchant_id: str, wanted: EventFilter, *, delivered: bool) -> EventPage:
        """Of the next 1000 events, those that every endpoint concerned has got; or the others. It may be none of them
        and the list not over.
        """


class Retention(Protocol):
    async def make_parts(self, now: int) -> None:
        """Where rows are kept by period, makes room for the present one and those to come."""

    async def drop_attempts(self, before: int, after: str | None, limit: int) -> Swept:
        """Where rows are kept by period, one batch of dropping the attempts of those that were over before a time: up
        to `limit` that are still of use are moved out first. `removed` counts periods.
        """

    async def drop_events(self, before: int, after: str | None, limit: int) -> Swept:
        """The same of events and their deliveries: those that somebody still waits for are moved out."""

    async def forget_events(self, before: int, after: str | None, limit: int) -> Swept:
        """Deletes, of the next `limit` events before a time, those that nobody still waits for, with all that was
        tried of them. `after` is what the batch before `reached`.
        """

    async def forget_attempts(self, before: int, after: str | None, limit: int) -> Swept:
        """Deletes attempts before a time, of the next `limit` deliveries of events before it that are over."""


class Registry(Protocol):
    """What the operator and the merchant set up. Every write of the operator's carries its audit entry."""

    async def add_merchant(
        self, merchant: Merchant, secrets: Sequence[Sealed], audit: AuditEntry, logo: bytes | None = None
    ) -> None: ...
    async def save_merchant(
        self, merchant: Merchant, audit: AuditEntry, secrets: Sequence[Sealed] = (), logo: bytes | None = None
    ) -> None:
        """Also replaces the secrets given, and the logo: by a new one, or by none where its digest is gone. Raises
        NotFound.
        """

    async def logo(self, merchant_id: str, digest: str) -> bytes:
        """The picture of this digest. Raises NotFound when it is not the merchant's present one."""

    async def merchant(self, merchant_id: str) -> Merchant:
        """Raises NotFound."""

    async def list_merchants(self, after: str | None, limit: int) -> list[Merchant]:
        """In id order, after the id given."""

    async def add_terminal(self, terminal: Terminal, secret: Sealed, audit: AuditEntry) -> None:
        """Raises NotFound when the merchant does not exist."""

    async def save_terminal(self, terminal: Terminal, secret: Sealed | None, audit: AuditEntry) -> None: ...
    async def terminal(self, merchant_id: str, terminal_id: str) -> Terminal: ...
    async def list_terminals(self, merchant_id: str) -> list[Terminal]:
        """In id order, which is the order of creation; at most 1000."""

    async def add_token(self, token: Token, audit: AuditEntry) -> None: ...
    async def save_token(self, token: Token, audit: AuditEntry) -> None: ...
    async def token(self, merchant_id: str, token_id: str) -> Token: ...
    async def token_by_digest(self, merchant_id: str, digest: bytes) -> Token | None: ...
    async def list_tokens(self, merchant_id: str) -> list[Token]:
        """At most 1000."""

    async def add_endpoint(self, endpoint: Endpoint, secrets: Sequence[Sealed], audit: AuditEntry) -> None: ...
    async def save_endpoint(
        self, before: Endpoint, after: Endpoint, audit: AuditEntry, secrets: Sequence[Sealed] = ()
    ) -> None:
        """Also adds the secrets given. Raises StaleVersion when it changed, or went, since `before` was read."""

    async def delete_endpoint(self, merchant_id: str, endpoint_id: str, audit: AuditEntry | None = None) -> None:
        """Removes it with its secrets; what was still to be delivered there becomes `dropped`. Raises NotFound."""

    async def endpoint(self, merchant_id: str, endpoint_id: str) -> Endpoint: ...
    async def list_endpoints(self, merchant_id: str) -> list[Endpoint]:
        """At most 1000."""

    async def secrets(self, merchant_id: str, owner_id: str) -> list[Sealed]:
        """All secrets of one owner (a terminal, an endpoint, a merchant)."""

    async def sealed_otherwise(self, kek_id: str, limit: int) -> list[Sealed]:
        """Secrets that are not sealed under `kek_id`."""

    async def kek_ids(self) -> set[str]:
        """The ids of all keys under which something is sealed."""

    async def rewrap(self, before: Sealed, after: Sealed, audit: AuditEntry | None) -> None:
        """Replaces the blob when it still is `before`'s; otherwise leaves it (somebody set a new secret)."""


class Store(
    Payments,
    Deliveries,
    Redelivery,
    Retention,
    Registry,
    Figures,
    Traces,
    AuditChains,
    OperatorRows,
    TokenUses,
    SessionRows,
    Lookups,
    Rechecks,
    Protocol,
):
    async def ping(self) -> None:
        """Writes and commits something small. Raises StoreUnavailable when that cannot be done."""

    async def close(self) -> None:
        """Finishes the steps that wait, then closes. No step is taken after it."""
